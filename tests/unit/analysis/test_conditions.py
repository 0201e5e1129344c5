"""Directions and training sizes are conditions: ranked apart, never paired, never called rivals."""

import pytest

from analysis import conditions
from analysis.compare import Side, as_text, compare
from analysis.estimates import Estimates
from analysis.frames import load_run
from analysis.page import build_page
from analysis.rank import as_table
from analysis.ranking import objectives, rank
from analysis.selection import select
from tests.fakes.run_folder import FakeSweep, write_fake_run

SMALL = FakeSweep(colorizers=("none",), ratios=(0, 1), seeds=2, images=30, gallery=False, failed=0)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    sweep = FakeSweep(**{**SMALL.__dict__, "directions": ("source_to_target", "target_to_source")})
    return load_run(write_fake_run(tmp_path_factory.mktemp("directions") / "run", sweep))


@pytest.fixture(scope="module")
def sizes(tmp_path_factory):
    sweep = FakeSweep(**{**SMALL.__dict__, "train_images": (50, 400, None), "outcomes": False})
    return load_run(write_fake_run(tmp_path_factory.mktemp("sizes") / "run", sweep))


def keys(run, **settings):
    rows = run.configs
    for name, value in settings.items():
        rows = rows[rows[name] == value]
    return list(rows.index)


def test_directions_are_not_paired_though_their_test_sets_are_of_one_size(both):
    there, back = (keys(both, direction=way)[0] for way in ("source_to_target", "target_to_source"))
    estimates = Estimates(both, draws=200)
    assert estimates.resampled(there, "auroc/target").images == estimates.resampled(back, "auroc/target").images
    assert (
        estimates.paired(there, back, "auroc/target") is None
        and estimates.difference(there, back, "domain_gap") is None
    )
    assert estimates.paired(there, keys(both, direction="source_to_target")[1], "auroc/target") is not None


def test_each_direction_has_an_order_and_fronts_of_its_own(both):
    rows = rank(both, estimates=Estimates(both, draws=200)).rows
    assert [row.condition for row in rows] == ["source to target"] * 4 + ["target to source"] * 4
    assert [row.rank for row in rows] == [1, 2, 3, 4] * 2
    for text in ("source to target", "target to source"):
        assert min(row.front for row in rows if row.condition == text) == 1
    assert "target to source" in as_table(rank(both, estimates=Estimates(both, draws=200)))


def test_the_largest_training_set_comes_first_and_sizes_are_no_rivals(sizes):
    rows = rank(sizes, top=1, estimates=Estimates(sizes, draws=200)).rows
    assert [row.condition for row in rows] == ["all training images", "400 training images", "50 training images"]
    assert len(select(sizes)) == 12


def test_the_verdict_is_about_one_condition_and_names_the_leaders_of_the_others(both):
    page = build_page(both, draws=200)
    assert "Target to source is judged apart: there" in page.verdict.recommendation
    assert page.conditions == ("source to target", "target to source")
    assert len(page.leaderboard.rows) == 8
    pareto = next(figure for figure in page.figures if figure.key == "pareto")
    assert len(pareto.table.rows) == 4 and len(objectives(both)) == 3


def test_comparing_two_directions_says_that_they_are_no_rivals(both):
    a, b = (
        Side(both, Estimates(both, draws=200), keys(both, direction=way)[0], "named")
        for way in ("source_to_target", "target_to_source")
    )
    made = compare(a, b)
    assert all(row.difference is None for row in made.metrics)
    assert "A and B were trained under different conditions (direction): they are no rival recipes." in as_text(made)


def test_one_condition_has_no_words(run):
    assert {one.text for one in conditions.conditions(run).values()} == {""}
