"""The check as a command: all mistakes at once with their lines, exit codes, and no file that makes it stumble."""

import copy
import json

import pytest
import yaml

from cluster.check import check_file, main
from cluster.document import read_documents
from cluster.versions import ROOT, Versions, locked_versions
from sweep.core.errors import InputError, InputErrors
from tests.fakes.cluster_files import AWS, FOLDER, JOB, OWN

VERSIONS = locked_versions()


def broken(tmp_path, name, *changes):
    text = (FOLDER / name).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / name
    path.write_text(text)
    return path


def test_all_mistakes_at_once_each_with_line_value_and_fix(tmp_path):
    path = broken(
        tmp_path,
        AWS,
        ("max_workers: 4\nidle", "max_workers: 400\nidle"),
        ("{CPU: 0}", "{CPU: 2}"),
        ("InstanceType: g6", "InstanceTyp: g6"),
    )
    line = {number: text for number, text in enumerate(path.read_text().splitlines(), 1)}
    with pytest.raises(InputErrors) as caught:
        check_file(path, VERSIONS)
    found = [str(error) for error in caught.value.errors]
    assert str(caught.value).startswith(f"{path}: {len(found)} mistakes")
    for part, text in [
        ("max_workers: 400 machines; give a whole number", "max_workers: 400"),
        ("head.resources: the head offers 2 CPUs; write", "{CPU: 2}"),
        ("InstanceTyp: unknown key; did you mean InstanceType?", "InstanceTyp:"),
    ]:
        violation = next(violation for violation in found if part in violation)
        assert text in line[int(violation.split(",")[0].removeprefix("line "))]
    numbers = [int(violation.split(",")[0].removeprefix("line ")) for violation in found]
    assert numbers == sorted(numbers)


def test_command_reads_on_after_a_bad_file(tmp_path, capsys):
    bad = broken(tmp_path, OWN, ("idle_timeout_minutes: 5", "idle_timeout_minutes: 500"))
    assert main([str(bad), str(FOLDER / JOB)]) == 2
    said = capsys.readouterr()
    assert "idle_timeout_minutes: 500 keeps idle machines" in said.err and f"{JOB}: no mistakes" in said.out
    assert main([str(FOLDER / JOB)]) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cluster_name: [a", "brackets"),
        ("provider: {type: aws}\nprovider: {type: gcp}\n", "provider is written twice"),
        ("- a\n- b\n", "holds no keys"),
        ("", "holds no keys"),
        ("a: 1\n", "is neither a cluster launcher file nor a KubeRay object"),
        ("cluster_name: a\nprovider: aws\n", "'aws' is not of type object"),
        ("apiVersion: ray.io/v1\nkind: RayJob\nmetadata: {name: a}\nspec: 3\n", "3 is not a section"),
    ],
)
def test_what_is_no_cluster_file_is_refused(tmp_path, text, says):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=says.replace("(", r"\(")):
        check_file(path, VERSIONS)


def test_missing_file_and_missing_arguments(tmp_path, capsys):
    assert main([str(tmp_path / "none.yaml"), str(tmp_path / "none.sbatch")]) == 2
    assert capsys.readouterr().err.count("cannot be read") == 2
    assert main([]) == 2 and "Missing argument 'FILE...'" in capsys.readouterr().err


def places(node, at=()):
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*at, key)
        yield from places(value, (*at, key))


@pytest.mark.parametrize("name", [AWS, OWN, JOB])
def test_a_wrong_value_anywhere_ends_in_an_input_error(name, tmp_path):
    """Every place once with a value of another kind: refused or accepted, never a traceback."""
    tree = json.loads(json.dumps(yaml.safe_load((FOLDER / name).read_text())))
    path = tmp_path / name
    values = [None, 3, "x", [], {}, [None], -1.5, True]
    for number, place in enumerate(places(tree)):
        changed = copy.deepcopy(tree)
        node = changed
        for step in place[:-1]:
            node = node[step]
        node[place[-1]] = values[number % len(values)]
        path.write_text(json.dumps(changed))
        try:
            check_file(path, VERSIONS)
        except InputErrors as mistakes:
            assert all(error.fix for error in mistakes.errors)


def test_merged_keys_keep_the_line_they_were_written_on():
    document = read_documents(FOLDER / AWS)[0]
    place = ("available_node_types", "gpu_spot", "node_config")
    assert document.at((*place, "InstanceInitiatedShutdownBehavior")) == "terminate"
    lines = (FOLDER / AWS).read_text().splitlines()
    for key, text in [("InstanceInitiatedShutdownBehavior", "terminate"), ("InstanceType", "g6.xlarge")]:
        assert text in lines[document.lines[(*place, key)] - 1]


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("slurm.sbatch", "#SBATCH --time=24:00:00", "", "no time limit"),
        ("slurm.sbatch", "--time=24:00:00", "--time=30-00:00:00", "no time limit"),
        ("slurm.sbatch", "#SBATCH --requeue", "", "does not come back"),
        ("slurm.sbatch", "export RAY_AUTH_MODE=token", "", "without token"),
        ("slurm.sbatch", 'symmetric-run --address "$head:6379"', "start --head", "every node"),
        ("slurm.sbatch", ' --storage "$storage"', "", "on one node"),
        ("slurm.sbatch", "set -euo pipefail", "", "after an error"),
        ("Dockerfile", "2.60.0-py311-gpu", "latest", "changes without notice"),
        ("Dockerfile", "2.60.0-py311-gpu", "2.60.0-py310-gpu", "is not Python"),
        ("Dockerfile", "--require-hashes ", "", "compared by hash"),
        ("Dockerfile", "USER ray", "USER root", "runs as root"),
        ("Dockerfile", "USER ray", "ENV RAY_AUTH_TOKEN=abc\nUSER ray", "becomes part of the image"),
    ],
)
def test_scripts(tmp_path, name, old, new, says):
    with pytest.raises(InputErrors, match=says):
        check_file(broken(tmp_path, name, (old, new)), VERSIONS)


def test_versions_are_those_of_the_lock():
    lock = (ROOT / "requirements.lock").read_text()
    assert f"\nray=={VERSIONS.ray} " in lock and VERSIONS.python_tag == "py" + VERSIONS.python.replace(".", "")


def test_a_checkout_without_a_lock_is_incomplete(tmp_path):
    (tmp_path / "pyproject.toml").write_text('requires-python = ">=3.11"\n')
    with pytest.raises(InputError, match="complete checkout"):
        locked_versions(tmp_path)


def test_versions_of_an_installed_package_are_those_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr("cluster.versions.metadata", lambda name: {"Requires-Python": ">=3.11"})
    monkeypatch.setattr("cluster.versions.version", lambda name: "2.60.0")
    assert locked_versions(tmp_path) == Versions(ray="2.60.0", python="3.11")
