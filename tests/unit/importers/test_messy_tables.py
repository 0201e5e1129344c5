"""Tables as people write them: one reading of separators, encodings, paths and labels, and limits that hold before memory is full."""

import io
import zipfile

import numpy as np
import openpyxl
import pytest

from sweep.core.errors import InputError
from sweep.importers import import_dataset, tables
from sweep.importers.spelling import same_class
from sweep.importers.tables import read_table
from sweep.shards.reader import read_manifest, read_metadata
from tests.fakes import chexpert, medmnist
from tests.fakes.pictures import save_grey

HEADER = "path,label,person"


def source(folder, rows=None, header=HEADER, name="images.csv", encoding="utf-8", mark=","):
    """Six images in scans/ and a table of them."""
    for number in range(6):
        save_grey(folder / "scans" / f"{number}.png", seed=number)
    rows = rows or [f"scans/{number}.png,{('ill', 'well')[number % 2]},p{number // 2}" for number in range(6)]
    text = "\n".join([header, *rows]).replace(",", mark) + "\n"
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def imported(table, tmp_path, **options):
    import_dataset("csv", table, tmp_path / "out", **options)
    return read_metadata(tmp_path / "out")


def refused(table, tmp_path, importer="csv", **options):
    with pytest.raises(InputError) as mistake:
        import_dataset(importer, table, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists() and mistake.value.fix
    return str(mistake.value)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_and_encodings(tmp_path, mark, encoding):
    table = source(tmp_path / "in", mark=mark, encoding=encoding)
    assert len(imported(table, tmp_path, patient_column="person")) == 6


def test_the_separator_that_excel_names(tmp_path):
    table = source(tmp_path / "in", mark=";")
    table.write_text("sep=;\r\n" + table.read_text())
    assert len(imported(table, tmp_path)) == 6


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_other_encodings_are_named(tmp_path, encoding):
    rows = ["scans/0.png,gesünd,1", "scans/1.png,ill,2"]
    assert "not UTF-8" in refused(source(tmp_path / "in", rows, encoding=encoding), tmp_path)


def test_quotes_newlines_spaces_and_blank_lines(tmp_path):
    rows = ['"scans/0.png","ill ","a, b\nc"', "", "scans/1.png, ill,x", ",,", "scans/2.png,well\t,y"]
    table = source(tmp_path / "in", rows, header=" path ,label,note,")
    assert imported(table, tmp_path)["label"].tolist() == ["ill", "ill", "well"]
    assert read_table(table, ["path"]).index.tolist() == [2, 4, 6]


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [(None, "path,label,label", "row 1: the column 'label' comes twice"), (None, "path,lable,x", "did you mean lable"), ([], HEADER, ""),
     (["scans/0.png,ill,1,2,3"], HEADER, "row 2: 5 cells for 3 columns"), (['scans/0.png,"ill,1'], HEADER, "cannot be read as a table"),
     (["scans/0.png,1,a", "scans/1.png,1.0,b"], HEADER, "'1' and '1.0' look like one class"),
     (["scans/0.png,Benign,a", "scans/1.png,benign,b"], HEADER, "'Benign' and 'benign' look like one class"),
     (["scans/0.png,ill,a", "scans/0.png,well,b"], HEADER, "with the labels 'ill' and 'well'"),
     (["scans/0.png,ill,a", "./scans/0.png,well,b"], HEADER, "with the labels 'ill' and 'well'"),
     (["scans/0.png,ill,a", "scans/0.png,ill,b"], HEADER, "comes twice"), (["scans/0.png,ill,a", "scans/1.png,ill,b"], HEADER, "the one label 'ill'"),
     (["scans/0.png,ill,a", "/etc/passwd,well,b"], HEADER, "lies outside"), (["scans/0.png,ill,a", "scans/../../x.png,well,b"], HEADER, "lies outside"),
     (["scans/0.png,ill,a", "C:\\scans\\1.png,well,b"], HEADER, "lies outside"), (["scans/0.png,ill,a", f"{'x' * 5000}.png,well,b"], HEADER, "no image"),
     (["scans/0.png,ill,a", "scans,well,b"], HEADER, "no image"), (["scans/0.png,,a", "scans/1.png,well,b"], HEADER, "row 2, column label: an empty cell"),
     (["scans/0.png,ill\0,a"], HEADER, "zero byte")],
)  # fmt: skip
def test_mistakes_are_named_by_row_and_column(tmp_path, rows, header, said):
    if rows == []:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "images.csv").write_text(HEADER + "\n")
        assert "no rows" in refused(tmp_path / "in" / "images.csv", tmp_path)
        return
    assert said in refused(source(tmp_path / "in", rows, header), tmp_path)


