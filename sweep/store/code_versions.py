"""Versions of the code that computes: part of every trial's signature and of every artifact's name.

Raise one when that code gives other results for the same configuration: records and artifacts of the earlier version are then not reused.
"""

from __future__ import annotations

from collections.abc import Mapping

VERSIONS: Mapping[str, int] = {
    "training": 1,  # a trial: training, evaluation, attacks
    "generator": 1,
    "pool": 2,
    "shared_model": 1,  # how a model is shared; its training is the trial's
}
