"""Six volumes in two class folders: NIfTI, compressed or not, stored in several orientations, and NumPy arrays."""

import nibabel
import numpy as np

from tests.fakes.pictures import picture

ORIENTATIONS = ("RAS", "LPS", "ASR", "IPL")


def volume(seed):
    """int16 [12, 16, 10], right to left, posterior to anterior, inferior to superior; ten times a grey picture."""
    return np.stack([picture(seed + k, 12, 16) for k in range(10)], axis=2).astype(np.int16) * 10


def save_nifti(path, array, orientation):
    """`array` (RAS) stored in another orientation, with the affine that says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, np.eye(4))
    wanted = nibabel.orientations.axcodes2ornt(orientation)
    start = nibabel.orientations.io_orientation(image.affine)
    nibabel.save(image.as_reoriented(nibabel.orientations.ornt_transform(start, wanted)), path)


def write(folder):
    """Write ill/ and well/ with three volumes each."""
    for place, label in enumerate(("ill", "well")):
        for number in range(2):
            suffix = (".nii", ".nii.gz")[number]
            save_nifti(
                folder / label / f"v{number}{suffix}",
                volume(1000 * place + 100 * number),
                ORIENTATIONS[2 * place + number],
            )
        np.save(folder / label / "v2.npy", np.moveaxis(volume(1000 * place + 500), 2, 0))
    return folder


OPTIONS = {"window": "1275/2550", "step": 2}
EXPECTED = {"images": 30, "classes": ("ill", "well"), "patients": 6}
