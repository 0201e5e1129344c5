"""Times foreseen from a few steps: counts of steps and images are the record's own, and the plan says what they rest on."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from sweep.config.hyperparameters import complete
from sweep.config.load import load_config
from sweep.config.sweep_config import DataSection
from sweep.core import process_settings
from sweep.core.storage import Storage
from sweep.data.datasets import prepare
from sweep.planning import probe
from sweep.planning.plan_report import foreseen_seconds, print_plan
from sweep.planning.probe import GeneratorRate, Line, Rates, epochs_expected, record_seconds
from sweep.shards.schema import NO_LABEL
from sweep.store.trial import Attacks, Trial
from sweep.training.recipe import Recipe

BASE = {"backbone": "small_cnn", "epochs": 3, "batch_size": 8, "lr": 0.003}
ATTACKS = Attacks(("fgsm",), ("1/255",), 4)

TINY = """name: tiny
data: {source: phantom-a, target: phantom-b, image_px: 32, phantom_patients: 24}
fixed: {backbone: small_cnn, epochs: 2, batch_size: 8, lr: 0.003}
seeds: 3
resources: {engine: inline}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    place = Storage(tmp_path_factory.mktemp("probe"))
    return prepare(DataSection(source="phantom-a", target="phantom-b", image_px=32, phantom_patients=24), place)


def trial(data, **changes):
    return Trial(complete({**BASE, **changes}), data.hash, (0,))


def rates(step=1.0, attack=0.0, start=0.0, first_seed=0.0, each_epoch=0.0):
    nothing = Line(0.0, 0.0)
    return Rates(start, Line(each_epoch, step), nothing, Line(0.0, attack), nothing, first_seed)


def test_a_record_is_its_own_steps_and_images(data, monkeypatch):
    timed, warmed = [], []
    monkeypatch.setattr(probe, "_probed", lambda one, *rest: warmed.append(one))
    monkeypatch.setattr(probe, "_timed", lambda one, *rest: timed.append(one) or rates(1.0, 0.5, 7.0, 4.0, 2.0))
    trials = [
        trial(data),
        trial(data, epochs=6),
        trial(data, lr=0.1),
        trial(data, batch_size=4),
        trial(data, augment="none"),
    ]
    train, (once, twice, same, small, plain) = len(data.fold("train")), record_seconds(trials, data, ATTACKS)
    rest = 7 + 4 + 0.5 * 8  # four images of each of two splits; seed 0 is the only one
    assert once == rest + 3 * (2 + train // 8)
    assert twice == rest + 6 * (2 + train // 8) and same == once
    assert small == rest + 3 * (2 + train // 4) and plain == once
    assert [one.config["batch_size"] for one in timed] == [8, 4, 8] and len(warmed) == 1  # one for each kind of step
    seeds = replace(trials[0], seeds=(0, 1))
    assert record_seconds([seeds], data, ATTACKS) == [once - 2], "the gallery is one seed's of two"


def test_two_sizes_tell_fixed_seconds_from_those_of_an_image():
    assert Line.through((8, 5.0), (24, 9.0)) == Line(3.0, 0.25)
    assert Line.through((8, 5.0), (24, 4.0)) == Line(4.5, 0.0), "scatter: the larger one was faster"
    steep = Line.through((8, 1.0), (24, 6.0))  # a line would be below zero at no image
    assert steep.fixed == 0 and steep.of(24) == pytest.approx(6.0) and steep.of(0) == 0
    assert Line.through((8, 5.0), (24, 4.0), least=0.5).each == pytest.approx(4 / 24 / 2)
    assert Line.through((6, 3.0), (6, 3.0)).of(6) == 3.0, "a fold smaller than both sizes"
    assert Line.through((0, 0.0), (0, 0.0)).of(0) == 0


def test_patience_is_counted_with_the_middle_of_its_shortest_and_full_length():
    assert epochs_expected(Recipe(epochs=60, patience=10)) == (11 + 60) / 2
    assert epochs_expected(Recipe(epochs=60, patience=0)) == 60 and epochs_expected(Recipe(epochs=5, patience=10)) == 5
    two = Recipe(epochs=40, patience=5, procedure="two_step")
    assert epochs_expected(two) == 2 * (6 + 20) / 2


def test_only_images_whose_labels_may_be_read_are_attacked(data):
    labels = {fold: data.labels(fold) for fold in ("train", "val", "test", "target")}
    hidden = {**labels, "target": np.full_like(labels["target"], NO_LABEL)}
    test, target = len(labels["test"]), len(labels["target"])
    every = replace(ATTACKS, images="all")
    assert probe._attacked_images(labels, every) == test + target and probe._attacked_images(hidden, every) == test
    assert probe._attacked_images(labels, replace(every, threats=())) == 0
    changed = replace(every, threats=(), acquisition=("blur",), severities=(1,))
    assert probe._attacked_images(labels, changed) == test + target, "acquisition changes cost predictions too"


def test_a_head_on_frozen_features_has_no_epochs_to_time(data):
    config = complete({"backbone": "small_cnn", "procedure": "ridge_head"})
    assert "epochs" not in config
    (seconds,) = record_seconds([Trial(config, data.hash, (1,))], data, Attacks())
    assert 0 < seconds < 3600


def test_steps_are_timed_with_the_threads_and_the_allocator_of_a_worker(data, monkeypatch, tmp_path):
    path, seen = tmp_path / "tiny.yaml", []
    path.write_text(f"{TINY.rstrip()[:-1]}, cpus_per_worker: 3}}\n")
    monkeypatch.setattr(process_settings, "keep_pages", lambda: seen.append("pages kept"))
    monkeypatch.setattr(probe, "record_seconds", lambda *facts: seen.append(torch.get_num_threads()) or [])
    before = torch.get_num_threads()
    foreseen_seconds(load_config(path), data)
    assert seen == ["pages kept", 3] and torch.get_num_threads() == before


def test_synthetic_images_lengthen_only_a_budget_of_epochs(data, monkeypatch):
    monkeypatch.setattr(probe, "_probed", lambda *facts: None)
    monkeypatch.setattr(probe, "_timed", lambda *facts: rates())
    arms = [{}, {"synthetic_per_real": 1}, {"synthetic_per_real": 1, "mixing_budget": "epochs"}]
    plain, steps, epochs = record_seconds([trial(data, **arm) for arm in arms], data, Attacks())
    assert plain == steps and epochs == pytest.approx(2 * plain, rel=0.2)


def test_a_generator_is_its_steps_and_checks():
    rate = GeneratorRate(start=5.0, step=0.1, check=2.0)
    assert rate.seconds({"steps": 20, "check_every": 0}) == 5
    assert rate.seconds({"steps": 120, "check_every": 50}) == 5 + 10 + 2 * 2


def test_the_plan_says_what_its_time_rests_on(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    text = io.StringIO()
    print_plan(load_config(path), Storage(tmp_path / "run"), Console(file=text, width=110), measure=True)
    assert "3 records of" in text.getvalue() and "(foreseen from a few steps" in text.getvalue()
    assert "on this machine:" in text.getvalue() and not (tmp_path / "run").exists()
