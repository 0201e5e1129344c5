"""Images of a shard folder -> what their pixels look like: brightness, contrast, sharpness, speckle, text."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import laplace

from sweep.audit.burned_in_text import letters_on_a_line
from sweep.core.seeds import rng
from sweep.shards.reader import read_batches
from sweep.shift.properties import speckle_size

MEASURED = ("grey_mean", "contrast", "sharpness", "speckle_px", "letters")
MOST = 300
EXAMPLE_PX = 96  # longer side of the pictures kept
EXAMPLE_QUANTILES = (0.1, 0.5, 0.9)
_COLUMNS = ("image_id", "image", "height", "width", "domain")


def properties(grey: np.ndarray) -> dict[str, float]:
    """What one image looks like, from uint8 `grey` [H, W] as stored.

    grey_mean and contrast (standard deviation) are shares of the full range; sharpness is the standard deviation of the Laplacian over that
    of the image; speckle_px the lag, in pixels, at which the autocorrelation of the image without its background falls to one half;
    letters the marks of burned-in text on the longest line.
    """
    pixels = grey.astype(np.float32) / 255
    spread = float(grey.std()) / 255  # of whole numbers: exactly zero where they are equal
    return {
        "grey_mean": float(pixels.mean()),
        "contrast": spread,
        "sharpness": float(laplace(pixels).std()) / spread if spread > 0 else 0.0,
        "speckle_px": speckle_size(pixels),
        "letters": float(letters_on_a_line(grey)),
    }


def measured(folder: str, names: Sequence[str]) -> pd.DataFrame:
    """One row for each of the images `names`: image_id, scanner, the properties of at most MOST drawn ones, and png (see `write_properties`)."""
    drawn = {names[place] for place in rng(0, "properties", len(names)).permutation(len(names))[:MOST]}
    wanted, rows, pictures = set(names), {}, {}
    for batch in read_batches(folder, _COLUMNS):
        columns = (batch.column(column) for column in _COLUMNS)
        for image_id, image, height, width, scanner in zip(*columns, strict=True):
            name = image_id.as_py()
            if name not in wanted:
                continue
            rows[name] = {"scanner": scanner.as_py()}
            if name in drawn:
                grey = np.frombuffer(image.as_buffer(), dtype=np.uint8).reshape(height.as_py(), width.as_py())
                rows[name] |= properties(grey)
                pictures[name] = _small(grey)
    table = pd.DataFrame([{"image_id": name, **rows[name]} for name in names])
    measured = table[table["image_id"].isin(pictures)]
    shown = {measured["image_id"].iloc[place] for name in MEASURED for place in _examples(measured[name].to_numpy())}
    return table.assign(png=[_png(pictures[name]) if name in shown else b"" for name in table["image_id"]])


def _examples(values: np.ndarray) -> list[int]:
    order = np.argsort(values, kind="stable")
    return [int(order[round(quantile * (len(order) - 1))]) for quantile in EXAMPLE_QUANTILES]


def _small(grey: np.ndarray) -> np.ndarray:
    step = max(1, int(np.ceil(max(grey.shape) / EXAMPLE_PX)))
    rows, columns = (size // step * step for size in grey.shape)
    blocks = grey[:rows, :columns].reshape(rows // step, step, columns // step, step)
    return blocks.mean(axis=(1, 3)).astype(np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
