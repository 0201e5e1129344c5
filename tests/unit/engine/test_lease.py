"""One driver at a time on storage without locks."""

import pytest

from sweep.core.errors import InputError
from sweep.lease import LEASE_FILE, leased
from sweep.storage import Storage

QUICK = {"renewed_s": 0.05, "settle_s": 0.0}


def test_a_second_driver_is_told_who_holds_the_run(tmp_path):
    run = Storage(tmp_path)
    with leased(run, **QUICK), pytest.raises(InputError, match="another sweep writes there .process"), leased(run, **QUICK):
        pass
    assert not run.exists(LEASE_FILE)
    with leased(run, **QUICK):
        pass


def test_a_driver_that_was_killed_is_followed_after_a_while(tmp_path):
    run = Storage(tmp_path)
    run.write(LEASE_FILE, b"process 1 on nowhere")
    with pytest.raises(InputError, match="wait for it, or 45 s"), leased(run, **QUICK):
        pass
    with leased(run, dead_s=0.0, **QUICK):
        assert run.read(LEASE_FILE) != b"process 1 on nowhere"


def test_of_two_that_begin_at_once_the_last_writer_has_it(tmp_path, monkeypatch):
    run = Storage(tmp_path)
    monkeypatch.setattr("sweep.lease.time.sleep", lambda seconds: run.write(LEASE_FILE, b"the other"))
    with pytest.raises(InputError, match="the other"), leased(run, **QUICK):
        pass
