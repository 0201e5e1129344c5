"""The defaults of a run folder: those of the version that began it, whatever later versions made of them."""

from __future__ import annotations

from sweep.config.hyperparameters import HYPERPARAMETERS, default_values
from sweep.core.hyperparameter import Scalar
from sweep.store.ledger import Reading


def folder_defaults(reading: Reading) -> dict[str, Scalar]:
    """Default of every hyperparameter in the run folder of a ledger; today's where nothing has run yet.

    A sweep notes its defaults in its `sweep` event. What the first note lacks, or all of them in a ledger of version 0.1, which noted
    none, has the value it was introduced with: a resumed sweep asks for the configurations that it has already recorded.
    """
    if not reading.events:
        return default_values()
    noted: dict[str, Scalar] = next(
        (event["defaults"] for event in reading.of_kind("sweep") if "defaults" in event), {}
    )
    return {name: noted.get(name, row.introduced_with) for name, row in HYPERPARAMETERS.items()}
