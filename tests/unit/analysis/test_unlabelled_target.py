"""A run whose target has no labels: predictions of all its models, the images to label, and the comparison once labels are there."""

import csv
import json

import numpy as np
import pandas as pd
import pytest

from analysis import label, unseal
from analysis.figures.unsealed import draw_unsealed
from analysis.frames import load_run
from analysis.page import build_page
from analysis.predicted import predicted_target
from analysis.ranking import rank
from analysis.report import write_report
from analysis.unsealed import POOLED, kept
from analysis.warnings import warnings
from sweep.core.errors import InputError
from tests.fakes.run_folder import FakeSweep, write_fake_run

SMALL = {
    "backbones": ("resnet18", "resnet50"),
    "colorizers": ("none",),
    "ratios": (0, 1),
    "gallery": False,
    "failed": 0,
}
BLIND = FakeSweep(**SMALL, seeds=2, images=60, hospitals=10, target_labels=False)  # type: ignore[arg-type]
LABELLED = FakeSweep(**SMALL, seeds=2, images=60, hospitals=10)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    return write_fake_run(tmp_path_factory.mktemp("blind") / "r", BLIND)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return write_fake_run(tmp_path_factory.mktemp("labelled") / "r", LABELLED)


def test_estimates_do_not_depend_on_labels_and_are_near_the_truth(blind, labelled):
    without, with_labels = (predicted_target(load_run(folder)) for folder in (blind, labelled))
    assert without.records == 8 and without.images == 60 and len(without.hospitals) == 10
    assert without.assessment.own.prevalence == with_labels.assessment.own.prevalence
    for key, one in without.assessment.candidates.items():
        assert one == with_labels.assessment.candidates[key]
        truth = load_run(labelled).means.loc[key, "auroc/target"]
        assert one.auroc.low <= truth <= one.auroc.high


def test_a_run_without_pseudo_hospitals_has_no_prediction(tmp_path):
    run = load_run(write_fake_run(tmp_path / "r", FakeSweep(**SMALL, seeds=1)))
    assert predicted_target(run) is None
    with pytest.raises(InputError, match="nothing was estimated"):
        unseal.score_run(run)


def test_no_figure_takes_missing_labels_for_a_class(blind):
    page = build_page(load_run(blind), "blind", draws=100)
    titles = [panel.title for figure in page.figures for panel in figure.panels]
    assert any("source test" in title for title in titles)
    assert not [title for title in titles if title.startswith(("Confusion, target", "Reliability, target"))]
    assert "subgroups" not in {figure.key for figure in page.figures}
    row, tile = page.leaderboard.rows[0], next(tile for tile in page.verdict.tiles if tile.title == "Predicted AUROC")
    assert f"AUROC {tile.value} (" in page.predicted_note and f"for row {row.rank}" in page.predicted_note


def test_ranking_by_the_blind_rule(blind):
    ranking = rank(load_run(blind), "blind")
    scores = [row.score for row in ranking.rows]
    assert scores == sorted(scores, reverse=True) and not ranking.oracle
    assert ranking.metrics[0] == "predicted_auroc/target"


def test_metrics_that_need_the_hidden_labels_are_no_fault_of_the_run(blind):
    assert not [one for one in warnings(load_run(blind)) if "undefined" in one.headline]


