"""`make findings`: the shipped configs, their plan and cuts, and a small run of question 1 on simulated hospitals from import to page."""

import json
import re
from dataclasses import replace

import pytest

from analysis.findings.page import page
from analysis.findings.questions import PARTS, QUESTIONS
from analysis.findings.records import Findings, read_findings
from benchmarks import findings
from sweep.config.load import load_config
from sweep.core.errors import InputError
from sweep.run import run_sweep

FILES = findings.config_files()


@pytest.fixture(scope="module")
def plan():
    return {path.stem: findings.planned(path) for path in FILES}


def test_every_config_is_a_part_and_every_part_a_config():
    shipped = {path.name for path in findings.CONFIGS.glob("*.yaml")}
    assert {path.name for path in FILES} == shipped and len(FILES) == len(PARTS)
    for path in FILES:
        config = load_config(path)
        assert config.name == path.stem.replace("_", "-"), path
        assert {config.data.source, config.data.target} <= set(findings.IMPORTS)
        weights = config.fixed.get("weights", "")
        assert str(weights).startswith(f"{findings.WEIGHTS}/"), "relative to the folder of the run"


def test_the_blind_config_is_sealed_and_the_others_predict_without_labels():
    for path in FILES:
        config, part = load_config(path), PARTS[path.stem.replace("_", "-")]
        assert (config.data.target_labels == "sealed") is (part.name == "blind")
        assert bool(config.data.hospitals) is part.blind, path


def test_cells_that_differ_in_nothing_are_counted_once(plan):
    assert plan["ratio_added"].configurations == 2 * (1 + 3 * 6) and plan["ratio_added"].records == 190
    assert plan["gap_tuned_folds"].records == 2 * 2 * 5
    assert plan["recipe_breast"].records == 24 * 2


def test_cuts_are_read_from_the_configs(plan):
    rows = tuple(plan.values())
    assert "| colour-modules | seeds | 5 | 3 |" in page(Findings(rows, {}))
    more = tuple(
        replace(row, values={**row.values, "seeds": 5}) if row.name == "colour-modules" else row for row in rows
    )
    assert "| colour-modules | seeds" not in page(Findings(more, {}))


def test_foreseen_hours_are_kept_until_they_are_measured_anew(tmp_path):
    findings.write_the_plan(tmp_path, {"gap-tuned": 1.5})
    findings.write_the_plan(tmp_path, {"gap-frozen": 0.5})
    hours = {row.name: row.core_hours for row in read_findings(tmp_path / "findings").plan}
    assert (hours["gap-tuned"], hours["gap-frozen"], hours["blind"]) == (1.5, 0.5, None)


def test_one_question_alone_and_an_unknown_one():
    assert {path.stem.partition("_")[0] for path in findings.config_files("gap")} == {"gap"}
    with pytest.raises(InputError, match=r"gpa.*gap, ratio"):
        findings.config_files("gpa")
    assert sum(len(findings.config_files(question.key)) for question in QUESTIONS) == len(FILES)


def test_missing_data_are_named(tmp_path, capsys):
    assert findings.main([str(tmp_path), "--work", str(tmp_path / "work"), "--out", str(tmp_path)]) == 2
    assert "weights" in capsys.readouterr().err
    (tmp_path / "weights").mkdir()
    assert findings.main([str(tmp_path), "--only", "gap", "--work", str(tmp_path / "work")]) == 2
    assert "BUSI" in capsys.readouterr().err


def test_the_chest_table_has_patients_and_the_other_archives_classes(tmp_path):
    for name, folder in (("00000218_002.png", "0_normal"), ("00000219_000.png", "1_abnormal")):
        place = tmp_path / "NIH1000" / "train" / folder
        place.mkdir(parents=True)
        (place / name).touch()
    rows = findings.nih_table(tmp_path, tmp_path).read_text().splitlines()
    assert rows[1:] == [
        "NIH1000/train/0_normal/00000218_002.png,normal,00000218",
        "NIH1000/train/1_abnormal/00000219_000.png,pneumonia,00000219",
    ]


@pytest.mark.slow
def test_question_1_on_simulated_hospitals_from_config_to_page(tmp_path):
    (path,) = [path for path in FILES if path.stem == "gap_frozen"]
    (folds,) = [path for path in FILES if path.stem == "gap_frozen_folds"]
    inline = {"resources.engine": "inline", "data.phantom_patients": "40"}
    jobs = [
        (path, {"name": "gap-frozen"}),
        *((folds, {"name": f"gap-frozen-folds-{n}", "data.fold": str(n)}) for n in (0, 1)),
    ]
    for config, overrides in jobs:
        place = tmp_path / "runs" / overrides["name"]
        assert run_sweep(config, {**inline, **overrides}, True, False, str(place), None) == 0
    (tmp_path / "weights").mkdir()
    words = [str(tmp_path), "--only", "gap", "--work", str(tmp_path), "--out", str(tmp_path / "docs"), "--page"]
    assert findings.main(words) == 0
    found = read_findings(tmp_path / "docs" / "findings")
    assert found.runs["gap-frozen"].whole and found.runs["gap-frozen"].blind is not None
    assert [len(row.folds) for row in found.runs["gap-frozen-folds"].folds] == [2, 2]
    text = (tmp_path / "docs" / "findings.md").read_text()
    assert re.search(r"At the other hospital\*\* \((answered|undecided)\)", text) and str(tmp_path) not in text
    assert str(tmp_path) not in json.dumps([path.read_text() for path in (tmp_path / "docs").rglob("*.json")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_config_can_be_planned(path, tmp_path, capsys):
    small = {"data.phantom_patients": "30", "resources.engine": "inline"}
    assert run_sweep(path, small, True, True, str(tmp_path / "run"), None) == 0
    assert "configurations" in capsys.readouterr().out
