"""Simulated hospitals are made once for each machine: the cache changes nothing but the time."""

import pytest

from sweep.core.cache import cache_folder, code_hash, make_room
from sweep.core.storage import Storage
from sweep.data import simulated
from sweep.data.simulated import simulated_folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RECIPE_CACHE", str(tmp_path / "cache"))
    simulated.warn_once.cache_clear()


def files_of(folder):
    return {file.name: file.read_bytes() for file in Storage(folder).local.iterdir()}


def made(tmp_path, name, **changes):
    return simulated_folder("phantom-a", 4, Storage(tmp_path / name), **{"hidden": False} | changes)


def test_a_second_run_copies_what_the_first_simulated(tmp_path, monkeypatch):
    first = made(tmp_path, "first")
    monkeypatch.setattr(simulated, "_simulate", None)
    second = made(tmp_path, "second")
    assert files_of(first) == files_of(second) and "manifest.json" in files_of(first)


@pytest.mark.parametrize("change", [{"hidden": True}, {"version": 3}, {"code": "another"}])
def test_another_question_or_simulator_is_simulated_anew(tmp_path, monkeypatch, change):
    made(tmp_path, "first")
    if "version" in change:
        monkeypatch.setattr(simulated, "_VERSION", change["version"])
    if "code" in change:
        monkeypatch.setattr(simulated, "code_hash", lambda *packages: change["code"])
    made(tmp_path, "second", hidden=change.get("hidden", False))
    assert len(list(cache_folder("simulated").iterdir())) == 2


def test_without_a_cache_folder_the_run_simulates_for_itself(tmp_path, monkeypatch):
    cached = files_of(made(tmp_path, "first"))
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("RECIPE_CACHE", str(blocked))
    with pytest.warns(UserWarning, match="set RECIPE_CACHE"):
        assert files_of(made(tmp_path, "second")) == cached


def test_the_oldest_half_of_a_full_cache_goes(tmp_path):
    folder = tmp_path / "cache" / "kind"
    for number in range(4):
        (folder / f"entry-{number}").mkdir(parents=True)
        (folder / f"entry-{number}" / "file").write_text("")
    (folder / ".being-written").mkdir()
    make_room(folder, 4)
    assert len([entry for entry in folder.iterdir() if entry.name.startswith("entry")]) == 2
    assert (folder / ".being-written").is_dir()


def test_the_code_s_hash_is_that_of_its_files():
    assert code_hash("importers", "shards") != code_hash("importers")
