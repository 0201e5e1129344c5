"""Simulated breast-ultrasound hospitals: a scanner of `SCANNERS` and a population of `POPULATIONS`, data that need no download.

python -m sweep.importers phantom-a shards/phantom-a
python -m sweep.importers phantom:coarse:screening shards/coarse

`phantom:SCANNER[:POPULATION]` names one, in a sweep config too; phantom-a and phantom-b are phantom:a and phantom:b.

Difficulty, measured by `python -m benchmarks.phantom_difficulty` (small_cnn, 64 px, 160 patients, 25 epochs, three
seeds): trained on a, AUROC 0.88 on its own test patients and 0.68 on b; trained on b, 0.88 and 0.68. Single seeds
lie between 0.84 and 0.92 at home and between 0.35 and 0.85 abroad: the fall depends on what the network latched on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sweep.core.errors import InputError, suggestion
from sweep.core.seeds import rng
from sweep.importers.phantom_anatomy import CLASSES, POPULATIONS, STANDARD, Patient, draw_patient, echogenicity
from sweep.importers.phantom_scanner import SCANNERS, acquire
from sweep.importers.pipeline import run_import
from sweep.importers.raw import Importer, RawImage
from sweep.shards.schema import Manifest

_CHUNK = 32  # images simulated at once: large enough for the vector units, small enough for the cache
_PREFIX = "phantom:"
_SHORT = {"phantom-a": "a", "phantom-b": "b"}  # names of version 0.1


@dataclass(frozen=True)
class Hospital:
    """A scanner and the population that it sees. `key` seeds it: SCANNER, or SCANNER:POPULATION of another than the standard one."""

    scanner: str
    population: str = STANDARD

    @property
    def key(self) -> str:
        """The part of its name behind `phantom:`; the standard population is not named."""
        return self.scanner if self.population == STANDARD else f"{self.scanner}:{self.population}"

    @property
    def name(self) -> str:
        """phantom-a, phantom-b, or phantom:SCANNER[:POPULATION]."""
        return next((name for name, key in _SHORT.items() if key == self.key), f"{_PREFIX}{self.key}")

    def patient(self, seed: int, number: int) -> Patient:
        """Patient `number`; depends on nothing else."""
        return draw_patient(seed, self.key, number, self.population)


def is_phantom(name: str) -> bool:
    """Whether a name in a sweep config or command is one of a simulated hospital, known or not."""
    return name in _SHORT or name.startswith(_PREFIX)


def hospital_of(name: str) -> Hospital:
    """The hospital of phantom-a, phantom-b, phantom:SCANNER or phantom:SCANNER:POPULATION.

    Raises InputError, with what there is, for a scanner or population that is unknown.
    """
    scanner, _, population = _SHORT.get(name, name.removeprefix(_PREFIX)).partition(":")
    _look_up(name, "scanner", scanner, SCANNERS)
    _look_up(name, "population", population or STANDARD, POPULATIONS)
    return Hospital(scanner, population or STANDARD)


def _look_up(where: str, kind: str, name: str, table: Mapping[str, Any]) -> None:
    if name not in table:
        raise InputError(where, f"{kind} {name!r} is unknown", suggestion(name, table))


def simulate(
    scanner: str, patients: int, seed: int = 0, image_px: int = 128, population: str = STANDARD
) -> Iterator[RawImage]:
    """Images of `patients` seeded patients with one to four views each (about 2.5 on average).

    Patient k depends on (seed, scanner, population, k) alone, so a larger set begins with the smaller one. Raises
    InputError for an unknown scanner or population, no patient, or a frame under 32 pixels.
    """
    _look_up("scanner", "scanner", scanner, SCANNERS)
    _look_up("population", "population", population, POPULATIONS)
    if patients < 1:
        raise InputError("patients", f"{patients} patients make no data set", "ask for one or more")
    if image_px < 32:
        raise InputError("image_px", f"{image_px} pixels hold no anatomy", "ask for 32 or more")
    hospital = Hospital(scanner, population)
    waiting: list[tuple[Patient, int]] = []
    for number in range(patients):
        patient = hospital.patient(seed, number)
        waiting += [(patient, view) for view in range(patient.views)]
        if len(waiting) >= _CHUNK:
            yield from _frames(waiting, hospital, seed, image_px)
            waiting = []
    yield from _frames(waiting, hospital, seed, image_px)


def _frames(views: list[tuple[Patient, int]], hospital: Hospital, seed: int, px: int) -> Iterator[RawImage]:
    if not views:
        return
    draws = [rng(seed, "phantom", hospital.key, "view", patient.number, view) for patient, view in views]
    levels = np.stack([echogenicity(patient, draw, px) for (patient, _), draw in zip(views, draws, strict=True)])
    frames = acquire(SCANNERS[hospital.scanner], levels, draws)
    for (patient, view), pixels in zip(views, frames, strict=True):
        name = _patient_name(hospital, patient)
        yield RawImage(
            image_id=f"{name}-{view}", label=patient.label, pixels=pixels, patient=name,
            source_path=f"simulated/{name}-{view}",
        )  # fmt: skip


def _patient_name(hospital: Hospital, patient: Patient) -> str:
    return f"{hospital.key.replace(':', '-')}{patient.number:05d}"


def labels_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Label of every image by its id, computed anew from the settings in the manifest of a simulated shard folder."""
    hospital = hospital_of(str(settings["importer"]))
    patients = (hospital.patient(settings["seed"], number) for number in range(settings["patients"]))
    return {
        f"{_patient_name(hospital, patient)}-{view}": patient.label
        for patient in patients
        for view in range(patient.views)
    }


def write(dst: Path | str, scanner: str = "a", patients: int = 160, seed: int = 0, image_px: int = 128) -> Manifest:
    """Simulate the standard population of a scanner straight into the new shard folder `dst`."""
    hospital = hospital_of(f"{_PREFIX}{scanner}")
    options = {"patients": patients, "seed": seed, "image_px": image_px}
    return run_import(hospital.name, importer(hospital), None, dst, options)


def importer(hospital: Hospital) -> Importer:
    """The row of one hospital in the table of importers."""

    def iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
        images = simulate(
            hospital.scanner, options["patients"], options["seed"], options["image_px"], hospital.population
        )
        return (replace(image, label="") for image in images) if options["unlabelled"] else images

    seen_by = "" if hospital.population == STANDARD else f", {hospital.population} population"
    return Importer(
        describe=f"simulated breast ultrasound, scanner {hospital.scanner}{seen_by}",
        expects="nothing: the images are computed",
        licence="CC0-1.0",
        citation="simulated by this project",
        source="sweep/importers/phantom.py",
        iterate=iterate,
        domain=hospital.name,
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
            hospital.patient(options["seed"], number).views for number in range(options["patients"])
        ),
        traps="several views per patient: split by patient",
        needs_source=False,
    )
