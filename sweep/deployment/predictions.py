"""Exported model + new images -> a row an image and a row a patient: probabilities, decision, and whether the image is unlike the training images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pandas as pd

from sweep.core.counts import percent
from sweep.core.errors import InputError
from sweep.deployment.decisions import decide
from sweep.deployment.familiarity import FALSE_FLAGS, distances, shifted, standing_out, unit_features
from sweep.deployment.images import NewImage, Reading, read_new
from sweep.deployment.model_folder import Exported
from sweep.evaluation.evaluate import predict
from sweep.evaluation.metrics import probabilities

BATCH = 64  # images in memory at once
UNLIKE, SCORE, WHY = "unlike_training", "unlike_score", "unlike_because"
YES, NO, HOSPITAL, NOT_KNOWN = "yes", "no", "hospital", "not known"
"""Values of the flag; `hospital`: unlike the training images, as most images of this set are."""


@dataclass(frozen=True)
class Predicted:
    """`images`: a row an image; `patients`: a row a patient, empty where none is known; `logits` float32 [N, K] in the order of `images`.

    `familiarity` says in one sentence how many images are unlike the training images, or that the set as a whole is.
    """

    images: pd.DataFrame
    patients: pd.DataFrame
    logits: np.ndarray
    familiarity: str


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
    images, said = flagged(images)
    return Predicted(images, by_patient(model, images), np.concatenate(logits), said)


def flagged(images: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows with their flags judged as a set, and a sentence that says what they are."""
    count = f"{len(images)} images"
    if SCORE not in images:
        return images, f"{count}; the model was exported without a reference, so none is flagged"
    scores = images[SCORE].to_numpy()
    unlike = int((scores > 1).sum())
    if not shifted(scores):
        expected = f"{unlike} unlike the training images (of the training hospital's own images, up to {percent(FALSE_FLAGS)} are flagged)"
        return images, f"{count}, {expected}"
    out = standing_out(scores)
    marks = np.where(out, YES, np.where(scores > 1, HOSPITAL, NO))
    reasons = images.loc[images[WHY] != "", WHY].str.split("; ").explode().value_counts()
    causes = ", ".join(str(name) for name in reasons.index[:2])
    said = (
        f"{count}: this hospital as a whole is unlike the training images ({percent(unlike / len(images))} of its images, mostly by {causes}), so check the "
        f"model on images of it with known diagnoses before use; {int(out.sum())} also stand out from its other images"
    )
    return images.assign(**{UNLIKE: marks}), said


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
        return rows.assign(**{UNLIKE: NOT_KNOWN, WHY: ""})
    apart = distances(model.reference, unit_features(model.model, pixels, device), pixels)
    reasons = apart.reasons(model.reference)
    return rows.assign(
        **{
            UNLIKE: [YES if reason else NO for reason in reasons],
            SCORE: apart.scores(model.reference),
            WHY: reasons,
        },
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
    """A row a patient: mean probability over the patient's images, the decision at the same threshold, and how many images are flagged by themselves."""
    known = images[images["patient"] != ""]
    names = columns_of(model)
    if not len(known):
        return pd.DataFrame(columns=["patient", "images", *names, "decision", "images_unlike_training"])
    groups = known.groupby("patient", sort=False)
    rows = groups[names].mean()
    rows.insert(0, "images", groups.size())
    rows["decision"] = decisions(model, rows[names].to_numpy())
    rows["images_unlike_training"] = groups[UNLIKE].agg(lambda column: int((column == YES).sum()))
    return rows.reset_index()
