"""The import command on what people type and on what folders and tables hold by mistake: refused with what helps, or read and said."""

import gzip
import os
import shutil
import struct

import numpy as np
import pytest
from PIL import Image

from sweep.importers.__main__ import main
from tests.fakes.pictures import picture, save_grey


@pytest.fixture
def place(tmp_path):
    """A folder with in/ill and in/well, four images each."""
    for start, label in enumerate(("ill", "well")):
        for number in range(4):
            save_grey(tmp_path / "in" / label / f"{number}.png", seed=10 * start + number)
    return tmp_path


def result(capsys, *words):
    """Exit status, and what was said in one line."""
    status = main([str(word) for word in words])
    said = capsys.readouterr()
    return status, " ".join((said.out + said.err).split())


def _cyclic(path):
    """A TIFF whose directory names itself as the next one."""
    Image.fromarray(picture(1)).save(path)
    data = bytearray(path.read_bytes())
    (start,) = struct.unpack("<I", data[4:8])
    (count,) = struct.unpack("<H", data[start : start + 2])
    data[start + 2 + 12 * count : start + 6 + 12 * count] = struct.pack("<I", start)
    path.write_bytes(data)


def _grey(path, value, alpha=255):
    Image.new("RGBA", (60, 50), (value, value, value, alpha)).save(path)


def _several(form):
    def save(path):
        first, second = (Image.fromarray(picture(seed)).convert("RGB") for seed in (1, 2))
        first.save(path, format=form, save_all=True, append_images=[second])

    return save


def _exif_without_end(path):
    """EXIF data that announce five entries and hold one."""
    Image.fromarray(picture(1)).save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0")


def _as(form, mode="L"):
    return lambda path: Image.fromarray(picture(77)).convert(mode).resize((128, 128)).save(path, format=form)


