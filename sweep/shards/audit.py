"""Shard folders -> what could fool an experiment on them: copies, leaks, conflicts, imbalance, giveaways.

python -m sweep.shards audit A [B ...] [--html FILE]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sweep.core.errors import InputError
from sweep.shards.duplicates import Duplicates, Pair, crossing_pairs, folder_duplicates, near_duplicate_groups
from sweep.shards.fingerprints import describe_orientation
from sweep.shards.findings import COMMONER, constant_accuracy, present_counts, stacked
from sweep.shards.labels import apply_normals
from sweep.shards.lettering import SUSPICIOUS, lettering
from sweep.shards.location import absolute, split_last
from sweep.shards.reader import read_manifest, read_metadata
from sweep.shards.schema import Manifest
from sweep.shards.tells import Tell, features, find_tells

__all__ = ["AuditReport", "Copy", "DataSetFacts", "audit", "near_duplicate_groups"]


@dataclass(frozen=True)
class Copy:
    """Two images that show the same picture, with their data sets and labels; `how` says how one was changed."""

    first: str
    second: str
    first_set: str
    second_set: str
    first_label: str
    second_label: str
    how: str
    score: float

    @property
    def conflicts(self) -> bool:
        """Whether the labels differ (within one data set; two sets may name their classes differently)."""
        return self.first_set == self.second_set and self.first_label != self.second_label

    @property
    def crosses(self) -> bool:
        """Whether the images lie in different data sets."""
        return self.first_set != self.second_set


@dataclass(frozen=True)
class DataSetFacts:
    """One data set: its size, classes, baseline and the number of different pictures in it."""

    name: str
    folder: str
    domain: str
    images: int
    pictures: int
    classes: dict[str, int]
    constant_class: str
    constant_accuracy: float  # of always answering constant_class, normal scans of a lesion set left out
    patients: int
    without_patient: int
    licence: str
    citation: str
    written_on: tuple[str, ...]  # images into which text seems to be burned
    tells: tuple[Tell, ...]


@dataclass(frozen=True)
class AuditReport:
    """Facts per data set and between them."""

    sets: tuple[DataSetFacts, ...]
    copies: tuple[Copy, ...]
    shared_patients: dict[str, tuple[str, ...]]  # "A, B" -> patient ids that occur in both
    domain_tells: tuple[Tell, ...]

    @property
    def conflicts(self) -> tuple[Copy, ...]:
        """Copies whose labels disagree."""
        return tuple(copy for copy in self.copies if copy.conflicts)

    @property
    def crossing(self) -> tuple[Copy, ...]:
        """Copies between data sets."""
        return tuple(copy for copy in self.copies if copy.crosses)

    def to_json(self) -> dict[str, Any]:
        """The whole report as plain values."""
        return dataclasses.asdict(self)


def audit(folders: Sequence[Path | str]) -> AuditReport:
    """Examine shard folders alone and against each other.

    Raises InputError when a folder is no data set or is given twice.
    """
    folders = [str(folder) for folder in folders]
    if len({absolute(folder) for folder in folders}) < len(folders):
        raise InputError("audit", "a folder is given twice", "give each data set once")
    names = _names(folders)
    frames = [read_metadata(folder).assign(letters=lettering(folder)) for folder in folders]
    copies = [folder_duplicates(folder) for folder in folders]
    merged = pd.concat(frames, ignore_index=True)
    owner = np.repeat(names, [len(frame) for frame in frames])
    return AuditReport(
        sets=tuple(
            _facts(name, folder, frame, found.count)
            for name, folder, frame, found in zip(names, folders, frames, copies, strict=True)
        ),
        copies=tuple(_copy(pair, merged, owner) for pair in _all_pairs(folders, frames, copies)),
        shared_patients=_shared_patients(names, frames),
        domain_tells=tuple(find_tells(features(merged), owner, "data set")),
    )


def _all_pairs(
    folders: Sequence[str], frames: Sequence[pd.DataFrame], copies: Sequence[Duplicates]
) -> Iterator[Pair]:
    """Pairs within each folder, then between folders, all counted through the folders in order."""
    start = 0
    for frame, found in zip(frames, copies, strict=True):
        for pair in found.pairs:
            yield dataclasses.replace(pair, i=pair.i + start, j=pair.j + start)
        start += len(frame)
    if len(folders) > 1:
        yield from crossing_pairs(folders)


def _names(folders: Sequence[str]) -> list[str]:
    """Folder names, or whole paths where two folders are called the same."""
    short = [split_last(folder)[1] for folder in folders]
    return short if len(set(short)) == len(short) else list(folders)


def _facts(name: str, folder: str, frame: pd.DataFrame, pictures: int) -> DataSetFacts:
    manifest = read_manifest(folder)
    classes, constant_class, constant_accuracy = _balance(frame, manifest)
    patients = frame.loc[frame["patient"] != "", "patient"]
    return DataSetFacts(
        name=name,
        folder=folder,
        domain=manifest.domain,
        images=len(frame),
        pictures=pictures,
        classes=classes,
        constant_class=constant_class,
        constant_accuracy=constant_accuracy,
        patients=int(patients.nunique()),
        without_patient=len(frame) - len(patients),
        licence=manifest.licence,
        citation=manifest.citation,
        written_on=tuple(frame.loc[frame["letters"] >= SUSPICIOUS, "image_id"]),
        tells=tuple(_class_tells(frame, manifest)),
    )


def _balance(frame: pd.DataFrame, manifest: Manifest) -> tuple[dict[str, int], str, float]:
    """Images of each class, the constant answer and its accuracy; of several findings an image the mean over findings."""
    if manifest.multi_label:
        labels = stacked(frame["labels"])
        return dict(zip(manifest.classes, present_counts(labels).tolist(), strict=True)), COMMONER, constant_accuracy(labels)
    counts = frame["label"].value_counts()
    judged = apply_normals(frame, "drop")["label"].value_counts()
    classes = {label: int(counts.get(label, 0)) for label in manifest.classes}
    return classes, str(judged.index[0]) if len(judged) else "", float(judged.iloc[0] / judged.sum()) if len(judged) else 0.0


def _class_tells(frame: pd.DataFrame, manifest: Manifest) -> list[Tell]:
    if not manifest.multi_label:
        return find_tells(features(frame), frame["label"].to_numpy(dtype=str), "class")
    labels, columns = stacked(frame["labels"]), features(frame)
    found = [find_tells(columns, np.where(labels[:, k] == 1, name, ""), "finding") for k, name in enumerate(manifest.classes)]
    return sorted((tell for tells in found for tell in tells), key=lambda tell: -tell.auroc)


def _copy(pair: Pair, frame: pd.DataFrame, owner: np.ndarray) -> Copy:
    first, second = frame.iloc[pair.i], frame.iloc[pair.j]
    identical = first["sha256"] == second["sha256"] and first["height"] == second["height"]
    how = "identical" if identical else describe_orientation(pair.orientation) or "near"
    return Copy(
        first["image_id"], second["image_id"], str(owner[pair.i]), str(owner[pair.j]),
        first["label"], second["label"], how, round(pair.score, 3),
    )  # fmt: skip


def _shared_patients(names: Sequence[str], frames: Sequence[pd.DataFrame]) -> dict[str, tuple[str, ...]]:
    patients = [set(frame["patient"]) - {""} for frame in frames]
    shared = {}
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            both = patients[i] & patients[j]
            if both:
                shared[f"{names[i]}, {names[j]}"] = tuple(sorted(both))
    return shared
