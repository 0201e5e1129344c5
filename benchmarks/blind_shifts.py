"""Simulated shifts of known kind -> the kind that is named: images of other patients of the source, changed, resampled, both, or neither.

A third of what is called acquisition is another phantom scanner, the rest one to three acquisition effects. Unlike anything simulated are
images that no scanner of the kind makes: white noise, stripes, coarse blocks, thresholded images.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.target_assessment import assess
from benchmarks.blind_cells import PHANTOM, Bench, Recipes
from sweep.core.seeds import rng
from sweep.evaluation.evaluate import predict
from sweep.importers import phantom
from sweep.importers.phantom_scanner import SCANNERS
from sweep.models.classifier import Classifier
from sweep.shards.reader import read_images
from sweep.shift.acquisition import TRANSFORMS
from sweep.shift.pooled_performance import ModelEvidence
from sweep.shift.predicted_performance import HospitalResult
from sweep.shift.properties import PROPERTIES, energy_distance, properties, standardised
from sweep.shift.pseudo_hospitals import pseudo_hospitals
from sweep.shift.shift_kind import ACQUISITION, KINDS, MIXTURE, NONE, PREVALENCE, UNLIKE, Tables

_IMAGES, _HOSPITALS, _SHOWN = 120, 16, 80
_OTHER_PATIENTS = 7  # seed of the simulation whose patients the targets are made of


def shifts(bench: Bench, recipes: tuple[Recipes, ...], count: int) -> Iterator[dict]:
    """One row a simulated shift: the true kind and the one named, with what it follows from."""
    source = f"{PHANTOM}a"
    train, val = bench.folds(source)
    models = [bench.model(source, one, 0, train, val) for one in recipes]
    few = np.sort(rng(0, "shown").permutation(len(val))[:_SHOWN])
    images, labels = np.asarray(val.images)[few], val.labels[few]
    pool = {name: _patients(name, bench.size.px, bench) for name in ("a", *_others())}
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        draw = rng(0, "simulated shift", number)
        target, share = _target(pool, kind, draw)
        yield {
            "shift": number,
            "kind": kind,
            "share": share,
            **_named(models, images, labels, np.asarray(val.images), target),
        }


def _others() -> list[str]:
    return [name for name in SCANNERS if name != "a"][:4]


def _patients(scanner: str, px: int, bench: Bench) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of other patients than those that the models know."""
    if scanner == "a":
        folder = bench.folder / "shards" / "other_patients_of_a"
        if not folder.exists():
            phantom.write(folder, scanner="a", patients=200, seed=_OTHER_PATIENTS)
    else:
        folder = bench.shards(f"{PHANTOM}{scanner}")
    held = read_images(folder, px, normals="drop")
    return np.asarray(held.images), held.labels


def _target(
    pool: dict[str, tuple[np.ndarray, np.ndarray]], kind: str, draw: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Images of a target of this kind, and its share of positives."""
    scanner = "a"
    if kind in (ACQUISITION, MIXTURE) and draw.random() < 1 / 3:
        scanner = str(draw.choice(_others()))
    images, labels = pool[scanner]
    share = float(labels.mean())
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


def _named(
    models: list[Classifier], images: np.ndarray, labels: np.ndarray, source: np.ndarray, target: np.ndarray
) -> dict:
    here, there = properties(source[:_IMAGES]), properties(target)
    hospitals = list(pseudo_hospitals(images, labels, target, count=_HOSPITALS))
    tables = standardised(here, there, *(properties(one.images[:40]) for one in hospitals))
    distances = np.array([energy_distance(tables[1], one) for one in tables[2:]])
    evidence = {
        str(number): [
            ModelEvidence(
                predict(model, images, 128),
                labels,
                predict(model, target, 128),
                [HospitalResult(one.family, predict(model, one.images, 128), one.labels) for one in hospitals],
                distances,
            )
        ]
        for number, model in enumerate(models)
    }
    found = assess(
        evidence, dict.fromkeys(evidence, "recipe"), Tables(here, there, PROPERTIES, float(distances.min()))
    ).shift
    if found is None:
        raise RuntimeError("a shift was asked for with tables of properties")
    return {
        "named": found.kind,
        "distance": found.distance,
        "nearest": found.nearest,
        "prevalence": [found.prevalence_low, found.prevalence, found.prevalence_high],
    }


def right(rows: list[dict]) -> dict:
    """Share of the shifts named right, over all and by kind; NONE counts as right only as itself."""
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
        "called_none_wrongly": float(np.mean(safe)) if safe else None,
    }
