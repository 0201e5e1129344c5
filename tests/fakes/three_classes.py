"""Class folders of three classes, two images a patient, whose pictures show what their labels say."""

import numpy as np
from PIL import Image

CLASSES = ("benign", "malignant", "cyst")
OPTIONS = {"patient_regex": r"^(\w+?)_"}


def write(folder, patients=60, seed=0):
    """Write a folder a class: its patients show a faint bright stripe at the class's own height."""
    draw = np.random.default_rng(seed)
    for patient in range(patients):
        kind = patient % len(CLASSES)
        grey = draw.normal(90 + 10 * seed, 14, (40, 40))
        grey[4 + 12 * kind : 12 + 12 * kind] += 14
        place = folder / CLASSES[kind]
        place.mkdir(parents=True, exist_ok=True)
        for view in range(2):
            noisy = np.clip(grey + draw.normal(0, 25, grey.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(place / f"h{seed}p{patient:03d}_{view}.png")
    return folder
