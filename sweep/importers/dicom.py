"""DICOM files in class folders, or named by a table: headers by whitelist, patients hashed with a key, every frame an image.

python -m sweep.importers dicom EXPORT shards/clinic --key-file ~/clinic.key --burned-in blank
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sweep.core.bounded import bounded
from sweep.core.errors import InputError, printable
from sweep.importers.csv_table import below
from sweep.importers.dicom_directory import LEVELS, labelled_files
from sweep.importers.dicom_header import Facts, hashed, is_dicom, named, read_facts, read_key
from sweep.importers.dicom_pixels import check_window, read_frame
from sweep.importers.files import read_table
from sweep.importers.folder import check_nested, class_folders_of
from sweep.importers.raw import Ignored, Importer, RawImage
from sweep.importers.spelling import check_spellings, means_nothing
from sweep.importers.walk import is_file, listing

_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})  # a file so called is meant to be DICOM, whatever it holds
_BURNED_IN = ("refuse", "blank", "keep")
_FRAMES = ("all", "middle")
_PATIENT_FROM = ("patient", "study", "series")
_EXPECTS = "a folder per class with DICOM files below it, or --table FILE with columns path and label, or patient and label with a DICOMDIR"


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage | Ignored]:
    with named(src):  # says what to install before any file is looked at
        pass
    window = check_window(options["window"])
    files = list(_of_table(src, options) if options["table"] else _of_folders(src, options))
    key = read_key(options["key_file"])
    for file in files:
        if isinstance(file, Ignored):
            yield file
            continue
        path, label = file
        alias = f"{label or 'image'}/{hashed(printable(path.relative_to(src).as_posix()), key)}"
        yield from _images(path, label, alias, key, {**options, "window": window})


def _of_folders(src: Path, options: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    found, unlabelled = False, options["unlabelled"]
    folders = [src] if unlabelled else class_folders_of(src, _EXPECTS, options["accept"])
    for folder in folders:
        files = [path for path in listing(folder).files if _is_dicom(path)]
        if "same-subfolders" not in options["accept"]:
            check_nested(folder, files, [other.name for other in folders])
        if not files:
            raise InputError(folder, "no DICOM file below it", f"fill it or remove it; expects {_EXPECTS}")
        for path in files:
            found = True
            yield path, "" if unlabelled else folder.name
    if not found:
        raise InputError(src, "no DICOM file below it", f"expects {_EXPECTS}")


def _is_dicom(path: Path) -> bool:
    """By content: names in exports are often UIDs, whose last number is no suffix."""
    if path.suffix.lower() in _SUFFIXES:
        return True
    try:
        return path.is_file() and is_dicom(path)
    except OSError:
        return False


def _of_table(src: Path, options: Mapping[str, Any]) -> Iterator[tuple[Path, str] | Ignored]:
    place, unlabelled = src / options["table"], options["unlabelled"]
    table = read_table(place, ["path"] if unlabelled else ["label"])
    if not unlabelled:
        check_spellings(table["label"], f"{place}, column label")
        level = next((level for level in LEVELS if level in table and "path" not in table), None)
        if level is not None:
            yield from labelled_files(src, table[~table["label"].map(means_nothing)], level, place)
            return
        table = read_table(place, ["path", "label"])
    for row, entry in table.iterrows():
        listed = below(src, entry["path"]) if entry["path"] else None
        if listed is None or not (src / listed).resolve().is_relative_to(src.resolve()):
            problem = f"{entry['path']!r} lies outside of {src}" if entry["path"] else "an empty cell"
            raise InputError(f"{place}, row {row}, column path", problem, "correct the path")
        if not unlabelled and means_nothing(entry["label"]):
            raise InputError(
                f"{place}, row {row}, column label", f"{entry['label']!r}: no label", "give one, or remove the row"
            )
        yield src / listed, "" if unlabelled else entry["label"]


def _images(path: Path, label: str, alias: str, key: bytes, options: Mapping[str, Any]) -> Iterator[RawImage | Ignored]:
    """One RawImage per frame; a file that cannot be used yields one that says so when it is read."""
    # File names may hold a patient's name: the shards keep hashes instead, of violations too.
    if not is_file(path):
        bad = InputError(path, "there is no such file", "correct the table, or pass --skip-bad N")
        yield RawImage(alias, label, alias=alias, bad=bad)
        return
    try:
        facts = Facts(**bounded(read_facts, path, key, where=path))
        if facts.written_on and options["burned_in"] == "refuse":
            fix = "look at the images, then pass --burned-in keep; blank blackens all but the scan of ultrasound frames"
            raise InputError(path, facts.written_on, fix)
    except InputError as error:
        yield RawImage(alias, label, path, alias=alias, bad=error)
        return
    if facts.no_scan:
        yield Ignored(str(path), facts.no_scan, path, missed=label)
        return
    blank = options["burned_in"] == "blank" and bool(facts.written_on)
    for frame in range(facts.frames) if options["frames"] == "all" else (facts.frames // 2,):
        name = f"{facts.uid}-{frame}" if facts.frames > 1 else facts.uid
        read = partial(read_frame, frame=frame, window=options["window"], blank=blank, depth=options["depth"])
        yield RawImage(
            name, label, path, patient=_patient(facts, options["patient_from"]), source_path=f"{label or 'image'}/{facts.uid}.dcm",
            alias=alias, read=read, study=facts.study,
        )  # fmt: skip


def _patient(facts: Facts, source: str) -> str:
    """The group that must not be split: the patient, or the nearest thing that the header identifies."""
    named = {"patient": facts.patient, "study": facts.study, "series": facts.series}
    for kind in _PATIENT_FROM[_PATIENT_FROM.index(source) :]:
        if named[kind]:
            return named[kind] if kind == "patient" else f"{kind} {named[kind]}"
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
    # instead of the header's own; patient_from: what is kept on one side of a split (patient, study, series), the next one where the
    # header has none.
    options={
        "table": "",
        "key_file": "",
        "burned_in": "refuse",
        "frames": "all",
        "window": "",
        "patient_from": "patient",
        "unlabelled": False,
    },
    choices={"burned_in": _BURNED_IN, "frames": _FRAMES, "patient_from": _PATIENT_FROM},
    path_options=("table", "key_file"),
    help={
        "unlabelled": "Import images without labels: a hospital to deploy at. Folders and label columns then mean nothing.",
        "table": "Table with columns path and label; or, where SRC holds a DICOMDIR, patient (study, series) and label. Empty: the class folders below SRC are the labels.",
        "key_file": "File with a secret that patient ids are hashed with.",
        "burned_in": "What to do with frames that may have a name written on them.",
        "frames": "All frames of a file, or the middle one.",
        "patient_from": "What is kept on one side of a split; the next one where the header has none.",
        "window": "Grey-level window as CENTER/WIDTH; empty: the header's own.",
    },
    total=lambda src, options: None,  # the frames of a file stand in its header
    traps="names in headers, file names and pixels; MONOCHROME1 is inverted; stored values mean nothing before rescale and window",
)
