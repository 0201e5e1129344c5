"""Ray that does not start, or fails under a sweep: tried again, then one message with the fix; its session folder is closed to others."""

import stat
from types import SimpleNamespace

import pytest
import ray

from sweep.config.sweep_config import Resources
from sweep.core import ray_internals
from sweep.core.errors import InputError
from sweep.execution.ray import session


@pytest.fixture
def starts(monkeypatch):
    """How often Ray was started, and the pauses between; it starts at the attempt `works_at`."""
    seen = SimpleNamespace(attempts=0, pauses=[], ended=0, works_at=1)

    def init(**settings):
        seen.attempts += 1
        if seen.attempts < seen.works_at:
            raise Exception("The current node timed out during startup.\nSee the logs.")

    def shutdown():
        seen.ended += 1

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", shutdown)
    monkeypatch.setattr(session.time, "sleep", seen.pauses.append)
    monkeypatch.setattr(session, "_capacity", lambda resources, local: "capacity")
    monkeypatch.setattr(session, "raise_on_signals", lambda: None)
    for name in ("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "RAY_worker_niceness", *session._SWITCHES):
        monkeypatch.setenv(name, "1")
    return seen


def test_a_ray_that_does_not_start_is_tried_again_with_growing_patience(starts):
    starts.works_at = 3
    with session.ray_session(None, Resources()) as capacity:
        assert capacity == "capacity"
    assert starts.attempts == 3 and starts.pauses == [5.0, 20.0]
    assert starts.ended == 3  # after each failed attempt, and at the end


def test_a_ray_that_never_starts_is_one_message_with_the_fix(starts):
    starts.works_at = 99
    with (
        pytest.raises(InputError, match=r"Ray did not start in 3 attempts \(The current node timed out .* inline"),
        session.ray_session(None, Resources()),
    ):
        pass
    assert starts.attempts == 3


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (
            ray.exceptions.ObjectStoreFullError("no room for 4 GB"),
            "Ray's object store: is full .* data.loading: stream",
        ),
        (ray.exceptions.OutOfDiskError("no disk"), "Ray's object store: is full"),
        (ray.exceptions.RpcError("unavailable"), "--address 10.0.0.1:6379: the connection to Ray's head was lost"),
        (RuntimeError("Failed to connect to GCS within 60 seconds"), "the connection to Ray's head was lost"),
    ],
)
def test_a_failure_of_ray_under_a_sweep_is_named_with_how_to_resume(starts, monkeypatch, failure, says):
    monkeypatch.setattr(session, "_join", lambda address, quiet: None)
    with pytest.raises(InputError, match=f"{says}.*run the same command again, which resumes"):  # noqa: SIM117
        with session.ray_session("10.0.0.1:6379", Resources()):
            raise RuntimeError("Tune failed") from failure


def test_any_other_exception_stays_what_it_is(starts):
    with pytest.raises(ZeroDivisionError), session.ray_session(None, Resources()):
        raise ZeroDivisionError


def test_the_session_folder_is_for_its_user_alone(tmp_path, monkeypatch):
    import ray._private.worker

    tmp_path.chmod(0o777)
    node = SimpleNamespace(head=True, get_session_dir_path=lambda: str(tmp_path))
    monkeypatch.setattr(ray._private.worker, "_global_node", node)
    ray_internals.close_session_to_others()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
