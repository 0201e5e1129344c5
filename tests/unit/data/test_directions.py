"""Both directions of a pair of hospitals: each has its own split, its own hash, and the same images."""

import numpy as np
import pytest

from sweep.config.hyperparameters import complete
from sweep.config.sweep_config import DataSection, SweepConfig
from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.data.datasets import DIRECTIONS, FOLDS, SOURCE_TO_TARGET, TARGET_TO_SOURCE, Data, prepare
from sweep.pipeline.stages import generator_stages

SECTION = DataSection(source="phantom-a", target="phantom-b", image_px=32, phantom_patients=40)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Storage(tmp_path_factory.mktemp("both"))


@pytest.fixture(scope="module")
def data(run):
    prepare(SECTION, run, DIRECTIONS)
    return Data.load(run)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_each_direction_keeps_its_whole_target_for_the_test(data, direction):
    seen = data.directed(direction)
    domains = {fold: set(seen.fold(fold)["domain"]) for fold in FOLDS}
    there, here = ("phantom-b", "phantom-a") if direction == SOURCE_TO_TARGET else ("phantom-a", "phantom-b")
    assert domains == {"train": {here}, "val": {here}, "test": {here}, "target": {there}}
    groups = [set(seen.fold(fold)["group"]) for fold in FOLDS]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert seen.read("test").domain == here and seen.directed(direction) is seen


def test_there_and_back_is_the_same_data(data):
    back = data.directed(TARGET_TO_SOURCE).directed(SOURCE_TO_TARGET)
    assert back.source == data.source and back.hash == data.hash and back.split.equals(data.split[back.split.columns])


def test_each_direction_has_its_own_hash_whether_or_not_the_other_is_in_use(data, tmp_path):
    alone = prepare(SECTION, Storage(tmp_path))
    assert alone.hash == data.hash != data.directed(TARGET_TO_SOURCE).hash
    with pytest.raises(InputError, match="not prepared"):
        alone.directed(TARGET_TO_SOURCE)


def test_both_hospitals_swapped_is_the_other_direction(data, tmp_path):
    swapped = prepare(SECTION.model_copy(update={"source": "phantom-b", "target": "phantom-a"}), Storage(tmp_path))
    assert swapped.hash == data.directed(TARGET_TO_SOURCE).hash


def test_a_domain_is_ordered_by_fold(data):
    for direction in DIRECTIONS:
        rows = data.directed(direction).split
        for fold in FOLDS:
            assert np.all(np.diff(np.flatnonzero(rows["fold"] == fold)) == 1)


def test_generators_of_the_directions_differ(data):
    stages = [generator_stages(complete({"direction": name, "synthetic_per_real": 1}), data) for name in DIRECTIONS]
    hashes = [{stage.hash for stage in found.values()} for found in stages]
    assert not hashes[0] & hashes[1]


def test_directions_may_be_under_grid_search_or_fixed():
    base = {"name": "x", "data": {"source": "phantom-a", "target": "phantom-b"}}
    assert SweepConfig(**base).directions == (SOURCE_TO_TARGET,)
    assert SweepConfig(**base, fixed={"direction": TARGET_TO_SOURCE}).directions == (TARGET_TO_SOURCE,)
    assert SweepConfig(**base, grid={"direction": list(DIRECTIONS)}).directions == DIRECTIONS
    assert SweepConfig(**base, search={"direction": {"values": list(DIRECTIONS)}}).directions == DIRECTIONS


def test_near_duplicates_are_searched_once_per_run_folder(data, run, monkeypatch):
    monkeypatch.delattr("sweep.data.domains.duplicates_within_and_between")
    assert prepare(SECTION, run, DIRECTIONS).split.equals(data.split)
