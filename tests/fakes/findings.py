"""CheXperts whose pictures show what their labels say, so that a tiny network can learn them in seconds."""

import numpy as np
from PIL import Image

from tests.fakes.chexpert import HEADER

COLUMNS = {"Atelectasis": 0, "Cardiomegaly": 1, "Consolidation": 2, "Edema": 3, "Pleural Effusion": 4}


def write(folder, patients=60, seed=0):
    """Write train/ and valid/ with their tables: each finding is a bright stripe at its own height, one label in ten uncertain."""
    draw = np.random.default_rng(seed)
    names = HEADER.split(",")
    for split, count in (("train", patients), ("valid", patients // 4)):
        lines = [HEADER]
        for patient in range(count):
            present = draw.random(5) < 0.4
            number = (
                patient + 1000 * (split == "valid") + 2000 * seed
            )  # another seed is another hospital, with patients of its own
            place = f"{split}/patient{number:05d}/study1/view1_frontal.jpg"
            _save(folder / place, present, draw)
            states = {name: _state(present[k], split == "train", draw) for name, k in COLUMNS.items()}
            cells = {"Path": f"CheXpert-v1.0-small/{place}", "Frontal/Lateral": "Frontal", **states}
            lines.append(",".join(cells.get(name, "") for name in names))
        (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return folder


def _state(present, doubtful, draw):
    if doubtful and draw.random() < 0.1:
        return "-1.0"
    return "1.0" if present else ("0.0" if draw.random() < 0.5 else "")


def _save(path, present, draw):
    grey = draw.normal(90, 12, (40, 40))
    for k in np.flatnonzero(present):
        grey[2 + 8 * k : 7 + 8 * k] += 70
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(path, quality=95)
