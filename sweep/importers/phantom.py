"""Two simulated breast-ultrasound scanners: the data set that needs no download.

python -m sweep.importers phantom-a shards/phantom-a

Difficulty, measured by `python -m benchmarks.phantom_difficulty` (small_cnn, 64 px, 160 patients, 25 epochs, three
seeds): trained on a, AUROC 0.88 on its own test patients and 0.68 on b; trained on b, 0.88 and 0.68. Single seeds
lie between 0.84 and 0.92 at home and between 0.35 and 0.85 abroad: the fall depends on what the network latched on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sweep.core.errors import InputError, suggestion
from sweep.core.seeds import rng
from sweep.importers.phantom_anatomy import CLASSES, Patient, draw_patient, echogenicity
from sweep.importers.phantom_scanner import SCANNERS, acquire
from sweep.importers.pipeline import run_import
from sweep.importers.raw import Importer, RawImage
from sweep.shards.schema import Manifest

_CHUNK = 32  # images simulated at once: large enough for the vector units, small enough for the cache


def simulate(scanner: str, patients: int, seed: int = 0, image_px: int = 128) -> Iterator[RawImage]:
    """Images of `patients` seeded patients with one to four views each (about 2.5 on average).

    Patient k depends on (seed, scanner, k) alone, so a larger set begins with the smaller one. Raises
    InputError for an unknown scanner, no patient, or a frame under 32 pixels.
    """
    if scanner not in SCANNERS:
        raise InputError("scanner", f"{scanner!r} is unknown", suggestion(scanner, SCANNERS))
    if patients < 1:
        raise InputError("patients", f"{patients} patients make no data set", "ask for one or more")
    if image_px < 32:
        raise InputError("image_px", f"{image_px} pixels hold no anatomy", "ask for 32 or more")
    waiting: list[tuple[Patient, int]] = []
    for number in range(patients):
        patient = draw_patient(seed, scanner, number)
        waiting += [(patient, view) for view in range(patient.views)]
        if len(waiting) >= _CHUNK:
            yield from _frames(waiting, scanner, seed, image_px)
            waiting = []
    yield from _frames(waiting, scanner, seed, image_px)


def _frames(views: list[tuple[Patient, int]], scanner: str, seed: int, px: int) -> Iterator[RawImage]:
    if not views:
        return
    draws = [rng(seed, "phantom", scanner, "view", patient.number, view) for patient, view in views]
    levels = np.stack([echogenicity(patient, draw, px) for (patient, _), draw in zip(views, draws, strict=True)])
    for (patient, view), pixels in zip(views, acquire(SCANNERS[scanner], levels, draws), strict=True):
        name = f"{scanner}{patient.number:05d}"
        yield RawImage(
            image_id=f"{name}-{view}", label=patient.label, pixels=pixels, patient=name,
            source_path=f"simulated/{name}-{view}",
        )  # fmt: skip


def labels_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Label of every image by its id, computed anew from the settings in the manifest of a simulated shard folder."""
    scanner = str(settings["importer"]).removeprefix("phantom-")
    patients = (draw_patient(settings["seed"], scanner, number) for number in range(settings["patients"]))
    return {
        f"{scanner}{patient.number:05d}-{view}": patient.label for patient in patients for view in range(patient.views)
    }


def write(dst: Path | str, scanner: str = "a", patients: int = 160, seed: int = 0, image_px: int = 128) -> Manifest:
    """Simulate a scanner's patients straight into the new shard folder `dst`."""
    if scanner not in SCANNERS:
        raise InputError("scanner", f"{scanner!r} is unknown", suggestion(scanner, SCANNERS))
    options = {"patients": patients, "seed": seed, "image_px": image_px}
    return run_import(f"phantom-{scanner}", importer(scanner), None, dst, options)


def importer(scanner: str) -> Importer:
    """The row of one scanner in the table of importers."""

    def iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
        images = simulate(scanner, options["patients"], options["seed"], options["image_px"])
        return (replace(image, label="") for image in images) if options["unlabelled"] else images

    return Importer(
        describe=f"simulated breast ultrasound, scanner {scanner}",
        expects="nothing: the images are computed",
        licence="CC0-1.0",
        citation="simulated by this project",
        source="sweep/importers/phantom.py",
        iterate=iterate,
        domain=f"phantom-{scanner}",
        positive="malignant",
        classes=CLASSES,
        options={"patients": 160, "seed": 0, "image_px": 128, "unlabelled": False},
        help={
            "patients": "Number of patients.",
            "seed": "Seed of the simulation.",
            "image_px": "Side of the simulated images.",
            "unlabelled": "Write the images without labels: a hospital to deploy at.",
        },
        total=lambda src, options: sum(
            draw_patient(options["seed"], scanner, number).views for number in range(options["patients"])
        ),
        traps="several views per patient: split by patient",
        needs_source=False,
    )
