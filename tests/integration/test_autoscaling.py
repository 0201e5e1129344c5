"""Machines come for a sweep and go after it: Ray's own fake provider starts real worker nodes as processes of this machine."""

import subprocess
import time

import psutil
import pytest

from sweep.store.ledger import read_ledger
from tests.fakes.sweep_config import TEXT, write_config
from tests.integration.cluster_view import watched
from tests.integration.head_node import head_node
from tests.integration.sweep_process import command, end

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(500)]
SWEEP_CONFIG = (
    TEXT.replace("synthetic_per_real: [0, 0.5]", "synthetic_per_real: [0]").replace("epochs: 2", "epochs: 20").replace("batch_size: 16", "batch_size: 2")
    .replace("phantom_patients: 40", "phantom_patients: 120")
    + "resources: {node_types: {worker: {cpus: 1, max_nodes: 3}}}\n"
)  # fmt: skip
RECORDS = 4
NODE = {
    "worker": {"resources": {"CPU": 1, "object_store_memory": 200_000_000}, "max_workers": 3}
}  # one CPU stays free for reading: two trials


def test_from_no_worker_node_to_some_and_back_with_one_taken_away_in_between(tmp_path):
    with head_node(tmp_path, node_types=NODE) as head, watched(head, tmp_path) as view:
        (head_id,) = view.wait_for(lambda nodes: len(nodes) == 1, 60)
        sweep_config = write_config(tmp_path, SWEEP_CONFIG)
        with open(tmp_path / "sweep.log", "w", encoding="utf-8") as log:
            sweep = subprocess.Popen(command(sweep_config, "--storage", f"file://{tmp_path}/run", "--address", head.address),
                                     env=head.variables, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)  # fmt: skip
        try:
            wait_until(lambda: read_ledger(tmp_path / "run").of_kind("epoch"), sweep, 240)
            at = view.wait_for(lambda nodes: any(nodes.values()), 60)
            victim = next(node for node, workers in at.items() if workers)
            take_away(victim)
            view.wait_for(lambda nodes: victim not in nodes, 60)
            assert sweep.wait(timeout=300) == 0, (tmp_path / "sweep.log").read_text()
        finally:
            sweep.kill()
        began = time.monotonic()
        view.wait_for(lambda nodes: len(nodes) == 1, 90)
        shrunk_s = time.monotonic() - began
    reading = read_ledger(tmp_path / "run")
    assert len(reading.finished()) == RECORDS and not reading.failed()
    assert max(map(len, view.seen)) >= 3, "no second worker node came"
    assert all(entry.get(head_id, 0) == 0 for entry in view.seen), "the head trained"
    assert shrunk_s < 6 + 30, shrunk_s  # idle time and half a minute


def wait_until(condition, process, timeout_s):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, "the sweep ended too early"
        assert time.monotonic() < deadline, "the sweep got nowhere"
        time.sleep(0.2)


def take_away(node):
    """End one simulated machine at once, without notice: its raylet and what that started."""
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if "raylet/raylet" in words and node in " ".join(environment_of(process)):
            return end([process, *process.children(recursive=True)])
    raise AssertionError(f"no raylet of {node}")


def environment_of(process):
    try:
        return [f"{name}={value}" for name, value in process.environ().items()]
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []
