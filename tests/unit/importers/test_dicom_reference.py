"""Every file that pydicom installs for its own tests, read by our arithmetic and by pydicom's."""

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
from PIL import Image

from sweep.core.errors import InputError
from sweep.importers.dicom_header import read_facts
from sweep.importers.dicom_pixels import read_frame

FOLDER = Path(pydicom.data.__file__).parent / "test_files"
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file() and path.suffix in ("", ".dcm"))
KEY = b"a key of the tests"
# What ours leaves out on purpose.
REFUSED = {"rgb_rle_32bit"}
NO_SCANS = {"rtdose", "liver", "6293", "6924"}  # a dose grid, a segmentation, and localizers


def reference(path, frame=0):
    """uint8 by pydicom alone: pixel_array, modality, VOI, palette."""
    image = pydicom.dcmread(path)
    pixels = pydicom.pixels.pixel_array(image, index=frame)
    kind = image.PhotometricInterpretation
    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        if kind == "PALETTE COLOR":
            pixels = pydicom.pixels.apply_color_lut(pixels, image)
        deepest = 65535 if kind == "PALETTE COLOR" else 2**image.BitsStored - 1
        pixels = np.rint(pixels * (255 / deepest)).astype(np.uint8) if pixels.dtype != np.uint8 else pixels
        return np.asarray(Image.fromarray(pixels).convert("L"))
    values = pydicom.pixels.apply_rescale(pixels, image)
    bits, signed = image.BitsStored, image.PixelRepresentation
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope, intercept = float(image.get("RescaleSlope") or 1), float(image.get("RescaleIntercept") or 0)
    low, high = low * slope + intercept, high * slope + intercept
    if image.get("VOILUTSequence") or "WindowCenter" in image:
        values = pydicom.pixels.apply_voi_lut(values, image).astype(np.float64)
    shares = np.clip((values - low) / (high - low), 0, 1)
    grey = np.rint(shares * 255).astype(np.uint8)
    grey = 255 - grey if kind == "MONOCHROME1" else grey
    padding = image.get("PixelPaddingValue")
    return grey if padding is None else np.where(pixels == padding, 0, grey)


def by_pydicom(path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return reference(path)
    except Exception:
        return None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_our_arithmetic_is_pydicom_s(path):
    expected = by_pydicom(path)
    try:
        facts = read_facts(path, KEY)
        grey = None if facts.no_scan else read_frame(path).grey
    except InputError as refused:
        assert refused.where == str(path) and refused.fix
        meant = any(name in path.name for name in REFUSED)
        assert expected is None or meant, refused
        return
    if facts.no_scan:
        assert facts.uid == "" and (expected is None or any(name in path.name for name in NO_SCANS))
    elif expected is not None:
        assert grey.shape == expected.shape and np.abs(grey.astype(int) - expected).max() <= 1


def test_most_of_them_are_compared():
    compared = [path for path in FILES if by_pydicom(path) is not None]
    assert len(compared) >= 40, len(compared)
