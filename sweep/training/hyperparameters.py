"""Hyperparameters of training: the settings of the loop, and unsupervised adaptation to the target."""

from __future__ import annotations

from sweep.core.hyperparameter import Hyperparameter, one_of
from sweep.training.recipe import RECIPE_ROWS

ROWS = (
    *RECIPE_ROWS,
    Hyperparameter(
        "adapt",
        "source-free adaptation: batch-norm statistics of the target (batch_norm), the same and some steps that lower the entropy of predictions, undone where a class vanishes (entropy), or the target's grey levels mapped to the source's (histogram); or histogram_to_target, not source-free: the source's grey levels mapped to those of unlabelled target images before training",
        (str,),
        "none",
        one_of("none", "batch_norm", "entropy", "histogram", "histogram_to_target"),
    ),
)
