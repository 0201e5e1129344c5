"""Orders by every kind of --by, constraints, and the command with its formats and its refusals."""

import csv
import dataclasses
import io
import json
import re
import shutil

import pytest

from analysis.constraints import parse_constraint, passing
from analysis.frames import load_run
from analysis.rank import FORMATS, as_table, main
from analysis.ranking import rank, scores
from analysis.selection import select
from sweep.core.errors import InputError
from tests.fakes.run_folder import FakeSweep, ledger_file, write_fake_run


def order(run, by, **options):
    return [row.signature for row in rank(run, by, **options).rows]


def test_a_metric_orders_by_its_direction(run, estimates):
    by_auroc, by_gap = order(run, "auroc", estimates=estimates), order(run, "domain_gap", estimates=estimates)
    means = run.means.sort_index()
    assert by_auroc == means["auroc/target"].sort_values(ascending=False, kind="stable").index.tolist()
    assert by_gap == means["domain_gap"].sort_values(kind="stable").index.tolist()


@pytest.mark.parametrize("by", ["source_val", "auroc", "auroc > domain_gap", "auroc=2,domain_gap=1", "pareto"])
def test_equal_scores_rank_by_signature_whatever_finished_first(run, by):
    equal = dataclasses.replace(run, records=run.records * 0 + 0.5)
    turned = dataclasses.replace(equal, records=equal.records[::-1], configs=equal.configs[::-1])
    assert order(equal, by, top=3) == order(turned, by, top=3) == sorted(run.means.index)[:3]
    chosen, again = (dict(select(one)) for one in (equal, turned))
    assert chosen == again


def test_the_seed_that_finished_first_moves_no_digit_of_a_mean(run, run_folder, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "r")
    lines = ledger_file(folder).read_bytes().splitlines(keepends=True)
    ledger_file(folder).write_bytes(b"".join([lines[0], *lines[:0:-1]]))
    again = load_run(folder)
    assert again.means.loc[run.means.index].equals(run.means) and list(again.means.index) != list(run.means.index)


def test_rules_order_and_tell_whether_they_are_oracles(run, estimates):
    default = rank(run, top=3, estimates=estimates)
    assert default.by == "source_val" and not default.oracle
    assert default.rows[0].signature == run.means["auroc/source_val"].idxmax()
    assert rank(run, "oracle_target", top=1, estimates=estimates).oracle
    assert rank(run, "auroc > domain_gap", top=1, estimates=estimates).oracle


def test_pareto_orders_front_by_front(run, estimates):
    fronts = [row.front for row in rank(run, "pareto", estimates=estimates).rows]
    assert fronts == sorted(fronts) and fronts[0] == 1


def test_one_weight_alone_is_that_metric(run, estimates):
    assert order(run, "auroc=3", estimates=estimates) == order(run, "auroc", estimates=estimates)


def test_weights_are_spread_over_the_range_of_each_metric(run):
    score, words, _ = scores(run, "auroc=2,domain_gap=1")
    auroc, gap = run.means["auroc/target"], run.means["domain_gap"]
    by_hand = (
        2 * (auroc - auroc.min()) / (auroc.max() - auroc.min()) + (gap.max() - gap) / (gap.max() - gap.min())
    ) / 3
    assert score.to_numpy() == pytest.approx(by_hand.to_numpy()) and "2 x AUROC" in words


def test_lexicographic_lets_the_second_objective_decide_near_ties(run):
    place = scores(run, "auroc > domain_gap")[0]
    best = run.means["auroc/target"].max()
    near = run.means[run.means["auroc/target"] > best - 0.01]
    assert place.idxmax() == near["domain_gap"].idxmin()


def test_constraints_leave_out_and_are_counted(run, estimates):
    limit = float(run.means["robust_accuracy/target/worst@2/255"].median())
    made = rank(run, constraints=[f"robust_accuracy@2/255 >= {limit}", "colorizer != none"], estimates=estimates)
    assert 0 < made.ranked < 12 and made.excluded == 12 - made.ranked
    assert all(
        row.config["colorizer"] != "none" and row.numbers["robust_accuracy/target/worst@2/255"].estimate >= limit
        for row in made.rows
    )


@pytest.mark.parametrize(
    ("text", "satisfies"),
    [
        ("synthetic_per_real == 0", lambda run: run.configs["synthetic_per_real"] == 0),
        ("backbone == 'resnet18'", lambda run: run.configs["backbone"] == "resnet18"),
        ("domain_gap < 10%", lambda run: run.means["domain_gap"] < 0.1),
        ("glcm_weight > 0", lambda run: run.configs["glcm_weight"] > 0),
    ],
)
def test_constraints_on_settings_and_metrics(run, text, satisfies):
    assert passing(run, [parse_constraint(text, run)]).tolist() == satisfies(run).tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("auroc", "is no comparison"),
        ("auroc >= high", "is not a number"),
        ("backbon == resnet18", "did you mean backbone"),
        ("backbone > resnet18", "orders words"),
        ("robust_accuracy@9/255 > 0.2", "recorded on target"),
    ],
)
def test_constraints_that_are_wrong(run, text, words):
    with pytest.raises(InputError, match=words):
        parse_constraint(text, run)


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("aurok", "or a rule"),
        ("auroc=x", "no number for a weight"),
        ("auroc=-1", "must not be negative"),
        ("auroc > nix", "'nix' is not"),
    ],
)
def test_by_that_is_wrong(run, by, words):
    with pytest.raises(InputError, match=words):
        rank(run, by)


