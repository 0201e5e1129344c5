"""A sweep stopped by hand or killed: nothing is left behind, and the same command ends what was begun."""

import signal
import time
from collections import Counter

import psutil
import pytest

from sweep.store.ledger import read_ledger
from tests.fakes.sweep_config import TEXT, write_config
from tests.integration import sweep_process

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
SHORT = TEXT.replace("colorizer: [none, pixelshuffle]", "colorizer: [none]").replace("epochs: 2", "epochs: 3")
RECORDS = 4
SEARCH = """\
name: searched
data: {source: phantom-a, target: phantom-b, image_px: 32, phantom_patients: 40}
grid: {colorizer: [none, matching]}
search: {lr: {distribution: log_uniform, min: 1e-4, max: 1e-1}}
fixed: {backbone: small_cnn, epochs: 4, batch_size: 16}
objectives:
  - {metric: auroc/target, goal: maximize}
  - {metric: robust_accuracy, goal: maximize, threat: fgsm, eps: 1/255}
searcher: {algorithm: tpe, trials: 4}
scheduler: {type: pareto_asha, grace_epochs: 1, eta: 3}
seeds: {min: 2, max: 3, race: true}
threats: {attacks: [fgsm], eps: [1/255], images: 8}
"""


def wait_for(condition, process, timeout_s=240):
    """Poll until the condition holds; a sweep that ends or gets nowhere is ended, and the test fails."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            state = "ended too early" if process.poll() is not None else "got nowhere"
            family = (
                [psutil.Process(process.pid), *sweep_process.descendants(process)] if process.poll() is None else []
            )
            sweep_process.end(family)
            pytest.fail(f"the sweep {state}")
        time.sleep(0.1)


def finishes(home):
    return len(read_ledger(home / "run").of_kind("finish"))


def test_ctrl_c_leaves_no_process_and_says_how_to_resume(tmp_path):
    process = sweep_process.start(tmp_path, write_config(tmp_path, SHORT), "--storage", tmp_path / "run")
    wait_for(lambda: read_ledger(tmp_path / "run").of_kind("epoch"), process)
    family = sweep_process.descendants(process)
    try:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        _, alive = psutil.wait_procs(family, timeout=60)  # of a busy machine: that they end is what counts
        assert [one.name() for one in alive] == []
    finally:
        sweep_process.end(family)
    output = (tmp_path / "sweep.log").read_text()
    assert "Resume with:" in output and "python -m sweep.run" in output and "Traceback" not in output


def killed_and_resumed(tmp_path, text, finished):
    """The ledger's finished records at the kill, and its reading after the same command ran to its end."""
    sweep_config = write_config(tmp_path, text)
    process = sweep_process.start(tmp_path, sweep_config, "--storage", tmp_path / "run")
    wait_for(lambda: finishes(tmp_path) >= finished, process)
    family = sweep_process.descendants(process)
    process.kill()
    process.wait(timeout=10)
    sweep_process.end(family)
    before = read_ledger(tmp_path / "run").finished()
    again = sweep_process.run(tmp_path, sweep_config, "--storage", tmp_path / "run", timeout_s=300)
    assert again.returncode == 0, again.stdout + again.stderr
    reading = read_ledger(tmp_path / "run")
    counts = Counter((event["signature"], event["seed"]) for event in reading.of_kind("finish"))
    assert set(counts.values()) == {1}
    assert all(reading.finished()[record] == event for record, event in before.items())
    return reading


@pytest.mark.slow  # the search below is killed in the default run
def test_killed_driver_loses_and_repeats_nothing(tmp_path):
    assert len(killed_and_resumed(tmp_path, SHORT, 1).finished()) == RECORDS


def test_killed_search_goes_on_where_it_stood(tmp_path):
    reading = killed_and_resumed(tmp_path, SEARCH, 2)
    asks = Counter((str(event["study"]), event["draw"]) for event in reading.of_kind("ask"))
    assert len(asks) == 8 and set(asks.values()) == {1}, "every draw of both cells, none asked for twice"
    stopped = {signature for signature, _ in reading.stopped()}
    seeds = Counter(signature for signature, _ in reading.finished())
    for signature in {event["signature"] for event in reading.of_kind("ask")} - stopped:
        assert seeds[signature] in (2, 3)
    verdicts = {event["signature"] for event in reading.of_kind("race")}
    assert verdicts == set(seeds) - stopped
    judged = [event for event in reading.of_kind("epoch") if event["epoch"] == 1 and event["seed"] == 0]
    assert all("robust_accuracy/target/fgsm@1/255" in event["metrics"] for event in judged)
