"""trials -> complaints: build every distinct network once before anything is launched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from sweep.core.errors import InputError, InputErrors
from sweep.prepare import Data
from sweep.trial import Trial


def check_models(where: str | Path, trials: Iterable[Trial], data: Data) -> list[str]:
    """Build each pair of backbone and weights; returns one note for each whose published weights left parts random.

    Raises InputErrors with every backbone that cannot take the run's images and every weights file that does not fit.
    """
    from sweep.trainable import build

    pairs = {(trial.config["backbone"], trial.config["weights"]): trial.config for trial in trials}
    errors, notes = [], []
    for (backbone, weights), config in pairs.items():
        try:
            report = build({**config, "colorizer": "none"}, data, seed=0).weights_report
        except InputError as error:
            errors.append(InputError(f"backbone {backbone}, {error.where}", error.problem, error.cure))
            continue
        if weights is not None:
            notes.append(f"{backbone}: {report.loaded} tensors from {report.source}; random: {', '.join(report.left_random) or 'none'}")
    if errors:
        raise InputErrors(where, errors)
    return notes


def with_weights_identity(config: dict) -> dict:
    """A local weights file is named by its absolute path and identified by its content."""
    from sweep.core.hashing import file_sha256

    weights = config.get("weights")
    if weights in (None, "imagenet"):
        return config
    path = Path(weights).absolute()
    digest = None
    with contextlib.suppress(OSError):  # a missing file is refused, with all other mistakes, when the model is built
        digest = file_sha256(path)[:16]
    return {**config, "weights": str(path), "weights_sha256": digest}
