"""The papers' tables: our numbers, the printed ones and the constant predictor, in three formats."""

import csv
import dataclasses
import io
import re

import pytest

from analysis import published
from analysis.frames import load_run
from analysis.intervals import Interval
from analysis.tables import FORMATS, TABLES, Cell, Table, as_csv, as_latex, as_markdown, main, make_tables
from tests.fakes.run_folder import FakeSweep, write_fake_run, write_ledger


@pytest.fixture(scope="module")
def tables(run):
    return {table.key: table for table in make_tables(run, draws=300)}


def test_ratio_table_stands_beside_the_printed_numbers(run, tables):
    table = tables["ratio"]
    assert table.columns == ("ResNet18", "CNN-Transformer") and [row for row, _ in table.rows] == [
        "0",
        "0.25",
        "0.5",
        "0.75",
        "1",
    ]
    half = dict(table.rows)["0.5"][1]
    assert half.printed == 65.0 and half.constant == pytest.approx(run.records["constant_accuracy/target"].iloc[0])
    keys = [
        key
        for key in run.means.index
        if run.configs.loc[key, "backbone"] == "cnn_transformer" and run.configs.loc[key, "synthetic_per_real"] == 0.5
    ]
    best = max(keys, key=lambda key: run.means.loc[key, "auroc/source_val"])
    assert half.ours.estimate == pytest.approx(run.means.loc[best, "accuracy/target"])
    assert dict(table.rows)["0.25"][1] == Cell(None, 65.0, None), (
        "a ratio that was not run shows the printed number alone"
    )


def test_full_data_rows_have_their_own_printed_numbers(tables):
    rows = dict(tables["full"].rows)
    assert (
        rows["2"][1].printed == 63.8
        and rows["2"][1].ours is None
        and rows["0.5"][1].printed == 62.27
        and rows["0.5"][1].ours is not None
    )


def test_the_other_way_round_has_its_own_gap(run):
    poland = dataclasses.replace(
        run, data_card={"source": {"domain": "poland"}}, configs=run.configs.assign(backbone="resnet50"), cache={}
    )
    (label, cells), *_ = {table.key: table for table in make_tables(poland, draws=200)}["gap"].rows
    assert label == "ResNet50" and [cell.printed for cell in cells] == [68.06, 49.01, pytest.approx(19.05)]


def test_gap_is_source_minus_target_on_both_sides(tables):
    for label, cells in tables["gap"].rows:
        assert cells[2].ours.estimate == pytest.approx(cells[0].ours.estimate - cells[1].ours.estimate)
        if label == "CNN-Transformer":
            assert cells[2].printed == pytest.approx(83.0 - 63.5)


def test_epsilon_rows_are_matched_by_attack_and_colorizer(tables):
    rows = dict(tables["epsilon"].rows)
    assert [cell.printed for cell in rows["with colorizer, worst"]][:5] == [95.6, None, 58.1, 7.5, 0.0]
    on_source = dict(tables["epsilon_source"].rows)
    assert (
        set(on_source) == set(rows)
        and on_source["with colorizer, worst"][2].printed == 58.1
        and on_source["with colorizer, worst"][2].ours is not None
    )
    assert rows["without colorizer, pgd20"][2].printed == 6.3 and rows["without colorizer, square"][2].printed is None


def test_colorizer_rows_name_what_is_trained(tables):
    rows = dict(tables["colorizer"].rows)
    assert (
        rows["deconv, everything trained"][0].printed == 88.9 and rows["deconv, everything trained"][1].printed is None
    )


def test_printed_numbers_are_whole():
    assert all(len(values) == 3 for values in published.RATIO.values())
    worst = published.EPSILON[True, "worst"]
    for eps, value in enumerate(worst):
        assert value == min(published.EPSILON[True, name][eps] for name in ("fgsm", "bim", "pgd", "mifgsm"))
    assert all(abs(value * 1.6 - round(value * 1.6)) < 0.1 for row in published.EPSILON.values() for value in row), (
        "160 test images"
    )


TABLE = Table(
    "t",
    "A & B",
    "accuracy",
    "row_1",
    ("x%", "y"),
    (("a_b|c", (Cell(Interval(0.5, 0.4, 0.6, 0.95, 9, 9, 3), 65.0, 0.6), Cell())),),
)


def test_markdown():
    text = as_markdown(TABLE)
    assert "| a_b\\|c | 50.0 [40.0, 60.0] (65.0) | - |" in text and "constant predictor scores 60" in text


def test_latex_is_booktabs_and_escaped():
    text = as_latex(TABLE)
    assert r"A \& B" in text and r"row\_1 & x\%" in text and text.count("\\begin") == text.count("\\end") == 2
    assert all(rule in text for rule in ("\\toprule", "\\midrule", "\\bottomrule"))
    body = text.split("\\midrule")[1].split("\\bottomrule")[0]
    assert len(re.findall(r"(?<!\\)&", body)) == 2


def test_csv_has_a_line_a_cell_in_shares():
    rows = list(csv.DictReader(io.StringIO(as_csv(TABLE))))
    assert rows[0] == {
        "row": "a_b|c",
        "column": "x%",
        "estimate": "0.500000",
        "low": "0.400000",
        "high": "0.600000",
        "images": "9",
        "seeds": "3",
        "printed": "0.65",
        "constant": "0.6",
    }
    assert rows[1]["estimate"] == rows[1]["printed"] == ""


class TestCommand:
    def test_writes_every_table_in_every_format(self, run_folder, tmp_path, capsys):
        assert main([str(run_folder), "--out", str(tmp_path / "t")]) == 0
        paths = capsys.readouterr().out.split()
        assert {path.rsplit(".", 1)[1] for path in paths} == set(FORMATS) and len(paths) == len(
            list((tmp_path / "t").iterdir())
        ) == 3 * len(TABLES)

    def test_a_run_that_compares_nothing(self, tmp_path, capsys):
        write_ledger(
            tmp_path,
            [
                {
                    "event": "finish",
                    "signature": "a",
                    "seed": 0,
                    "config": {},
                    "study": {},
                    "metrics": {"auroc/source_val": 0.5},
                }
            ],
        )
        assert main([str(tmp_path)]) == 2
        assert "none of the papers' comparisons" in capsys.readouterr().err

    def test_unknown_rule(self, run_folder, capsys):
        assert main([str(run_folder), "--rule", "nix"]) == 2 and "not one of source_val" in capsys.readouterr().err


def test_procedures_make_rows_of_their_own(tmp_path):
    folder = write_fake_run(
        tmp_path / "r", FakeSweep(backbones=("resnet18",), ratios=(0,), seeds=1, outcomes=False, gallery=False)
    )
    run = load_run(folder)
    run.configs["procedure"] = ["head_only", "deco"]
    rows = [label for label, _ in {table.key: table for table in make_tables(run)}["colorizer"].rows]
    assert "none, last layer trained" in rows and "deconv, colorizer and last layer trained" in rows


def test_adversarial_training_is_an_arm_of_its_own(run):
    trained = run.means.index[0]
    eps = run.configs.index.map(lambda key: 0.0078 if key == trained else 0.0)
    table = {
        table.key: table
        for table in make_tables(
            dataclasses.replace(run, configs=run.configs.assign(train_eps=eps), cache={}), draws=200
        )
    }["epsilon"]
    arm = [(label, cells) for label, cells in table.rows if "adversarially trained" in label]
    assert len(arm) == 4 and all(cell.printed is None for _, cells in arm for cell in cells)
