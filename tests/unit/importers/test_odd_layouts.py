"""Folders and tables whose names look like classes or patients and are none; what is meant is asked, never guessed."""

import numpy as np
import openpyxl
import pytest
import tifffile
from PIL import Image

from sweep.core.errors import InputError
from sweep.importers import import_dataset
from sweep.importers.spelling import means_nothing, same_class
from sweep.importers.tables import read_table
from sweep.shards.reader import read_manifest, read_metadata
from tests.fakes import busis, chestmnist, iqothnccd, medmnist
from tests.fakes.pictures import picture, save_grey
from tests.fakes.pillow import needs_pillow_13


def folders(root, names, each=2):
    for place, name in enumerate(names):
        for number in range(each):
            save_grey(root / name / f"{number}.png", seed=10 * place + number)
    return root


def imported(importer, src, tmp_path, **options):
    accounts = []
    import_dataset(importer, src, tmp_path / "out", on_account=accounts.append, **options)
    return accounts[0]


def refused(importer, src, tmp_path, **options):
    with pytest.raises(InputError) as mistake:
        import_dataset(importer, src, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists() and mistake.value.fix
    return str(mistake.value)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("benign", "benign_mask", "malignant", "malignant_masks"), "holds masks"),
        (("images", "labels"), "is no class"),
        (("Data", "Code"), "is no class"),
        (("imagesTr", "labelsTr"), "parts of a split"),
        (("Train (1)", "Test (1)"), "parts of a split"),
        (("internal_test", "external_test"), "parts of a split"),
        (("tr", "ts"), "parts of a split"),
        (("set1", "set2"), "parts of a split"),
        (("fold-A", "fold-B"), "parts of a split"),
        (("1_train", "2_test"), "parts of a split"),
        (("train_benign", "test_benign"), "parts of a split"),
        (("labeled", "unlabeled"), "parts of a split"),
        (("ill", "NaN"), "means a missing value"),
        ((" ", "well"), "means a missing value"),
        (("hospital/benign", "hospital/malignant", "clinic/benign", "clinic/malignant"), "which are the classes?"),
    ],
    ids=lambda value: "-".join(value)[:30] if isinstance(value, tuple) else "",
)
def test_names_that_are_no_classes(tmp_path, names, said):
    assert said in refused("folder", folders(tmp_path / "in", names), tmp_path)


@pytest.mark.parametrize(
    "names",
    [("TR", "MR"), ("benign", "malign"), ("grade 1", "grade 2"), ("benign/1", "benign/2", "malign/1", "malign/2"),
     ("benign/original", "benign/mask", "malign/original", "malign/mask"), ("none", "some"), ("data loss", "intact")],
)  # fmt: skip
def test_names_that_are_classes(tmp_path, names):
    imported("folder", folders(tmp_path / "in", names), tmp_path)
    assert len(read_manifest(tmp_path / "out").classes) == 2


def test_outer_folders_are_classes_where_that_is_said(tmp_path):
    src = folders(tmp_path / "in", ("ill/left", "ill/right", "well/left", "well/right"))
    assert "--accept same-subfolders" in refused("folder", src, tmp_path)
    assert imported("folder", src, tmp_path, accept=["same-subfolders"]).read == 8


def test_one_folder_under_two_names_is_refused(tmp_path):
    src = folders(tmp_path / "in", ("ill", "well"))
    (src / "sick").symlink_to(src / "ill")
    assert "links to the same folder as 'ill'" in refused("folder", src, tmp_path)


def test_a_folder_of_images_that_are_called_masks(tmp_path):
    src = folders(tmp_path / "in", ("ill", "well"))
    for path in list((src / "ill").iterdir()):
        path.rename(path.with_name(f"seg_{path.name}"))
    assert "2 masks by their names, like seg_0.png" in refused("folder", src, tmp_path)


def patients(tmp_path, rows):
    table = tmp_path / "patients.csv"
    table.write_text("\n".join(["image,patient", *rows]) + "\n")
    return {"patients": str(table)}


def test_patients_under_two_spellings_are_refused(tmp_path):
    src = folders(tmp_path / "in", ("ill", "well"))
    rows = ["ill/0.png,P-01", "ill\\1.png,p 01", "./well/0.png,3", "well/1.png,4"]
    assert "'P-01' and 'p 01' look like one patient" in refused("folder", src, tmp_path, **patients(tmp_path, rows))
    rows = ["ill/0.png,1234567", "ill\\1.png,1234568", "./well/0.png,12e400", "well/1.png,13e500", "well/9.png,4"]
    account = imported("folder", src, tmp_path, **patients(tmp_path, rows))
    assert account.patients == 4
    assert account.ignored["rows of the table of patients that name no image"][0] == 1