def test_numbers_carry_intervals_and_what_they_rest_on(run, estimates):
    made = rank(run, top=1, estimates=estimates).rows[0].numbers["auroc/target"]
    assert made.low <= made.estimate <= made.high and (made.images, made.groups, made.seeds) == (40, 20, 3)


class TestCommand:
    def test_json(self, run_folder, capsys):
        assert main([str(run_folder), "--top", "2", "--format", "json"]) == 0
        made = json.loads(capsys.readouterr().out)
        assert [row["rank"] for row in made["rows"]] == [1, 2] and made["ranked"] == 12
        assert (
            made["rows"][0]["metrics"]["auroc/target"]["low"] < made["rows"][0]["metrics"]["auroc/target"]["estimate"]
        )

    def test_csv(self, run_folder, capsys):
        assert main([str(run_folder), "--top", "3", "--format", "csv"]) == 0
        rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert len(rows) == 3 and float(rows[0]["auroc/target:low"]) <= float(rows[0]["auroc/target"])
        assert {"backbone", "signature", "front"} <= set(rows[0])

    def test_table(self, run_folder, capsys):
        assert main([str(run_folder), "--top", "2"]) == 0
        out = capsys.readouterr().out
        assert "2 of 12 configurations" in out and "constant 0.500" in out

    def test_an_oracle_order_says_so(self, run_folder, capsys):
        assert main([str(run_folder), "--by", "oracle_target", "--top", "1"]) == 0
        assert "oracle" in capsys.readouterr().out

    def test_nothing_passes(self, run_folder, capsys):
        for form in FORMATS:
            assert main([str(run_folder), "--constraint", "auroc > 1", "--format", form]) == 0
        assert "0 of 0 configurations" in capsys.readouterr().out

    @pytest.mark.parametrize("extra", [["--by", "nix"], ["--constraint", "nix"], ["--top", "0"]])
    def test_bad_input_is_exit_code_two_and_one_message(self, run_folder, capsys, extra):
        assert main([str(run_folder), *extra]) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("error: ") and "Traceback" not in said.err


@pytest.mark.parametrize("metric", ["log_loss", "calibration_error/source", "domain_gap/accuracy"])
def test_less_is_better_where_the_metric_says_so(run, estimates, metric):
    made = rank(run, metric, estimates=estimates)
    values = [row.numbers[made.metrics[0]].estimate for row in made.rows]
    assert values == sorted(values) and made.metrics[0].startswith(metric)


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 8))])
def test_every_metric_can_be_ranked_by_and_is_shown(run, estimates, part):
    for metric in run.metrics[part::8]:
        made = rank(run, metric, top=1, estimates=estimates)
        assert made.metrics[0] == metric and metric in made.rows[0].numbers
        as_table(made)
    robust = rank(run, "robust_val", top=1, estimates=estimates)
    assert "robust_accuracy/source_val/worst@2/255" in robust.metrics


def test_log_loss_has_no_upper_bound(run, estimates):
    made = estimates.of(run.means.index[0], "log_loss/target")
    assert 0 < made.low < made.high and made.high != 1.0


def small(folder, **settings):
    return write_fake_run(
        folder, FakeSweep(colorizers=("none",), ratios=(0,), seeds=2, images=20, gallery=False, **settings)
    )


def test_an_unfinished_run_says_so_first(tmp_path, capsys):
    assert main([str(small(tmp_path / "r", missing=3))]) == 0
    assert capsys.readouterr().out.startswith("UNFINISHED: 4 of 12 records have finished; the order may still change.")


def test_labels_that_look_like_markup_are_shown_as_they_are(run, estimates):
    made = rank(run, top=2, estimates=estimates)
    odd = [dataclasses.replace(row, label=label) for row, label in zip(made.rows, ("[v2]x", "w/[/x]a"), strict=True)]
    text = as_table(dataclasses.replace(made, rows=tuple(odd)))
    assert "[v2]x" in text and "w/[/x]a" in text


def test_csv_holds_no_formula_and_no_none(run, estimates):
    made = rank(run, top=1, estimates=estimates)
    config = {**made.rows[0].config, "backbone": "=cmd()", "weights": None, "lr": -1.0}
    row = next(
        csv.DictReader(
            io.StringIO(
                FORMATS["csv"](dataclasses.replace(made, rows=(dataclasses.replace(made.rows[0], config=config),)))
            )
        )
    )
    assert row["backbone"] == "'=cmd()" and row["weights"] == "" and row["lr"] == "-1.0"


def test_a_narrow_terminal_gets_stacked_numbers_and_a_pipe_all_columns(run, estimates, monkeypatch):
    made = rank(run, top=2, estimates=estimates)
    assert max(map(len, as_table(made).splitlines())) > 100 and " to " in as_table(made)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    text = re.sub("\x1b\\[[0-9;]*m", "", as_table(made))
    assert max(len(line) for line in text.splitlines() if line[0] in "│┃┏┡├└") <= 80  # sentences wrap by themselves
    assert all(row.label.split(",")[0] in text for row in made.rows) and text.count("trial ") == 2
