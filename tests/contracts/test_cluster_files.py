"""Every file in cluster/ passes its own check, and every broken copy is refused with the reason."""

import re

import pytest

from cluster.check import check_file
from cluster.versions import ROOT, locked_versions
from sweep.core.errors import InputErrors
from tests.fakes.cluster_files import KUBERAY, LAUNCHER

FILES = sorted(path for pattern in ("*.yaml", "*.sbatch", "Dockerfile*") for path in (ROOT / "cluster").rglob(pattern))
VERSIONS = locked_versions()


def test_all_places_are_there():
    names = {path.name for path in FILES}
    assert names >= {f"ray-cluster.{place}.yaml" for place in ("aws", "gcp", "azure", "on-prem", "kuberay")}
    assert names >= {"ray-job.kuberay.yaml", "slurm.sbatch", "Dockerfile"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_good(path):
    check_file(path, VERSIONS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_opens_with_what_it_is_and_how_to_run_it(path):
    head = [line for line in path.read_text().splitlines()[:10] if line.startswith("#") and not line.startswith("#!")]
    assert len(head) >= 2 and any(path.name in line for line in head)


@pytest.mark.parametrize("mutation", [*LAUNCHER, *KUBERAY], ids=lambda mutation: f"{mutation.file}: {mutation.what}")
def test_every_broken_copy_is_refused_with_the_reason(mutation, tmp_path):
    with pytest.raises(InputErrors) as caught:
        check_file(mutation.write(tmp_path), VERSIONS)
    assert mutation.says in str(caught.value)


def test_there_are_enough_broken_copies():
    assert len({mutation.what + mutation.file for mutation in LAUNCHER}) >= 40
    assert len({mutation.what + mutation.file for mutation in KUBERAY}) >= 30


def test_the_guide_names_every_file_and_only_commands_that_exist():
    text = (ROOT / "docs" / "cluster.md").read_text()
    assert not [path.name for path in FILES if f"`{path.name}`" not in text]
    for module in sorted({word for word in re.findall(r"python -m ([\w.]+)", text)}):
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module
    for path in sorted(set(re.findall(r"(?:cluster|search_spaces)/[\w.-]+\.(?:yaml|sbatch|py)", text))):
        assert (ROOT / path).is_file(), path
