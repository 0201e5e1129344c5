"""A ChestMNIST of twenty images, with the published array names, label shape and number of findings."""

import numpy as np

from sweep.importers.chestmnist import FINDINGS
from tests.fakes import medmnist


def write(folder):
    """Write chestmnist.npz below `folder` and return its path; the last image of each split has no finding."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = medmnist.arrays(findings=len(FINDINGS))
    for split in medmnist.SIZES:
        arrays[f"{split}_labels"][-1] = 0
    np.savez_compressed(folder / "chestmnist.npz", **arrays)
    return folder / "chestmnist.npz"


EXPECTED = {"images": 20, "classes": FINDINGS, "patients": 0}
