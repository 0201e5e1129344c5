"""Simulated shifts of known kind -> the kind that is named: images of other patients of the source, changed, resampled, both, or neither.

A third of what is called acquisition is another phantom scanner, the rest one to three acquisition effects. Unlike anything simulated are
images that no scanner of the kind makes: white noise, stripes, coarse blocks, thresholded images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from analysis.target_assessment import assess
from benchmarks.blind_cells import NORMALS, PHANTOM, Bench, Recipes, save_arrays
from sweep.core.seeds import rng
from sweep.evaluation.evaluate import predict
from sweep.importers import phantom
from sweep.models.classifier import Classifier
from sweep.shards.reader import read_images
from sweep.shift.acquisition import TRANSFORMS
from sweep.shift.pooled_performance import HeldOut, ModelEvidence
from sweep.shift.predicted_performance import HospitalResult, margin
from sweep.shift.properties import PROPERTIES, energy_distance, properties, standardised
from sweep.shift.pseudo_hospitals import pseudo_hospitals
from sweep.shift.shift_kind import ACQUISITION, KINDS, MIXTURE, NONE, PREVALENCE, UNLIKE, Shift, Tables

_IMAGES, _HOSPITALS, _SHOWN = 120, 16, 64
_OTHER_PATIENTS = 7  # added to the benchmark's draw: the seed of the simulation whose patients the targets are made of
# Scanners of the simulated targets: those of the shifts on which constants were set have no part in the reported ones.
_TUNING, _REPORTED = ("b", "fine", "coarse", "dark"), ("contrasty", "flat", "noisy", "harmonic", "legacy")


@dataclass(frozen=True)
class Case:
    """One simulated target as M models see it: what its kind is named from, and the kind that it is.

    val [M, N, 2] with labels [N], test [M, N', 2] with test_labels; `shown` [S] are the validation images that hospitals show;
    target [M, T, 2]; hospitals [M, H, N', 2] with hospital_labels [H, N'] are filled up to the largest with
    NaN and -1. here and there are property tables, distances [H] those of the hospitals' images to the target's.
    """

    kind: str
    share: float
    val: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    shown: np.ndarray
    target: np.ndarray
    hospitals: np.ndarray
    hospital_labels: np.ndarray
    families: np.ndarray
    here: np.ndarray
    there: np.ndarray
    distances: np.ndarray


def shifts(bench: Bench, recipes: tuple[Recipes, ...], count: int, *, tuning: bool = False) -> Iterator[dict]:
    """One row a simulated shift: the true kind and the one named, with what it follows from."""
    for number, case in enumerate(cases(bench, recipes, count, tuning=tuning)):
        found = named(case)
        yield {
            "shift": number,
            "kind": case.kind,
            "share": case.share,
            "named": found.kind,
            "distance": found.distance,
            "nearest": found.nearest,
            "prevalence": [found.prevalence_low, found.prevalence, found.prevalence_high],
        }


def cases(bench: Bench, recipes: tuple[Recipes, ...], count: int, *, tuning: bool = False) -> Iterator[Case]:
    """The simulated targets, one at a time; those that the folder holds are read from it."""
    maker = None
    for number in range(count):
        path = bench.folder / "shifts" / f"{'tuning' if tuning else 'reported'}-{number:03d}.npz"
        if not path.exists():
            maker = maker or _Maker(bench, recipes, _TUNING if tuning else _REPORTED)
            made = maker.case(
                KINDS[number % len(KINDS)],
                rng(int(tuning), "simulated shift", number, *([bench.size.draw] if bench.size.draw else [])),
            )
            save_arrays(path, **{field.name: np.asarray(getattr(made, field.name)) for field in fields(Case)})
        yield _read(path)


def named(case: Case) -> Shift:
    """The shift as the library names it."""
    results = [
        [
            HospitalResult(str(family), logits[y >= 0], y[y >= 0])
            for family, logits, y in zip(case.families, of_model, case.hospital_labels, strict=True)
        ]
        for of_model in case.hospitals
    ]
    evidence = {str(number): [_evidence(case, number, of_model)] for number, of_model in enumerate(results)}
    tables = Tables(case.here, case.there, PROPERTIES, float(case.distances.min()))
    found = assess(evidence, dict.fromkeys(evidence, "recipe"), tables).shift
    if found is None:
        raise RuntimeError("a shift was asked for with tables of properties")
    return found


def _evidence(case: Case, number: int, hospitals: list[HospitalResult]) -> ModelEvidence:
    """What a run keeps of one model: all held-out images of the source, and the hospitals."""
    val, test = margin(case.val[number]), margin(case.test[number])
    held_out = HeldOut(
        np.concatenate([val, test]),
        np.concatenate([case.labels, case.test_labels]),
        val[case.shown],
        case.labels[case.shown],
    )
    logits = case.val[number], case.labels, case.target[number]
    return ModelEvidence(*logits, hospitals, case.distances, held_out=held_out)


def _read(path: Path) -> Case:
    with np.load(path, allow_pickle=False) as held:
        values: dict[str, Any] = {field.name: held[field.name] for field in fields(Case)}
    return Case(**values | {"kind": str(values["kind"]), "share": float(values["share"])})


class _Maker:
    """The models, the source's images and the patients that targets are made of."""

    def __init__(self, bench: Bench, recipes: tuple[Recipes, ...], scanners: tuple[str, ...]) -> None:
        source = f"{PHANTOM}a"
        train, val, test = bench.folds(source)
        self.models = [bench.model(source, one, 0, train, val) for one in recipes]
        self.shown = np.sort(rng(0, "shown").permutation(len(val))[:_SHOWN])
        self.source = np.asarray(val.images)
        self.images, self.labels = self.source[self.shown], val.labels[self.shown]
        self.held_out = (
            _logits(self.models, self.source),
            val.labels,
            _logits(self.models, np.asarray(test.images)),
            test.labels,
        )
        self.scanners = scanners
        self.home = float(np.mean(np.concatenate([part.labels for part in (train, val, test)])))
        self.pool = {name: _patients(name, bench.size.px, bench) for name in ("a", *scanners)}

    def case(self, kind: str, draw: np.random.Generator) -> Case:
        target, share = _target(self.pool, self.home, self.scanners, kind, draw)
        here, there = properties(self.source[:_IMAGES]), properties(target)
        hospitals = list(pseudo_hospitals(self.images, self.labels, target, count=_HOSPITALS))
        tables = standardised(here, there, *(properties(one.images[:40]) for one in hospitals))
        longest = max(len(one.labels) for one in hospitals)
        return Case(
            kind,
            share,
            *self.held_out,
            self.shown,
            _logits(self.models, target),
            np.stack([_filled(_logits(self.models, one.images), longest, axis=1) for one in hospitals], axis=1),
            np.stack([_filled(one.labels, longest, axis=0) for one in hospitals]),
            np.array([one.family for one in hospitals]),
            here,
            there,
            np.array([energy_distance(tables[1], one) for one in tables[2:]]),
        )


def _logits(models: list[Classifier], images: np.ndarray) -> np.ndarray:
    return np.stack([predict(model, images, 128) for model in models])


def _filled(values: np.ndarray, longest: int, axis: int) -> np.ndarray:
    """Filled up to `longest` along an axis, with NaN or -1."""
    missing = [(0, 0)] * values.ndim
    missing[axis] = (0, longest - values.shape[axis])
    return np.pad(values, missing, constant_values=np.nan if values.dtype.kind == "f" else -1)


def _patients(scanner: str, px: int, bench: Bench) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of other patients than those that the models know."""
    if scanner == "a":
        folder = bench.folder / "shards" / "other_patients_of_a"
        if not folder.exists():
            phantom.write(folder, scanner="a", patients=200, seed=_OTHER_PATIENTS + bench.size.draw)
    else:
        folder = bench.shards(f"{PHANTOM}{scanner}")
    held = read_images(folder, px, normals=NORMALS)
    return np.asarray(held.images), held.labels


def _target(
    pool: dict[str, tuple[np.ndarray, np.ndarray]],
    home: float,
    scanners: tuple[str, ...],
    kind: str,
    draw: np.random.Generator,
) -> tuple[np.ndarray, float]:
    """Images of a target of this kind, and its share of positives: that of the source, `home`, where the class mix is not what differs."""
    scanner = "a"
    if kind in (ACQUISITION, MIXTURE) and draw.random() < 1 / 3:
        scanner = str(draw.choice(scanners))
    images, labels = pool[scanner]
    share = home
    if kind in (PREVALENCE, MIXTURE):
        share = float(draw.choice([draw.uniform(0.08, 0.18), draw.uniform(0.62, 0.85)]))
    positives = round(share * _IMAGES)
    rows = np.concatenate(
        [draw.choice(np.flatnonzero(labels == one), size, replace=True) for one, size in ((1, positives), (0, _IMAGES - positives))]
    )  # fmt: skip
    shown = images[rows]
    if kind in (ACQUISITION, MIXTURE) and scanner == "a":
        for name in draw.choice(list(TRANSFORMS), int(draw.integers(1, 4)), replace=False):
            shown = TRANSFORMS[name](shown, float(draw.uniform(0.4, 1.0)), draw)
    if kind == UNLIKE:
        shown = _unlike(shown, draw)
    return shown, share


def _unlike(images: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    px = images.shape[1]
    which = int(draw.integers(4))
    if which == 0:
        return draw.integers(1, 256, images.shape).astype(np.uint8)
    if which == 1:
        period = int(draw.integers(3, 9))
        return np.broadcast_to(((np.arange(px) // period % 2) * 180 + 40)[None, :, None], images.shape).astype(np.uint8)
    if which == 2:
        coarse = draw.integers(1, 256, (len(images), px // 8, px // 8))
        return np.kron(coarse, np.ones((1, 8, 8))).astype(np.uint8)
    return np.where(images > np.median(images), 255, 0).astype(np.uint8)


def right(rows: list[dict]) -> dict:
    """Share of the shifts named right, over all and by kind, and how often each kind was given which name."""
    by_kind = {
        kind: float(np.mean([row["named"] == kind for row in rows if row["kind"] == kind]))
        for kind in KINDS
        if any(row["kind"] == kind for row in rows)
    }
    safe = [row["named"] == NONE for row in rows if row["kind"] != NONE]
    return {
        "shifts": len(rows),
        "named_right": float(np.mean([row["named"] == row["kind"] for row in rows])),
        "by_kind": by_kind,
        "confusion": {
            kind: {
                name: count
                for name in KINDS
                if (count := sum(row["named"] == name for row in rows if row["kind"] == kind))
            }
            for kind in KINDS
        },
        "called_none_wrongly": float(np.mean(safe)) if safe else None,
    }
