"""A budget stops launching in time."""

import pytest

from sweep.spending import Spending


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def one_trial(spending, clock, seconds, name="a"):
    spending.launched(name)
    clock.now += seconds
    spending.ended(name)


def test_no_budget_no_limit(clock):
    spending = Spending(clock=clock)
    one_trial(spending, clock, 1e9)
    assert spending.may_launch()


def test_wall_refuses_a_trial_that_would_not_end_in_time(clock):
    spending = Spending(wall_s=100, clock=clock)
    one_trial(spending, clock, 40)
    assert spending.may_launch()
    one_trial(spending, clock, 40)
    assert not spending.may_launch()
    assert "budget.wall: 80 s of 100 s" in spending.refused


def test_gpu_hours_count_what_runs_and_what_ran_before(clock):
    spending = Spending(gpu_hours=1, gpus=0.5, before_s=3600, clock=clock)  # half an hour is left
    one_trial(spending, clock, 1200)  # ten minutes of it
    assert spending.may_launch()
    spending.launched("b")  # as long as the first, it is assumed
    assert not spending.may_launch()
    assert "budget.gpu_hours" in spending.refused


def test_a_sweep_that_winds_down_does_not_start_anew(clock):
    spending = Spending(gpu_hours=1, gpus=1, clock=clock)
    one_trial(spending, clock, 1900)
    assert not spending.may_launch()
    for name in "bcdefg":
        one_trial(spending, clock, 1, name)
    assert not spending.may_launch()
