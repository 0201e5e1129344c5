"""Pools of synthetic images come in powers of two times 64, so that near ratios share one: never larger than needed for that."""

import pytest

from sweep.config.hyperparameters import complete
from sweep.config.sweep_config import SweepConfig
from sweep.data.preview import foreseen_data
from sweep.pipeline.stages import pool_stages

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
