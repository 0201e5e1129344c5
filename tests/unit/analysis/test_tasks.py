"""Three classes, and several findings an image, in what reads a run folder: warnings, the figure by class, comparison, other tools' formats."""

import numpy as np
import optuna
import pandas as pd
import pytest

from analysis import compare, interchange
from analysis.estimates import Estimates
from analysis.figures.by_class import by_class_facts, draw_by_class
from analysis.frames import load_run
from analysis.one_class_calls import called_throughout
from analysis.warnings import warnings
from tests.fakes.tasks_run import CLASSES, FINDINGS, IMAGES, write_tasks_run

NAMES = {"classes": CLASSES, "findings": FINDINGS}


@pytest.fixture(scope="module", params=NAMES)
def run(request, tmp_path_factory):
    return load_run(write_tasks_run(tmp_path_factory.mktemp(request.param) / "run", request.param))


@pytest.fixture(scope="module")
def names(run):
    return NAMES["findings" if run.findings else "classes"]


def test_the_figure_has_the_recorded_auroc_of_each_class_lowest_first(run, names):
    signature = run.means.index[0]
    facts = by_class_facts(run, Estimates(run, draws=100), signature, "a recipe")
    assert sorted(row.name for row in facts.rows) == sorted(names)
    shown = [row.made["target"].estimate for row in facts.rows]
    assert shown == sorted(shown)
    for row in facts.rows:
        for split, made in row.made.items():
            assert made.estimate == pytest.approx(run.means.loc[signature, f"auroc/{split}/{row.name}"], abs=1e-6)
            assert made.low < made.estimate < made.high and made.images == IMAGES
    drawn = draw_by_class(facts)
    assert len(drawn.table.rows) == 2 * len(names) and str(drawn.panels[0].svg).count("data-tip") == 2 * len(names)


def test_two_classes_have_no_such_figure(tmp_path):
    from tests.fakes.run_folder import FakeSweep, write_fake_run

    small = FakeSweep(backbones=("resnet18",), colorizers=("none",), ratios=(0,), seeds=1, images=8, gallery=False)
    two = load_run(write_fake_run(tmp_path / "two", small))
    assert by_class_facts(two, Estimates(two, draws=10), two.means.index[0], "a recipe") is None


@pytest.mark.parametrize(
    ("kind", "always", "called"),
    [
        ("classes", {"resnet18": 2}, "the target cyst (simple)"),
        ("findings", {"resnet18": None}, "the target free of every finding"),
        ("findings", {"resnet18": 1}, "the target Nodule/Mass"),
    ],
)
def test_a_model_that_calls_every_image_the_same_is_named(tmp_path, kind, always, called):
    run = load_run(write_tasks_run(tmp_path / "run", kind, always))
    (made,) = [one for one in warnings(run) if f"every image of {called}" in one.headline]
    assert made.severity == "serious" and made.headline.startswith("1 configuration calls (nearly)")
    accuracy = run.records.xs(run.configs.index[run.configs["backbone"] == "resnet18"][0])["accuracy/target"]
    assert f"{accuracy.iloc[0]:.3f}" in made.detail and "In 2 records" in made.detail


def test_models_that_tell_images_apart_are_not_named(run):
    assert not [one for one in warnings(run) if "every image" in one.headline]


def test_a_class_is_called_throughout_from_97_of_100_images_on(run, names):
    logits = np.tile([2.0, -1.0, -1.0], (100, 1))
    assert called_throughout(run, logits) == names[0]
    logits[:3] = [-1.0, 2.0, -1.0]
    assert called_throughout(run, logits) == names[0]
    logits[3] = [-1.0, 2.0, -1.0]
    assert called_throughout(run, logits) is None


def test_two_configurations_are_compared_in_the_terminal_and_as_a_page(run, names, tmp_path, capsys):
    folder = run.storage.local
    page = tmp_path / "compare.html"
    assert compare.main([f"{folder}:1", f"{folder}:2", "--html", str(page)]) == 0
    said = capsys.readouterr().out
    assert "lr" in said and "AUROC" in said
    assert "AUROC" in page.read_text() and "nan" not in page.read_text().lower().replace("finan", "")


@pytest.mark.extended
def test_an_optuna_study_has_the_objectives_and_the_metrics_of_each_class(run, names, tmp_path):
    interchange.WRITERS["optuna"](run, tmp_path / "study.db")
    study = optuna.load_study(study_name=run.name, storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert len(study.trials) == 2
    for trial in study.trials:
        assert np.abs(run.means["auroc/target"] - trial.values[0]).min() < 1e-9
        assert {f"auroc/target/{name}" for name in names} <= set(trial.user_attrs)


@pytest.mark.extended
@pytest.mark.slow  # a database of its own, and ten seconds of imports
def test_an_mlflow_store_has_the_metrics_of_each_class(run, names, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    interchange.WRITERS["mlflow"](run, tmp_path / "m.db")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'm.db'}")
    (experiment,) = [one for one in client.search_experiments() if one.name == run.name]
    parents = [
        one
        for one in client.search_runs([experiment.experiment_id])
        if "signature" in one.data.tags and "mlflow.parentRunId" not in one.data.tags
    ]
    assert len(parents) == 2
    for parent in parents:
        means = run.means.loc[parent.data.tags["signature"]]
        by_class = sorted(value for name, value in parent.data.metrics.items() if name.startswith("auroc/target/"))
        assert by_class == pytest.approx(sorted(means[f"auroc/target/{name}"] for name in names))


def test_tables_for_other_tools_have_a_column_a_class(run, names, tmp_path):
    interchange.WRITERS["csv"](run, tmp_path / "records.csv")
    frame = pd.read_csv(tmp_path / "records.csv")
    assert len(frame) == 4 and {f"auroc/target/{name}" for name in names} <= set(frame)
