"""Configurations over several splits: matched by their settings, corrected for splits that share training images."""

import json

import numpy as np
import pytest

from analysis.comparisons import nadeau_bengio
from analysis.folds import as_text, compare_over_folds, main
from analysis.frames import load_run
from sweep.core.errors import InputError
from tests.fakes.run_folder import write_ledger

SCORES = {"resnet18": (0.80, 0.84, 0.82), "resnet50": (0.76, 0.79, 0.80), "vit": (0.70, 0.90, 0.78)}


def write(folder, fold, scores=SCORES):
    folder.mkdir()
    events = [
        {
            "event": "finish",
            "signature": f"{fold}{name}",
            "seed": seed,
            "config": {"backbone": name},
            "study": {"backbone": name},
            "seconds": {},
            "metrics": {"auroc/source": values[fold] + (seed - 0.5) / 100, "auroc/source_val": values[fold]},
            "stages": [],
            "alarms": [],
        }
        for name, values in scores.items()
        for seed in (0, 1)
    ]
    write_ledger(folder, events)
    folds = {"train": {"benign": 60, "malignant": 40}, "test": {"benign": 15, "malignant": 10}}
    (folder / "data.json").write_text(json.dumps({"source": {"name": "a", "folds": folds}}))
    return folder


@pytest.fixture
def folders(tmp_path):
    return [write(tmp_path / f"split-{fold}", fold) for fold in range(3)]


def test_settings_match_though_signatures_differ(folders):
    made = compare_over_folds([load_run(folder) for folder in folders], "auroc/source")
    assert (made.splits, made.chosen) == (3, "resnet18") and [row.label for row in made.rows] == [
        "resnet18",
        "vit",
        "resnet50",
    ]
    other = made.rows[2]
    expected = nadeau_bengio(np.array(SCORES["resnet50"]) - np.array(SCORES["resnet18"]), 25, 100)
    assert (other.t, other.p) == pytest.approx(expected) and other.p_adjusted == pytest.approx(2 * other.p)
    assert other.difference == pytest.approx(-0.11 / 3) and np.isnan(made.rows[0].p)


def test_command(folders, tmp_path, capsys):
    assert main([str(folder) for folder in folders]) == 0
    said = capsys.readouterr().out
    assert "3 splits; chosen: resnet18" in said and "−3.7 points" in said
    assert as_text(compare_over_folds([load_run(folder) for folder in folders], "auroc/source")) == said


@pytest.mark.parametrize(
    ("pick", "words"),
    [
        (lambda tmp: [tmp / "split-0"], "is one split"),
        (lambda tmp: [tmp / "split-0", tmp / "other"], "no configuration ran"),
    ],
)
def test_what_cannot_be_compared(folders, tmp_path, pick, words):
    write(tmp_path / "other", 0, {"densenet": (0.5, 0.5, 0.5)})
    with pytest.raises(InputError, match=words):
        compare_over_folds([load_run(folder) for folder in pick(tmp_path)], "auroc/source")
