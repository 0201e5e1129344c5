"""`data.target_labels`: which labels of the target a sweep may read. All others are removed as soon as the metadata are read.

Everything behind this point (split, data card, folds, training, metrics, attacks) sees them as unknown: class index NO_LABEL, or NaN for
each of several findings.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from sweep.core.errors import InputError
from sweep.core.hashing import content_hash
from sweep.core.seeds import rng
from sweep.shards.groups import closed_groups
from sweep.shards.labels import apply_normals, classes_after
from sweep.shards.schema import NO_LABEL, Manifest

NONE, SEALED, ALL = "none", "sealed", "all"
Allowed = str | int  # none, sealed, all, or a number of images


def allowed_alone(frame: pd.DataFrame, manifest: Manifest, allowed: Allowed, seed: int, where: str) -> pd.DataFrame:
    """The target's metadata with the labels that may not be read removed.

    Of `allowed` images whole patients (with their near-duplicates, column near_duplicates) are drawn in a random order that depends on
    `seed` and the patients alone; one whose images would exceed the number is passed over. Raises InputError, at `where`, when labels are
    asked for that the data set does not hold.
    """
    _check_there(frame, manifest, allowed, where)
    if allowed == ALL:
        return frame
    kept = _drawn(frame, manifest, allowed, seed, where) if isinstance(allowed, int) else np.zeros(len(frame), bool)
    hidden = frame.assign(label=frame["label"].where(kept, None))
    if manifest.multi_label:
        unknown = np.full(len(manifest.classes), np.nan, dtype=np.float32)
        labels = [own if keep else unknown for own, keep in zip(frame["labels"], kept, strict=True)]
        hidden = hidden.assign(labels=pd.Series(labels, index=frame.index, dtype=object))
    return hidden


def without_normals(frame: pd.DataFrame, manifest: Manifest, allowed: Allowed, normals: str) -> pd.DataFrame:
    """`apply_normals` to what is known of the target: a normal scan whose label must not be read stays among the images."""
    if allowed == ALL or manifest.multi_label or normals == "keep":
        return apply_normals(frame, normals)
    normal = frame["label"].eq("normal") & ("normal" not in classes_after(manifest.classes, normals))
    if normals == "drop":
        return frame[~normal].reset_index(drop=True)
    return frame.assign(label=frame["label"].mask(normal, "benign"))


def known(labels: np.ndarray) -> np.ndarray:
    """bool [N]: of which images some label may be read, from class numbers [N] or findings [N, K]."""
    return labels != NO_LABEL if labels.ndim == 1 else ~np.isnan(labels).all(axis=1)


def note_of(allowed: Allowed, images: int, labelled: int, dropped: bool) -> str:
    """What the sweep prints about the target's labels; '' where all of them may be read.

    `dropped`: the source has normal scans, and they are left out.
    """
    if allowed == ALL:
        return ""
    said = f"{labelled} of {images} target images have a label that may be read (data.target_labels: {allowed})"
    if dropped:
        said += "; normal scans among the others would stay in, unlike in the source: normals: benign treats both alike"
    return said


def images_identity(frame: pd.DataFrame) -> str:
    """Hash of the ids and pixels of a set of images: what names it where its labels may not be read."""
    return content_hash([frame["image_id"].tolist(), frame["sha256"].tolist()], length=64)


def is_simulated(manifest: Manifest) -> bool:
    """Whether the labels that a shard folder lacks can be computed anew, because its images were simulated."""
    return str(manifest.settings.get("importer", "")).startswith("phantom")


def _check_there(frame: pd.DataFrame, manifest: Manifest, allowed: Allowed, where: str) -> None:
    if allowed == NONE or manifest.multi_label or (allowed == SEALED and is_simulated(manifest)):
        return
    missing = int(frame["label"].isna().sum())
    if allowed in (ALL, SEALED) and missing:
        fix = "set data.target_labels: none"
        if missing < len(frame):
            fix += f", or a number of images up to {len(frame) - missing}"
        raise InputError(
            where,
            f"{missing} of {len(frame)} target images have no label, and data.target_labels is {allowed}",
            fix,
        )


def _drawn(frame: pd.DataFrame, manifest: Manifest, wanted: int, seed: int, where: str) -> np.ndarray:
    """bool [N]: the images of the patients that were drawn."""
    has_label = np.ones(len(frame), bool) if manifest.multi_label else frame["label"].notna().to_numpy()
    if wanted > has_label.sum():
        raise InputError(
            where,
            f"data.target_labels asks for {wanted} labelled images, the target has {int(has_label.sum())}",
            f"ask for at most {int(has_label.sum())}" if has_label.any() else "set data.target_labels: none",
        )
    keys = [frame["patient"].to_numpy(str)]
    if "near_duplicates" in frame:
        keys.append(frame["near_duplicates"].to_numpy())
    group = closed_groups(*keys)
    kept = np.zeros(len(frame), bool)
    for number in rng(seed, "target labels").permutation(np.unique(group)):
        own = group == number
        if has_label[own].all() and kept.sum() + own.sum() <= wanted:
            kept |= own
    return kept
