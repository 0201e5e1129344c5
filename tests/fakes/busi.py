"""A BUSI of twenty images: names, folders, masks among the images, and the image that is in two classes."""

import shutil

from tests.fakes.pictures import save_grey, save_mask, save_tinted

COUNTS = {"benign": 8, "malignant": 6, "normal": 6}


def write(folder):
    """Write the archive's layout below `folder`; benign (8) is malignant (6), benign (2) has coloured pixels."""
    root = folder / "Dataset_BUSI_with_GT"
    for start, (label, count) in enumerate(COUNTS.items()):
        for number in range(1, count + 1):
            save_grey(root / label / f"{label} ({number}).png", seed=100 * start + number)
            save_mask(root / label / f"{label} ({number})_mask.png")
    save_mask(root / "benign" / "benign (4)_mask_1.png")
    save_tinted(root / "benign" / "benign (2).png", seed=2)
    shutil.copy(root / "benign" / "benign (8).png", root / "malignant" / "malignant (6).png")
    return folder


EXPECTED = {"images": 20, "classes": ("benign", "malignant", "normal"), "patients": 0}