def test_backslashes_and_absolute_paths_below_the_root(tmp_path):
    rows = ["scans\\0.png,ill,a", f"{tmp_path}/in/scans/1.png,well,b", "./scans//2.png,ill,c"]
    frame = imported(source(tmp_path / "in", rows), tmp_path)
    assert frame["image_id"].tolist() == ["scans/0.png", "scans/1.png", "scans/2.png"]
    assert str(tmp_path) not in str(read_manifest(tmp_path / "out").to_json())


def test_empty_cells_and_paths_outside_count_as_bad(tmp_path):
    rows = ["scans/0.png,,a", ",ill,b", "../x.png,well,c", "scans/1.png,ill,d", "scans/2.png,well,e"]
    assert len(imported(source(tmp_path / "in", rows), tmp_path, skip_bad=3)) == 2
    skipped = read_manifest(tmp_path / "out").settings["skipped"]
    assert "row 2, column label" in skipped[0] and "row 3, column path" in skipped[1] and "row 4" in skipped[2]


@pytest.mark.parametrize(("one", "other", "same"), [
    ("1", "1.0", True), ("01", "1", True), ("Benign", "benign ", True), ("no finding", "No_Finding", True), ("a", "b", False), ("1", "2", False), ("", "0", False),
    ("stage 1", "stage 2", False), ("nan", "NaN", True),
])  # fmt: skip
def test_spellings(one, other, same):
    assert (same_class(one) == same_class(other)) == same


