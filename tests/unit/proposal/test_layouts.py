"""Which importer and which patients are believed in, and how sure the evidence is."""

import importlib
import inspect
import re

import pandas as pd
import pytest

from sweep.core.errors import InputError
from sweep.importers.table import IMPORTERS
from sweep.proposal.layouts import GENERAL, layout_of
from sweep.proposal.patients import by_pattern, label_column, patient_column
from tests.fakes import busi, csv_table, dicom, folder


@pytest.mark.parametrize(
    ("names", "patients", "pattern"),
    [
        (["p001_1.png", "p001_2.png", "p002_1.png", "p002_2.png", "p003_1.png"], 3, r"^([A-Za-z]{1,6}\d+)[-_. ]"),
        (["17_left.png", "17_right.png", "18_left.png", "18_right.png"], 2, r"^(\d+)[-_. ]"),
        (["scan-patient12-a.png", "scan-patient12-b.png", "scan-patient3-a.png", "scan-patient3-b.png"], 2, None),
    ],
)
def test_patterns_of_file_names(names, patients, pattern):
    guess = by_pattern(names)
    assert guess.patients == patients and (pattern is None or guess.value == pattern)
    assert " and " in guess.example


@pytest.mark.parametrize(
    "names",
    [
        ["a.png", "b.png", "c.png"],  # nothing repeats
        ["p1_a.png", "p2_a.png", "p3_a.png"],  # one image each
        ["us1_a.png", "us1_b.png", "us1_c.png", "us1_d.png", "us2_a.png"],  # a device, not a patient
        ["p1_a.png", "p1_b.png", "p2_a.png", "scan.png"],  # not every name
    ],
)
def test_no_patients_are_invented(names):
    assert by_pattern(names).value == ""


def test_columns_of_a_table():
    columns = {"Patient ID": ["a", "a", "b"], "Diagnosis": ["x", "y", "x"], "id": ["1", "2", "3"]}
    assert patient_column(columns).value == "Patient ID" and patient_column(columns).patients == 2
    assert label_column(columns) == "Diagnosis"
    assert patient_column({"patient": ["a", "b", "c"]}).value == ""


@pytest.mark.parametrize(
    "name", sorted(name for name, row in IMPORTERS.items() if row.needs_source and name not in GENERAL)
)
def test_every_published_layout_is_recognised(tmp_path, name):
    made = layout_of(importlib.import_module(f"tests.fakes.{name}").write(tmp_path / "source"))
    assert name in (made.importer, *made.others)


def test_layouts_of_a_clinic(tmp_path):
    made = layout_of(folder.write(tmp_path / "folder"))
    assert made.importer == "folder" and not made.unlabelled and any("patients:" in line for line in made.lines)
    made = layout_of(csv_table.write(tmp_path / "table"))
    assert made.importer == "csv" and {"path_column", "label_column", "patient_column"} <= set(made.options)
    made = layout_of(dicom.write(tmp_path / "dicom"))
    assert made.importer == "dicom" and not made.unlabelled


@pytest.mark.parametrize("layout", [folder, csv_table, dicom], ids=lambda fake: fake.__name__.rpartition(".")[2])
def test_wrong_patients_cost_a_target_its_intervals_and_a_source_its_folds(tmp_path, layout):
    place = layout.write(tmp_path / "source")
    for role, said, not_said in (("source", "leak between", "too narrow"), ("target", "too narrow", "leak between")):
        lines = " ".join(layout_of(place, role=role).lines)
        assert said in lines and not_said not in lines


@pytest.mark.parametrize("module", ["init", "predict"])
def test_flags_that_the_layouts_name_exist_in_both_commands(module):
    from sweep.proposal import layouts

    known = set(importlib.import_module(f"sweep.{module}").main.function.__annotations__)
    named = {flag.replace("-", "_") for flag in re.findall(r"--([a-z-]+)", inspect.getsource(layouts))}
    assert named - known <= ({"importer", "label_column"} if module == "predict" else set())


def test_images_without_class_folders_have_no_labels(tmp_path):
    source = folder.write(tmp_path / "folder")
    (flat := tmp_path / "flat").mkdir()
    for number, path in enumerate(sorted(source.rglob("*.png"))):
        path.rename(flat / f"{number}.png")
    made = layout_of(flat)
    assert made.importer == "folder" and made.unlabelled


def test_folders_of_patients_are_no_classes(tmp_path):
    picture = next(folder.write(tmp_path / "folder").rglob("p*.png")).read_bytes()
    for number in range(25):
        (place := tmp_path / "people" / f"person{number:02d}").mkdir(parents=True)
        (place / "scan.png").write_bytes(picture)
    made = layout_of(tmp_path / "people")
    assert made.unlabelled and "25 subfolders are too many for classes" in " ".join(made.lines)


def test_the_user_s_word_counts(tmp_path):
    source = busi.write(tmp_path / "busi")
    assert layout_of(source).importer == "busi"
    assert layout_of(source, "folder").importer == "folder"
    made = layout_of(folder.write(tmp_path / "own"), None, {"patient_regex": r"^(\d+)"})
    assert made.options["patient_regex"] == r"^(\d+)" and "patients: as asked" in made.lines


def test_what_is_no_image_folder_is_refused(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("nothing")
    for place, said in ((tmp_path / "absent", "no such file or folder"), (tmp_path / "text", "no image among 1 files")):
        with pytest.raises(InputError, match=said):
            layout_of(place)
    with pytest.raises(InputError, match="'bus' is unknown"):
        layout_of(tmp_path / "text", "bus")
    pd.DataFrame({"file": ["x.png"], "label": ["a"]}).to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(InputError, match="leads to files below"):
        layout_of(tmp_path / "table.csv")


def test_every_general_layout_is_in_the_table():
    assert set(GENERAL) <= set(IMPORTERS)
