"""What trials share in a whole sweep: generators trained once for five ratios, two backbones and two seeds, or failing for those who need them; models."""

from collections import Counter

import pytest

from analysis.figures.compute import compute_rows
from analysis.frames import load_run
from sweep.store.ledger import read_ledger
from tests.integration import sweep_process

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

RATIOS = """\
name: ratios
data: {source: phantom-a, target: phantom-b, image_px: 32, phantom_patients: 40}
grid:
  backbone: [small_cnn, test_vit]
  synthetic_per_real: [0, 0.25, 0.5, 0.75, 1]
fixed: {epochs: 1, batch_size: 16, generator: wgan, generator_px: 32, generator_steps: 4, generator_width: 4}
seeds: 2
"""
# At a learning rate of one, without any constraint on the critic, the second generator gives one image only.
FAILING = """\
name: failing
data: {source: phantom-a, target: phantom-b, image_px: 32, phantom_patients: 40}
grid:
  generator_lr: [0.0002, 1.0]
  synthetic_per_real: [0, 1]
fixed: {backbone: small_cnn, epochs: 1, batch_size: 16, generator: cgan, generator_networks: shared, generator_px: 32, generator_steps: 110, generator_width: 4, generator_lipschitz: none}
seeds: 1
"""


def sweep(home, text, code=0):
    (home / "sweep_config.yaml").write_text(text)
    done = sweep_process.run(
        home, home / "sweep_config.yaml", "--storage", home / "run", "--engine", "inline", timeout_s=300
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_five_ratios_two_backbones_and_two_seeds_train_each_generator_once(tmp_path):
    sweep(tmp_path, RATIOS)
    reading, run = read_ledger(tmp_path / "run"), load_run(tmp_path / "run")
    finished = reading.finished()
    assert len(finished) == 20
    asked = {
        (event["signature"], item["hash"], item["reused"])
        for event in finished.values()
        for item in event["stages"]
        if item["stage"] == "generator"
    }
    counts = Counter((name, reused) for _, name, reused in asked)
    generators = {name for name, _ in counts}
    assert len(generators) == 2  # the two classes
    assert all(
        counts[name, False] == 1 and counts[name, True] == 7 for name in generators
    )  # eight configurations need them
    row = next(row for row in compute_rows(run) if row.work == "generator")
    assert (row.done, row.reused) == (2, 14)
    assert row.saved == pytest.approx(7 * row.seconds, rel=0.01)
    assert len(list((tmp_path / "run" / "tensorboard").glob("wgan-*"))) == 2
    assert "Are the synthetic images any good?" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.slow
def test_failed_generator_stops_those_who_need_it_with_its_reason_and_others_go_on(tmp_path):
    done = sweep(tmp_path, FAILING, code=3)
    reading = read_ledger(tmp_path / "run")
    (failed,) = reading.of_kind("failed")
    assert failed["config"]["generator_lr"] == 1.0 and failed["kind"] == "DIVERGED"
    assert failed["reason"].startswith("cgan: ") and "lower the learning rate" in failed["reason"]
    assert failed["reason"] in done.stdout
    assert sorted(event["config"]["synthetic_per_real"] for event in reading.finished().values()) == [0, 1]


TRANSFER = """\
name: transfer
data: {source: phantom-a, target: phantom-b, image_px: 32, phantom_patients: 40}
grid:
  direction: [source_to_target, target_to_source]
  colorizer_from: [null, other_domain]
fixed: {backbone: small_cnn, colorizer: pixelshuffle, procedure: colorizer_head, epochs: 1, batch_size: 16}
seeds: 1
"""


@pytest.mark.slow
def test_model_that_a_trial_takes_from_another_is_trained_once_for_both(tmp_path):
    sweep(tmp_path, TRANSFER)
    finished = list(read_ledger(tmp_path / "run").finished().values())
    assert len(finished) == 4
    models = {}
    for event in finished:
        (item,) = [item for item in event["stages"] if item["stage"] == "shared_model"]
        models.setdefault(item["hash"], []).append(item["reused"])
    assert sorted(map(sorted, models.values())) == [[False, True], [False, True]]
    assert all(event["epochs_run"] == 1 for event in finished)
