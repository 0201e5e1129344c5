"""One bad file in a folder of good ones: refused by name with nothing left behind, or left out and listed on request."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sweep.core.errors import InputError
from sweep.importers import decode, import_dataset
from sweep.importers.__main__ import main
from sweep.shards.reader import read_manifest
from tests.fakes import csv_table
from tests.fakes.pictures import picture, save_grey

NAME = "bad (3).png"


def _saved(array, path, **how):
    Image.fromarray(array).save(path, **how)


def _cut(path):
    _saved(picture(3), path)
    path.write_bytes(path.read_bytes()[:-300])


BAD = {
    "truncated": (_cut, "damaged"),
    "zero bytes": (lambda path: path.write_bytes(b""), "0 bytes"),
    "another kind of file": (lambda path: path.write_text("patient,label\n1,benign\n"), "not an image"),
    "an archive": (lambda path: path.write_bytes(b"PK\x03\x04" + b"\0" * 60), "not an image"),
    "a decompression bomb": (lambda path: Image.new("1", (9000, 9000)).save(path), "64,000,000 pixels"),
    "a bomb in its header alone": (lambda path: path.write_bytes(_header(60_000, 60_000)), "64,000,000 pixels"),
    "one pixel": (lambda path: _saved(picture(3)[:1, :1], path), "1 x 1 pixels"),
    "a line": (lambda path: _saved(np.tile(picture(3), (1, 40))[:2], path), "x 2 pixels"),
    "32-bit floats": (lambda path: _saved(picture(3).astype(np.float32), path, format="TIFF"), "floating-point"),
    "not a number": (lambda path: _saved(np.full((30, 30), np.nan, np.float32), path, format="TIFF"), "floating-point"),
    "32-bit whole numbers": (
        lambda path: _saved(picture(3).astype(np.int32) * 1000, path, format="TIFF"),
        "do not fit 16 bits",
    ),
}


def _header(width, height):
    """A PNG that promises a size and holds nothing."""

    def chunk(kind, content=b""):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND")


def source(folder):
    """Five good images, and the place of a bad one among them."""
    for number in (1, 2, 4, 5):
        save_grey(folder / ("ill" if number % 2 else "well") / f"good ({number}).png", seed=number)
    return folder / "well" / NAME


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_by_name_or_listed(tmp_path, capsys, kind):
    spoil, message = BAD[kind]
    bad = source(tmp_path / "source")
    spoil(bad)
    with pytest.raises(InputError, match=message) as refused:
        import_dataset("folder", tmp_path / "source", tmp_path / "set")
    assert refused.value.where == str(bad) and refused.value.fix
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    assert main(["folder", str(tmp_path / "source"), str(tmp_path / "set"), "--skip-bad", "1"]) == 0
    assert "skipped 1 bad images" in (said := capsys.readouterr().out) and NAME in said
    manifest = read_manifest(tmp_path / "set")
    assert manifest.images == 4 and NAME in manifest.settings["skipped"][0]


def test_no_permission(tmp_path, monkeypatch):
    save_grey(tmp_path / "x.png", seed=9)

    def locked(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(decode, "open_image", locked)
    with pytest.raises(InputError, match="no permission") as refused:
        decode.read_grey(tmp_path / "x.png")
    assert refused.value.where == str(tmp_path / "x.png")


def test_the_content_decides_what_a_file_is_not_its_ending(tmp_path):
    source(tmp_path / "source")
    Image.fromarray(picture(7)).save(tmp_path / "source" / "well" / "a PNG.jpg", format="PNG")
    assert import_dataset("folder", tmp_path / "source", tmp_path / "set").images == 5


def test_a_table_in_another_encoding_is_named(tmp_path):
    path = csv_table.write(tmp_path / "source")
    table = path if path.is_file() else next(path.rglob("*.csv"))
    table.write_bytes(table.read_bytes() + "Zürich.png,gutartig\n".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8") as refused:
        import_dataset("csv", path, tmp_path / "set", **getattr(csv_table, "OPTIONS", {}))
    assert str(table) in refused.value.where and "UTF-8" in refused.value.fix and not (tmp_path / "set").exists()
