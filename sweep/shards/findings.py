"""Several findings in one image: what their labels may be, and what an uncertain one counts as.

A label is 1 (present), 0 (absent), -1 (uncertain: the report would not commit itself) or NaN (not known: never counted).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sweep.core.errors import InputError, suggestion

# N images, K findings.
COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")  # CheXpert's five
UNCERTAIN = -1.0
POLICIES = ("ones", "zeros", "mix", "ignore")
NO_FINDING = "no finding"
COMMONER = "the commoner answer to each finding"  # what a constant predictor says
_ONES_IN_MIX = frozenset({"Atelectasis", "Edema"})  # where counting the uncertain as present did best (Irvin et al.)


def resolve_uncertain(labels: np.ndarray, policy: str, classes: Sequence[str]) -> np.ndarray:
    """Labels [N, K] with every uncertain one decided: float32 of 1, 0 and NaN.

    Uncertain becomes 1 (`ones`), 0 (`zeros`), 1 for Atelectasis and Edema and 0 otherwise (`mix`), or NaN (`ignore`).
    Raises InputError for another policy or label.
    """
    if policy not in POLICIES:
        raise InputError("uncertain", f"{policy!r} is unknown", suggestion(policy, POLICIES))
    labels = checked(labels, classes)
    decided = {
        "ones": np.ones(len(classes)),
        "zeros": np.zeros(len(classes)),
        "mix": np.array([name in _ONES_IN_MIX for name in classes]),
        "ignore": np.full(len(classes), np.nan),
    }[policy]
    return np.where(labels == UNCERTAIN, decided, labels).astype(np.float32)


def checked(labels: np.ndarray, classes: Sequence[str], where: str = "labels") -> np.ndarray:
    """`labels` as float32 [N, K]; InputError names a value that is no label, or a wrong number of columns."""
    labels = np.asarray(labels, dtype=np.float32)
    if labels.ndim != 2 or labels.shape[1] != len(classes):
        raise InputError(where, f"shape {labels.shape} for {len(classes)} findings", "give one column a finding")
    strange = labels[~np.isnan(labels) & ~np.isin(labels, (0, 1, UNCERTAIN))]
    if strange.size:
        raise InputError(where, f"value {strange[0]:g}", "write 1, 0, -1 for uncertain, or leave it empty")
    return labels


def summary(labels: Sequence[float], classes: Sequence[str]) -> str:
    """One image's labels as text: the findings that are present, and uncertain ones with a question mark."""
    marks = {1.0: "", UNCERTAIN: "?"}
    named = [name + marks[float(label)] for name, label in zip(classes, labels, strict=True) if float(label) in marks]
    return "|".join(named) or NO_FINDING


def stacked(column: pd.Series) -> np.ndarray:
    """The column `labels` of a metadata table as one array, float32 [N, K]."""
    return np.stack(column.to_numpy()).astype(np.float32) if len(column) else np.zeros((0, 0), np.float32)


def present_counts(labels: np.ndarray) -> np.ndarray:
    """int64 [K]: images that have each finding."""
    return (labels == 1).sum(axis=0)


def constant_accuracy(labels: np.ndarray) -> float:
    """Accuracy of the constant predictor on labels [N, K]: the mean over findings, uncertain and unknown labels left out."""
    known = np.isin(labels, (0, 1))
    share = (labels == 1).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    found = np.maximum(share, 1 - share)[known.any(axis=0)]
    return float(found.mean()) if len(found) else 0.0


def contradictory(labels: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """bool [N]: a near-duplicate (equal number in `copies` [N]) is known to have what this image is known to lack, or the reverse."""
    frame = pd.DataFrame(np.where(np.isin(labels, (0, 1)), labels, np.nan)).groupby(copies)
    return (frame.transform("max") > frame.transform("min")).any(axis=1).to_numpy()
