"""Domain gap: loss of performance from source to target, in two definitions."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.core.metric_table import DOMAIN_GAP, DOMAIN_GAP_VS_REAL_ONLY

GAPS = {
    DOMAIN_GAP: "auroc",
    f"{DOMAIN_GAP}/accuracy": "accuracy",
    f"{DOMAIN_GAP}/balanced_accuracy": "balanced_accuracy",
}


def domain_gap(source: Mapping[str, float], target: Mapping[str, float]) -> dict[str, float]:
    """Source test minus target test of the same model, in AUROC ("domain_gap") and in both accuracies."""
    return {name: source[metric] - target[metric] for name, metric in GAPS.items()}


def domain_gap_vs_real_only(real_only_source: Mapping[str, float], target: Mapping[str, float]) -> dict[str, float]:
    """Source test of the model trained on real images alone, minus target test of this model: the papers' tables."""
    return {
        name.replace(DOMAIN_GAP, DOMAIN_GAP_VS_REAL_ONLY): real_only_source[m] - target[m] for name, m in GAPS.items()
    }
