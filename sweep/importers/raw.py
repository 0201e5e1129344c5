"""What an importer yields, and the row it is in the table of importers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sweep.core.errors import InputError, printable
from sweep.importers.decode import Decoded


@dataclass(frozen=True)
class RawImage:
    """One image as published: a file still to be decoded, or `pixels` (uint8 [H, W] grey) already in memory.

    `read` decodes the file where it is no ordinary image. `bad` says why there is no image where one is listed.
    `alias` stands for the image in what is kept of a violation, where its path may name a patient. `study` is an examination's
    (hashed) identity where the files have one: one patient id over most studies is a placeholder.
    """

    image_id: str
    label: str
    path: Path | None = None
    pixels: np.ndarray | None = None
    patient: str = ""
    domain: str = ""  # only where it differs from image to image, e.g. the scanner
    source_path: str = ""  # relative to the source folder
    labels: tuple[float, ...] = ()  # of several findings: 1, 0, -1 (uncertain) or NaN (not known); `label` sums them up
    masks: tuple[Path, ...] = ()  # of the lesion; only where a crop to it was asked for
    roi: str = "none"
    read: Callable[[Path], Decoded] | None = None
    bad: InputError | None = None
    alias: str = ""
    study: str = ""


@dataclass(frozen=True)
class Ignored:
    """A file or a row of a table that is left out on purpose.

    `where` names it, `reason` completes "12 ..." in the plural ("lateral views"), `path` is its file, `label` the class that it
    would have had: a class all of whose images are left out on purpose is not missed. `missed` is the class of a file that could not be
    known to hold no image: a class of such files alone is missed.
    """

    where: str
    reason: str
    path: Path | None = None
    label: str = ""
    missed: str = ""


def storable(name: str) -> str:
    """A name as UTF-8 text and a terminal can show it."""
    return name if name.isprintable() else printable(name).replace("\n", "\\n")


def missing(
    image_id: str, label: str, where: str, problem: str, fix: str = "restore the file from the archive, remove the row"
) -> RawImage:
    """An image that a table lists and that is not there: a violation that `--skip-bad` may tolerate, like any unreadable image."""
    return RawImage(image_id, label, bad=InputError(where, problem, f"{fix}, or pass --skip-bad N"))


@dataclass(frozen=True)
class Importer:
    """One published layout.

    `iterate(src, options)` yields the images of `src` in a fixed order, and an `Ignored` for what it leaves out on purpose; it
    raises InputError when the layout is not the expected one. `options` are the importer's own, with their defaults, `choices`
    what some of them may be, `help` a sentence on each; iterate is given the general settings `depth` and
    `accept` among them. Of `path_options` the manifest
    keeps the last part alone. `root(src, options)` is the folder whose every file is accounted for (default: `src` where it is a
    folder), None where there is none.
    `findings(options)` names the labels that every image has under these options where it may have several, and is empty where
    it has one class. `total(src, options)` is the number of images, None where it is not known before they are read; without
    it they are counted by listing them. `grouped_by(options)` says what the column patient holds where it is no patient.
    `notes(src, options)` says what was left out of the archive on purpose.
    """

    describe: str
    expects: str
    licence: str
    citation: str
    source: str
    iterate: Callable[[Path, Mapping[str, Any]], Iterator[RawImage | Ignored]]
    domain: str
    unconfirmed: Sequence[str] = ()  # what of layout and licence is not checked against the original archive
    compared_with: str = ""  # what the layout was compared with where the original archive was not at hand
    modality: str = ""  # body part and kind of image, as --list shows it
    positive: str = ""
    classes: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    help: Mapping[str, str] = field(default_factory=dict)  # one sentence for each option
    findings: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda options: ()
    total: Callable[[Path, Mapping[str, Any]], int | None] | None = None
    grouped_by: Callable[[Mapping[str, Any]], str] = lambda options: ""
    notes: Callable[[Path, Mapping[str, Any]], Sequence[str]] = lambda src, options: ()
    traps: str = ""
    needs_source: bool = True
    path_options: Sequence[str] = ()
    root: Callable[[Path, Mapping[str, Any]], Path | None] = lambda src, options: src if src.is_dir() else None
