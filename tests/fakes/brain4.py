"""A brain MRI set of twenty-four slices in four classes and two published folders."""

from tests.fakes.pictures import save_grey

FOLDERS = {"glioma": "gl", "meningioma": "me", "notumor": "no", "pituitary": "pi"}


def write(folder):
    """Write Training/ and Testing/ below `folder`."""
    seed = 1700
    for split, prefix, count in (("Training", "Tr", 4), ("Testing", "Te", 2)):
        for place, short in FOLDERS.items():
            for number in range(count):
                seed += 1
                save_grey(folder / split / place / f"{prefix}-{short}_{number:04d}.jpg", seed=seed)
    return folder


EXPECTED = {"images": 24, "classes": ("no tumor", "glioma", "meningioma", "pituitary"), "patients": 0}
