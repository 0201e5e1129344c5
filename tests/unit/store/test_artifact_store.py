"""Artifacts are named by what determines them, and whole or absent."""

import pytest

from sweep.core.storage import Storage
from sweep.store.artifact_store import ArtifactStore, Stage


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(Storage(tmp_path))


def stage(**inputs):
    return Stage("thing", 1, inputs)


def test_name_follows_from_everything_that_determines_it():
    base = stage(seed=0)
    assert base.hash == stage(seed=0).hash
    others = [
        stage(seed=1),
        Stage("thing", 2, {"seed": 0}),
        Stage("other", 1, {"seed": 0}),
        Stage("thing", 1, {"seed": 0}, (stage(seed=9),)),
    ]
    assert len({base.hash, *(other.hash for other in others)}) == 5


def test_computed_once(store):
    calls = []

    def compute(stage, store):
        calls.append(stage)
        store.write(stage, "data", b"x")
        return {"images": 3}

    first, second = store.compute(stage(seed=0), compute), store.compute(stage(seed=0), compute)
    assert len(calls) == 1 and first == second and first["images"] == 3
    assert store.read(stage(seed=0), "data") == b"x"


def test_unfinished_computation_counts_as_absent(store, monkeypatch):
    def die(name, data, write=store.run.write):
        if name.endswith("meta.json"):
            raise OSError("no space left on device")
        write(name, data)

    monkeypatch.setattr(store.run, "write", die)
    with pytest.raises(OSError):
        store.compute(stage(seed=0), lambda stage, store: store.write(stage, "data", b"x") or {})
    assert store.meta(stage(seed=0)) is None
