"""DICOM files in class folders, or named by a table: headers by whitelist, patients hashed with a key, every frame an image.

python -m sweep.importers dicom EXPORT shards/clinic --key-file ~/clinic.key --burned-in blank
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError
from sweep.importers.dicom_header import Facts, hashed, read_facts, read_key
from sweep.importers.dicom_pixels import check_window, read_frame
from sweep.importers.files import class_folders, natural_key, read_table
from sweep.importers.raw import Importer, RawImage

SUFFIXES = frozenset({".dcm", ".dicom", ".ima", ""})
_NO_IMAGE = frozenset({"DICOMDIR"})
_BURNED_IN = ("refuse", "blank", "keep")
_FRAMES = ("all", "middle")
_EXPECTS = "a folder per class with DICOM files (.dcm) below it, or --table FILE with columns path and label"


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
    window = check_window(options["window"])
    files = list(_of_table(src, options["table"]) if options["table"] else _of_folders(src))
    key = read_key(options["key_file"])
    for path, label in files:
        yield from _images(
            path, label, f"{label}/{hashed(path.relative_to(src).as_posix(), key)}", key, options, window
        )


def _of_folders(src: Path) -> Iterator[tuple[Path, str]]:
    found = False
    for folder in class_folders(src, _EXPECTS):
        files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        wanted = [path for path in files if path.name not in _NO_IMAGE and not path.name.startswith(".")]
        for path in sorted(wanted, key=lambda path: natural_key(path.as_posix())):
            found = True
            yield path, folder.name
    if not found:
        raise InputError(src, "no DICOM file below it", f"expects {_EXPECTS}")


def _of_table(src: Path, name: str) -> Iterator[tuple[Path, str]]:
    place = src / name
    for row, entry in read_table(place, ["path", "label"]).iterrows():
        path = src / entry["path"]
        if not path.resolve().is_relative_to(src.resolve()):
            raise InputError(
                f"{place}, row {row}, column path", f"{entry['path']!r} lies outside of {src}", "correct the path"
            )
        if not entry["label"]:
            raise InputError(f"{place}, row {row}, column label", "no label", "give one, or remove the row")
        yield path, entry["label"]


def _images(
    path: Path, label: str, alias: str, key: bytes, options: Mapping[str, Any], window: str
) -> Iterator[RawImage]:
    """One RawImage per frame; a file that cannot be used yields one that says so when it is read."""
    # File names may hold a patient's name: the shards keep hashes instead, of violations too.
    if not path.is_file():
        yield RawImage(
            alias,
            label,
            alias=alias,
            bad=InputError(path, "there is no such file", "correct the table, or pass --skip-bad N"),
        )
        return
    try:
        facts = read_facts(path, key)
        if facts.written_on and options["burned_in"] == "refuse":
            fix = "look at the images, then pass --burned-in keep; blank blackens all but the scan of ultrasound frames"
            raise InputError(path, facts.written_on, fix)
    except InputError as error:
        yield RawImage(alias, label, path, alias=alias, bad=error)
        return
    read = {"window": window, "blank": options["burned_in"] == "blank" and bool(facts.written_on)}
    for frame in range(facts.frames) if options["frames"] == "all" else (facts.frames // 2,):
        name = f"{facts.uid}-{frame}" if facts.frames > 1 else facts.uid
        yield RawImage(
            name, label, path, patient=facts.patient or _alone(facts), source_path=f"{label}/{facts.uid}.dcm", alias=alias,
            read=partial(read_frame, frame=frame, **read),
        )  # fmt: skip


def _alone(facts: Facts) -> str:
    """Without a patient id the frames of one file still belong together."""
    return f"instance {facts.uid}" if facts.frames > 1 else ""


ROW = Importer(
    describe="DICOM files of any clinic (extra: dicom)",
    expects=_EXPECTS,
    licence="unknown",
    citation="",
    source="",
    iterate=_iterate,
    domain="clinic",
    # table: labels by path instead of class folders; key_file: secret that patient ids are hashed with; burned_in: what to do with
    # frames that may have a name written on them (refuse, blank, keep); frames: all or the middle one; window: CENTER/WIDTH
    # instead of the header's own.
    options={"table": "", "key_file": "", "burned_in": "refuse", "frames": "all", "window": ""},
    choices={"burned_in": _BURNED_IN, "frames": _FRAMES},
    help={
        "table": "Table of paths and labels; empty: the class folders below SRC are the labels.",
        "key_file": "File with a secret that patient ids are hashed with.",
        "burned_in": "What to do with frames that may have a name written on them.",
        "frames": "All frames of a file, or the middle one.",
        "window": "Grey-level window as CENTER/WIDTH; empty: the header's own.",
    },
    total=lambda src, options: None,  # the frames of a file stand in its header
    traps="names in headers, file names and pixels; MONOCHROME1 is inverted; stored values mean nothing before rescale and window",
)
