"""What is said of a named winner: corrected for the choice, and against its rivals."""

from dataclasses import replace

import numpy as np
import pytest

from analysis import winner as module
from analysis.estimates import Estimates
from analysis.frames import load_run
from analysis.page import build_page
from analysis.rank import main
from analysis.ranking import rank
from analysis.report import render
from analysis.winner import winner
from tests.fakes.run_folder import FakeSweep, write_fake_run


@pytest.mark.extended
@pytest.mark.parametrize("by", ["source_val", "oracle_target", "pareto", "auroc/target", "auroc=2,domain_gap=1"])
def test_every_order_gets_a_corrected_number(run, estimates, by):
    made = winner(run, rank(run, by, top=3, estimates=estimates), estimates)
    assert (
        made.corrected.candidates == len(run.means)
        and made.corrected.seeds_left_out
        and made.corrected.images_resampled
    )
    assert made.corrected.corrected.low < made.corrected.corrected.estimate < made.corrected.corrected.high
    assert set(made.chances) and all(0 <= chance <= 1 for chance in made.chances.values())


def test_choosing_on_the_target_costs_more_than_choosing_on_the_source(run, estimates):
    def excess(by):
        made = winner(run, rank(run, by, top=2, estimates=estimates), estimates).corrected
        return made.observed.estimate - made.corrected.estimate

    assert excess("oracle_target") > 0


def test_many_candidates_are_corrected_over_seeds_alone(run, estimates, monkeypatch):
    monkeypatch.setattr(module, "MOST_CANDIDATES", 3)
    made = winner(run, rank(run, "oracle_target", top=2, estimates=estimates), estimates)
    assert not made.corrected.images_resampled
    records = run.records["auroc/target"].unstack("seed").to_numpy()
    by_hand = []
    for seed in range(records.shape[1]):
        others = np.delete(records, seed, axis=1).mean(axis=1)
        by_hand.append(records[others.argmax(), seed])
    assert made.corrected.corrected.estimate == pytest.approx(np.mean(by_hand))
    assert "Only the luck of the seeds is corrected" in " ".join(made.sentences)


def test_constraints_limit_the_candidates(run, estimates):
    text = "backbone == resnet18"
    made = winner(run, rank(run, constraints=[text], top=2, estimates=estimates), estimates, constraints=[text])
    assert made.corrected.candidates == (run.configs["backbone"] == "resnet18").sum()


def test_rivals_are_the_runner_up_and_real_only(run, estimates):
    made = winner(run, rank(run, "oracle_target", top=2, estimates=estimates), estimates)
    roles = [rival.role for rival in made.rivals]
    assert roles[0] == "runner-up" and set(roles) <= {"runner-up", "real only"}
    assert "false superiority" in made.sentences[-1]


def test_one_seed_says_what_is_not_corrected(tmp_path):
    run = load_run(write_fake_run(tmp_path / "one", FakeSweep(seeds=1, failed=0)))
    estimates = Estimates(run, draws=200)
    made = winner(run, rank(run, "oracle_target", top=2, estimates=estimates), estimates)
    assert "luck of that seed cannot be taken out" in made.sentences[0]


def test_a_single_recipe_was_not_chosen(tmp_path):
    sweep = FakeSweep(backbones=("resnet18",), colorizers=("none",), ratios=(0,), failed=0)
    run = load_run(write_fake_run(tmp_path / "single", sweep))
    estimates = Estimates(run, draws=200)
    made = winner(run, rank(run, estimates=estimates), estimates)
    assert made.corrected is None and made.rivals == () and made.sentences == ()


def test_a_choice_that_luck_did_not_raise_is_not_called_corrected(run, estimates):
    """Chosen on the source, the winner scores below the others on the target: the repeated choice names them and reads more."""
    made = winner(run, rank(run, top=2, estimates=estimates), estimates)
    assert made.corrected.corrected.estimate > made.corrected.observed.estimate + 0.005
    assert made.sentences[0].endswith("which luck has not raised.") and made.corrected_text == ""
    lucky = replace(made, corrected=replace(made.corrected, corrected=made.corrected.observed))
    assert "Corrected for that choice" in lucky.sentences[0] and lucky.corrected_text


def test_page_and_terminal_say_it(run, run_folder, capsys):
    page = build_page(run, "oracle_target", draws=200)
    html = render(page)
    assert "Corrected for that choice" in html and "First no better" in html
    assert f"corrected for having been chosen: {page.winner.corrected_text}" in html
    assert main([str(run_folder), "--top", "3"]) == 0
    assert "Probability of false superiority" in capsys.readouterr().out