# What lies beside good images: its name, how it is made, whether it is read, and what is said.
FILES = {
    **{form: ("x.png", _as(form, mode), False, "not an image that can be read") for form, mode in
       (("ICO", "L"), ("PCX", "L"), ("DDS", "RGB"), ("MSP", "1"), ("SGI", "L"), ("XBM", "1"), ("PDF", "L"), ("EPS", "L"))},
    "svg": ("x.png", lambda path: path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>"), False, "not an image"),
    "web page": ("x.jpg", lambda path: path.write_text("<!doctype html><html>404</html>"), False, "not an image"),
    "several frames": ("x.png", _several("PNG"), False, "several frames"),
    "several webp frames": ("x.webp", _several("WEBP"), False, "several frames"),
    "several pictures in a jpeg": ("x.jpg", _several("MPO"), False, "several frames"),
    "EXIF data without end": ("x.jpg", _exif_without_end, True, "1 images were read with a warning of their decoder, like ill/x.jpg: Corrupt EXIF"),
    "a directory that names itself": ("x.tif", _cyclic, True, "9 images read"),
    "black": ("x.png", lambda path: _grey(path, 0), True, "1 images are of a single grey, like ill/x.png"),
    "white": ("x.png", lambda path: _grey(path, 255), True, "1 images are of a single grey"),
    "transparent": ("x.png", lambda path: _grey(path, 200, alpha=0), True, "1 images are of a single grey"),
    "CMYK": ("x.png", lambda path: Image.new("CMYK", (50, 60), (10, 20, 30, 40)).save(path, format="JPEG"), True, "9 images read"),
    "resource fork": ("._0.png", lambda path: path.write_bytes(b"\0\5\x16\7" + bytes(80)), None, "1 hidden and system files, like ill/._0.png"),
    "thumbnails": ("Thumbs.db", lambda path: path.write_bytes(b"x"), None, "1 hidden and system files"),
    "half a download": ("a.png.crdownload", lambda path: path.write_bytes(b"\x89PNG"), None, "1 no images (.crdownload)"),
    "backup": ("0.png~", lambda path: shutil.copy(path.parent / "0.png", path), None, "1 images under the suffix .png~"),
    "compressed": ("9.png.gz", lambda path: path.write_bytes(gzip.compress((path.parent / "0.png").read_bytes())), None, "1 archives"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_files_beside_images(place, capsys, kind):
    name, make, read, said = FILES[kind]
    make(place / "in" / "ill" / name)
    status, text = result(capsys, "folder", place / "in", place / "out")
    assert said in text and status == (2 if read is False else 0)
    assert (place / "out").exists() == (status == 0)
    if status == 0:
        assert f"{9 if read else 8} images read" in text


def _patients(place, *lines):
    (place / "p.csv").write_text("\n".join(["image,patient", *lines]) + "\n")
    return place / "p.csv"


def _link(place):
    (place / "link").symlink_to(place / "in", target_is_directory=True)
    return place / "link"


def _a_file(place):
    (place / "file").write_text("x")
    return place / "file"


WORDS = {
    "no source": (lambda p: ["", p / "out"], "SRC: '' is no path"),
    "blank source": (lambda p: ["  ", p / "out"], "SRC: ' ' is no path"),
    "no destination": (lambda p: [p / "in", ""], "not a usable address (it is empty)"),
    "destination with a line break": (lambda p: [p / "in", p / "a\nb"], "it has a NUL byte or a line break"),
    "destination is the source": (lambda p: [p / "in", p / "in"], "in: it is the source itself; choose a new folder"),
    "destination in the source": (lambda p: [p / "in", p / "in/new/set"], "in/new/set: it lies inside the source"),
    "destination in the source by a link": (lambda p: [p / "in", _link(p) / "set"], "link/set: it lies inside the source"),
    "source in the destination": (lambda p: [p / "in", p], "/in lies inside it; choose a new folder"),
    "destination below a file": (
        lambda p: [p / "in", _a_file(p) / "x"],
        "cannot be written (Not a directory)",
    ),
    "source is a file": (lambda p: [p / "in/ill/0.png", p / "out"], "not a folder"),
    "source is a class": (lambda p: [p / "in/ill", p / "out"], "holds no class folder"),
    "blank domain": (lambda p: [p / "in", p / "out", "--domain", "  "], "domain (--domain): ' ' is no name"),
    "domain of two lines": (lambda p: [p / "in", p / "out", "--domain", "a\nb"], "'a\\nb' is no name"),
    "deep": (lambda p: [p / "in", p / "out", "--depth", "40"], "40 bits; give 8 to 16"),
    "unknown check": (lambda p: [p / "in", p / "out", "--accept", "one-clas"], "did you mean one-class?"),
    "no group": (lambda p: [p / "in", p / "out", "--patient-regex", r"^\d"], "has 0 groups"),
    "patients twice": (lambda p: [p / "in", p / "out", "--patients", _patients(p, "a,1"), "--patient-regex", r"^(\d)"], "give one of the two"),
    "patients are an image": (lambda p: [p / "in", p / "out", "--patients", p / "in/ill/0.png"], "not text, and so no table"),
    "patients are a folder": (lambda p: [p / "in", p / "out", "--patients", p / "in"], "a folder, not a table"),
    "two patients of an image": (lambda p: [p / "in", p / "out", "--patients", _patients(p, "ill/0.png,1", "ill/0.png,2")], "a second patient of 'ill/0.png'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WORDS)
def test_words_on_the_command_line(place, capsys, kind):
    words, said = WORDS[kind]
    status, text = result(capsys, "folder", *words(place))
    assert status == 2 and said in text and not (place / "out").exists()


ROWS = [f"{label}/{number}.png,{label}" for label in ("ill", "well") for number in range(4)]


def _changed(row, place=-1):
    return [*ROWS[:place], row, *(ROWS[place + 1 :] if place != -1 else [])]


def _labels(**names):
    return [
        row.replace(",ill", f",{names.get('ill', 'ill')}").replace(",well", f",{names.get('well', 'well')}")
        for row in ROWS
    ]


# Rows of a table, the options of the command, and what is said.
TABLES = {
    "label in the path column": (ROWS, ["--label-column", "path"], "'path' is the column of the path, too"),
    "patient in the label column": (ROWS, ["--patient-column", "label"], "'label' is the column of the label, too"),
    "patient in the path column": (ROWS, ["--patient-column", "path"], "'path' is the column of the path, too"),
    "scanner in the label column": (ROWS, ["--domain-column", "label"], "'label' is the column of the label, too"),
    "no root": (ROWS, ["--root", "/nowhere"], "--root: /nowhere: there is no such folder"),
    "row twice": ([*ROWS, ROWS[0]], [], "comes twice; remove one of its rows"),
    "row twice, two labels": ([*ROWS, "ill/0.png,well"], [], "listed twice, with the labels 'ill' and 'well'"),
    "zero byte": ([*ROWS, "ill/0\0.png,ill"], [], "a zero byte (character 136); remove it"),
    "endless cell": (_changed("well/3.png," + "x" * 200_000), [], "field larger than field limit"),
    "open quote": (_changed('"well/3.png,well'), [], "close the quotes"),
    "a folder as image": ([*ROWS, "ill,ill"], [], "row 10, column path: no image"),
    "a dot as image": ([*ROWS, ".,ill"], [], "'.' means a missing value"),
    "an address as image": ([*ROWS, "https://x/y.png,ill"], [], "row 10, column path: no image"),
    "dash": (_changed("well/3.png,-"), [], "'-' may mean a missing value or a negative finding"),
    "question mark": (_changed("well/3.png,?"), [], "'?' means a missing value"),
    "blank label": (_changed("well/3.png,  "), [], "an empty cell"),
    "two classes in a cell": (_changed("well/3.png,ill;well"), [], "'ill;well' names several of the other classes"),
    "two classes with a plus": (_changed("well/3.png,Well + ill"), [], "names several of the other classes"),
    "no and n": ([*_labels(ill="yes", well="no")[:7], "well/3.png,n"], [], "look like one class"),
    "TRUE and yes": ([*_labels(ill="TRUE", well="FALSE"), "well/3.png,yes"], [], "'TRUE' and 'yes' look like one class"),
    "m and malignant": ([*_labels(ill="malignant", well="benign"), "well/3.png,m"], [], "'m' and 'malignant' look like one class"),
    "a letter of another alphabet": (_changed("ill/3.png,\u0456ll", 3), [], "look like one class"),
    "a character that is not shown": (_changed("ill/3.png,i\u200bll", 3), [], "'i\\u200bll' look like one class"),
    "another Unicode form": ([*_labels(ill="malign\u00e9")[:3], "ill/3.png,maligne\u0301", *ROWS[4:]], [], "look like one class"),
    "a measurement": ([f"{row.split(',')[0]},{number * 1.37:.3f}" for number, row in enumerate(ROWS)], [], "8 labels for 8 images"),
    "cells without a header": (_changed("well/3.png,well,oops"), [], "3 cells for 2 columns"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_tables(place, capsys, kind):
    rows, words, said = TABLES[kind]
    table = place / "in" / "t.csv"
    table.write_text("\n".join(["path,label", *rows]) + "\n", encoding="utf-8")
    status, text = result(capsys, "csv", table, place / "out", *words)
    assert status == 2 and said in text and not (place / "out").exists()


@pytest.mark.parametrize(
    ("label", "classes"),
    [("stage 1", "stage 2"), ("TRUE", "False"), ("a;b", "c"), ("b", "d"), ("grade I", "grade II"), ("normal", "abnormal"), ("yes", "unsure")],
)  # fmt: skip
def test_classes_that_only_seem_alike_are_kept(place, capsys, label, classes):
    table = place / "in" / "t.csv"
    table.write_text("\n".join(["path,label", *_labels(ill=label, well=classes)]) + "\n")
    status, text = result(capsys, "csv", table, place / "out")
    assert status == 0 and f"{label} 4" in text and f"{classes} 4" in text


def test_a_class_name_that_is_not_all_shown_is_no_lost_class(place, capsys):
    os.rename(place / "in" / "ill", place / "in" / "i\u200bll")
    status, text = result(capsys, "folder", place / "in", place / "out")
    assert status == 0 and "8 images read" in text


def test_slices_of_a_single_grey_and_archives_of_arrays(place, capsys):
    for label, values in (("ill", np.zeros((3, 40, 50), np.uint8)), ("well", np.stack([picture(k) for k in range(3)]))):
        np.save(place / "in" / label / "v.npy", values)
    status, text = result(capsys, "volumes", place / "in", place / "out")
    assert status == 0 and "warning: 3 images are of a single grey, like ill/v.npy" in text
    with open(place / "in" / "ill" / "a.npy", "wb") as stream:
        np.savez(stream, a=np.zeros((3, 40, 50), np.uint8))
    status, text = result(capsys, "volumes", place / "in", place / "other")
    assert status == 2 and "a.npy: an .npz archive under the suffix .npy" in text
