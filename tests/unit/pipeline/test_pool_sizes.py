"""Pools of synthetic images come in powers of two times 64, so that near ratios share one: never larger than needed for that."""

import pytest

from sweep.config.hyperparameters import HYPERPARAMETERS, complete
from sweep.config.sweep_config import SweepConfig
from sweep.data.preview import foreseen_data
from sweep.pipeline.stages import generator_stages, pool_stages

PER_CLASS = 64


@pytest.fixture(scope="module")
def data():
    section = {"source": "phantom-a", "target": "phantom-b", "train_images": 2 * PER_CLASS}
    return foreseen_data(SweepConfig.model_validate({"name": "pools", "data": section}))[0]


@pytest.mark.parametrize(
    ("needed", "pool"), [(1, 64), (63, 64), (64, 64), (65, 128), (127, 128), (128, 128), (129, 256), (1024, 1024)]
)
def test_a_pool_is_the_smallest_size_that_holds_what_is_needed(data, needed, pool):
    stages = pool_stages(complete({"synthetic_per_real": needed / PER_CLASS}), data, seed=0)
    assert [stage.inputs["images"] for stage in stages.values()] == [pool, pool]


def test_near_ratios_share_their_pools(data):
    names = [
        {stage.hash for stage in pool_stages(complete({"synthetic_per_real": ratio}), data, seed=0).values()}
        for ratio in (1.1, 1.5, 2.0)
    ]
    assert names[0] == names[1] == names[2]


@pytest.mark.parametrize("generator", ["cgan", "fastgan", "r3gan"])
def test_a_conditional_gan_has_one_network_for_each_class_or_one_for_all(data, generator):
    asked = {"synthetic_per_real": 1, "generator": generator}
    of_each = generator_stages(complete(asked), data)
    assert [(label, stage.inputs["label"]) for label, stage in of_each.items()] == [(0, 0), (1, 1)]
    shared = generator_stages(complete({**asked, "generator_networks": "shared"}), data)
    assert {label: stage.inputs["label"] for label, stage in shared.items()} == {None: None}
    pools = pool_stages(complete(asked), data, seed=0)
    assert [pool.dependencies[0].hash for pool in pools.values()] == [stage.hash for stage in of_each.values()]
    assert HYPERPARAMETERS["generator_networks"].introduced_with == "shared", "configurations of 0.1 had one network"
