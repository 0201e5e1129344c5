"""A rule chooses one configuration in each cell, and says when it looked at the target."""

from dataclasses import replace

import pandas as pd
import pytest

from analysis import selection
from analysis.frames import load_run
from analysis.selection import RULES, select
from sweep.core.errors import InputError
from sweep.core.metric_table import reads_target_labels
from tests.fakes.run_folder import FakeSweep, write_fake_run, write_ledger


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    sweep = FakeSweep(backbones=("resnet18",), ratios=(0, 1), nuisance=3, seeds=2, gallery=False)
    run = load_run(write_fake_run(tmp_path_factory.mktemp("searched") / "r", sweep))
    guess = 0.6 * run.records["auroc/source_val"] + 0.2
    predicted = {selection.PREDICTED_AUROC: guess, selection.BLIND: guess - 0.1}
    return replace(run, records=run.records.assign(**predicted))


def test_one_signature_a_cell_with_the_best_score(searched):
    for name, rule in RULES.items():
        chosen, score = select(searched, name), rule.score(searched.means)
        assert len(chosen) == 4
        for cell, key in chosen.items():
            rivals = [other for other in searched.means.index if selection.cell_text(searched.studies[other]) == cell]
            assert len(rivals) == 3 and score[key] == score[rivals].max()


def test_only_the_oracle_looks_at_the_target(searched):
    blind = searched.means.drop(columns=[name for name in searched.means if reads_target_labels(name)])
    for name, rule in RULES.items():
        if rule.oracle:
            assert "oracle" in name and "oracle" in rule.describe
            with pytest.raises(InputError):
                rule.score(blind)
        else:
            pd.testing.assert_series_equal(rule.score(blind), rule.score(searched.means))


def test_robust_rule_without_attacks_on_validation(searched):
    means = searched.means.drop(columns=[name for name in searched.means if name.startswith("robust")])
    with pytest.raises(InputError, match="attacked no validation images"):
        RULES["robust_val"].score(means)


def test_blind_rules_need_pseudo_hospitals_and_are_usual_without_target_labels(searched):
    means = searched.means.drop(columns=[selection.BLIND])
    for name in ("blind", "blind_gap"):
        with pytest.raises(InputError, match="no record was evaluated on pseudo-hospitals"):
            RULES[name].score(means)
    assert selection.usual_rule(searched) == "source_val"
    unlabelled = searched.records.drop(columns=["auroc/target"]).assign(**{"accuracy/target": float("nan")})
    assert selection.usual_rule(replace(searched, records=unlabelled)) == "blind"
    without = unlabelled.drop(columns=[selection.BLIND])
    assert selection.usual_rule(replace(searched, records=without)) == "source_val"


def test_unknown_rule():
    with pytest.raises(InputError, match="did you mean source_val"):
        selection.rule_named("source_vall")


def test_a_configuration_without_a_score_is_chosen_last(tmp_path):
    head = {"event": "finish", "seed": 0, "config": {}, "study": {"x": 1}, "seconds": {}, "stages": [], "alarms": []}
    write_ledger(
        tmp_path,
        [
            {**head, "signature": "a", "metrics": {"auroc/target": 0.9}},
            {**head, "signature": "b", "metrics": {"auroc/source_val": 0.4}},
        ],
    )
    assert select(load_run(tmp_path)).tolist() == ["b"]
