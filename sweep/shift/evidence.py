"""What an estimator may see of one trained model: its logits on labelled source validation and on unlabelled target images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sweep.shift import calibration


@dataclass(frozen=True)
class Evidence:
    """Logits of one model, and of its other seeds where there are any.

    source_logits float [N, K] and source_labels int [N] are of source validation, target_logits float [M, K] of the unlabelled target.
    source_seeds [S, N, K] and target_seeds [S, M, K] hold all seeds of the recipe. With two classes, class 1 is the positive one.
    Raises ValueError when the shapes do not fit, a logit is not finite or source validation lacks a class.
    """

    source_logits: np.ndarray
    source_labels: np.ndarray
    target_logits: np.ndarray
    source_seeds: np.ndarray | None = None
    target_seeds: np.ndarray | None = None

    def __post_init__(self) -> None:
        source, labels, target = self.source_logits, self.source_labels, self.target_logits
        if source.ndim != 2 or target.ndim != 2 or source.shape[1] != target.shape[1] or len(labels) != len(source):
            raise ValueError(
                f"source {source.shape}, labels {labels.shape} and target {target.shape} do not fit together"
            )
        if len(target) == 0 or not (np.isfinite(source).all() and np.isfinite(target).all()):
            raise ValueError("no target image, or a logit that is not finite")
        if len(np.unique(labels)) < source.shape[1]:
            raise ValueError(f"source validation has {len(np.unique(labels))} of {source.shape[1]} classes")

    @property
    def classes(self) -> int:
        """Number of classes K."""
        return self.source_logits.shape[1]

    @cached_property
    def source(self) -> np.ndarray:
        """Calibrated probabilities [N, K] on source validation."""
        return self._calibrate(self.source_logits)

    @cached_property
    def target(self) -> np.ndarray:
        """Probabilities [M, K] on the target, calibrated on source validation."""
        return self._calibrate(self.target_logits)

    @cached_property
    def _calibrate(self) -> calibration.Calibration:
        return calibration.fit(self.source_logits, self.source_labels)

    @cached_property
    def source_predicted(self) -> np.ndarray:
        """Predicted class [N] on source validation, by the largest logit."""
        return self.source_logits.argmax(1)

    @cached_property
    def target_predicted(self) -> np.ndarray:
        """Predicted class [M] on the target, by the largest logit."""
        return self.target_logits.argmax(1)
