"""Copies of one picture whose labels disagree: which images are in doubt, and which merely show one patient twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sweep.shards.findings import contradictory, stacked
from sweep.shards.groups import closed_groups


def conflicting(frame: pd.DataFrame, copies: Sequence[np.ndarray]) -> np.ndarray:
    """bool [N]: the image has a near-duplicate of another label, or of a contrary finding, that is not its own patient's.

    `frame` has label (or labels), patient and, where known, sha256; each of `copies` is a key [N] whose equal values are copies.
    Two near but not identical images of one known patient are a film and its follow-up: the finding may have come or gone.
    Identical pixels under two labels are in conflict whoever they show.
    """
    if not len(copies):
        return np.zeros(len(frame), dtype=bool)
    pictures = closed_groups(*copies)
    in_doubt = _disagree(frame, pictures)
    in_doubt = in_doubt & _several_persons(frame, pictures) if in_doubt.any() else in_doubt
    return in_doubt | _disagree(frame, frame["sha256"].to_numpy(dtype=str)) if "sha256" in frame else in_doubt


def _disagree(frame: pd.DataFrame, pictures: np.ndarray) -> np.ndarray:
    if "labels" in frame:
        return contradictory(stacked(frame["labels"]), pictures)
    return frame["label"].groupby(pictures).transform("nunique").to_numpy() > 1


def _several_persons(frame: pd.DataFrame, pictures: np.ndarray) -> np.ndarray:
    """Whether a picture's images belong to more than one person; an image without a patient may be anybody's."""
    patient = frame["patient"].to_numpy(dtype=str)
    persons = pd.Series(closed_groups(patient), index=frame.index)
    return persons.groupby(pictures).transform("nunique").to_numpy() > 1
