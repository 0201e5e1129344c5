"""Acquisition changes in analysis: the recorded numbers again with intervals, and their figure."""

import math

import pytest

from analysis import metric_names
from analysis.derived import labels
from analysis.estimates import Estimates
from analysis.figures.acquisition import acquisition_facts, draw_acquisition
from analysis.frames import load_run
from tests.fakes.run_folder import FakeSweep, write_fake_run

CHANGES = ("blur", "gain")
SMALL = {
    "backbones": ("resnet18",),
    "ratios": (0, 1),
    "seeds": 2,
    "images": 24,
    "epochs": 1,
    "gallery": False,
    "failed": 0,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = write_fake_run(tmp_path_factory.mktemp("acquisition") / "run", FakeSweep(**SMALL, acquisition=CHANGES))
    return load_run(folder)


@pytest.fixture(scope="module")
def estimates(run):
    return Estimates(run, draws=200)


def test_the_recorded_numbers_come_back_with_intervals_over_images(run, estimates):
    first = run.means.index[0]
    names = [name for name in run.metrics if name.startswith("acquisition_")]
    assert len(names) == 2 * (4 + 1) + 2 * (
        4 + 1 + 2
    )  # for both splits: AUROC and its mean; accuracy, its mean and worst cases
    for name in names:
        made = estimates.of(first, name)
        assert made.estimate == pytest.approx(run.means.loc[first, name]), name
        assert made.images == 24 and made.low <= made.estimate <= made.high


def test_values_are_shares_and_no_epsilons():
    assert metric_names.value_text("acquisition_auroc/source/blur-3", 0.75) == "0.750"
    assert metric_names.value_text("median_breaking_epsilon/source/fgsm", 1 / 255) == "1/255"


def test_curves_start_at_the_unchanged_images(run, estimates):
    names = labels(run.configs, run.studies).to_dict()
    keys = list(run.means.index)
    facts = acquisition_facts(run, estimates, keys, names)
    assert [one.split for one in facts] == ["target", "source"]
    target = facts[0]
    assert [curve.change for curve in target.by_change] == ["blur", "gain"]
    assert [curve.severities for curve in (*target.by_change, *target.worst)] == [(0, 1, 4)] * (2 + len(keys))
    assert target.by_change[0].made[0].estimate == pytest.approx(run.means.loc[keys[0], "auroc/target"])
    figure = draw_acquisition(facts)
    assert len(figure.panels) == 4 and len(figure.table.rows) == 2 * 3 * (2 + len(keys))
    assert "worst case" in {row[2] for row in figure.table.rows}


def test_a_sweep_without_changes_has_no_figure(tmp_path):
    run = load_run(write_fake_run(tmp_path / "run", FakeSweep(**SMALL | {"colorizers": ("none",), "ratios": (0,)})))
    assert acquisition_facts(run, Estimates(run, draws=50), list(run.means.index), {}) == ()


def test_without_kept_logits_the_interval_is_that_of_seeds(tmp_path):
    fake = FakeSweep(**SMALL | {"colorizers": ("none",)}, acquisition=CHANGES, outcomes=False)
    run = load_run(write_fake_run(tmp_path / "run", fake))
    made = Estimates(run, draws=50).of(run.means.index[0], "acquisition_auroc/source/mean")
    assert made.images == 0 and math.isfinite(made.estimate)
