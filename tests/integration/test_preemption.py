"""A machine that will be taken away says so: the trial on it is saved at its step and goes on elsewhere, at no cost to its failures."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweep.store.ledger import read_ledger
from sweep.store.trial import STATE
from tests.fakes.sweep_config import TEXT, write_config
from tests.integration.cluster_view import watched
from tests.integration.head_node import head_node
from tests.integration.sweep_process import command
from tests.integration.worker_node import worker_node

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]
# One long epoch after another: what is lost with a machine would show; no failure is allowed.
SWEEP_CONFIG = (
    TEXT.replace("synthetic_per_real: [0, 0.5]", "synthetic_per_real: [0]").replace("[none, pixelshuffle]", "[none]").replace("seeds: 2", "seeds: 1")
    .replace("epochs: 2", "epochs: 20, augment: none").replace("batch_size: 16", "batch_size: 2").replace("phantom_patients: 40", "phantom_patients: 240")
    + "resources: {max_failures: 0, max_concurrent_trials: 1}\n"
)  # fmt: skip


def test_a_drained_trial_goes_on_at_its_step(tmp_path):
    with (
        head_node(tmp_path, "--num-cpus", "0") as head,
        worker_node(head, tmp_path / "a"),
        worker_node(head, tmp_path / "b"),
        watched(head, tmp_path) as view,
    ):
        view.wait_for(lambda nodes: len(nodes) == 3, 180)
        sweep_config = write_config(tmp_path, SWEEP_CONFIG)
        with open(tmp_path / "sweep.log", "w", encoding="utf-8") as log:
            sweep = subprocess.Popen(command(sweep_config, "--storage", f"file://{tmp_path}/run", "--address", head.address),
                                     env=head.variables, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)  # fmt: skip
        try:
            at = view.wait_for(lambda nodes: any(nodes.values()), 200)
            home = next(node for node, workers in at.items() if workers)
            wait_until(lambda: read_ledger(tmp_path / "run").of_kind("epoch"), sweep, 120)
            drain(head, home)
            midway = wait_until(lambda: midway_of(tmp_path / "run" / "trials"), sweep, 60)
            view.wait_for(lambda nodes: any(workers and node != home for node, workers in nodes.items()), 90)
            assert sweep.wait(timeout=200) == 0, (tmp_path / "sweep.log").read_text()
        finally:
            sweep.kill()
    reading = read_ledger(tmp_path / "run")
    (finished,) = reading.finished().values()
    assert not reading.failed()
    epochs = [event["epoch"] for event in reading.of_kind("epoch")]
    assert epochs == list(range(1, finished["epochs_run"] + 1)), "an epoch was trained twice or left out"
    assert midway["batches"] > 0, "the state does not stand in the middle of an epoch"


def wait_until(condition, process, timeout_s):
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert process.poll() is None, "the sweep ended too early"
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.05)
    return found


def drain(head, node):
    ray = str(Path(sys.executable).with_name("ray"))
    notice = [
        "--reason",
        "DRAIN_NODE_REASON_PREEMPTION",
        "--reason-message",
        "test",
        "--deadline-remaining-seconds",
        "40",
    ]
    done = subprocess.run(
        [ray, "drain-node", "--address", head.address, "--node-id", node, *notice],
        env=head.variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def midway_of(trials):
    """Where in its epoch the kept state stands; None while there is none or one between two epochs."""
    import torch

    found = next(trials.rglob(STATE), None)
    try:
        return torch.load(found, map_location="cpu", weights_only=True)["extras"].get("midway") if found else None
    except FileNotFoundError:  # it was taken up and finished meanwhile
        return None
