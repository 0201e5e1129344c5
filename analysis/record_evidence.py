"""Rows of predictions.parquet and pseudo-hospitals of one model -> what its performance at the target is predicted from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sweep.core.metric_table import SOURCE_TEST, SOURCE_VAL, TARGET
from sweep.shift.pooled_performance import HeldOut, ModelEvidence
from sweep.shift.predicted_performance import margin
from sweep.shift.stored import StoredHospital


def evidence_of_rows(rows: pd.DataFrame, hospitals: Sequence[StoredHospital]) -> ModelEvidence:
    """Evidence of one model from its own rows; the target's labels are not read."""
    source, test, target = (rows[rows["split"] == split] for split in (SOURCE_VAL, SOURCE_TEST, TARGET))
    return ModelEvidence(
        np.stack(source["logits"].to_list()),
        source["label"].to_numpy(np.int64),
        np.stack(target["logits"].to_list()),
        hospitals,
        np.array([one.target_distance for one in hospitals]),
        held_out=_held_out(source, test, hospitals),
    )


def _held_out(val: pd.DataFrame, test: pd.DataFrame, hospitals: Sequence[StoredHospital]) -> HeldOut | None:
    """Validation and test images of the source together; None where the hospitals' images are not known."""
    shown = val[val["image_id"].isin({name for one in hospitals for name in one.image_ids})]
    if len(set(shown["label"])) < 2:
        return None
    parts = [
        (margin(np.stack(part["logits"].to_list())), part["label"].to_numpy(np.int64))
        for part in (pd.concat([val, test]), shown)
    ]
    return HeldOut(*parts[0], *parts[1])
