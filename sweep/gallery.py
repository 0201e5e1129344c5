"""A few pictures of a run, as rows of PNGs: what was put in, what the colorizer made of it, what the generator drew."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import torch
from PIL import Image

from sweep.core.seeds import rng
from sweep.models.classifier import Classifier
from sweep.prepare import Data
from sweep.shards.image_set import ImageSet
from sweep.storage import Storage

GALLERY_FILE = "gallery.parquet"
PER_CLASS = 3
COLUMNS = ["kind", "image_id", "label", "split", "caption", "png"]


def png(pixels: np.ndarray) -> bytes:
    """A uint8 [H, W] or [H, W, 3] array as PNG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def chosen(fold: ImageSet, per_class: int = PER_CLASS) -> np.ndarray:
    """Positions of the same few images of each class in every trial."""
    draw = rng(0, "gallery", fold.domain)
    picks = [draw.permutation(np.flatnonzero(fold.labels == label))[:per_class] for label in range(len(fold.classes))]
    return np.concatenate(picks)


def rows(kind: str, fold: ImageSet, positions: np.ndarray, pictures: list[np.ndarray], split: str, caption: str) -> pd.DataFrame:
    """Gallery rows of one kind for the images at `positions`."""
    names = [fold.classes[label] for label in fold.labels[positions]]
    columns = {"kind": kind, "image_id": fold.ids[positions], "label": names, "split": split, "caption": caption}
    return pd.DataFrame({**columns, "png": [png(picture) for picture in pictures]})


def drawn(kind: str, names: list[str], label: str, pictures: list[np.ndarray], caption: str) -> pd.DataFrame:
    """Gallery rows of images that are no data set's, such as synthetic ones of one class."""
    columns = {"kind": kind, "image_id": names, "label": label, "split": "train", "caption": caption}
    return pd.DataFrame({**columns, "png": [png(picture) for picture in pictures]})


def colorized(model: Classifier, fold: ImageSet, positions: np.ndarray, device: str) -> list[np.ndarray]:
    """What the backbone is shown, each image stretched to its own range; uint8 [H, W, 3]."""
    images = torch.from_numpy(fold.images[positions]).unsqueeze(1).float().div(255).to(device)
    with torch.no_grad():
        views = model.colorize(images).float().cpu()
    low, high = (values.view(-1, 1, 1, 1) for values in (views.flatten(1).amin(1), views.flatten(1).amax(1)))
    scaled = (views - low) / (high - low).clamp_min(1e-6)
    return list(scaled.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy())


def write(run: Storage, name: str, frames: list[pd.DataFrame]) -> None:
    """One gallery file from the frames of its kinds."""
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS)
    buffer = io.BytesIO()
    frame[COLUMNS].to_parquet(buffer, index=False)
    run.write(name, buffer.getvalue())


def write_samples(data: Data, run: Storage) -> None:
    """The run's own gallery: samples of both hospitals."""
    frames = []
    for kind, fold_name in (("source", "train"), ("target", "target")):
        fold = data.read(fold_name)
        positions = chosen(fold)
        frames.append(rows(kind, fold, positions, list(fold.images[positions]), kind, fold.domain))
    write(run, GALLERY_FILE, frames)
