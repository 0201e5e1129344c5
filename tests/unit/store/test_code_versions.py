"""The versions in names speak of the code: it does not change without somebody deciding whether its results do."""

import ast
import hashlib
import json
from pathlib import Path

import pytest

from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.store.code_versions import VERSIONS
from sweep.store.ledger import Ledger
from sweep.store.run_folder import ENVIRONMENT_FILE, check_same_code, environment
from sweep.store.trial import Trial

SWEEP = Path(__file__).parents[3] / "sweep"
SOURCES = {
    "training": (
        "training/*.py",
        "models/**/*.py",
        "losses/glcm/*.py",
        "evaluation/*.py",
        "attacks/**/*.py",
        "pipeline/train_and_evaluate.py",
        "pipeline/training_job.py",
        "pipeline/model_options.py",
        "pipeline/texture_loss.py",
        "pipeline/adaptation.py",
        "pipeline/pretrained_colorizer.py",
        "shards/mixing.py",
        "shards/batches.py",
        "shards/resize.py",
        "core/seeds.py",
    ),
    "generator": ("synth/*.py", "losses/adversarial.py"),
    "pool": (
        "pipeline/synthetic_pools.py",
        "synth/sampling.py",
        "synth/pool.py",
        "synth/copies.py",
        "synth/descriptors.py",
    ),
    "shared_model": ("pipeline/compute_stages.py",),
}
SEEN = {  # the version of each stage, and the hash of its code when the version was last decided on
    "training": (1, "7226f23ab94a"),
    "generator": (1, "d796658f62f0"),
    "pool": (2, "0810962350d0"),
    "shared_model": (1, "115d8a0f3211"),
}


def hash_of(patterns):
    """Hash of what the files compute: comments, docstrings, formatting, imports and file names do not count."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in SWEEP.glob(pattern)}):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                node.body = [one for one in node.body if not _says_nothing(one)]
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()[:12]


def _says_nothing(node):
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return text or isinstance(node, (ast.Import, ast.ImportFrom))


@pytest.mark.parametrize("stage", VERSIONS)
def test_changed_code_needs_a_decision_on_its_version(stage):
    assert all(list(SWEEP.glob(pattern)) for pattern in SOURCES[stage])
    now = (VERSIONS[stage], hash_of(SOURCES[stage]))
    assert SEEN[stage] == now, (
        f"the code of {stage} changed: if its results do, raise VERSIONS[{stage!r}] in sweep/store/code_versions.py; then write {now} into SEEN (the version in it as raised)"
    )


def test_a_signature_holds_the_version(monkeypatch):
    before = Trial({"lr": 0.1}, "data", (0,)).signature
    monkeypatch.setattr("sweep.store.trial.VERSIONS", {**VERSIONS, "training": VERSIONS["training"] + 1})
    assert Trial({"lr": 0.1}, "data", (0,)).signature != before


@pytest.mark.parametrize(
    ("noted", "says"),
    [
        ({"training": VERSIONS["training"] + 1}, f"by version {VERSIONS['training'] + 1} of"),
        (None, "by an earlier version of"),
    ],
)
def test_records_of_another_version_are_not_added_to(tmp_path, noted, says):
    run = Storage(tmp_path)
    run.write(ENVIRONMENT_FILE, json.dumps(environment()).encode())
    Ledger(run).append({"event": "finish", "signature": "a", "seed": 0})
    check_same_code(run)
    run.write(ENVIRONMENT_FILE, json.dumps({"versions": noted} if noted else {}).encode())
    with pytest.raises(InputError, match=says):
        check_same_code(run)


def test_a_folder_without_records_is_free(tmp_path):
    run = Storage(tmp_path)
    run.write(ENVIRONMENT_FILE, b"{}")
    check_same_code(run)
