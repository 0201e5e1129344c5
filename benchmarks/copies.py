"""Recall and false copies of the audit and of the check for copies among synthetic images, on real images under planted changes.

    python -m benchmarks.copies DATA [--images 300] [--views shifted all]   # the folder with BUSI/, chest_pneumonia_224/, nih1000_64/

One half of each data set plays the training images. Changed copies of it are the synthetic images that ought to be found, images of the
other half, without its near-duplicates of the first and without images of the same patients (two films of one person are no strangers),
those that ought not to. The audit is given the training images and their changed copies as one set, at their stored size and letterboxed to
64 px; a pair counts as false where the audit of the unchanged stored images puts the two into different groups and they are of different
patients. CPU seconds are those of one comparison.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates

from sweep.audit.near_duplicates import find_duplicates, near_duplicate_groups
from sweep.core.seeds import rng
from sweep.importers.decode import read_grey
from sweep.importers.files import images_below
from sweep.shards.resize import fit_square
from sweep.synth.copies import copy_check
from sweep.synth.settings import COPY_VIEWS

SETS = {"BUSI": "BUSI", "Kermany": "chest_pneumonia_224", "NIH": "nih1000_64"}
PATIENTS = {"Kermany": r"person\d+|(?:NORMAL2-)?IM-\d+", "NIH": r"\d{8}"}  # how a file name begins, where it names one
PX = 64
Change = Callable[[np.ndarray, np.random.Generator, np.ndarray], np.ndarray]


def moved(image: np.ndarray, zoom: float = 1.0, degrees: float = 0.0) -> np.ndarray:
    """The image [H, W] enlarged about its middle and turned; what lies outside repeats the edge."""
    angle = np.deg2rad(degrees)
    height, width = image.shape
    y, x = np.mgrid[:height, :width].astype(float)
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    rows = (np.cos(angle) * y + np.sin(angle) * x) / zoom + (height - 1) / 2
    columns = (np.cos(angle) * x - np.sin(angle) * y) / zoom + (width - 1) / 2
    return np.rint(map_coordinates(image.astype(float), [rows, columns], order=1, mode="nearest")).astype(np.uint8)


def blended(image: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """A share of another image, brought to the size of the first, mixed in."""
    other = np.asarray(Image.fromarray(other).resize(image.shape[::-1]), dtype=float)
    return np.rint((1 - share) * image + share * other).astype(np.uint8)


CHANGES: dict[str, Change] = {
    "none": lambda image, draw, other: image,
    "mirrored": lambda image, draw, other: image[:, ::-1],
    "upside down": lambda image, draw, other: image[::-1],
    "turned 90": lambda image, draw, other: np.rot90(image),
    "zoom 5-10 %": lambda image, draw, other: moved(image, zoom=draw.uniform(1.05, 1.10)),
    "reduced 5-10 %": lambda image, draw, other: moved(image, zoom=1 / draw.uniform(1.05, 1.10)),
    "turned 2-6 degrees": lambda image, draw, other: moved(image, degrees=draw.choice([-1, 1]) * draw.uniform(2, 6)),
    "blend 10-20 %": lambda image, draw, other: blended(image, other, draw.uniform(0.1, 0.2)),
    "upside down, zoom": lambda image, draw, other: moved(image[::-1], zoom=draw.uniform(1.05, 1.10)),
    "blend, turned": lambda image, draw, other: moved(blended(image, other, 0.1), degrees=draw.uniform(-5, 5)),
}


def main() -> None:
    """Print recall for each change, and the share of others called copies, for each data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=300, help="training images of each set")
    parser.add_argument("--views", nargs="+", default=list(COPY_VIEWS), choices=COPY_VIEWS)
    arguments = parser.parse_args()
    for name, folder in SETS.items():
        if (arguments.data / folder).is_dir():
            stored, known, strangers = _halves(arguments.data / folder, arguments.images, PATIENTS.get(name, ".*"))
            real = np.stack([fit_square(grey, PX) for grey in stored])
            for how, images in (("stored size", stored), ("letterboxed", list(real))):
                for line in _audited(images, known):
                    print(f"{name:>8}, audit, {how}: {line}", flush=True)
            for views in arguments.views:
                for line in _measured(real, strangers, views):
                    print(f"{name:>8}, views {views}: {line}", flush=True)


def _halves(folder: Path, count: int, patient: str) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Training images of any sizes, the near-duplicate group and the patient (the part of a name that fits) of each, and images
    uint8 [M, 64, 64] of no picture and no patient among them."""
    paths = list(images_below(folder))
    order = rng(0, "copies", folder.name).permutation(len(paths))[: 2 * count]
    stored = [read_grey(paths[place]).grey for place in order]
    groups = near_duplicate_groups(stored)
    patients = np.array(
        [match[0] if (match := re.match(patient, paths[place].name)) else paths[place].name for place in order]
    )
    half = len(stored) // 2
    known = np.isin(groups[half:], groups[:half]) | np.isin(patients[half:], patients[:half])
    others = [fit_square(grey, PX) for grey in stored[half:]]
    return stored[:half], [groups[:half], patients[:half]], np.stack(others)[~known]


def _audited(real: list[np.ndarray], known: list[np.ndarray]) -> Iterator[str]:
    """Of each change how many copies the audit pairs with their originals, and how many pairs it names that no column of `known` has alike."""
    draw, count = rng(1, "copies", "changes"), len(real)
    for name, change in CHANGES.items():
        copies = [change(image, draw, real[draw.integers(count)]) for image in real]
        pairs = find_duplicates([*real, *copies]).pairs
        found = {pair.i for pair in pairs if pair.j == pair.i + count}
        false = sum(all(column[pair.i % count] != column[pair.j % count] for column in known) for pair in pairs)
        yield f"{name:<20} {len(found) / count:6.1%} found, {false} false of {len(pairs)} pairs among {2 * count} images"


def _measured(real: np.ndarray, strangers: np.ndarray, views: str) -> Iterator[str]:
    draw = rng(1, "copies", "changes")
    start = time.process_time()
    false = copy_check(strangers, real, views=views)
    seconds = time.process_time() - start
    yield (
        f"{int(false.copies.sum())} of {len(strangers)} others called copies ({false.rate:.1%}), threshold {false.threshold:.3f}, "
        f"{seconds:.1f} CPU s"
    )
    for name, change in CHANGES.items():
        copies = np.stack([change(image, draw, strangers[draw.integers(len(strangers))]) for image in real])
        found = copy_check(np.ascontiguousarray(copies), real, views=views)
        right = (found.nearest == np.arange(len(real))) & found.copies
        yield f"{name:<20} {found.rate:6.1%} found, {right.mean():6.1%} with the original named"


if __name__ == "__main__":
    main()
