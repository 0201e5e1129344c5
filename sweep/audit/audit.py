"""Shard folders -> what could fool an experiment on them: copies, leaks, conflicts, imbalance, giveaways.

python -m sweep.shards audit A [B ...] [--html FILE]
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sweep.audit.burned_in_text import SUSPICIOUS, lettering
from sweep.audit.domain_facts import DomainFacts, balance, by_domain, domain_tells, shared_patients
from sweep.audit.fingerprints import describe_orientation
from sweep.audit.near_duplicates import Duplicates, Pair, duplicates_within_and_between, near_duplicate_groups
from sweep.audit.shortcut_features import Tell, features, find_tells
from sweep.core.errors import InputError
from sweep.core.location import absolute, is_url, split_last
from sweep.shards.findings import stacked
from sweep.shards.labels import label_names
from sweep.shards.reader import read_manifest, read_metadata
from sweep.shards.schema import Manifest

__all__ = ["AuditReport", "Copy", "DataSetFacts", "audit", "near_duplicate_groups"]


@dataclass(frozen=True)
class Copy:
    """Two images that show the same picture, with their data sets and labels ('' where unknown); `how` says how one was changed.

    `same_patient`: both are known to be of one patient.
    """

    first: str
    second: str
    first_set: str
    second_set: str
    first_label: str
    second_label: str
    how: str
    score: float
    same_patient: bool = False

    @property
    def conflicts(self) -> bool:
        """Whether two known labels differ (within one data set; two sets may name their classes differently).

        A near image of the same patient is a follow-up, whose finding may have come or gone; identical pixels are none.
        """
        if self.crosses or not (self.first_label and self.second_label):
            return False
        follow_up = self.same_patient and self.how != "identical"
        return self.first_label != self.second_label and not follow_up

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
    unlabelled: int  # images without a label
    constant_class: str  # '' where no image has a label
    constant_accuracy: float  # of always answering constant_class, normal scans of a lesion set left out
    normals_left_out: int  # of that accuracy
    domains: tuple[DomainFacts, ...]  # hospitals or scanners within the set, where there are several
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
    shared_patients: dict[
        str, tuple[str, ...]
    ]  # "A, B" -> patient ids that occur in both sets, or in two domains of one
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
    places = [str(folder) for folder in folders]
    twice = [place for place, count in Counter(map(_whole_address, places)).items() if count > 1]
    if twice:
        raise InputError(twice[0], "the folder is given twice", "give each data set once")
    names = _names(places)
    frames = [read_metadata(place).assign(letters=lettering(place)) for place in places]
    copies, crossing = duplicates_within_and_between(places)
    merged = pd.concat(frames, ignore_index=True)
    owner = np.repeat(names, [len(frame) for frame in frames])
    return AuditReport(
        sets=tuple(
            _facts(name, place, frame, found.count)
            for name, place, frame, found in zip(names, places, frames, copies, strict=True)
        ),
        copies=tuple(_copy(pair, merged, owner) for pair in _all_pairs(frames, copies, crossing)),
        shared_patients=shared_patients(names, frames, [read_manifest(place) for place in places]),
        domain_tells=tuple(domain_tells(merged, owner)),
    )


def _all_pairs(
    frames: Sequence[pd.DataFrame], copies: Sequence[Duplicates], crossing: Sequence[Pair]
) -> Iterator[Pair]:
    """Pairs within each folder, then between folders, all counted through the folders in order."""
    start = 0
    for frame, found in zip(frames, copies, strict=True):
        for pair in found.pairs:
            yield dataclasses.replace(pair, i=pair.i + start, j=pair.j + start)
        start += len(frame)
    yield from crossing


def _whole_address(place: str) -> str:
    """The address without links and detours, by which two of one folder are equal."""
    return place if is_url(place) else os.path.realpath(absolute(place))


def _names(folders: Sequence[str]) -> list[str]:
    """Folder names, or whole paths where two folders are called the same."""
    short = [split_last(folder)[1] for folder in folders]
    return short if len(set(short)) == len(short) else list(folders)


def _facts(name: str, folder: str, frame: pd.DataFrame, pictures: int) -> DataSetFacts:
    manifest = read_manifest(folder)
    classes, constant_class, constant_accuracy, normals_left_out = balance(frame, manifest)
    patients = frame.loc[frame["patient"] != "", "patient"]
    return DataSetFacts(
        name=name,
        folder=folder,
        domain=manifest.domain,
        images=len(frame),
        pictures=pictures,
        classes=classes,
        unlabelled=int(frame["label"].isna().sum()),
        constant_class=constant_class,
        constant_accuracy=constant_accuracy,
        normals_left_out=normals_left_out,
        domains=tuple(by_domain(frame, manifest)),
        patients=int(patients.nunique()),
        without_patient=len(frame) - len(patients),
        licence=manifest.licence,
        citation=manifest.citation,
        written_on=tuple(frame.loc[frame["letters"] >= SUSPICIOUS, "image_id"]),
        tells=tuple(_class_tells(frame, manifest)),
    )


def _class_tells(frame: pd.DataFrame, manifest: Manifest) -> list[Tell]:
    if not manifest.multi_label:
        labelled = frame[frame["label"].notna()]
        return find_tells(features(labelled), label_names(labelled["label"]), "class")
    labels, columns = stacked(frame["labels"]), features(frame)
    found = [
        find_tells(columns, np.where(labels[:, k] == 1, name, ""), "finding") for k, name in enumerate(manifest.classes)
    ]
    return sorted((tell for tells in found for tell in tells), key=lambda tell: -tell.auroc)


def _copy(pair: Pair, frame: pd.DataFrame, owner: np.ndarray) -> Copy:
    first, second = frame.iloc[pair.i], frame.iloc[pair.j]
    labels = label_names([first["label"], second["label"]]).tolist()
    identical = first["sha256"] == second["sha256"] and first["height"] == second["height"]
    how = "identical" if identical else describe_orientation(pair.orientation) or "near"
    same_patient = bool(first["patient"]) and first["patient"] == second["patient"]
    return Copy(
        first=first["image_id"],
        second=second["image_id"],
        first_set=str(owner[pair.i]),
        second_set=str(owner[pair.j]),
        first_label=labels[0],
        second_label=labels[1],
        how=how,
        score=round(pair.score, 3),
        same_patient=same_patient,
    )
