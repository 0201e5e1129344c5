"""A hospital without labels, from its folder to the report: the sweep runs and resumes; sealed labels are opened at the end alone."""

import csv
import json

import pytest
from PIL import Image

from analysis import label, unseal
from analysis.frames import load_run
from sweep.importers import import_dataset
from sweep.run import run_sweep
from sweep.shards.reader import read_images, read_metadata
from sweep.store.ledger import read_ledger
from tests.fakes.sweep_config import write_config

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]
CONFIG = """\
name: {name}
data: {{source: "{source}", target: "{target}", image_px: 32, target_labels: {labels}, pseudo_hospitals: 8}}
grid: {{adapt: [none, histogram]}}
fixed: {{backbone: small_cnn, epochs: 2, batch_size: 16}}
seeds: 2
"""


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    """Shard folders of two clinics' PNG files: the source, the target with its labels, and the same target without."""
    home = tmp_path_factory.mktemp("hospitals")
    for letter in "ab":
        import_dataset(f"phantom-{letter}", None, home / letter, patients=40, image_px=32)
        rows, images = read_metadata(home / letter), read_images(home / letter, 32).images
        for number, (of_image, patient, pixels) in enumerate(zip(rows["label"], rows["patient"], images, strict=True)):
            place = home / f"files-{letter}" / ("malignant" if of_image == "malignant" else "benign")
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place / f"{patient}_{number}.png")
    regex = {"patient_regex": r"^(\w\d+)_"}
    import_dataset("folder", home / "files-a", home / "here", **regex)
    import_dataset("folder", home / "files-b", home / "there", **regex)
    import_dataset("folder", home / "files-b", home / "unlabelled", unlabelled=True, **regex)
    return home


def sweep(home, hospitals, name, target, labels):
    text = CONFIG.format(name=name, source=hospitals / "here", target=hospitals / target, labels=labels)
    code = run_sweep(write_config(home, text), {"resources.engine": "inline"}, False, False, str(home / "run"), None)
    return code, home / "run"


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory, hospitals):
    code, run = sweep(tmp_path_factory.mktemp("unlabelled"), hospitals, "unlabelled", "unlabelled", "none")
    assert code == 0
    return run


@pytest.fixture(scope="module")
def sealed(tmp_path_factory, hospitals):
    code, run = sweep(tmp_path_factory.mktemp("sealed"), hospitals, "sealed", "there", "sealed")
    assert code == 0
    return run


def test_a_sweep_on_an_unlabelled_folder_reports_and_resumes(hospitals, unlabelled, capsys):
    page = (unlabelled / "report.html").read_text()
    assert "What does the prediction for the target rest on?" in page and "Was the prediction right?" not in page
    assert "Pseudo-hospital nearest to the target" in page
    before = read_ledger(load_run(unlabelled).storage).finished()
    code, _ = sweep(unlabelled.parent, hospitals, "unlabelled", "unlabelled", "none")
    assert code == 0 and "4 of 4 records finished" in capsys.readouterr().out
    assert read_ledger(load_run(unlabelled).storage).finished() == before and len(before) == 4


def test_labels_that_came_later_score_the_run(hospitals, unlabelled, capsys):
    assert unseal.main([str(unlabelled)]) == 2
    assert "have no label, so there is nothing to unseal" in capsys.readouterr().err
    assert unseal.main([str(unlabelled), "--labels", str(hospitals / "there"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["recipes"]) == 2


def test_sealed_labels_of_a_folder_are_opened_into_the_report(sealed, capsys):
    held = load_run(sealed)
    rows = held.predictions(held.means.index[0])
    assert set(rows.loc[rows["split"] == "target", "label"]) == {-1}
    assert unseal.main([str(sealed), "--report", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["records"] == 4 and all(0 <= row["true"]["auroc"] <= 1 for row in found["recipes"])
    page = (sealed / "report.html").read_text()
    assert page.index("Was the prediction right?") > page.index("What does the prediction for the target rest on?")


def test_a_few_labels_compare_the_recipes(unlabelled, hospitals, tmp_path, capsys):
    out = tmp_path / "to_label.csv"
    assert label.main([str(unlabelled), "--images", "30", "--out", str(out)]) == 0
    rows = list(csv.DictReader(out.open()))
    true = read_metadata(hospitals / "there").set_index("image_id")["label"]
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "label": true[row["image_id"]]} for row in rows)
    capsys.readouterr()
    assert label.main([str(unlabelled), "--labels", str(out)]) == 0
    assert f"from {len(rows)} labelled images" in capsys.readouterr().out
