"""A BreastMNIST of twenty images, with the published array names and label shape."""

import numpy as np

from tests.fakes.pictures import picture

SIZES = {"train": 12, "val": 3, "test": 5}


def arrays(px=28, colour=False, findings=1):
    """The six arrays; `findings` above one gives the multi-label shape."""
    made, seed = {}, 1500
    for split, count in SIZES.items():
        images = np.stack([picture(seed + k, px, px) for k in range(count)])
        made[f"{split}_images"] = np.repeat(images[..., None], 3, axis=3) if colour else images
        made[f"{split}_labels"] = (np.arange(count * findings).reshape(count, findings) % 3 > 0).astype(np.uint8)
        seed += count
    return made


def write(folder):
    """Write breastmnist.npz below `folder` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "breastmnist.npz", **arrays())
    return folder / "breastmnist.npz"


EXPECTED = {"images": 20, "classes": ("benign", "malignant"), "patients": 0}
