"""A worker process ends itself with a reason when its job takes too long, or is silent for too long."""

import pickle
import threading
import time

import pytest

from sweep.config.sweep_config import Resources
from sweep.execution.job import FAULT, LimitExceeded, Losses, failure
from sweep.execution.worker_limits import TimeGuard, WorkerLimits, limited


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("at", "reported_at", "says"),
    [
        (9, 0, None),
        (61, 0, "its job sent no report for 1m (resources.max_silence)"),
        (110, 60, None),
        (3601, 3590, "its job ran for more than 1h (resources.max_trial_time)"),
    ],
)
def test_which_limit_is_exceeded(at, reported_at, says):
    clock = Clock()
    guard = TimeGuard(3600.0, 60.0, lambda said: None, lambda code: None, clock)
    clock.now = reported_at
    guard.heard()
    clock.now = at
    assert guard.excess() == says


def test_a_hung_job_is_ended_with_its_limit_and_its_place_in_the_code():
    said, ended = [], threading.Event()
    with limited(WorkerLimits(silence_s=0.01), said.append, lambda code: ended.set()):
        while not ended.is_set():
            time.sleep(0.001)
    assert said[0]["failure"] == "TIMEOUT"
    assert said[0]["reason"].startswith("its job sent no report for 0.01s (resources.max_silence), at ")
    assert "test_worker_limits.py" in said[0]["reason"] or "threading.py" in said[0]["reason"]


def test_without_limits_nothing_watches():
    before = threading.active_count()
    with limited(WorkerLimits(), lambda said: None) as heard:
        heard()
        assert threading.active_count() == before


def test_limits_of_a_sweep_config():
    assert WorkerLimits.of(Resources()) == WorkerLimits(None, 7 * 86400.0, 12 * 3600.0)
    assert not Resources().limits_asked and Resources(max_silence="30m").limits_asked


def test_a_timeout_counts_like_any_other_fault():
    losses = Losses({FAULT: 1})
    assert losses.another_attempt(FAULT) and not losses.another_attempt(FAULT)
    assert losses.failure(FAULT, {"failure": "TIMEOUT", "reason": "its job sent no report for 1m"}) == {
        "failure": "TIMEOUT",
        "reason": "its job sent no report for 1m, 2 times",
    }


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_process_whose_reason_reaches_nobody_is_ended_too():
    ended = threading.Event()

    def refuse(said):
        raise ConnectionError("the engine is gone")

    with limited(WorkerLimits(silence_s=0.01), refuse, lambda code: ended.set()):
        assert ended.wait(10)


def test_an_artifact_has_every_limit_but_that_of_silence():
    assert WorkerLimits(1e9, 60.0, 5.0).of_a_stage == WorkerLimits(1e9, 60.0, None)


def test_a_limit_keeps_its_class_and_reason_across_processes():
    said = {"failure": "TIMEOUT", "reason": "its job ran for more than 1h (resources.max_trial_time), once"}
    assert failure(pickle.loads(pickle.dumps(LimitExceeded(said)))) == said
