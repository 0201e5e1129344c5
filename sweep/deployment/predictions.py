"""Exported model + new images -> a row an image and a row a patient: probabilities, decision, and whether the image is unlike the training images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pandas as pd

from sweep.core.errors import InputError
from sweep.deployment.decisions import decide
from sweep.deployment.familiarity import distances, unit_features
from sweep.deployment.images import NewImage, Reading, read_new
from sweep.deployment.model_folder import Exported
from sweep.evaluation.evaluate import predict
from sweep.evaluation.metrics import probabilities

BATCH = 64  # images in memory at once
UNLIKE, WHY = "unlike_training", "unlike_because"


@dataclass(frozen=True)
class Predicted:
    """`images`: a row an image; `patients`: a row a patient, empty where none is known; `logits` float32 [N, K] in the order of `images`."""

    images: pd.DataFrame
    patients: pd.DataFrame
    logits: np.ndarray


def predict_new(
    model: Exported, reading: Reading, on_done: Callable[[int], None] = lambda images: None, device: str = "cpu"
) -> Predicted:
    """Predictions of everything readable in `reading`; `on_done` is told of every batch how many images it had.

    Raises InputError where no image could be read, or two images have the same id.
    """
    model.model.to(device)
    frames, logits = [], []
    for batch in _batches(read_new(model, reading)):
        pixels = np.stack([image.pixels for image in batch])
        found = predict(model.model, pixels, BATCH, device)
        logits.append(found)
        frames.append(_rows(model, batch, pixels, found, device))
        on_done(len(batch))
    if not frames:
        raise InputError(reading.images, "no image could be read", "see the list of bad files, or give another folder")
    images = pd.concat(frames, ignore_index=True)
    repeated = images["image"][images["image"].duplicated()]
    if len(repeated):
        raise InputError(reading.images, f"the id {repeated.iloc[0]!r} comes twice", "list every image once")
    return Predicted(images, by_patient(model, images), np.concatenate(logits))


def _batches(images: Iterator[NewImage]) -> Iterator[list[NewImage]]:
    while batch := list(islice(images, BATCH)):
        yield batch


def columns_of(model: Exported) -> list[str]:
    """Names of the probability columns, in the order of the classes."""
    return [f"probability_{name}" for name in model.classes]


def _rows(model: Exported, batch: list[NewImage], pixels: np.ndarray, logits: np.ndarray, device: str) -> pd.DataFrame:
    chance = probabilities(logits, multi_label=model.multi_label)
    rows = pd.DataFrame({"image": [one.image_id for one in batch], "patient": [one.patient for one in batch]})
    rows[columns_of(model)] = chance
    rows["decision"] = decisions(model, chance)
    if model.reference is None:
        return rows.assign(**{UNLIKE: "not known", WHY: ""})
    apart = distances(model.reference, unit_features(model.model, pixels, device), pixels)
    reasons = apart.reasons(model.reference)
    return rows.assign(
        **{UNLIKE: ["yes" if reason else "no" for reason in reasons], WHY: reasons},
        feature_distance=apart.features,
        property_deviation=apart.properties,
    )


def decisions(model: Exported, chance: np.ndarray) -> list[str]:
    """Decisions in words from probabilities [N, K]: a class, or the findings joined by | ('no finding' for none)."""
    decided = decide(chance, model.thresholds, model.multi_label)
    if not model.multi_label:
        return [model.classes[number] for number in decided]
    return ["|".join(np.array(model.classes)[row]) or "no finding" for row in decided]


def by_patient(model: Exported, images: pd.DataFrame) -> pd.DataFrame:
    """A row a patient: mean probability over the patient's images, the decision at the same threshold, and how many images are flagged."""
    known = images[images["patient"] != ""]
    names = columns_of(model)
    if not len(known):
        return pd.DataFrame(columns=["patient", "images", *names, "decision", "images_unlike_training"])
    groups = known.groupby("patient", sort=False)
    rows = groups[names].mean()
    rows.insert(0, "images", groups.size())
    rows["decision"] = decisions(model, rows[names].to_numpy())
    rows["images_unlike_training"] = groups[UNLIKE].agg(lambda column: int((column == "yes").sum()))
    return rows.reset_index()
