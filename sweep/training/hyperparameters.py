"""Hyperparameters of training: the settings of the loop, and unsupervised adaptation to the target."""

from __future__ import annotations

from sweep.core.conditions import above_zero, is_one_of
from sweep.core.hyperparameter import Hyperparameter, between, one_of
from sweep.training.recipe import RECIPE_ROWS, TRAINS_BACKBONE

ROWS = (
    *RECIPE_ROWS,
    Hyperparameter(
        "adapt",
        "source-free adaptation: batch-norm statistics of the target (batch_norm), a mean of source and target statistics (batch_norm_mixed), the target's and some steps that lower the entropy of predictions, undone where a class vanishes (entropy), or the target's grey levels mapped to the source's (histogram); or histogram_to_target, not source-free: the source's grey levels mapped to those of unlabelled target images before training",
        (str,),
        "none",
        one_of("none", "batch_norm", "batch_norm_mixed", "entropy", "histogram", "histogram_to_target"),
    ),
    Hyperparameter(
        "adapt_source_share",
        "share of the source in the mixed batch-norm statistics",
        (float,),
        0.5,
        between(0, 1),
        active=is_one_of("adapt", "batch_norm_mixed"),
        since="0.2",
    ),
    Hyperparameter(
        "lora_rank",
        "rank of low-rank adapters (LoRA), which train in the place of a transformer's published weights; 0: none",
        (int,),
        0,
        between(0, 256),
        active=TRAINS_BACKBONE,
        argument="network.lora_rank",
        since="0.2",
    ),
    Hyperparameter(
        "lora_alpha",
        "scale of the adapters: their product is multiplied by lora_alpha / lora_rank",
        (float,),
        16.0,
        between(0.01, 1e4),
        active=above_zero("lora_rank"),
        argument="network.lora_alpha",
        since="0.2",
    ),
)
