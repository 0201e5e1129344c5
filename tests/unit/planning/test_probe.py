"""Times foreseen from a few steps: counts of steps and images are the record's own, and the plan says what they rest on."""

import io

import pytest
from rich.console import Console

from sweep.config.hyperparameters import complete
from sweep.config.load import load_config
from sweep.config.sweep_config import DataSection
from sweep.core.storage import Storage
from sweep.data.datasets import prepare
from sweep.planning import probe
from sweep.planning.plan_report import print_plan
from sweep.planning.probe import GeneratorRate, Rates, record_seconds
from sweep.store.trial import Attacks, Trial

BASE = {"backbone": "small_cnn", "epochs": 3, "batch_size": 8, "lr": 0.003}
ATTACKS = Attacks(("fgsm",), ("1/255",), 4)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    place = Storage(tmp_path_factory.mktemp("probe"))
    return prepare(DataSection(source="phantom-a", target="phantom-b", image_px=32, phantom_patients=24), place)


def trial(data, **changes):
    return Trial(complete({**BASE, **changes}), data.hash, (0,))


def test_a_record_is_its_own_steps_and_images(data, monkeypatch):
    timed = []
    monkeypatch.setattr(probe, "_timed", lambda one, *rest: timed.append(one) or Rates(1.0, 0.0, 0.5, 7.0))
    trials = [
        trial(data),
        trial(data, epochs=6),
        trial(data, lr=0.1),
        trial(data, batch_size=4),
        trial(data, augment="none"),
    ]
    train, (once, twice, same, small, plain) = len(data.fold("train")), record_seconds(trials, data, ATTACKS)
    assert once == 7 + 3 * (train // 8) + 0.5 * 8  # four images of each of two splits
    assert twice == 7 + 6 * (train // 8) + 4 and same == once
    assert small == 7 + 3 * (train // 4) + 4 and plain == once
    assert [one.config["batch_size"] for one in timed] == [
        8,
        8,
        4,
        8,
    ]  # one for each kind of step, the first twice: a process pays once


def test_synthetic_images_lengthen_only_a_budget_of_epochs(data, monkeypatch):
    monkeypatch.setattr(probe, "_timed", lambda *facts: Rates(1.0, 0.0, 0.0, 0.0))
    arms = [{}, {"synthetic_per_real": 1}, {"synthetic_per_real": 1, "mixing_budget": "epochs"}]
    plain, steps, epochs = record_seconds([trial(data, **arm) for arm in arms], data, Attacks())
    assert plain == steps and epochs == pytest.approx(2 * plain, rel=0.2)


def test_a_generator_is_its_steps_and_checks():
    rate = GeneratorRate(start=5.0, step=0.1, check=2.0)
    assert rate.seconds({"steps": 20, "check_every": 0}) == 5
    assert rate.seconds({"steps": 120, "check_every": 50}) == 5 + 10 + 2 * 2


def test_the_plan_says_what_its_time_rests_on(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "name: tiny\ndata: {source: phantom-a, target: phantom-b, image_px: 32, phantom_patients: 24}\n"
        "fixed: {backbone: small_cnn, epochs: 2, batch_size: 8, lr: 0.003}\nseeds: 3\nresources: {engine: inline}\n"
    )
    text = io.StringIO()
    print_plan(load_config(path), Storage(tmp_path / "run"), Console(file=text, width=110), measure=True)
    assert "3 records of" in text.getvalue() and "(foreseen from a few steps" in text.getvalue()
    assert "on this machine:" in text.getvalue() and not (tmp_path / "run").exists()
