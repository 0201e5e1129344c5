"""Class names to class indices, and the one rule for normal scans in lesion data sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from sweep.core.errors import InputError, suggestion
from sweep.shards.schema import NO_LABEL

NORMALS = ("drop", "benign", "keep")
_LESIONS = frozenset({"benign", "malignant"})
_POSITIVE_NAMES = ("malignant", "pneumonia", "abnormal", "positive", "disease")


def guess_positive(labels: Iterable[str]) -> str:
    """The class that means illness by its name, else the last in alphabetical order of two, else ''."""
    found = sorted(set(labels))
    by_lower = {name.lower(): name for name in found}
    for name in _POSITIVE_NAMES:
        if name in by_lower:
            return by_lower[name]
    return found[-1] if len(found) == 2 else ""


def class_order(labels: Iterable[str], positive: str) -> tuple[str, ...]:
    """Classes by name (numbers by value), the positive one at index 1, `normal` last beside benign and malignant."""
    names = sorted(set(labels) - {positive}, key=lambda name: (int(name) if name.isdecimal() else -1, name))
    if _LESIONS & {*names, positive} and "normal" in names:
        names = [name for name in names if name != "normal"] + ["normal"]
    if positive in set(labels):
        names.insert(min(1, len(names)), positive)
    return tuple(names)


def classes_after(classes: Sequence[str], normals: str) -> tuple[str, ...]:
    """The classes that remain once `normals` ("drop", "benign" or "keep") is applied."""
    _check(normals)
    if normals == "keep" or not _has_lesions(classes):
        return tuple(classes)
    return tuple(name for name in classes if name != "normal")


def apply_normals(frame: pd.DataFrame, normals: str = "drop") -> pd.DataFrame:
    """Rows with `normal` dropped or renamed to benign; apply the same rule to source and target.

    Only lesion data sets are touched (some label is benign or malignant): the `normal` of a chest X-ray set is
    a class of its own. Raises InputError for another word than drop, benign or keep.
    """
    _check(normals)
    normal = frame["label"].eq("normal")
    if normals == "keep" or not _has_lesions(frame["label"]) or not normal.any():
        return frame
    if normals == "drop":
        return frame[~normal].reset_index(drop=True)
    return frame.assign(label=frame["label"].mask(normal, "benign"))


def label_indices(labels: Sequence[str | None], classes: Sequence[str], where: str = "labels") -> np.ndarray:
    """int64 [N] positions in `classes`, NO_LABEL for None and NaN; InputError names a label that is none of them."""
    names = label_names(labels).tolist()
    position = {"": NO_LABEL} | {name: index for index, name in enumerate(classes)}
    unknown = sorted(set(names) - set(position))
    if unknown:
        raise InputError(where, f"label {unknown[0]!r} is none of the classes", suggestion(unknown[0], classes))
    return np.fromiter((position[name] for name in names), dtype=np.int64, count=len(names))


def label_names(labels: Sequence[str | None]) -> np.ndarray:
    """Text [N] of class names; '' where a label is missing (None or NaN), which no class is called."""
    column = pd.Series(labels, dtype=object)
    return column.where(column.notna(), "").to_numpy(dtype=str)


def _has_lesions(labels: Iterable[str | None]) -> bool:
    return bool(_LESIONS & set(labels))


def _check(normals: str) -> None:
    if normals not in NORMALS:
        raise InputError("normals", f"{normals!r} is not a rule", f"write one of {', '.join(NORMALS)}")
