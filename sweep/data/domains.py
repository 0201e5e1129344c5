"""Shard folders -> the rows of both domains, with groups and near-duplicates within and across them, and their split.

A source image of a patient of the target, or a near-duplicate of a target image, is left out of every source fold, so that neither
training nor selection uses the target; the target's test set stays whole.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sweep.audit.near_duplicates import duplicates_within_and_between
from sweep.config.sweep_config import DataSection
from sweep.core.cache import cache_folder, code_hash, computed_once
from sweep.core.errors import InputError
from sweep.core.hashing import content_hash
from sweep.core.storage import Storage
from sweep.data.target_labels import ALL, Allowed, allowed_alone, images_identity, known, without_normals
from sweep.shards.groups import closed_groups, components, renumbered
from sweep.shards.label_conflicts import conflicting
from sweep.shards.labels import apply_normals, label_indices
from sweep.shards.patients import one_numbering
from sweep.shards.reader import read_metadata
from sweep.shards.schema import MANIFEST, Manifest
from sweep.shards.splits import TARGET, UNUSED, of_domains, shared_with, split_without

FOLDS = ("train", "val", "test", TARGET)
FOLD_OF_SPLIT = {"source_val": "val", "source": "test", "target": TARGET}  # the word of metric names -> the fold
FOLD_BACK = "fold_back"  # the folds of target_to_source, where that direction is in use
LABELS = "labels"  # instead of `label` where an image may have several findings
_KIND = "near_duplicates"  # of the entries in the cache folder
_MOST_ENTRIES = 256  # of the cache folder, some kilobytes each
_DUPLICATES_VERSION = 2  # of the search for near-duplicates: raise it when it finds others
_COLUMNS = ["image_id", "label", "group", "domain", "fold", "sha256"]


def domain_frames(
    folders: Sequence[str], manifests: Sequence[Manifest], section: DataSection, classes: tuple[str, ...], run: Storage
) -> list[pd.DataFrame]:
    """The rows of source and target: class index, near-duplicates and groups within the domain, person and picture across both.

    With `hold_out` both are cut from the source folder. Raises InputError when a held-out domain is unknown.
    """
    names: tuple[str, ...]
    if section.hold_out:
        found = _with_copies(folders[:1], manifests[:1], run, ALL)[0]
        away = _held_out(found, section)
        held = ", ".join(section.hold_out)
        names = (f"{manifests[0].domain} without {held}", held)
        frames = [found[~away], found[away]]
    else:
        names = tuple(manifest.domain for manifest in manifests)
        frames = _with_copies(folders, manifests, run, section.target_labels)
    frames = [frame.reset_index(drop=True) for frame in frames]
    _refuse_unlabelled_source(frames[0], manifests[0], f"data.source: {section.source}")
    allowed = section.target_labels
    target = allowed_alone(frames[1], manifests[1], allowed, section.split_seed, f"data.target: {section.target}")
    frames = [
        apply_normals(frames[0], section.normals),
        without_normals(target, manifests[1], allowed, section.normals),
    ]
    shared = section.hold_out or one_numbering(*manifests)
    return [
        _labelled(
            frame,
            name,
            "" if shared else f"{place} ",
            manifest,
            classes,
            folder,
        )
        for frame, name, place, manifest, folder in zip(
            frames, names, ("source", TARGET), manifests, folders, strict=True
        )
    ]


def _refuse_unlabelled_source(frame: pd.DataFrame, manifest: Manifest, where: str) -> None:
    missing = 0 if manifest.multi_label else int(frame["label"].isna().sum())
    if missing:
        raise InputError(
            where,
            f"{missing} of {len(frame)} source images have no label, and models are trained on them",
            "import the source with labels; only the target may lack them",
        )


def _held_out(frame: pd.DataFrame, section: DataSection) -> np.ndarray:
    try:
        return of_domains(frame, section.hold_out)
    except InputError as error:
        raise InputError("data.hold_out", error.problem, error.fix) from None


def _labelled(
    frame: pd.DataFrame, domain: str, numbering: str, manifest: Manifest, classes: tuple[str, ...], folder: str
) -> pd.DataFrame:
    copies, patient = renumbered(frame["near_duplicates"].to_numpy()), frame["patient"].to_numpy(str)
    groups = closed_groups(patient, frame["sha256"].to_numpy(str), copies)
    return frame.assign(
        near_duplicates=copies,
        person=np.where(patient == "", "", np.char.add(numbering, patient)),
        group=[f"{domain}:{number}" for number in groups],
        name=frame["label"],
        label=frame["label"]
        if manifest.multi_label
        else label_indices(frame["label"], classes, f"{folder}/{MANIFEST}"),
        domain=domain,
    )


def _with_copies(
    folders: Sequence[str], manifests: Sequence[Manifest], run: Storage, allowed: Allowed
) -> list[pd.DataFrame]:
    """The metadata of each folder, with a number for each set of near-duplicates in the folder (near_duplicates) and over all (picture).

    The search, minutes on large sets, runs once per machine and set, and never again for a run folder.
    """
    frames = [read_metadata(folder) for folder in folders]
    names = [manifest.sha256 for manifest in manifests]
    if allowed != ALL:  # a manifest's hash covers labels
        names[-1] = images_identity(frames[-1])
    place = f"near_duplicates/{content_hash([*names, _DUPLICATES_VERSION])}.parquet"
    if not run.exists(place):
        run.write(
            place, _found_once(folders, content_hash([*names, _DUPLICATES_VERSION, code_hash("audit", "shards")], 32))
        )
    numbers = pd.read_parquet(io.BytesIO(run.read(place)))
    ends = np.cumsum([len(frame) for frame in frames])
    parts = [numbers.iloc[end - len(frame) : end] for frame, end in zip(frames, ends, strict=True)]
    return [
        frame.assign(near_duplicates=part["near_duplicates"].to_numpy(), picture=part["picture"].to_numpy())
        for frame, part in zip(frames, parts, strict=True)
    ]


def _found_once(folders: Sequence[str], key: str) -> bytes:
    """`_numbered` as a Parquet file, from the user's cache folder where this machine has searched these images before."""
    return computed_once(
        cache_folder(_KIND) / f"{key}.parquet",
        lambda: _numbered(folders).to_parquet(index=False),
        _MOST_ENTRIES,
        "every run searches its images for near-duplicates anew",
    )