def test_unsealing_scores_every_estimator(labelled, capsys):
    assert unseal.main([str(labelled), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 60 and len(found["recipes"]) == 4
    assert {POOLED, "mean restyled", "atc", "cbpe", "disagreement", "agreement on the line"} <= set(found["estimators"])
    assert set(found["regret"]) == {"blind", "blind_gap", "source_val"} and min(found["regret"].values()) >= 0
    run = load_run(labelled)
    for row in found["recipes"]:
        assert row["true"]["auroc"] == pytest.approx(run.means.loc[row["signature"], "auroc/target"])
    assert found["estimators"][POOLED]["auroc"]["error"] < 0.1
    assert unseal.main([str(labelled)]) == 0 and not (labelled / "unsealed.json").exists()
    text = capsys.readouterr().out
    assert "Regret of blind" in text and "90 % intervals that hold the true value" in text


@pytest.mark.slow  # the commands of README in the default run
def test_the_report_ends_with_the_comparison_once_it_was_unsealed(tmp_path, capsys):
    folder = write_fake_run(tmp_path / "r", LABELLED)
    write_report(folder, folder / "report.html")
    assert "Was the prediction right?" not in (folder / "report.html").read_text()
    assert unseal.main([str(folder), "--report"]) == 0 and f"report: {folder}/report.html" in capsys.readouterr().out
    run = load_run(folder)
    assert repr(kept(run)) == repr(unseal.score_run(run))  # NaN does not equal itself
    text = (folder / "report.html").read_text()
    assert text.index('id="unsealed"') > text.index('id="compute"') and "Regret of blind" in text
    (folder / "unsealed.json").write_text('{"images": 1}')
    with pytest.raises(InputError, match="unsealed.json: cannot be read"):
        write_report(folder, folder / "report.html")


def test_scores_of_fewer_records_are_said_to_be_old(labelled):
    found = unseal.score_run(load_run(labelled))
    assert "Opened when 8 records were finished; the run has 9 now." in draw_unsealed(found, 9).notes[0]
    assert not any("Opened when" in note for note in draw_unsealed(found, 8).notes)


def test_images_to_label_and_the_comparison_of_their_labels(blind, labelled, tmp_path, capsys):
    out = tmp_path / "to_label.csv"
    assert label.main([str(blind), "--images", "24", "--out", str(out)]) == 0
    rows = list(csv.DictReader(out.open()))
    assert 20 <= len(rows) <= 28 and list(rows[0]) == list(label.COLUMNS)
    truth = true_labels(labelled)
    patients = {row["patient"] for row in rows}
    assert len(rows) == 2 * len(patients)  # two images each, both of them
    for row in rows:
        row["label"] = str(truth[row["image_id"]])
    write(out, rows)
    capsys.readouterr()
    assert label.main([str(blind), "--labels", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"from {len(rows)} labelled images" in said and said.count(" less ") == 2
    recipes = label.top_recipes(load_run(blind), 3)
    sample = label.read_labels(recipes, str(out))
    assert np.allclose(sample.probability, [float(row["probability"]) for row in rows])


def true_labels(folder):
    run = load_run(folder)
    rows = run.predictions(run.means.index[0])
    return dict(rows.loc[rows["split"] == "target", ["image_id", "label"]].itertuples(index=False))


def write(path, rows):
    pd.DataFrame(rows).to_csv(path, index=False)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda rows: rows[1:], "lacks .* of a patient"),
        (lambda rows: [{**rows[0], "image_id": "other"}, *rows[1:]], "line 2: 'other' is no target image"),
        (lambda rows: [{**rows[0], "label": ""}, *rows[1:]], "line 2: has no label"),
        (lambda rows: [{**rows[0], "label": "maybe"}, *rows[1:]], "'maybe' is no label"),
        (lambda rows: [{**rows[0], "probability": "2"}, *rows[1:]], "is no probability"),
        (lambda rows: [rows[0], *rows], "names an image twice"),
        (lambda rows: [{**row, "label": "0"} for row in rows], "one class alone"),
        (lambda rows: [{"image_id": row["image_id"]} for row in rows], "has no column probability, label"),
        (lambda rows: [], "has no column"),
    ],
)
def test_a_damaged_file_of_labels_is_refused_with_its_place(blind, labelled, tmp_path, damage, message):
    recipes = label.top_recipes(load_run(blind), 2)
    out = tmp_path / "to_label.csv"
    label.write_images(recipes, 30, str(out))
    truth = true_labels(labelled)
    rows = [{**row, "label": str(truth[row["image_id"]])} for row in csv.DictReader(out.open())]
    write(out, damage(rows))
    with pytest.raises(InputError, match=message):
        label.read_labels(recipes, str(out))


def test_what_is_there_is_not_overwritten(blind, tmp_path):
    recipes = label.top_recipes(load_run(blind), 2)
    (tmp_path / "a.csv").write_text("labels of a week")
    with pytest.raises(InputError, match="exists"):
        label.write_images(recipes, 30, str(tmp_path / "a.csv"))


@pytest.mark.parametrize("arguments", [[], ["--out", "a", "--labels", "b"]])
def test_one_of_two_modes(blind, arguments, capsys):
    assert label.main([str(blind), *arguments]) == 2
    assert "give one of them" in capsys.readouterr().err
