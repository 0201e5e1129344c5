"""Two engines, one result: the same records bit for bit, also where a sweep begun under one is killed and ended under the other."""

import shutil
import signal
from collections import Counter

import pytest

from sweep.run import run_sweep
from sweep.store.ledger import Ledger, read_ledger
from tests.fakes.sweep_config import write_config
from tests.integration import sweep_process
from tests.integration.sweep_process import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
# Two cells, one with synthetic images; three of six configurations are stopped or finish; a race for a third seed.
SEARCH = """\
name: engines
data: {source: phantom-a, target: phantom-b, image_px: 32, phantom_patients: 40}
grid: {synthetic_per_real: [0, 0.5]}
search: {lr: {distribution: log_uniform, min: 1e-5, max: 1e-1}}
fixed: {backbone: small_cnn, epochs: 4, batch_size: 16, generator: cgan, generator_networks: shared, generator_px: 32, generator_steps: 4, generator_width: 4}
objectives:
  - {metric: auroc/target, goal: maximize}
  - {metric: robust_accuracy, goal: maximize, threat: fgsm, eps: 1/255}
searcher: {algorithm: random, trials: 3}
scheduler: {type: asha, grace_epochs: 1, eta: 2}
seeds: {min: 2, max: 3, race: true}
threats: {attacks: [fgsm], eps: [1/255], images: 8}
resources: {max_concurrent_trials: 1}
"""


def run_inline(folder, sweep_config):
    return run_sweep(sweep_config, {"resources.engine": "inline"}, False, False, str(folder), None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The search on the inline engine, in this process, from its beginning to its end."""
    home = tmp_path_factory.mktemp("undisturbed")
    assert run_inline(home / "run", write_config(home, SEARCH)) == 0
    return home / "run"


def decisions(reading):
    """What was asked, stopped and decided by the race, without times."""
    asks = {(str(event["study"]), event["draw"], event["signature"]) for event in reading.of_kind("ask")}
    stops = {record: (event["epoch"], event["reason"], event["metrics"]) for record, event in reading.stopped().items()}
    verdicts = {(event["signature"], event["state"], event["seeds"]) for event in reading.of_kind("race")}
    return asks, stops, verdicts


def records(run):
    """Of every finished record what must not depend on the engine, and the bytes of its predictions."""
    kept = ("metrics", "config", "study", "best_epoch", "epochs_run", "train_images", "alarms")
    return {
        (signature, seed): (
            {name: event[name] for name in kept},
            (run / "trials" / signature / f"seed-{seed}" / "predictions.parquet").read_bytes(),
            {(item["stage"], item["hash"]) for item in event["stages"]},
        )
        for (signature, seed), event in read_ledger(run).finished().items()
    }


def killed(home, engine, finished):
    """A sweep on `engine` whose driver is ended by SIGKILL once so many records are finished; its finished records then."""
    home.mkdir(exist_ok=True)
    arguments = write_config(home, SEARCH), "--storage", home / "run", "--engine", engine
    process = sweep_process.start(home, *arguments)
    wait_for(lambda: len(read_ledger(home / "run").finished()) >= finished, process)
    family = sweep_process.descendants(process)
    process.kill()
    process.wait(timeout=10)
    sweep_process.end(family)
    return read_ledger(home / "run").finished()


def agrees_with(undisturbed, run, before):
    """Under Ray one trial more is in flight, so halving and the race see results in another order; what both computed is equal."""
    reading, ours, theirs = read_ledger(run), records(run), records(undisturbed)
    counts = Counter((event["signature"], event["seed"]) for event in reading.of_kind("finish"))
    assert set(counts.values()) == {1}, "a record was computed twice"
    assert all(reading.finished()[record] == event for record, event in before.items())
    common = ours.keys() & theirs.keys()
    assert len(common) >= len(theirs) / 2 and all(ours[record] == theirs[record] for record in common)
    assert decisions(reading)[0] == decisions(read_ledger(undisturbed))[0]  # the same configurations
    return True


def test_the_search_stops_and_races(undisturbed):
    reading = read_ledger(undisturbed)
    assert reading.stopped() and reading.of_kind("race") and not reading.failed()
    assert {event["config"]["synthetic_per_real"] for event in reading.finished().values()} == {0, 0.5}


@pytest.mark.slow  # the other way round in the default run
def test_begun_inline_and_ended_under_ray(undisturbed, tmp_path):
    before = killed(tmp_path / "home", "inline", 2)
    home = tmp_path / "home"
    done = sweep_process.run(home, home / "tiny.yaml", "--storage", home / "run", timeout_s=400)
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    for chatter in ("(raylet)", "INFO", "WARNING", "Traceback"):
        assert chatter not in done.stdout
    assert agrees_with(undisturbed, home / "run", before)


def test_begun_under_ray_stopped_and_ended_inline(undisturbed, tmp_path):
    """A termination signal leaves no process and says how to resume; the other engine then ends the sweep to the same records."""
    home = tmp_path / "home"
    home.mkdir()
    arguments = write_config(home, SEARCH), "--storage", home / "run", "--engine", "ray"
    process = sweep_process.start(home, *arguments)
    wait_for(lambda: len(read_ledger(home / "run").finished()) >= 2, process)
    sweep_process.stopped_by(process, signal.SIGTERM, timeout_s=120)
    output = (home / "sweep.log").read_text()
    assert "Resume with:" in output and "python -m sweep.run" in output
    for chatter in ("(raylet)", "INFO", "WARNING", "Traceback"):
        assert chatter not in output
    before = read_ledger(home / "run").finished()
    assert run_inline(home / "run", home / "tiny.yaml") == 0
    assert agrees_with(undisturbed, home / "run", before)


def cuts(events):
    """Lengths of the ledger after the first event of each kind, and before the first stop: decided, and killed before it was written."""
    kinds = [event["event"] for event in events]
    return sorted({kinds.index(kind) + 1 for kind in dict.fromkeys(kinds)} | {kinds.index("stopped")})


def cut(undisturbed, run, place):
    """The run folder as a driver leaves it that is killed after so many events."""
    shutil.copytree(undisturbed, run)
    lines = b"".join(path.read_bytes() for path in sorted((run / "records").glob("*.jsonl"))).splitlines(True)
    shutil.rmtree(run / "records")
    (run / "records").mkdir()
    (run / "records" / "0001.jsonl").write_bytes(b"".join(lines[:place]))
    finished = {run / "trials" / signature / f"seed-{seed}" for signature, seed in read_ledger(run).finished()}
    for folder in set((run / "trials").glob("*/seed-*")) - finished:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "part",
    [pytest.param(part, marks=pytest.mark.slow if part else pytest.mark.extended) for part in range(5)],
)
def test_a_driver_killed_after_every_kind_of_event_resumes_to_the_same_end(undisturbed, tmp_path, part):
    events = read_ledger(undisturbed).events
    for place in cuts(events)[part::5]:
        run = tmp_path / f"run-{place}"
        cut(undisturbed, run, place)
        assert Ledger.read(run) == events[:place]
        assert run_inline(run, undisturbed.parent / "tiny.yaml") == 0, f"killed after {place} events"
        reading = read_ledger(run)
        assert decisions(reading) == decisions(read_ledger(undisturbed)), f"killed after {place} events"
        assert records(run) == records(undisturbed)
        assert set(Counter((one["signature"], one["seed"]) for one in reading.of_kind("stopped")).values()) == {1}
