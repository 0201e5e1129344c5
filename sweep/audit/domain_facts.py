"""The domains of data sets (column domain: hospitals, scanners): balance, what they share, what gives them away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from sweep.audit.shortcut_features import Tell, features, find_tells
from sweep.shards.findings import COMMONER, constant_accuracy, present_counts, stacked
from sweep.shards.labels import apply_normals
from sweep.shards.patients import one_numbering
from sweep.shards.schema import Manifest


@dataclass(frozen=True)
class DomainFacts:
    """One domain of a data set that has several: its size, classes and baseline."""

    name: str
    images: int
    classes: dict[str, int]
    constant_class: str
    constant_accuracy: float
    patients: int


def by_domain(frame: pd.DataFrame, manifest: Manifest) -> Iterator[DomainFacts]:
    """Facts of each domain of a data set, in alphabetical order; none where there is one domain only."""
    if frame["domain"].nunique() > 1:
        for name, part in frame.groupby("domain"):
            classes, constant_class, accuracy, _ = balance(part, manifest)
            yield DomainFacts(
                str(name),
                len(part),
                classes,
                constant_class,
                accuracy,
                part.loc[part["patient"] != "", "patient"].nunique(),
            )


def balance(frame: pd.DataFrame, manifest: Manifest) -> tuple[dict[str, int], str, float, int]:
    """Images of each class, the constant answer, its accuracy, and the normal scans that this accuracy leaves out.

    Of several findings an image the accuracy is the mean over findings. Images without a label are not counted; the constant
    answer is '' where no image has one.
    """
    if manifest.multi_label:
        labels = stacked(frame["labels"])
        return (
            dict(zip(manifest.classes, present_counts(labels).tolist(), strict=True)),
            COMMONER,
            constant_accuracy(labels),
            0,
        )
    counts = frame["label"].value_counts()
    kept = apply_normals(frame, "drop")["label"]
    judged = kept.value_counts()
    classes = {label: int(counts.get(label, 0)) for label in manifest.classes}
    constant, accuracy = (str(judged.index[0]), float(judged.iloc[0] / judged.sum())) if len(judged) else ("", 0.0)
    return classes, constant, accuracy, len(frame) - len(kept)


def shared_patients(
    names: Sequence[str], frames: Sequence[pd.DataFrame], manifests: Sequence[Manifest]
) -> dict[str, tuple[str, ...]]:
    """Patient ids that two data sets have, unless each numbers its patients for itself, and that two domains of one set have."""
    patients = [(name, set(frame["patient"]) - {""}) for name, frame in zip(names, frames, strict=True)]
    pairs = [
        (one, other)
        for (one, first), (other, second) in combinations(zip(patients, manifests, strict=True), 2)
        if one_numbering(first, second)
    ]
    for name, frame in zip(names, frames, strict=True):
        parts = [(f"{name}: {domain}", set(part["patient"]) - {""}) for domain, part in frame.groupby("domain")]
        pairs += combinations(parts, 2)
    found = {f"{first}, {second}": here & there for (first, here), (second, there) in pairs}
    return {pair: tuple(sorted(both)) for pair, both in found.items() if both}


def domain_tells(frame: pd.DataFrame, owner: np.ndarray) -> list[Tell]:
    """What gives a data set away, and, where one has several, a domain of it."""
    columns = features(frame)
    found = find_tells(columns, owner, "data set")
    domains = frame["domain"].to_numpy(dtype=str)
    for name in np.unique(owner):
        mine = owner == name
        prefix = "domain" if len(np.unique(owner)) == 1 else f"{name}: domain"
        found += find_tells({feature: values[mine] for feature, values in columns.items()}, domains[mine], prefix)
    return sorted(found, key=lambda tell: -tell.auroc)