def spreadsheet(path, change=lambda sheet: None):
    book = openpyxl.Workbook()
    book.active.append(HEADER.split(","))
    for number in range(6):
        book.active.append([f"scans/{number}.png", number % 2, number // 2 if number < 4 else float(number // 2)])
    change(book.active)
    book.save(path)
    return path


def test_numbers_of_a_spreadsheet_are_written_as_it_shows_them(tmp_path):
    source(tmp_path / "in")
    frame = imported(spreadsheet(tmp_path / "in" / "x.xlsx"), tmp_path, patient_column="person")
    assert set(frame["label"]) == {"0", "1"} and set(frame["patient"]) == {"0", "1", "2"}


def test_numbers_of_more_digits_than_a_spreadsheet_keeps_are_refused(tmp_path):
    source(tmp_path / "in")
    book = openpyxl.Workbook()
    for row in [
        ("path", "label", "p"),
        *((f"scans/{n}.png", ("ill", "well")[n % 2], 12345678901234567 + n) for n in range(6)),
    ]:
        book.active.append(row)
    book.save(tmp_path / "in" / "t.xlsx")
    said = refused(tmp_path / "in" / "t.xlsx", tmp_path, patient_column="p")
    assert "column p: '1.23457E+16' is a long number that a spreadsheet has shortened" in said


def test_a_spreadsheet_of_very_many_columns_or_rows_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MAX_ROWS", 4)
    path = spreadsheet(tmp_path / "wide.xlsx", lambda sheet: sheet.cell(3, 16_000, "x"))
    with pytest.raises(InputError, match="row 3: 16,000 columns"):
        tables.table_rows(path, ["path"])
    with pytest.raises(InputError, match="more than 4 rows"):
        tables.table_rows(spreadsheet(tmp_path / "long.xlsx"), ["path"])
    (tmp_path / "wide.csv").write_text(",".join(f"c{number}" for number in range(1_000_000)) + "\n1\n")
    with pytest.raises(InputError, match="1,000,000 columns"):
        read_table(tmp_path / "wide.csv", ["path"])


def test_a_spreadsheet_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MAX_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "x.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * (2 << 20))
    with pytest.raises(InputError, match="larger than 1 MiB when unpacked"):
        tables.table_rows(tmp_path / "x.xlsx", ["path"])


def npz(path, compression=zipfile.ZIP_STORED, **change):
    """A BreastMNIST with arrays replaced, or with bytes in an array's place."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, array in {**medmnist.arrays(), **change}.items():
            stream = io.BytesIO()
            if isinstance(array, bytes):
                stream.write(array)
            else:
                np.lib.format.write_array(stream, array, allow_pickle=False)
            archive.writestr(f"{name}.npy", stream.getvalue())
    return path


def header(shape, descr="|u1"):
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (117 - len(text)) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


LABELS = medmnist.arrays()["train_labels"]
ODD = {
    "NaN labels": {"train_labels": np.full(LABELS.shape, np.nan)},
    "float labels": {"train_labels": LABELS.astype(np.float32)},
    "text labels": {"train_labels": np.array([["benign"]] * 12)},
    "structured": {"train_labels": np.zeros(12, dtype=[("a", "u1"), ("b", "u1")])},
    "cube": {"train_labels": np.zeros((12, 1, 1), np.uint8)},
    "far more bytes than there are": {"train_images": header((10**6, 2000, 2000)) + b"\0" * 64},
    "a product beyond 64 bits": {"train_images": header((2**33, 2**33, 2**33)) + b"\0" * 64},
    "a product that wraps to nothing": {"train_images": header((2**32, 2**32, 1)) + b""},
    "negative": {"train_images": header((-1, 28, 28)) + b"\0" * 64},
    "huge rows": {"train_images": header((12, 10**6, 10**6)) + b"\0" * 64},
    "no shape": {"train_images": header(()) + b"\0"},
    "16-bit images": {"train_images": np.zeros((12, 28, 28), np.uint16)},
    "four channels": {"train_images": np.zeros((12, 28, 28, 4), np.uint8)},
    "volumes": {"train_images": np.zeros((12, 28, 28, 28), np.uint8)},
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_arrays_are_refused(tmp_path, kind):
    assert "breastmnist.npz" in refused(npz(tmp_path / "breastmnist.npz", **ODD[kind]), tmp_path, "medmnist")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(tmp_path, method):
    assert "compressed by method" in refused(npz(tmp_path / "breastmnist.npz", method), tmp_path, "medmnist")


def test_an_encrypted_archive_is_refused(tmp_path):
    path = npz(tmp_path / "breastmnist.npz")
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = data.find(mark)
        while place >= 0:
            data[place + offset] |= 1
            place = data.find(mark, place + 1)
    path.write_bytes(data)
    assert "encrypted" in refused(path, tmp_path, "medmnist")


def test_capitals_keep_the_class_names(tmp_path):
    import_dataset("medmnist", npz(tmp_path / "BreastMNIST_64.npz"), tmp_path / "out")
    assert read_manifest(tmp_path / "out").classes == ("benign", "malignant")


def _chexpert(folder, change):
    chexpert.write(folder)
    for table in folder.glob("*.csv"):
        rows = [line.split(",") for line in table.read_text().splitlines()]
        table.write_text("\n".join(",".join(row) for row in change(rows)) + "\n")
    return folder


def test_chexpert_without_the_column_of_views(tmp_path):
    src = _chexpert(tmp_path / "in", lambda rows: [[*row[:3], *row[4:]] for row in rows])
    accounts = []
    assert import_dataset("chexpert", src, tmp_path / "out", on_account=accounts.append).images == 7
    assert accounts[0].ignored["lateral views"][0] == 7


def test_chexpert_with_one_table_a_parent_folder_and_a_test_set(tmp_path):
    src = chexpert.write(tmp_path / "in" / "CheXpert-v1.0-small")
    assert import_dataset("chexpert", tmp_path / "in", tmp_path / "parent").images == 7
    (src / "test").mkdir()
    text = (
        (src / "valid.csv")
        .read_text()
        .replace("valid/", "test/")
        .replace("CheXpert-v1.0-small/", "CheXpert-v1.0/data/")
    )
    (src / "test_labels.csv").write_text(text)
    for path in sorted((src / "valid").iterdir()):
        path.rename(src / "test" / path.name)
    (src / "valid.csv").unlink()
    assert import_dataset("chexpert", src, tmp_path / "test", split="test").images == 2
    (src / "test_labels.csv").unlink()
    assert import_dataset("chexpert", src, tmp_path / "train").images == 5
    assert "no such file" in refused(src, tmp_path, "chexpert", split="valid")
