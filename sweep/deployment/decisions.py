"""Probabilities and labels of validation images -> a decision threshold, by a policy that the export folder states."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.core.errors import InputError

YOUDEN, HALF = "youden", "half"
POLICIES = {
    YOUDEN: "sensitivity plus specificity is largest (Youden 1950)",
    HALF: "0.5: the likelier of two classes",
    "sensitivity=S": "the highest threshold whose sensitivity is at least S, e.g. sensitivity=0.95",
    "specificity=S": "the lowest threshold whose specificity is at least S",
    "probability=P": "P itself, e.g. the one that the verdict on an unlabelled target names",
}
_NUMBER = r"(0?\.\d+|1(?:\.0*)?)"
_SHARE = re.compile(rf"(sensitivity|specificity)={_NUMBER}")
_GIVEN = re.compile(rf"probability={_NUMBER}")


@dataclass(frozen=True)
class Threshold:
    """A class is decided from `probability` on; `sensitivity` and `specificity` are those on the images it was chosen on."""

    finding: str
    probability: float
    sensitivity: float
    specificity: float
    positives: int
    negatives: int


def check_policy(policy: str) -> str:
    """The policy; InputError for one that is unknown."""
    if policy in (YOUDEN, HALF) or _SHARE.fullmatch(policy) or _GIVEN.fullmatch(policy):
        return policy
    raise InputError("--threshold", f"{policy!r} is no policy", f"write one of {', '.join(POLICIES)}, S and P up to 1")


def choose(policy: str, finding: str, probability: np.ndarray, positive: np.ndarray) -> Threshold:
    """The threshold of one finding from probabilities [N] and truth bool [N].

    Candidates lie midway between neighbouring probabilities, so that rounding on other hardware moves no image of the validation set across.
    Raises InputError where an image of either kind is lacking.
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        lacking = "has" if not positives else "lacks"
        raise InputError(
            f"--threshold {policy}", f"no validation image {lacking} {finding}", f"choose --threshold {HALF}"
        )
    given = _GIVEN.fullmatch(policy)
    fixed = 0.5 if policy == HALF else float(given[1]) if given else None
    candidates = _midways(probability) if fixed is None else np.array([fixed])
    said = probability[None, :] >= candidates[:, None]
    sensitivity = (said & positive).sum(axis=1) / positives
    specificity = (~said & ~positive).sum(axis=1) / negatives
    at = _best(policy, sensitivity, specificity)
    return Threshold(
        finding, float(candidates[at]), float(sensitivity[at]), float(specificity[at]), positives, negatives
    )


def _midways(probability: np.ndarray) -> np.ndarray:
    """Every threshold that separates the images differently, lowest first: 0, the midways, and one above all."""
    values = np.unique(probability)
    return np.concatenate([[0.0], (values[1:] + values[:-1]) / 2, [min(1.0, (values[-1] + 1) / 2)]])


def _best(policy: str, sensitivity: np.ndarray, specificity: np.ndarray) -> int:
    found = _SHARE.fullmatch(policy)
    if found is None:
        return int(np.argmax(sensitivity + specificity))
    if found[1] == "sensitivity":
        return int(np.flatnonzero(sensitivity >= float(found[2]) - 1e-9)[-1])
    return int(np.flatnonzero(specificity >= float(found[2]) - 1e-9)[0])


def decide(probability: np.ndarray, thresholds: Sequence[float], multi_label: bool) -> np.ndarray:
    """Decisions from probabilities [N, K]: class numbers int64 [N], or bool [N, K] of several findings an image.

    `thresholds` has one value of two classes (that of class 1), K of several findings, and none of more classes, where the likeliest is taken.
    """
    if multi_label:
        return probability >= np.asarray(thresholds)
    if probability.shape[1] == 2 and thresholds:
        return (probability[:, 1] >= thresholds[0]).astype(np.int64)
    return probability.argmax(axis=1).astype(np.int64)
