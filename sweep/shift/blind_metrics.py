"""One record's metrics that need no target label: predicted target metrics with the ends of their intervals, and the predicted domain gap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sweep.core.metric_table import (
    HIGH,
    LOW,
    PREDICTED,
    PREDICTED_DOMAIN_GAP,
    PREDICTED_METRICS,
    TARGET,
    metric_name,
)
from sweep.shift.predicted_performance import HospitalResult, predict


def blind_metric_names() -> list[str]:
    """The names that `blind_metrics` records, in its order."""
    ends = ("", LOW, HIGH)
    return [
        *(metric_name(f"{PREDICTED}{name}{end}", TARGET) for name in PREDICTED_METRICS for end in ends),
        PREDICTED_DOMAIN_GAP,
    ]


def blind_metrics(
    source_logits: np.ndarray,
    target_logits: np.ndarray,
    hospitals: Sequence[HospitalResult],
    source_test_auroc: float,
    threshold: float = 0.0,
) -> dict[str, float]:
    """The metrics by recorded name, for one model of two classes, from its logits and results on pseudo-hospitals alone.

    source_logits [N, 2] are of source validation, target_logits [M, 2] of the target; `threshold` is the margin from which class 1 is
    called. Raises ValueError as `predicted_performance.predict` does. A refusal is not among them: `predict` says it.
    """
    found = predict(source_logits, target_logits, hospitals, threshold).metrics
    metrics: dict[str, float] = {}
    for name in PREDICTED_METRICS:
        one = found[name]
        for end, value in (("", one.value), (LOW, one.low), (HIGH, one.high)):
            metrics[metric_name(f"{PREDICTED}{name}{end}", TARGET)] = value
    return metrics | {PREDICTED_DOMAIN_GAP: source_test_auroc - found["auroc"].value}
