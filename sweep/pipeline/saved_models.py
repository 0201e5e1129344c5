"""RUN/SIGNATURE -> the saved classifier of a finished trial."""

from __future__ import annotations

import json

from sweep.config.hyperparameters import restored
from sweep.core.errors import InputError
from sweep.core.location import split_last
from sweep.core.storage import Storage
from sweep.data.datasets import Data
from sweep.models.classifier import Classifier
from sweep.pipeline.training_job import rebuilt
from sweep.store.trial import MODEL, RESULT


def trial_folder(reference: str, seed: int = 0) -> Storage:
    """The folder of one seed of the trial that RUN/SIGNATURE names; RUN is a path or a URL."""
    run, signature = split_last(reference)
    return Storage(run).child(f"trials/{signature}/seed-{seed}")


def load_trained(reference: str, data: Data, seed: int = 0) -> Classifier:
    """The trial's model with its trained weights, in eval mode.

    `data` gives image size and classes, which must be those it was trained with. Raises InputError when the trial kept no model or
    its model is for other images.
    """
    folder = trial_folder(reference, seed)
    try:
        config, weights = restored(json.loads(folder.read(RESULT))["config"]), folder.read(MODEL)
    except FileNotFoundError as error:
        raise InputError(
            reference,
            f"no trained model in {folder.url}",
            "name RUN/SIGNATURE of a finished trial: its folder below RUN/trials, all twelve digits",
        ) from error
    try:
        return rebuilt(config, data, seed, weights).eval()
    except RuntimeError as error:
        raise InputError(
            reference, "its model does not fit this run's images or classes", "use runs of equal image_px and classes"
        ) from error
