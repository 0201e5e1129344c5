"""A few images of a run as rows of PNGs: source and target, colorized, synthetic, attacked."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from sweep.attacks.names import TRANSFER
from sweep.core.counts import percent
from sweep.core.seeds import named_seed, rng
from sweep.core.storage import Storage
from sweep.data.datasets import Data
from sweep.data.domains import FOLD_OF_SPLIT
from sweep.data.target_labels import known
from sweep.pipeline.stages import pool_stages, read_pool
from sweep.shards.findings import summary
from sweep.shards.image_set import ImageSet
from sweep.shards.schema import NO_LABEL

if TYPE_CHECKING:
    from sweep.models.classifier import Classifier
    from sweep.pipeline.training_job import TrainingJob

GALLERY_FILE = "gallery.parquet"
PER_CLASS = 3
COLUMNS = ["kind", "image_id", "label", "split", "caption", "png"]


def png(pixels: np.ndarray) -> bytes:
    """A uint8 [H, W] or [H, W, 3] array as PNG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def chosen(fold: ImageSet, per_class: int = PER_CLASS) -> np.ndarray:
    """Positions of the same few images of each class and without a label (or with each finding, and with none) in every trial."""
    draw = rng(0, "gallery", fold.domain)
    if fold.multi_label:
        present = fold.labels == 1
        members = [np.flatnonzero(has) for has in (*present.T, ~present.any(axis=1))]
    else:
        members = [np.flatnonzero(fold.labels == label) for label in (*range(len(fold.classes)), NO_LABEL)]
    picks = np.concatenate([draw.permutation(positions)[:per_class] for positions in members])
    return picks[np.sort(np.unique(picks, return_index=True)[1])]  # each once


def rows(
    kind: str, fold: ImageSet, positions: np.ndarray, pictures: list[np.ndarray], split: str, caption: str
) -> pd.DataFrame:
    """Gallery rows of one kind for the images at `positions`."""
    labels = fold.labels[positions]
    names = (
        [summary(label, fold.classes) for label in labels]
        if fold.multi_label
        else ["" if label == NO_LABEL else fold.classes[label] for label in labels]
    )
    columns = {"kind": kind, "image_id": fold.ids[positions], "label": names, "split": split, "caption": caption}
    return pd.DataFrame({**columns, "png": [png(picture) for picture in pictures]})


def write(run: Storage, name: str, frames: list[pd.DataFrame]) -> None:
    """One gallery file from the frames of its kinds."""
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS)
    run.write(name, frame[COLUMNS].to_parquet(index=False))


def write_samples(data: Data, run: Storage) -> None:
    """The run's own gallery: samples of both hospitals."""
    frames = []
    for kind, fold_name in (("source", "train"), ("target", "target")):
        fold = data.open(fold_name)
        positions = chosen(fold)
        frames.append(rows(kind, fold, positions, list(fold.images[positions]), kind, fold.domain))
    write(run, GALLERY_FILE, frames)


def write_trial(job: TrainingJob, model: Classifier, others: Sequence[pd.DataFrame] = ()) -> None:
    """A trial's gallery: colorized views, synthetic images beside the nearest real one, attacked images, and `others` made elsewhere."""
    frames = [*others] if job.trial.config["colorizer"] == "none" else [*others, _colorized(job, model)]
    frames += _synthetic(job) if job.trial.config["synthetic_per_real"] else []
    frames += _attacked(job, model) if job.attacks.threats else []
    write(job.run, f"{job.folder}/{GALLERY_FILE}", frames)


def _colorized(job: TrainingJob, model: Classifier) -> pd.DataFrame:
    """What the backbone is shown, each image stretched to its own range."""
    import torch

    fold = job.folds["test"]
    positions = chosen(fold, per_class=2)
    images = torch.from_numpy(fold.images[positions]).unsqueeze(1).float().div(255).to(job.device)
    with torch.no_grad():
        views = model.colorize(images).float().cpu()
    low, high = views.amin((1, 2, 3), keepdim=True), views.amax((1, 2, 3), keepdim=True)
    scaled = (views - low) / (high - low).clamp_min(1e-6)
    pixels = scaled.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return rows("colorized", fold, positions, list(pixels), "source", job.trial.config["colorizer"])


def _synthetic(job: TrainingJob) -> list[pd.DataFrame]:
    """The first images of each pool, and for each the training image that it resembles most."""
    from sweep.synth.copies import copy_check

    config, store, fold = job.trial.config, job.store, job.folds["train"]
    frames = []
    for label, stage in pool_stages(config, job.data, job.seed).items():
        pool = read_pool(store, stage, job.data.image_px, PER_CLASS)
        check = copy_check(pool, fold.images, groups=fold.groups)
        names = [f"{config['generator']}/{fold.classes[label]}/{index}" for index in range(len(pool))]
        captions = [
            f"{config['generator']}, distance {distance:.2f}, a copy below {check.threshold:.2f}"
            for distance in check.distance
        ]
        columns = {"image_id": names, "label": fold.classes[label], "split": "train", "caption": captions}
        for kind, images in (("synthetic", pool), ("nearest_real", fold.images[check.nearest])):
            frames.append(pd.DataFrame({"kind": kind, **columns, "png": [png(image) for image in images]}))
    return frames


def _attacked(job: TrainingJob, model: Classifier) -> list[pd.DataFrame]:
    """One image of each class of the first attacked split under the last threat that follows a gradient, at the middle epsilon."""
    from sweep.attacks.gallery import gallery
    from sweep.pipeline.training_job import tensors

    labelled = [split for split in job.attacks.splits if known(job.folds[FOLD_OF_SPLIT[split]].labels).any()]
    threat = _shown_threat(job.attacks.threats)
    if threat is None or not labelled:
        return []
    eps, split = job.attacks.eps[len(job.attacks.eps) // 2], labelled[0]
    fold = job.folds[FOLD_OF_SPLIT[split]]
    positions = chosen(fold, per_class=1)
    positions = positions[known(fold.labels[positions])]
    entries = gallery(model, *tensors(fold, positions, job.device), threat, eps, seed=named_seed(job.seed, "gallery"))
    said = [
        f"{threat} at {eps}: {_said(one.probabilities, fold)} becomes {_said(one.adversarial_probabilities, fold)}; change shown x{one.scale:.0f}"
        for one in entries
    ]
    views: dict[str, list[np.ndarray]] = {
        "adversarial": [one.adversarial for one in entries],
        "clean": [one.image for one in entries],
        "perturbation": [one.perturbation for one in entries],
        "colorized_before": [one.colorized for one in entries if one.colorized is not None],
        "colorized_after": [one.colorized_adversarial for one in entries if one.colorized_adversarial is not None],
    }
    if job.trial.config["colorizer"] == "none":  # replication shows nothing that the grey image does not
        views = {kind: views[kind] for kind in ("adversarial", "clean", "perturbation")}
    return [rows(kind, fold, positions, images, split, "").assign(caption=said) for kind, images in views.items()]


def _shown_threat(names: Sequence[str]) -> str | None:
    """The last threat that follows this model's own gradient, else the last one; None where all come from another trial's model."""
    from sweep.attacks.threats import resolve_threat

    own = [name for name in names if not name.startswith(TRANSFER)]
    return next((name for name in reversed(own) if resolve_threat(name).uses_gradient), own[-1] if own else None)


def _said(probabilities: np.ndarray, fold: ImageSet) -> str:
    if fold.multi_label:
        return summary([float(one > 0.5) for one in probabilities], fold.classes)
    top = int(probabilities.argmax())
    return f"{fold.classes[top]} {percent(probabilities[top])}"
