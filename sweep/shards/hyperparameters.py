"""Hyperparameters of the training set: direction, size, mixing of synthetic images, uncertain labels."""

from __future__ import annotations

from collections.abc import Iterable

from sweep.core.conditions import above_zero, is_none_of, is_one_of
from sweep.core.hyperparameter import Hyperparameter, OneOf, between
from sweep.core.metric_table import DIRECTIONS, SOURCE_TO_TARGET

PRETRAIN = "pretrain"
POLICIES = ("add", "replace", "balance", PRETRAIN)  # of mixing synthetic images with real ones
BUDGETS = ("steps", "epochs")  # what sets the optimiser steps of an epoch
HIGHEST_RATIO = 20.0
_SYNTHETIC = above_zero("synthetic_per_real")


def _uncertain_policies() -> Iterable[str]:
    from sweep.shards import findings

    return findings.POLICIES


ROWS = (
    Hyperparameter(
        "direction",
        "which domain is trained on and which is held back",
        (str,),
        SOURCE_TO_TARGET,
        OneOf(lambda: DIRECTIONS),
    ),
    Hyperparameter(
        "train_images",
        "size of the training set, nested: a smaller one is contained in a larger one; the whole fold when left out",
        (int,),
        None,
        between(8, 10_000_000),
        optional=True,
    ),
    Hyperparameter(
        "uncertain",
        "what an uncertain finding counts as in training, of data with several findings an image; mix when left out",
        (str,),
        None,
        OneOf(_uncertain_policies),
        optional=True,
        active=is_none_of("uncertain", None),
    ),
    Hyperparameter(
        "synthetic_per_real",
        "synthetic images per real training image",
        (float,),
        0.0,
        between(0, HIGHEST_RATIO),
    ),
    Hyperparameter(
        "mixing_policy",
        "add synthetic images to the real ones; replace real ones; balance: add them where classes have fewer images first; pretrain: train on the synthetic images, then on the real ones",
        (str,),
        POLICIES[0],
        OneOf(lambda: POLICIES),
        active=_SYNTHETIC,
    ),
    Hyperparameter(
        "pretrain_share",
        "share of the epochs that pretraining on synthetic images takes; the optimiser steps of both parts together are those of every other arm",
        (float,),
        0.5,
        between(0.05, 0.95),
        active=is_one_of("mixing_policy", PRETRAIN),
        since="0.2",
    ),
    Hyperparameter(
        "mixing_budget",
        "optimiser steps of an epoch: as many as the real images give (steps), or as the mixed set gives (epochs)",
        (str,),
        BUDGETS[0],
        OneOf(lambda: BUDGETS),
        active=_SYNTHETIC,
    ),
)
