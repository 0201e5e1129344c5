"""Checks of `data.target_labels`: nothing that a sweep measures or trains on may need a target label that it must not read."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.config.search_checks import Violation
from sweep.config.sweep_config import BLIND_OBJECTIVE, PSEUDO_HOSPITALS, Objective, SweepConfig
from sweep.core.acquisition_names import ACQUISITION_METRICS
from sweep.core.metric_table import PREDICTED, ROBUST_ACCURACY, TARGET, TARGET_TO_SOURCE, reads_target_labels


def _objectives(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    data = sweep_config.data
    for index, objective in enumerate(sweep_config.objectives):
        place = ("objectives", index)
        if data.target_labels in ("none", "sealed") and _reads_labels(objective):
            yield (
                place,
                f"{objective.metric} reads target labels, and data.target_labels is {data.target_labels}",
                "set split: source"
                if objective.metric in (ROBUST_ACCURACY, *ACQUISITION_METRICS)
                else f"use {BLIND_OBJECTIVE}",
            )
        if objective.metric.startswith(PREDICTED) and not data.hospitals and "data" not in incomplete:
            yield (
                place,
                f"{objective.metric} is predicted from pseudo-hospitals, and there are none",
                f"set data.pseudo_hospitals: {PSEUDO_HOSPITALS}",
            )


def _reads_labels(objective: Objective) -> bool:
    if objective.metric in (ROBUST_ACCURACY, *ACQUISITION_METRICS):
        return objective.split == TARGET
    return reads_target_labels(objective.metric)


def _directions(sweep_config: SweepConfig, incomplete: frozenset[str]) -> Iterator[Violation]:
    allowed = sweep_config.data.target_labels
    if allowed != "all" and TARGET_TO_SOURCE in sweep_config.directions and "data" not in incomplete:
        yield (
            ("data", "target_labels"),
            f"is {allowed}, and direction {TARGET_TO_SOURCE} or colorizer_from: other_domain trains on the target's labels",
            "set it to all, or train on the source alone",
        )


TARGET_LABEL_CHECKS = (_objectives, _directions)
