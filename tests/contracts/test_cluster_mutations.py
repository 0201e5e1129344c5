"""Generated mutations of every shipped cluster file: each is refused, or listed as harmless with its reason."""

import re

import pytest

from cluster.check import violations
from cluster.dockerfile_rules import docker_rules
from cluster.document import Document, read_documents
from cluster.slurm_rules import slurm_rules
from cluster.versions import ROOT, locked_versions
from tests.fakes.cluster_mutations import HARMLESS, of_text, of_tree, plain

FILES = sorted(path for pattern in ("*.yaml", "*.sbatch", "Dockerfile") for path in (ROOT / "cluster").glob(pattern))
VERSIONS = locked_versions()
FEWEST = 200
QUICK = 210  # of each file in the default run, spread over the whole of it; the slow test takes all


def mutations(path):
    """All mutations of a file."""
    if path.suffix == ".yaml":
        return list(of_tree(plain(read_documents(path)[0].tree)))
    return list(of_text(path.read_text(encoding="utf-8")))


def is_refused(path, mutated):
    if path.suffix == ".yaml":
        return bool(violations(Document(path, mutated.content, {}), VERSIONS))
    rules = slurm_rules if path.suffix == ".sbatch" else docker_rules
    return any(rules(path, mutated.content, VERSIONS))


def accepted_without_a_reason(path, chosen):
    return [
        str(mutated)
        for mutated in chosen
        if not is_refused(path, mutated) and not any(re.fullmatch(pattern, str(mutated)) for pattern, _ in HARMLESS)
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_mutations_are_refused_or_harmless(path):
    every = mutations(path)
    assert len(every) >= FEWEST
    chosen = every[:: max(1, len(every) // QUICK)]  # every kind of change, since they follow each other for each place
    assert len(chosen) >= FEWEST
    assert accepted_without_a_reason(path, chosen) == []


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_all_mutations_are_refused_or_harmless(path):
    assert accepted_without_a_reason(path, mutations(path)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_dangers_are_never_harmless(path):
    """What runs foreign code, opens the cluster or publishes a secret is refused wherever it is written."""
    dangers = [
        m for m in mutations(path) if m.kind.startswith(("hostile", "secret", "privileged")) and ": #!" not in m.place
    ]
    assert dangers and [str(danger) for danger in dangers if not is_refused(path, danger)] == []


def test_every_reason_is_used():
    """A reason that no mutation needs any more is out of date."""
    names = [str(mutated) for path in FILES for mutated in mutations(path)]
    assert [pattern for pattern, _ in HARMLESS if not any(re.fullmatch(pattern, name) for name in names)] == []
