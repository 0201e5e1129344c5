"""How many trials fit on which machines: workers lie on one machine each, one CPU of a cluster is kept, fractions of a GPU pack."""

import pytest

from sweep.config.sweep_config import Resources
from sweep.core.errors import InputError
from sweep.planning.capacity import amounts, capacity_of, declared, of_types, trials_on

GPU_NODE = {"CPU": 8.0, "GPU": 1.0}


def test_four_trials_of_a_quarter_gpu_share_one():
    assert trials_on(Resources(gpus_per_worker=0.25), [GPU_NODE], 1) == 4
    assert trials_on(Resources(gpus_per_worker=0.25), [GPU_NODE, GPU_NODE], 1) == 8
    assert trials_on(Resources(gpus_per_worker=0.3), [GPU_NODE], 1) == 3


def test_a_worker_needs_one_machine_and_a_trial_may_span_two():
    one_each = [GPU_NODE] * 4
    assert trials_on(Resources(gpus_per_worker=2), one_each, 0) == 0
    assert trials_on(Resources(gpus_per_worker=1, workers=2), one_each, 0) == 2


def test_memory_limits_workers_where_a_machine_reports_it():
    assert trials_on(Resources(memory_per_worker="4GB"), [{"CPU": 8.0, "memory": 9e9}], 0) == 2
    assert trials_on(Resources(memory_per_worker="4GB"), [{"CPU": 8.0}], 0) == 8


def test_one_cpu_of_a_cluster_is_kept_for_reading():
    assert trials_on(Resources(), [{"CPU": 4.0}], 1) == 3
    assert trials_on(Resources(), [{"CPU": 4.0}], 0) == 4


def test_machines_that_may_be_added_count():
    types = of_types([({"CPU": 0.0}, 1), ({"CPU": 4.0, "GPU": 1.0}, 3)])
    found = capacity_of(Resources(gpus_per_worker=1), [{"CPU": 0.0}], types, 1)
    assert found.concurrent_trials == 3 and found.contested
    assert (
        capacity_of(Resources(gpus_per_worker=1, max_concurrent_trials=2), [{"CPU": 0.0}], types, 1).concurrent_trials
        == 2
    )
    assert capacity_of(Resources(), [{"CPU": 0.0}], of_types([({"CPU": 4.0}, -1)]), 1).concurrent_trials > 1000


def test_what_no_machine_has_is_refused_with_the_arithmetic():
    asked = Resources(gpus_per_worker=8, node_types={"small": {"cpus": 4, "gpus": 1, "max_nodes": 3}})
    with pytest.raises(
        InputError,
        match=r"one worker of 1 CPUs \+ 8 GPUs; there are 1 x 0 CPUs, and at most 3 x 4 CPUs \+ 1 GPUs can come",
    ):
        capacity_of(asked, [{"CPU": 0.0}], declared(asked), 1)


def test_max_concurrent_trials_is_the_capacity_only_where_it_is_unknown():
    asked = Resources(max_concurrent_trials=3)
    assert capacity_of(asked, [{"CPU": 0.0}], None, 1).concurrent_trials == 3
    with pytest.raises(InputError):
        capacity_of(asked, [{"CPU": 0.0}], of_types([({"CPU": 0.5}, 4)]), 1)


def test_large_memory_is_a_plain_number():
    assert amounts({"CPU": 2.0, "memory": 1e12}) == "2 CPUs + 1,000 GB"
    assert amounts({"CPU": 2.0, "memory": 23.54e9}) == "2 CPUs + 23.5 GB"
