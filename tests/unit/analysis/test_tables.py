"""The papers' tables: our numbers, the printed ones and the constant predictor, in three formats."""

import csv
import dataclasses
import io
import re

import pytest

from analysis import published
from analysis.frames import load_run
from analysis.intervals import Interval
from analysis.table_formats import FORMATS, Cell, Table, as_csv, as_latex, as_markdown
from analysis.tables import TABLES, main, make_tables
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
    best = min(keys, key=lambda key: (-run.means.loc[key, "auroc/source_val"], key))
    assert half.ours.estimate == pytest.approx(run.means.loc[best, "accuracy/target"])
    assert dict(table.rows)["0.25"][1] == Cell(None, 65.0, None), (
        "a ratio that was not run shows the printed number alone"
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    sweep = FakeSweep(
        backbones=("resnet50", "vit_tiny_patch16_224", "cnn_transformer"),
        colorizers=("none",),
        ratios=(0, 0.5, 2),
        directions=("source_to_target", "target_to_source"),
        seeds=2,
        images=24,
        real_images=546,
        gallery=False,
        failed=0,
    )
    run = load_run(write_fake_run(tmp_path_factory.mktemp("whole") / "run", sweep))
    return run, {table.key: table for table in make_tables(run, draws=200)}


def printed(table):
    return [(label, *(cell.printed for cell in cells)) for label, cells in table.rows]


def test_table_1_both_directions_with_the_printed_differences(whole):
    tables = whole[1]
    assert printed(tables["gap_source_to_target"])[0] == ("ResNet50", 80.62, 62.5, 17.76)
    assert printed(tables["gap_target_to_source"])[0] == ("ResNet50", 68.06, 49.01, 19.07)
    for way in ("source_to_target", "target_to_source"):
        assert printed(tables[f"gap_{way}"])[1:] == [("ViT", None, None, None), ("CNN-Transformer", None, None, None)]


def test_tables_2_to_5_with_the_accuracy_gaps_of_their_own_definition(run, tables):
    # Columns are ResNet18, which the study does not have, and CNN-Transformer.
    assert [row[2] for row in printed(tables["ratio"])] == [63.6, 65.0, 65.0, 65.4, 65.0]
    gaps = tables["ratio_gap"]
    assert gaps.columns == ("ResNet18", "ResNet18, same model", "CNN-Transformer", "CNN-Transformer, same model")
    assert [row[3] for row in printed(gaps)] == pytest.approx(
        [76.4 - value for value in (63.6, 65.0, 65.0, 65.4, 65.0)]
    )
    assert "tables 2 to 5" in tables["ratio"].title


def test_each_ratio_of_a_hundred_real_images_has_its_own_table(run, tables):
    own = [key for key in tables if key.endswith("_synthetic")]
    asked = sorted(set(run.configs["synthetic_per_real"]) - {0})
    assert own == [f"ratio_{round(100 * ratio)}_synthetic" for ratio in asked]
    table = tables["ratio_50_synthetic"]
    assert "one of tables 2 to 5" in table.title and "50 synthetic" in table.title
    assert printed(table)[0] == ("ResNet18", None, None, None, None, None)
    assert printed(table)[1] == ("CNN-Transformer", 76.4, 63.6, 65.0, pytest.approx(12.8), pytest.approx(11.4))
    joined = dict(tables["ratio"].rows)
    cells = table.rows[1][1]
    assert cells[1].ours == joined["0"][1].ours and cells[2].ours == joined["0.5"][1].ours
    assert cells[4].ours == dict(tables["ratio_gap"].rows)["0.5"][2].ours
    assert cells[3].ours.estimate == pytest.approx(cells[0].ours.estimate - cells[1].ours.estimate)


def test_table_6_stands_beside_all_real_images_of_one_direction(whole):
    tables = whole[1]
    rows = printed(tables["ratio_source_to_target"])
    assert rows == [("0", 61.3, 60.5, 63.5), ("0.5", 60.15, 57.4, 62.27), ("2", 65.62, 60.2, 63.8)]
    gaps = [[row[1], row[3], row[5]] for row in printed(tables["ratio_gap_source_to_target"])]
    assert gaps == [pytest.approx([80.26 - a, 74.3 - b, 83.0 - c]) for _, a, b, c in rows]
    assert "table 6" in tables["ratio_source_to_target"].title
    assert all(value is None for row in printed(tables["ratio_target_to_source"]) for value in row[1:])


def test_the_papers_gap_is_real_only_at_home_minus_this_model_abroad(whole):
    run, tables = whole
    label, cells = tables["ratio_gap_source_to_target"].rows[1]
    keys = {
        ratio: next(
            key
            for key in run.means.index
            if run.configs.loc[key, ["backbone", "synthetic_per_real", "direction"]].tolist()
            == ["resnet50", ratio, "source_to_target"]
        )
        for ratio in (0, 0.5)
    }
    assert label == "0.5"
    assert cells[0].ours.estimate == pytest.approx(
        run.means.loc[keys[0], "accuracy/source"] - run.means.loc[keys[0.5], "accuracy/target"]
    )
    assert cells[1].ours.estimate == pytest.approx(run.means.loc[keys[0.5], "domain_gap/accuracy"])
    assert cells[0].ours.images == 48 and cells[0].ours.low < cells[0].ours.estimate < cells[0].ours.high


def test_directions_are_not_mixed_in_a_table(whole):
    run, tables = whole
    for way in ("source_to_target", "target_to_source"):
        _, cells = tables[f"gap_{way}"].rows[0]
        own = run.configs.index[
            (run.configs["direction"] == way)
            & (run.configs["backbone"] == "resnet50")
            & (run.configs["synthetic_per_real"] == 0)
        ]
        assert cells[0].ours.estimate == pytest.approx(run.means.loc[own[0], "accuracy/source"])


def test_other_training_sizes_have_no_printed_numbers(tmp_path):
    sweep = FakeSweep(colorizers=("none",), ratios=(0, 1), train_images=(50, 100), seeds=1, images=16, gallery=False)
    made = {table.key: table for table in make_tables(load_run(write_fake_run(tmp_path / "r", sweep)), draws=200)}
    assert all(value is None for row in printed(made["ratio_50_training_images"]) for value in row[1:])
    assert printed(made["ratio_100_training_images"])[0] == ("0", None, 63.6)


def test_poland_first_has_its_own_row_of_table_1(whole):
    run = whole[0]
    card = {**run.data_card, "source": {**run.data_card["source"], "domain": "poland"}}
    made = {t.key: t for t in make_tables(dataclasses.replace(run, data_card=card, cache={}), draws=200)}
    assert printed(made["gap_source_to_target"])[0] == ("ResNet50", 68.06, 49.01, 19.07)


def test_gap_is_source_minus_target_on_our_side(tables):
    for _, cells in tables["gap"].rows:
        assert cells[2].ours.estimate == pytest.approx(cells[0].ours.estimate - cells[1].ours.estimate)


def test_an_unfinished_run_says_so_in_every_table(tmp_path):
    sweep = FakeSweep(backbones=("resnet18",), ratios=(0,), seeds=1, images=16, gallery=False, missing=4)
    assert main([str(write_fake_run(tmp_path / "r", sweep)), "--out", str(tmp_path / "t")]) == 0
    for file in (tmp_path / "t").glob("*.md"):
        assert file.read_text().startswith("**UNFINISHED (2 of 7 records have finished)")


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
    assert all(len(values) == 3 for study in (published.HUNDRED, published.ALL) for values in study.target.values())
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
    assert "| a\\_b\\|c | 50.0 [40.0, 60.0] (65.0) | - |" in text and "constant predictor scores 60" in text


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
        ) == 3 * (len(TABLES) - 2), "two of the ratios of tables 2 to 5 were not run"

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


def test_every_printed_colorizer_is_one_of_the_product():
    from sweep.models.colorizers import COLORIZERS

    assert {name for name, _ in published.COLORIZER} <= set(COLORIZERS)


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
