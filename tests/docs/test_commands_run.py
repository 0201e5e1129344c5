"""The commands of README, tutorial and data page, run in order in an empty folder at smoke size; the notebook as a whole."""

import json
import re
import runpy
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from recipe_finder.__main__ import main
from sweep.core.storage import Storage
from sweep.data.sealed_labels import read_sealed_labels
from sweep.importers import import_dataset
from sweep.shards.reader import read_images, read_metadata
from tests.docs.pages import ROOT, blocks, commands
from tests.fakes import brest, busi, csv_table, dicom, folder

INSTEAD = {  # real weights, a backbone of 3.5 M parameters with a colour module, and a sweep of an hour
    "1h": ["30s"],
    "fixed.weights=PATH/TO/mobilenetv2_100.pth": [
        "fixed.weights=null",
        "--set",
        "fixed.backbone=small_cnn",
        "--set",
        "grid.colorizer=[none]",
    ],
}


@pytest.fixture
def room(tmp_path, monkeypatch):
    """An empty folder with the data sets that the pages name as PATH/TO/..., in their published layouts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(busi.COUNTS, "benign", 24)
    monkeypatch.setitem(busi.COUNTS, "malignant", 20)
    monkeypatch.setattr(brest, "LABELS", ["benign"] * 14 + ["malignant"] * 12 + ["normal"])
    source = tmp_path / "PATH" / "TO"
    busi.write(source / "BUSI")
    brest.write(source / "BrEaST")
    folder.write(source / "IMAGES")
    csv_table.write(source).rename(source / "TABLE.csv")
    dicom.write(source / "DICOM")
    return tmp_path


def run(words):
    """The exit code of a command of the console script; a sweep runs in this process, a shipped one at smoke size and with one seed."""
    words = [part for word in words for part in INSTEAD.get(word, [word])]
    if words[0] in ("run", "plan") and not words[1].endswith(".yaml"):
        words += ["--set", "seeds=1"] + ["--smoke"] * ("--smoke" not in words)
    if words[0] == "run" and "--engine" not in words:
        words += ["--engine", "inline", "--set", "resources.max_concurrent_trials=1"]
    return main(words)


def run_page(page, capsys):
    """Save the page's sweep config where its text says so, and run its commands."""
    for _, text in blocks(page, "yaml"):
        if (named := re.search(r"^name: (\w+)$", text, re.MULTILINE)) and f"`{named[1]}.yaml`" in (
            ROOT / page
        ).read_text():
            (Path.cwd() / f"{named[1]}.yaml").write_text(text)
    ran = 0
    for command in commands(page):
        if command.words[0] == "recipe-finder":
            code = run(command.words[1:])
            assert code == 0, (command, capsys.readouterr().err)
            ran += 1
    return ran


@pytest.mark.timeout(600)
def test_readme(room, capsys):
    assert run_page("README.md", capsys) >= 7
    report = room / "results" / "quickstart-smoke" / "report.html"
    assert report.is_file()
    blind_page(capsys)
    assert "Was the prediction right?" in report.read_text()


def blind_page(capsys):
    """The commands of the page about blind targets on the run that the README's have made; a person's labels are the simulated ones."""
    said = []
    for command in commands("docs/blind.md"):
        words = [word.replace("results/quickstart", "results/quickstart-smoke") for word in command.words[1:]]
        if "--labels" in words:
            truth = read_sealed_labels(Storage("results/quickstart-smoke")).set_index("image_id")["label"]
            asked = pd.read_csv("to_label.csv", dtype=str)
            asked.assign(label=[str(truth[name]) for name in asked["image_id"]]).to_csv("to_label.csv", index=False)
        capsys.readouterr()
        assert command.words[0] == "recipe-finder" and run(words) == 0, (command, capsys.readouterr().err)
        said.append(capsys.readouterr().out)
    assert (
        len(said) == 4
        and "ensemble of" not in said[0]
        and "Regret of blind" in said[1]
        and "labelled images" in said[3]
    )


@pytest.fixture
def two_hospitals(room):
    """Simulated images as a user has them: HERE and THERE in class folders, and SCANS of a clinic as DICOM files."""
    source = room / "PATH" / "TO"
    for letter, name in (("a", "HERE"), ("b", "THERE")):
        import_dataset(f"phantom-{letter}", None, room / letter, patients=30, image_px=64)
        rows, images = read_metadata(room / letter), read_images(room / letter, 64).images
        for number, (label, patient, pixels) in enumerate(zip(rows["label"], rows["patient"], images, strict=True)):
            if label == "normal":
                continue
            folder_ = source / name / label
            folder_.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder_ / f"{patient}_{number}.png")
            if letter == "b":
                image = dicom.with_pixels(dicom.header(3000 + number, patient), pixels)
                dicom.save(image, source / "SCANS" / f"IM{number:04d}.dcm")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_tutorial(room, two_hospitals, capsys):
    assert run_page("docs/tutorial.md", capsys) == 12
    written = {path.name for path in (room / "model").iterdir()}
    files = json.loads((room / "model" / "config.json").read_text())[
        "files"
    ]  # one or two seeds, as the machine is fast
    assert {*files, "MODEL_CARD.md", "training_reference.safetensors"} <= written and files
    for _, text in blocks("docs/tutorial.md", "python"):
        names = {}
        exec(compile(text, "docs/tutorial.md", "exec"), names)
        assert names["probability"].shape == (1, 2) and float(names["probability"].sum()) == pytest.approx(1)
    assert (room / "mine.html").is_file() and (room / "audit.html").is_file() and (room / "clinic.yaml").is_file()
    for name in ("predictions", "predictions_patients", "scans", "scans_patients"):
        assert len(pd.read_csv(room / f"{name}.csv")) > 10


def test_data_page(room, capsys):
    assert run_page("docs/data.md", capsys) >= 2


def test_cluster_page_checks_the_files_that_it_copies(room, capsys):
    words = [command.words[1:] for command in commands("docs/cluster.md") if command.words[0] == "recipe-finder"]
    local = [each for each in words if each[:2] in (["cluster", "files"], ["cluster", "check"])]
    assert len(local) >= 2 and [main(each) for each in local if "kuberay" not in str(each)] == [0] * len(
        [each for each in local if "kuberay" not in str(each)]
    )


@pytest.mark.extended
@pytest.mark.timeout(600)
def test_notebook(room, capsys):
    runpy.run_path(str(ROOT / "docs" / "notebook.py"))
    said = capsys.readouterr().out
    assert "2 records finished, 0 failed" in said
    same, whole = re.search(r"(\d+) of (\d+) metrics are the same", said).groups()
    assert same == whole
