"""One driver at a time on storage without locks."""

import errno
import os
import pickle
import subprocess
import sys

import pytest

from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.run import run_sweep
from sweep.store.lease import LEASE_FILE, Lease, leased
from sweep.store.ledger import Ledger, read_ledger
from sweep.store.run_folder import held, refuse_if_held
from tests.fakes.sweep_config import write_config

QUICK = {"renewed_s": 0.05, "settle_s": 0.0}


def test_a_second_driver_is_refused_with_the_holder(tmp_path):
    run = Storage(tmp_path)
    with (
        leased(run, **QUICK),
        pytest.raises(InputError, match="another sweep writes there .process"),
        leased(run, **QUICK),
    ):
        pass
    assert not run.exists(LEASE_FILE)
    with leased(run, **QUICK):
        pass


def test_the_lease_of_a_killed_driver_expires(tmp_path):
    run = Storage(tmp_path)
    run.write(LEASE_FILE, b"process 1 on nowhere")
    with pytest.raises(InputError, match="wait for it, or 45 s"), leased(run, **QUICK):
        pass
    with leased(run, dead_s=0.0, **QUICK):
        assert run.read(LEASE_FILE) != b"process 1 on nowhere"


def test_of_two_drivers_that_begin_at_once_the_last_writer_holds_the_lease(tmp_path, monkeypatch):
    run = Storage(tmp_path)
    monkeypatch.setattr("sweep.store.lease.time.sleep", lambda seconds: run.write(LEASE_FILE, b"the other"))
    with pytest.raises(InputError, match="the other"), leased(run, **QUICK):
        pass


def test_a_renewal_never_overwrites_another_name(tmp_path):
    run = Storage(tmp_path)
    lease = Lease(run, "ours")
    run.write(LEASE_FILE, b"ours")
    assert lease.renew()
    run.write(LEASE_FILE, b"the other")  # this driver was stopped for a minute
    assert not lease.renew() and run.read(LEASE_FILE) == b"the other"
    run.delete(LEASE_FILE)  # the other one has ended
    assert not lease.renew() and not run.exists(LEASE_FILE)  # and has written meanwhile: what this one knows is old


def test_a_ledger_with_a_lease_can_be_stored_and_its_copy_asks_too(tmp_path):
    run = Storage(tmp_path)
    run.write(LEASE_FILE, b"the other")
    ledger = pickle.loads(pickle.dumps(Ledger(run, Lease(run, "ours").check)))
    with pytest.raises(InputError, match="the other"):
        ledger.append({"event": "finish", "signature": "a", "seed": 0})


def test_a_lease_of_another_driver_is_not_removed(tmp_path):
    run = Storage(tmp_path)
    with leased(run, **QUICK):
        run.write(LEASE_FILE, b"the other")
    assert run.read(LEASE_FILE) == b"the other"


def test_a_renewed_lease_does_not_expire(tmp_path):
    run = Storage(tmp_path)
    lease = Lease(run, "ours")
    run.write(LEASE_FILE, b"ours")
    os.utime(tmp_path / LEASE_FILE, (0, 0))
    assert lease.renew() and run.written_at(LEASE_FILE) > 0


class ObjectStore(Storage):
    """A folder that, like an object store, cannot append."""

    local = None

    def append(self, name, data):
        return False

    def write(self, name, data):
        Storage.write(Storage(self.url), name, data)


def test_a_ledger_refuses_to_write_once_the_run_is_anothers(tmp_path):
    run = ObjectStore(tmp_path)
    run.write(LEASE_FILE, b"ours")
    ledger = Ledger(run, Lease(run, "ours").check)
    ledger.append({"event": "failed", "signature": "a", "seed": 0})
    run.write(LEASE_FILE, b"process 7 on elsewhere")
    with pytest.raises(InputError, match=r"another sweep took it over \(process 7 on elsewhere\)"):
        ledger.append({"event": "failed", "signature": "a", "seed": 1})
    with pytest.raises(InputError, match="process 7 on elsewhere"):
        ledger.flush()
    assert [event["seed"] for event in read_ledger(run).events] == [0]


def without_locks(stream, how):
    raise OSError(errno.ENOLCK, "No locks available")


def test_a_folder_without_locks_is_leased(tmp_path, monkeypatch):
    run = Storage(tmp_path)
    monkeypatch.setattr("sweep.store.run_folder.fcntl.flock", without_locks)
    monkeypatch.setattr("sweep.store.lease.time.sleep", lambda seconds: None)
    with held(run) as still_ours:
        still_ours()
        run.write(LEASE_FILE, b"the other")
        with pytest.raises(InputError, match="the other"):
            still_ours()


def test_a_sweep_that_was_taken_over_ends_with_that_reason(tmp_path, monkeypatch):
    """What is raised inside Tune comes out wrapped; the reason is the lost run whatever else went wrong."""

    def sweep(sweep_config, run, *rest):
        run.write(LEASE_FILE, b"process 7 on elsewhere")
        raise RuntimeError("a trial's callback failed")

    monkeypatch.setattr("sweep.store.run_folder.fcntl.flock", without_locks)
    monkeypatch.setattr("sweep.store.lease.time.sleep", lambda seconds: None)
    monkeypatch.setattr("sweep.run._sweep", sweep)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match=r"another sweep took it over \(process 7 on elsewhere\)"):
        run_sweep(write_config(tmp_path), {}, False, False, str(tmp_path / "run"), None)


HOLD = """
import sys
from sweep.core.errors import guarded
from sweep.config.sweep_config import SweepConfig
from sweep.store.run_folder import opened
from sweep.core.storage import Storage

def hold():
    with opened(Storage(sys.argv[1]), SweepConfig.model_validate({"name": "q", "data": {"source": "phantom-a", "target": "phantom-b"}})):
        print("held", flush=True)
        sys.stdin.read()

sys.exit(guarded(hold))
"""


def test_of_two_processes_on_one_folder_the_second_is_out_within_ten_seconds(tmp_path):
    command, pipes = (
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
    )
    with subprocess.Popen(command, **pipes) as first:
        assert first.stdout.readline() == "held\n"
        second = subprocess.run(command, input="", capture_output=True, text=True, timeout=10, check=False)
        first.communicate("")
    assert second.returncode == 2 and f"another sweep writes there (process {first.pid} on " in second.stderr
    assert first.returncode == 0
    assert subprocess.run(command, input="", capture_output=True, timeout=60, check=False).returncode == 0  # free again


def test_a_held_folder_is_refused_before_the_config_is_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = write_config(tmp_path, "name: tiny\ndata: [not, checked]\n")
    for storage, where in ((None, tmp_path / "results" / "tiny"), (str(tmp_path / "given"), tmp_path / "given")):
        where.mkdir(parents=True)
        with held(Storage(where)), pytest.raises(InputError, match=rf"writes there .process {os.getpid()} on"):
            run_sweep(config, {}, False, False, storage, None)
        with pytest.raises(InputError, match="is not a section"):
            run_sweep(config, {}, False, False, storage, None)
    with held(Storage(tmp_path / "results" / "tiny")), pytest.raises(InputError, match="is not a section"):
        run_sweep(config, {}, False, True, None, None)  # --plan writes nothing
    (tmp_path / "results" / "tiny" / "driver.lock").chmod(0o000)
    refuse_if_held(Storage(tmp_path / "results" / "tiny"))
