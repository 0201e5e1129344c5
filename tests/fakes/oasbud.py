"""An OASBUD of nine lesions: the MATLAB struct array with its seven fields, echoes of a 40 MHz array."""

import numpy as np
from scipy.io import savemat

from tests.fakes.pictures import picture

_KINDS = {"id": object, "rf1": object, "rf2": object, "roi1": object, "roi2": object, "birads": object, "class": object}


def write(folder):
    """Write OASBUD.mat into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    data = np.empty((1, 9), dtype=list(_KINDS.items()))
    for number in range(9):
        mask = np.zeros((480, 52), dtype=np.uint8)
        mask[200:260, 20:30] = 1
        data[0, number] = (
            f"P{number:03d}",
            echoes(2 * number),
            echoes(2 * number + 1),
            mask,
            mask,
            "4a",
            float(number > 4),
        )
    savemat(folder / "OASBUD.mat", {"data": data})
    return folder


def echoes(seed):
    """int16 [480, 52]: a carrier in depth whose envelope follows a picture."""
    envelope = np.repeat(picture(2300 + seed), 12, axis=0).astype(np.float64)
    carrier = np.sin(2 * np.pi * 0.2 * np.arange(480))[:, None]
    return (envelope * carrier * 20).astype(np.int16)


EXPECTED = {"images": 18, "classes": ("benign", "malignant"), "patients": 9}
