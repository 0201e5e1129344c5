"""States are written beside the loop: nothing waits for storage, nothing is lost at the end, and failures come out."""

import threading

import pytest

from sweep.execution import state_saver
from sweep.execution.state_saver import StateSaver


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(state_saver.time, "monotonic", lambda: now[0])
    return now


def test_the_loop_goes_on_while_a_state_is_written(clock):
    written, go_on = [], threading.Event()

    def write(state):
        assert go_on.wait(10)
        written.append(state)

    saver = StateSaver(write, every_s=0)
    assert saver.due()
    saver.save(b"first")
    assert not written and not saver.due()  # the first one is on its way: no second one is made
    go_on.set()
    saver.settle()
    assert written == [b"first"] and saver.due()


def test_making_states_takes_at_most_its_share(clock):
    saver = StateSaver(lambda state: None, every_s=1)
    assert not saver.due()
    clock[0] = 1.0
    assert saver.due()
    clock[0] = 1.5  # half a second to make it
    saver.save(b"state")
    saver.settle()
    clock[0] = 1.5 + 0.5 / state_saver.SHARE - 0.1
    assert not saver.due()
    clock[0] += 0.2
    assert saver.due()


def test_what_writing_raises_ends_the_training(clock):
    def write(state):
        raise OSError("no space left on device")

    saver = StateSaver(write, every_s=0)
    saver.save(b"state")
    with pytest.raises(OSError, match="no space left"):
        saver.settle()
    saver.settle()  # said once
