"""A folder, table, DICOM folder or shard folder -> new images as the model is shown them, by the importers' own decoding.

Nothing here decodes or resizes by itself: `sweep.importers` reads and shrinks as it did for the training images, `sweep.shards.resize` fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sweep.core.errors import InputError
from sweep.core.location import is_url
from sweep.core.storage import Storage
from sweep.deployment.model_folder import Exported
from sweep.importers.dicom_header import is_dicom
from sweep.importers.pipeline import shard_row
from sweep.importers.raw import Ignored, Importer, RawImage
from sweep.importers.table import IMPORTERS
from sweep.importers.walk import is_file, listing
from sweep.shards.reader import read_batches
from sweep.shards.resize import fit_square
from sweep.shards.schema import MANIFEST
from sweep.training.adapt import match_histogram

TABLES = (".csv", ".tsv", ".xlsx")
_LOOKED_AT = 20  # files by which a folder is judged to be one of DICOM files
_SHARD_COLUMNS = ("image_id", "image", "height", "width", "patient")
# What a manifest says of an import that decides pixels; the rest (labels, patients) is the caller's.
PIXEL_SETTINGS = ("import_px", "depth", "window", "burned_in", "frames")


@dataclass(frozen=True)
class NewImage:
    """One image: uint8 [px, px] as the model is shown it; `patient` is empty where unknown."""

    image_id: str
    patient: str
    pixels: np.ndarray


@dataclass(frozen=True)
class Reading:
    """What to read and how: the place, the importer's options that the user gave, and where bad and ignored files are told."""

    images: str
    options: Mapping[str, Any]
    on_bad: Callable[[InputError], None]
    on_ignored: Callable[[Ignored], None] = lambda ignored: None
    on_total: Callable[[int], None] = lambda total: None


def kind_of(images: str) -> str:
    """'shards', or the importer that reads `images`: csv, dicom or folder. Raises InputError where there is nothing."""
    if Storage(images).exists(MANIFEST):
        return "shards"
    if is_url(images):
        raise InputError(images, "no shard folder", "give a folder of this machine, or a shard folder")
    place = Path(images)
    if place.is_dir():
        files = listing(place).files
        if not files:
            raise InputError(images, "the folder holds no file", "give the folder with the images")
        return "dicom" if any(_dicom(path) for path in files[:_LOOKED_AT]) else "folder"
    if not is_file(place):
        raise InputError(
            images, "there is no such file or folder", "give a folder of images, a table, or a shard folder"
        )
    if place.suffix.lower() not in TABLES:
        raise InputError(images, "a single file that is no table", "give its folder, or a table with a column of paths")
    return "csv"


def _dicom(path: Path) -> bool:
    try:
        return path.suffix.lower() == ".dcm" or is_dicom(path)
    except OSError:
        return False


def read_new(model: Exported, reading: Reading) -> Iterator[NewImage]:
    """The images of `reading` as `model` is shown them, one at a time; those that cannot be read are told and left out.

    Raises InputError where the place or the options are wrong.
    """
    kind = kind_of(reading.images)
    found = _of_shards(reading) if kind == "shards" else _of_importer(kind, model, reading)
    px, fit, histogram = model.facts["image_px"], model.facts["fit"], model.histogram
    for image_id, patient, grey in found:
        pixels = fit_square(grey, px, fit)
        if histogram is not None:
            pixels = match_histogram(pixels[None], histogram)[0]
        yield NewImage(image_id, patient, pixels)


def _of_shards(reading: Reading) -> Iterator[tuple[str, str, np.ndarray]]:
    if reading.options:
        unused = next(iter(reading.options)).replace("_", "-")
        raise InputError(f"--{unused}", "a shard folder is decoded already", "leave it out")
    from sweep.shards.reader import read_manifest

    reading.on_total(read_manifest(reading.images).images)
    for batch in read_batches(reading.images, _SHARD_COLUMNS):
        columns = (batch.column(name) for name in _SHARD_COLUMNS)
        for image_id, image, height, width, patient in zip(*columns, strict=True):
            grey = np.frombuffer(image.as_buffer(), dtype=np.uint8).reshape(height.as_py(), width.as_py())
            yield image_id.as_py(), patient.as_py(), grey


def _of_importer(kind: str, model: Exported, reading: Reading) -> Iterator[tuple[str, str, np.ndarray]]:
    row, stored = IMPORTERS[kind], _pixel_settings(model)
    options = _options(kind, row, stored, reading.options)
    place = Path(reading.images)
    events = list(row.iterate(place, options)) if kind != "dicom" else row.iterate(place, options)
    if isinstance(events, list):
        reading.on_total(sum(isinstance(event, RawImage) for event in events))
    for event in events:
        if isinstance(event, Ignored):
            reading.on_ignored(event)
            continue
        try:
            shard = shard_row(event, stored["import_px"], options["depth"]).shard
        except InputError as bad:
            reading.on_bad(bad)
            continue
        yield shard.image_id, shard.patient, shard.image


def _pixel_settings(model: Exported) -> dict[str, Any]:
    """How the target's images were imported, from config.json; InputError where a new image cannot be treated alike."""
    stored = dict(model.facts.get("preprocessing", {}).get("import") or {})
    if not stored:
        raise InputError(
            model.place, "says nothing of how its images were imported", "export the trial again with this version"
        )
    if stored.get("roi", "none") != "none":
        raise InputError(
            model.place,
            f"its images were cropped to the lesion by masks (roi: {stored['roi']})",
            "import the new images with the same --roi, and give the shard folder",
        )
    return stored


def _options(kind: str, row: Importer, stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The importer's options: its defaults, the training's pixel settings, then the user's."""
    own = {**row.options, "depth": None, "accept": ()}
    strange = [name for name in given if name not in own]
    if strange:
        flag = strange[0].replace("_", "-")
        raise InputError(f"--{flag}", f"has no effect on {_NOUNS[kind]}", "leave it out")
    kept = {name: stored[name] for name in PIXEL_SETTINGS if name in own and stored.get(name) is not None}
    return {**own, **kept, **given, "unlabelled": True}


_NOUNS = {"folder": "a folder of image files", "csv": "a table", "dicom": "a folder of DICOM files"}
