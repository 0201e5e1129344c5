"""Every kind of damage, met by every way of opening a shard folder, ends in an error that names file, place and fix."""

import os

import numpy as np
import pytest

from sweep.config.sweep_config import DataSection
from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.data.datasets import prepare
from sweep.shards import checked, contents
from sweep.shards.__main__ import main
from sweep.shards.reader import read_metadata, verify
from sweep.shards.stored import StoredImages
from tests.fakes import damaged_shards

KINDS = {
    **{name: (damage, said, False) for name, (damage, said) in damaged_shards.FILES.items()},
    **{name: (damage, said, False) for name, (damage, said) in damaged_shards.CONTENTS.items()},
    **{name: (damage, said, True) for name, (damage, said) in damaged_shards.FINDINGS.items()},
}


def train(folder, multi_label):
    """Open the data of a run, as every command does that trains."""
    other = damaged_shards.write(folder.parent / "intact", multi_label)
    section = DataSection(source=str(folder), target=str(other), image_px=32)
    prepare(section, Storage(str(folder.parent / "run")))


@pytest.mark.parametrize("way", ["verify", "audit", "train"])
@pytest.mark.parametrize("kind", KINDS)
def test_damage_ends_in_an_error_that_names_it(kind, way, tmp_path, capsys):
    damage, said, multi_label = KINDS[kind]
    folder = damaged_shards.write(tmp_path / "set", multi_label)
    verify(folder)  # what this machine remembers of the undamaged folder must not hide the damage
    damage(folder)
    if way == "train":
        with pytest.raises(InputError) as refused:
            train(folder, multi_label)
        assert refused.value.fix and str(folder) in refused.value.where
        message = str(refused.value)
    else:
        assert main([way, str(folder)]) == 2
        message = capsys.readouterr().err
        assert str(folder) in message and "Traceback" not in message
    assert said in message or (way == "train" and kind == "no folder")


def test_there_are_many_kinds_and_an_intact_folder_passes_them_all(tmp_path, capsys):
    assert len(KINDS) >= 60
    for multi_label in (False, True):
        folder = damaged_shards.write(tmp_path / f"set {multi_label}", multi_label)
        assert main(["verify", str(folder)]) == 0 and main(["audit", str(folder)]) == 0
    assert "40 images in 1 part, as written" in capsys.readouterr().out


def test_a_part_is_hashed_once_per_machine_and_again_when_it_changed(tmp_path, monkeypatch):
    monkeypatch.setenv("RECIPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(checked, "_in_process", {})
    folder = damaged_shards.write(tmp_path / "set")
    hashed, examined = [], []
    hash_of, check = checked.stream_sha256, contents.check_contents
    monkeypatch.setattr(checked, "stream_sha256", lambda stream: hashed.append(1) or hash_of(stream))
    monkeypatch.setattr(checked, "check_contents", lambda *given: examined.append(1) or check(*given))
    for _ in range(3):
        read_metadata(folder)
        StoredImages(folder, 16, ["image 3"]).read(np.array([0]))
    assert (len(hashed), len(examined)) == (1, 1)
    monkeypatch.setattr(checked, "_in_process", {})  # another process of this machine
    read_metadata(folder)
    assert (len(hashed), len(examined)) == (1, 1)
    os.utime(folder / damaged_shards.PART, ns=(1, 1))
    read_metadata(folder)
    assert (len(hashed), len(examined)) == (2, 1)
    verify(folder)
    assert (len(hashed), len(examined)) == (3, 2)


def test_a_worker_that_opens_a_part_changed_since_is_refused(tmp_path):
    folder = damaged_shards.write(tmp_path / "set")
    images = StoredImages(folder, 16, ["image 3"])
    from sweep.shards.stored import _opened

    _opened.cache_clear()  # as in a process of its own
    damaged_shards.FILES["two bytes flipped"][0](folder)
    with pytest.raises(InputError, match="its bytes are not those"):
        images.read(np.array([0]))


def test_a_cache_folder_that_cannot_be_written_is_said_and_costs_only_time(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("RECIPE_CACHE", str(blocked))
    folder = damaged_shards.write(tmp_path / "set")
    with pytest.warns(UserWarning, match="set RECIPE_CACHE"):
        assert len(read_metadata(folder)) == 40


def test_the_cache_folder_stays_small(tmp_path, monkeypatch):
    monkeypatch.setenv("RECIPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(checked, "_MOST_ENTRIES", 6)
    for number in range(5):
        read_metadata(damaged_shards.write(tmp_path / str(number)))
    assert len(list((tmp_path / "cache" / "verified").iterdir())) <= 6