def test_patients_by_names_under_two_spellings_are_refused(tmp_path):
    src = folders(tmp_path / "in", ("ill", "well"), each=0)
    for place, name in (("ill", "1_a"), ("ill", "01_b"), ("well", "2_a"), ("well", "3_a")):
        save_grey(src / place / f"{name}.png", seed=len(name) + int(name.split("_")[0]))
    assert "'01' and '1' look like one patient" in refused("folder", src, tmp_path, patient_regex=r"^(\d+)_")


def table(tmp_path, rows, header="path,label,person,scanner"):
    for number in range(40):
        save_grey(tmp_path / "in" / f"{number}.png", seed=number)
    (tmp_path / "in" / "x.csv").write_text("\n".join([header, *rows]) + "\n")
    return tmp_path / "in" / "x.csv"


def rows(
    person=lambda number: number // 2, label=lambda number: ("ill", "well")[number % 2], scanner=lambda number: "GE"
):
    return [f"{number}.png,{label(number)},{person(number)},{scanner(number)}" for number in range(40)]


COLUMNS = {"patient_column": "person", "domain_column": "scanner"}
MISTAKES = {
    "patients": (rows(person=lambda n: ("7", "7.0")[n] if n < 2 else n), "'7' and '7.0' look like one patient"),
    "scanners": (rows(scanner=lambda n: ("GE", "ge")[n % 2]), "'GE' and 'ge' look like one scanner"),
    "placeholder": (rows(person=lambda n: "ANON" if n < 30 else n), "'ANON' covers 30 of 40 images, as a placeholder"),
    "decimal comma": (rows(label=lambda n: ("1", '"1,0"', "0")[n % 3]), "'1' and '1,0' look like one class"),
    "nan": (rows(label=lambda n: ("nan", "well", "ill")[n % 3]), "row 2, column label: 'nan' means a missing value"),
    "missing labels in two spellings": (
        rows(label=lambda n: ("nan", "NaN", "ill")[n % 3]),
        "row 2, column label: 'nan' means a missing value",
    ),
    "missing scanner": (
        rows(scanner=lambda n: "GE" if n else "NaN"),
        "row 2, column scanner: 'NaN' means a missing value; fill it, or leave out --domain-column",
    ),
    "shortened patients": (
        rows(person=lambda n: "1.23E+15" if n < 4 else n),
        "column person: '1.23E+15' is a long number that a spreadsheet has shortened: each patient of these digits",
    ),
    "shortened classes": (rows(label=lambda n: ("1e+00", "0e+00")[n % 2]), "'0e+00' is a long number"),
    "two patients of one image": (
        [*rows(), "0.png,ill,9,GE"],
        "0.png: listed twice, with the patients '0' and '9'; remove the wrong one",
    ),
    "N/A": (rows(label=lambda n: "ill" if n else "N/A"), "row 2, column label: 'N/A' means a missing value"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_of_tables(tmp_path, kind):
    lines, said = MISTAKES[kind]
    assert said in refused("csv", table(tmp_path, lines), tmp_path, skip_bad=0 if "row" in said else 3, **COLUMNS)


def test_a_missing_patient_is_no_patient(tmp_path):
    account = imported("csv", table(tmp_path, rows(person=lambda n: "nan" if n < 30 else n)), tmp_path, **COLUMNS)
    assert account.without_patient == 30 and account.patients == 10


def test_missing_patients_in_two_spellings_are_none(tmp_path):
    lines = rows(person=lambda n: ("nan", "NaN")[n % 2] if n < 30 else n)
    assert imported("csv", table(tmp_path, lines), tmp_path, **COLUMNS).without_patient == 30


def test_a_subfolder_that_is_called_as_another_class_is_refused(tmp_path):
    src = folders(tmp_path / "in", ("ill", "well", "ill/day 1/Well"))
    said = refused("folder", src, tmp_path)
    assert "ill/day 1/Well: a folder of the class 'ill' is called as the class 'well'" in said
    assert imported("folder", src, tmp_path, accept=["same-subfolders"]).read == 6


def test_the_words_for_nothing():
    assert all(map(means_nothing, ("", " ", "NaN", "#N/A", "null", "?")))
    assert not any(map(means_nothing, ("none", "normal", "unknown", "0", "-")))
    assert same_class("1,50") == same_class("1.5") != same_class("1.51") and same_class("1e3") != same_class("1000")


def book(path, **sheets):
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, lines in sheets.items():
        sheet = made.create_sheet(name)
        for line in lines:
            sheet.append(line)
    made.save(path)
    return path


def test_the_sheet_that_has_the_columns(tmp_path):
    data = [["path", "label"], ["0.png", "ill"], ["1.png", "well"]]
    path = book(tmp_path / "x.xlsx", about=[["written by", "somebody"]], cases=data)
    assert read_table(path, ["path", "label"])["label"].tolist() == ["ill", "well"]
    both = book(tmp_path / "y.xlsx", first=data, second=data)
    with pytest.raises(InputError, match="the sheets 'first', 'second' all have the columns path, label"):
        read_table(both, ["path", "label"])
    with pytest.raises(InputError, match="no column 'diagnosis'"):
        read_table(path, ["diagnosis"])


@pytest.mark.parametrize(
    ("head", "said"), [(b"\xd0\xcf\x11\xe0", "save it as .xlsx or .csv"), (b"PK\x03\x04", "name it .xlsx")]
)
def test_spreadsheets_under_another_suffix(tmp_path, head, said):
    (tmp_path / "x.csv").write_bytes(head + bytes(60))
    with pytest.raises(InputError, match=said):
        read_table(tmp_path / "x.csv", ["path"])


def test_two_files_of_one_case(tmp_path):
    src = busis.write(tmp_path / "in")
    save_grey(src / "Original" / "case01.bmp", seed=4)
    assert "the same case as case" in refused("busis", src, tmp_path)


def npz(path, arrays):
    np.savez(path, **arrays)
    return path


def test_a_renamed_archive_keeps_its_classes(tmp_path):
    import_dataset("medmnist", npz(tmp_path / "copy of BreastMNIST (1).npz", medmnist.arrays()), tmp_path / "out")
    assert read_manifest(tmp_path / "out").positive == "malignant"


@pytest.mark.parametrize("value", [-1, 7])
def test_labels_that_are_no_class(tmp_path, value):
    arrays = medmnist.arrays()
    labels = arrays["train_labels"].astype(np.int16)
    labels[3] = value
    assert f"the label {value}" in refused(
        "medmnist", npz(tmp_path / "breastmnist.npz", {**arrays, "train_labels": labels}), tmp_path
    )
    chestmnist.write(tmp_path / "in")
    (path,) = (tmp_path / "in").rglob("*.npz") if (tmp_path / "in").is_dir() else [tmp_path / "in"]
    arrays = dict(np.load(path))
    findings = arrays["train_labels"].astype(np.int16)
    findings[2, 1] = value
    assert f"a finding of value {value}" in refused(
        "chestmnist", npz(path, {**arrays, "train_labels": findings}), tmp_path
    )


def test_column_major_arrays_are_named_with_what_helps(tmp_path):
    arrays = {name: np.asfortranarray(array) for name, array in medmnist.arrays().items()}
    assert "numpy.ascontiguousarray" in refused("medmnist", npz(tmp_path / "breastmnist.npz", arrays), tmp_path)


def test_a_strip_is_no_scan(tmp_path):
    src = folders(tmp_path / "in", ("ill", "well"))
    Image.new("L", (60_000, 8)).save(src / "ill" / "strip.png")
    assert "60000 x 8 pixels: 1 would be left" in refused("folder", src, tmp_path)
    (src / "ill" / "strip.png").unlink()
    Image.new("L", (300, 40)).save(src / "ill" / "wide.png")
    assert imported("folder", src, tmp_path).read == 5


def test_one_dark_file_among_many_is_said(tmp_path):
    src = folders(tmp_path / "in", ("ill", "well"))
    for number in range(12):
        Image.fromarray(picture(number).astype(np.uint16) * 257).save(src / "ill" / f"deep{number}.png")
    Image.fromarray(picture(1).astype(np.uint16) * 16).save(src / "well" / "twelve.png")
    account = imported("folder", src, tmp_path)
    assert account.dark == (1, "well/twelve.png") and "nearly of one grey, like well/twelve.png" in str(account.lines())


@needs_pillow_13
def test_grey_times_opacity_is_what_a_viewer_shows(tmp_path):
    src = folders(tmp_path / "in", ("ill", "well"))
    pixels = np.stack([picture(3) // 2, np.full_like(picture(3), 128)], axis=2)
    tifffile.imwrite(src / "ill" / "a.tif", pixels, photometric="minisblack", extrasamples=["assocalpha"],
                     planarconfig="contig", metadata=None)  # fmt: skip
    imported("folder", src, tmp_path)
    frame = read_metadata(tmp_path / "out").set_index("image_id")
    assert frame.loc["ill/a.tif", "transparent"]


def test_groups_of_slices_are_not_called_patients(tmp_path):
    lines = imported("iqothnccd", iqothnccd.write(tmp_path / "in"), tmp_path).lines()
    assert "12 runs of similar slices" in lines[-1] and "groups cannot stand in for cases" in lines[-1]
