"""The versions in names speak of the code: it does not change without somebody deciding whether its results do."""

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
        "attacks/*.py",
        "trainable.py",
        "seed_run.py",
        "network.py",
        "texture.py",
        "adaptation.py",
        "colorizer_source.py",
        "shards/mixing.py",
        "shards/batches.py",
        "shards/resize.py",
        "core/seeds.py",
    ),
    "generator": ("synth/*.py", "losses/adversarial.py"),
    "pool": ("pool_work.py", "synth/sampling.py", "synth/pool.py", "synth/copies.py", "synth/descriptors.py"),
    "shared_model": ("stage_work.py",),
}
SEEN = {  # the version of each stage, and the hash of its sources when it was last looked at
    "training": (1, "64712322686f"),
    "generator": (1, "49592fa07434"),
    "pool": (2, "a156177a40b3"),
    "shared_model": (1, "29b8b17f47eb"),
}


def hash_of(patterns):
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in SWEEP.glob(pattern)}):
        digest.update(path.relative_to(SWEEP).as_posix().encode() + b"\n" + path.read_bytes())
    return digest.hexdigest()[:12]


@pytest.mark.parametrize("stage", VERSIONS)
def test_code_does_not_change_without_a_look_at_its_version(stage):
    assert all(list(SWEEP.glob(pattern)) for pattern in SOURCES[stage])
    now = (VERSIONS[stage], hash_of(SOURCES[stage]))
    assert SEEN[stage] == now, (
        f"the code of {stage} changed: if its results do, raise VERSIONS[{stage!r}] in sweep/stage_versions.py; then write {now} into SEEN (the version in it as raised)"
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