def _numbered(folders: Sequence[str]) -> pd.DataFrame:
    within, crossing = duplicates_within_and_between(folders)
    starts = np.cumsum([0, *(len(found.groups) for found in within)])
    inside = [
        (pair.i + start, pair.j + start)
        for found, start in zip(within, starts[:-1], strict=True)
        for pair in found.pairs
    ]
    pictures = components(int(starts[-1]), [*inside, *((pair.i, pair.j) for pair in crossing)])
    return pd.DataFrame({"near_duplicates": np.concatenate([found.groups for found in within]), "picture": pictures})


def split_domains(frames: Sequence[pd.DataFrame], section: DataSection, both: bool) -> pd.DataFrame:
    """One row per image with its fold in each direction in use, ordered by fold within a domain."""
    columns = [LABELS if LABELS in frames[0] and name == "label" else name for name in _COLUMNS]
    source = _with_folds(frames, 1, section)
    if not both:
        return pd.concat([source, frames[1].assign(fold=TARGET)], ignore_index=True)[columns]
    back = _with_folds(frames, 0, section).rename(columns={"fold": FOLD_BACK}).assign(fold=TARGET)
    return pd.concat([source.assign(**{FOLD_BACK: TARGET}), back], ignore_index=True)[[*columns, FOLD_BACK]]


def _with_folds(frames: Sequence[pd.DataFrame], target: int, section: DataSection) -> pd.DataFrame:
    """The rows of the domain that is not `target` with their folds, ordered by fold, so that what is read together is contiguous.

    The first n training images are nested subsets.
    """
    whole, away = _together(frames, target)
    rules = {"seed": section.split_seed, "train_images": section.train_images, "conflicts": section.conflicts}
    try:
        split = split_without(
            whole,
            away,
            near_duplicates=whole["picture"].to_numpy(),
            folds=section.folds,
            fold=section.fold or 0,
            **rules,
        )
    except InputError as error:
        raise InputError(f"data: {error.where}", error.problem, error.fix) from None
    folds = whole.assign(fold=split.frame["fold"].to_numpy(), place=split.frame["place"].to_numpy())[~away]
    folds = folds.assign(
        number=folds["fold"].map((*FOLDS[:3], UNUSED).index), patient=frames[1 - target]["patient"].to_numpy()
    )
    return folds.sort_values(["number", "place"], kind="stable").drop(columns=["number", "place"])


def _together(frames: Sequence[pd.DataFrame], target: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Both domains with common numbers of persons and pictures, and a mask of the target's rows."""
    whole = pd.concat(frames, ignore_index=True)
    return whole.assign(patient=whole["person"]), np.repeat(
        [target == 0, target == 1], [len(frame) for frame in frames]
    )


def left_out(frames: Sequence[pd.DataFrame], target: int = 1) -> dict[str, int]:
    """How many images of the other domain are near-duplicates of `target` images, or else show one of its patients."""
    whole, away = _together(frames, target)
    pictures = shared_with(whole.assign(patient=""), away, whole["picture"].to_numpy())
    everything = shared_with(whole, away, whole["picture"].to_numpy())
    return {"a_picture": int(pictures.sum()), "a_patient": int((everything & ~pictures).sum())}


def copies_card(frame: pd.DataFrame) -> dict[str, Any]:
    """Near-duplicates of a domain: images that have one, and groups with conflicting labels."""
    frame = frame[known(frame["label"].to_numpy())] if LABELS not in frame else frame
    copies = frame["near_duplicates"]
    in_doubt = conflicting(frame, [copies.to_numpy(), frame["sha256"].to_numpy(str)])
    sizes = copies.groupby(copies).transform("size")
    return {
        "images_with_a_near_copy": int((sizes > 1).sum()),
        "groups_with_conflicting_labels": int(copies[in_doubt].nunique()),
    }


def summary_of(card: Mapping[str, int], here: str, there: str) -> str:
    """`left_out` in words; '' when nothing was."""
    total = sum(card.values())
    if not total:
        return ""
    parts = [
        f"{count} show{'s' * (count == 1)} a {what} of {there}"
        for what, count in (("picture", card["a_picture"]), ("patient", card["a_patient"]))
        if count
    ]
    return f"{total} image{'s are' if total > 1 else ' is'} left out of training, validation and test on {here}: {', '.join(parts)}; {there} stays whole"
