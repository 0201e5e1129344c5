"""Galleries of a fake run: simulated phantoms, and what a colorizer, a generator and an attack would make of them."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from sweep.core.seeds import rng
from sweep.data.image_properties import properties
from sweep.data.properties import PROPERTIES_FILE

CLASSES = ("benign", "malignant")


def run_gallery(seed: int) -> pd.DataFrame:
    """Three images of each class of both domains and of the generator."""
    rows = [
        _row(kind, f"{kind}-{label}-{number}", label, "train", "", phantom_pixels(seed, kind, number, label))
        for kind, number, label in itertools.product(("source", "target", "synthetic"), range(3), CLASSES)
    ]
    return pd.DataFrame(rows)


def trial_gallery(seed: int, config: dict[str, Any]) -> pd.DataFrame:
    """One image of each class: attacked, clean, and where the configuration has them colorized and synthetic."""
    rows = []
    for number, label in enumerate(CLASSES):
        grey = phantom_pixels(seed, "target", number, label)
        noise = rng(seed, "noise", number).integers(-6, 7, size=grey.shape)
        kinds = {"adversarial": np.clip(grey + noise, 0, 255), "clean": grey, "perturbation": 128 + 15 * noise}
        if config["colorizer"] != "none":
            kinds["colorized"] = np.stack([grey, np.roll(grey, 1, 0), 255 - grey // 2], axis=-1)
        if config["synthetic_per_real"]:
            kinds |= {"synthetic": phantom_pixels(seed, "synthetic", number, label), "nearest_real": grey}
        image = f"target-{number:04d}"
        rows += [_row(kind, image, label, "target", f"{kind} of {image}", pixels) for kind, pixels in kinds.items()]
    return pd.DataFrame(rows)


def _row(kind: str, image_id: str, label: str, split: str, caption: str, pixels: np.ndarray) -> dict[str, Any]:
    return {
        "kind": kind,
        "image_id": image_id,
        "label": label,
        "split": split,
        "caption": caption,
        "png": png(pixels),
    }


def phantom_pixels(seed: int, kind: str, number: int, label: str, px: int = 64) -> np.ndarray:
    """A dark ellipse in speckle, uint8 [px, px]; malignant ones have a ragged border."""
    draw = rng(seed, kind, number, label)
    y, x = np.mgrid[:px, :px] / px - 0.5
    angle = np.arctan2(y, x)
    ragged = 0.05 * np.sin(9 * angle + draw.uniform(0, 6)) if label == "malignant" else 0
    inside = np.hypot(x / 1.3, y) < draw.uniform(0.14, 0.24) + ragged
    speckle = draw.rayleigh(1.0, size=(px, px)) * (1.2 - 0.5 * (y + 0.5)) * np.where(inside, 0.25, 1)
    return np.clip(60 * np.log1p(3 * speckle), 0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """Grey or RGB pixels as PNG bytes."""
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def write_properties_table(run: Path, seed: int = 0) -> None:
    """The table of image properties that data preparation leaves, measured by its own code on this run's predicted images."""
    predictions = pd.read_parquet(next(iter(sorted(run.glob("trials/*/seed-0/predictions.parquet")))))
    rows = []
    for role in ("source", "target"):
        names = sorted(set(predictions.loc[predictions["split"] == role, "image_id"]))
        for number, name in enumerate(names):
            grey = phantom_pixels(seed, role, number, CLASSES[number % 2])
            picture = png(grey) if number % 5 == 0 else b""
            rows.append(
                {"image_id": name, "scanner": f"scanner {number % 2}", **properties(grey), "role": role, "png": picture}
            )
    pd.DataFrame(rows).to_parquet(run / PROPERTIES_FILE, index=False)
