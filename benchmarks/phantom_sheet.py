"""phantom scanners -> docs/phantoms.png, the contact sheet of the README.

python -m benchmarks.phantom_sheet docs/phantoms.png
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sweep.importers.phantom import simulate

CLASSES = ("benign", "malignant", "normal")
PER_CLASS = 3
GAP_PX, TITLE_PX = 6, 22


def sheet() -> Image.Image:
    """Two rows, one per scanner; three images of each class, each of another patient."""
    rows = [_row(scanner) for scanner in ("a", "b")]
    side = rows[0][0].shape[0]
    width = (side + GAP_PX) * len(rows[0]) - GAP_PX
    page = Image.new("L", (width, 2 * (side + TITLE_PX) + GAP_PX), 255)
    draw = ImageDraw.Draw(page)
    for number, (scanner, images) in enumerate(zip("ab", rows, strict=True)):
        top = number * (side + TITLE_PX + GAP_PX)
        for place, image in enumerate(images):
            left = place * (side + GAP_PX)
            if place % PER_CLASS == 0:
                draw.text((left, top + 4), f"phantom-{scanner}, {CLASSES[place // PER_CLASS]}", fill=0)
            page.paste(Image.fromarray(image), (left, top + TITLE_PX))
    return page


def _row(scanner: str) -> list[np.ndarray]:
    firsts: dict[str, list[np.ndarray]] = {name: [] for name in CLASSES}
    patients = set()
    for raw in islice(simulate(scanner, patients=60, seed=0), 200):
        if raw.patient not in patients and len(firsts[raw.label]) < PER_CLASS:
            patients.add(raw.patient)
            firsts[raw.label].append(np.asarray(raw.pixels))
    return [image for name in CLASSES for image in firsts[name]]


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/phantoms.png")
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet().save(target, optimize=True)
    print(target)
