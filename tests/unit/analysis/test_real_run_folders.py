"""Every command on run folders that real sweeps wrote: one finished, one whose driver was killed after 3 of 8 records."""

from pathlib import Path

import optuna
import pytest

from analysis import compare, interchange, rank, report, tables, watch
from analysis.frames import load_run

RUNS = Path(__file__).parents[2] / "fixtures" / "runs"


@pytest.fixture(scope="module", params=["finished", "half_finished"])
def folder(request):
    return RUNS / request.param


@pytest.mark.parametrize(
    "by", ["source_val", "log_loss", "calibration_error/source", "median_breaking_epsilon", "pareto"]
)
def test_ranks(folder, by, capsys):
    for form in rank.FORMATS:
        assert rank.main([str(folder), "--by", by, "--format", form, "--top", "2"]) == 0
    said = capsys.readouterr().out
    assert ("UNFINISHED: 3 of 8 records" in said) == (folder.name == "half_finished")


def test_reports_compares_and_watches(folder, tmp_path, capsys):
    assert report.main([str(folder), "--out", str(tmp_path / "r.html")]) == 0
    page = (tmp_path / "r.html").read_text()
    assert "Do not deploy any of these." in page, "two epochs of training teach nothing"
    assert ("Unfinished: 3 of 8 records have finished" in page) == (folder.name == "half_finished")
    assert compare.main([f"{folder}:1", f"{folder}:2"]) == 0 and watch.main([str(folder), "--once"]) == 0
    assert tables.main([str(folder), "--out", str(tmp_path / "t")]) == 0
    assert "nan" not in "".join(file.read_text() for file in (tmp_path / "t").iterdir())


@pytest.mark.parametrize("kind", ["csv", "parquet", "optuna"])
def test_exports(folder, kind, tmp_path):
    out = tmp_path / f"run.{kind}"
    assert interchange.main([str(folder), "--to", kind, "--out", str(out)]) == 0 and out.stat().st_size > 0


def test_optuna_shows_the_values(folder, tmp_path):
    interchange.WRITERS["optuna"](load_run(folder), tmp_path / "run.db")
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'run.db'}")
    run = load_run(folder)
    assert len(study.trials) == len(run.means) and study.best_trials
    for trial in study.trials:
        assert trial.values[0] == pytest.approx(run.means.loc[trial.user_attrs["signature"], "auroc/target"])
        assert "grey_mean" not in trial.params, "a setting without a value anywhere has no range"
