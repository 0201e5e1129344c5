"""The MPS daemon of a sweep: started before its workers, ended after them, and never missed. The control program is a script on PATH."""

import os
import warnings
from contextlib import contextmanager

import pytest

from sweep.config.sweep_config import Resources
from sweep.execution import engines, mps
from sweep.execution.mps import CONTROL, LOGS, PIPES, shared_gpu

DAEMON = """#!/bin/sh
if [ "$1" = "-d" ]; then
    [ -d "$CUDA_MPS_PIPE_DIRECTORY" ] && [ -d "$CUDA_MPS_LOG_DIRECTORY" ] || exit 3
    echo "start $CUDA_MPS_PIPE_DIRECTORY" >> "$MPS_TEST_LOG"
else
    read said
    echo "$said $CUDA_MPS_PIPE_DIRECTORY" >> "$MPS_TEST_LOG"
fi
"""


@pytest.fixture
def control(tmp_path, monkeypatch):
    """Put a control program on PATH; returns a function for what it was told."""

    def put(script):
        program = tmp_path / CONTROL
        program.write_text(script)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("MPS_TEST_LOG", str(tmp_path / "told"))
        monkeypatch.delenv(PIPES, raising=False)
        return lambda: (tmp_path / "told").read_text().splitlines() if (tmp_path / "told").exists() else []

    return put


def test_it_is_started_before_the_workers_and_ended_after_them(control):
    told = control(DAEMON)
    with shared_gpu(True) as variables:
        assert set(variables) == {PIPES, LOGS} and os.path.isdir(variables[PIPES])
        assert told() == [f"start {variables[PIPES]}"]
    assert told()[1:] == [f"quit {variables[PIPES]}"] and not os.path.exists(variables[PIPES])


def test_it_is_ended_when_the_sweep_fails(control):
    told = control(DAEMON)
    with pytest.raises(KeyboardInterrupt), shared_gpu(True):
        raise KeyboardInterrupt
    assert told()[-1].startswith("quit ")


@pytest.mark.parametrize(("gpus", "shared"), [(0.5, True), (1, False), (0, False)])
def test_processes_of_this_machines_ray_inherit_it(control, monkeypatch, gpus, shared):
    told = control(DAEMON)
    session = pytest.importorskip("sweep.execution.ray.session")
    seen = []

    @contextmanager
    def started(address, resources):
        seen.append(os.environ.get(PIPES))
        yield None

    monkeypatch.setattr(session, "ray_session", started)
    monkeypatch.setattr(engines, "_on_ray", lambda places: None)
    with engines.engine(Resources(gpus_per_worker=gpus), None, ()):
        assert len(told()) == shared
    assert (seen[0] is not None) == shared and PIPES not in os.environ
    assert [line.split()[0] for line in told()] == ["start", "quit"] * shared


def test_where_it_cannot_be_the_workers_go_without(control, monkeypatch):
    told = control("#!/bin/sh\necho 'MPS is not supported on this device' >&2\nexit 1\n")
    with (
        pytest.warns(RuntimeWarning, match="share a GPU in turns: .*not supported on this device"),
        shared_gpu(True) as none,
    ):
        assert none == {}
    monkeypatch.setattr(mps.shutil, "which", lambda name: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with shared_gpu(True) as none:
            assert none == {}
    assert told() == []


def test_it_is_left_alone_where_nothing_is_shared_or_one_runs_already(control, monkeypatch):
    told = control(DAEMON)
    with shared_gpu(False) as none:
        assert none == {}
    monkeypatch.setenv(PIPES, "/somewhere")
    with shared_gpu(True) as none:
        assert none == {}
    assert told() == []


def test_one_that_does_not_end_is_said(control):
    control('#!/bin/sh\n[ "$1" = "-d" ] || exit 1\n')
    with pytest.warns(RuntimeWarning, match="was not ended"), shared_gpu(True):
        pass
