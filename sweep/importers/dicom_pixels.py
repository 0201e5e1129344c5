"""One frame of a DICOM file -> grey uint8: modality rescale, window, photometric interpretation, palette, colour spaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sweep.core.errors import InputError
from sweep.importers.decode import Decoded, untinted
from sweep.importers.dicom_header import FIX, WHITELIST, named

_GREY = ("MONOCHROME1", "MONOCHROME2")


def read_frame(path: Path, frame: int = 0, window: str = "", blank: bool = False) -> Decoded:
    """Decode one frame, without the others; InputError names the file and what is wrong with it.

    `window` is CENTER/WIDTH in rescaled units, '' for the header's own; `blank` blackens what lies outside of the
    scanner's declared ultrasound regions, where names and dates are written.
    """
    with named(path) as pydicom:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(WHITELIST))
        pixels = pydicom.pixels.pixel_array(path, index=frame)
        if header.PhotometricInterpretation in _GREY:
            decoded = Decoded(_windowed(pydicom, pixels, header, window), 0.0, False)
        else:
            decoded = _coloured(pydicom, pixels, header, path)
        return _inside_regions(decoded, header, path) if blank else decoded


def _windowed(pydicom: Any, pixels: np.ndarray, header: Any, window: str) -> np.ndarray:
    """Stored values -> modality values -> the window's 256 greys, white where MONOCHROME1 means black."""
    values = pydicom.pixels.apply_modality_lut(pixels, header).astype(np.float64)
    if window or "WindowCenter" in header:
        center, width = _asked(window) if window else _of_header(header)
        function = str(header.get("VOILUTFunction") or "LINEAR")
        grey = _shares(values, center, width, "LINEAR" if window else function)
    elif header.get("VOILUTSequence"):
        table = pydicom.pixels.apply_voi(np.rint(values).astype(np.int64), header)
        grey = table / float(2 ** int(header.VOILUTSequence[0].LUTDescriptor[2]) - 1)
    else:
        grey = _full_range(pydicom, pixels, values, header)
    grey = np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)
    return 255 - grey if header.PhotometricInterpretation == "MONOCHROME1" else grey


def _shares(values: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """Position in the window, 0 to 1 inside of it (DICOM PS3.3 C.11.2.1)."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - center) / width))
    if function == "LINEAR_EXACT":
        return (values - center) / width + 0.5
    return (values - (center - 0.5)) / max(width - 1, 1e-6) + 0.5


def _full_range(pydicom: Any, pixels: np.ndarray, values: np.ndarray, header: Any) -> np.ndarray:
    """Without a window: 8-bit values as they are, deeper ones from the frame's lowest to its highest."""
    if int(header.BitsStored) <= 8 and np.array_equal(values, pixels):
        return values / (2 ** int(header.BitsStored) - 1)
    low, high = float(values.min()), float(values.max())
    return (values - low) / max(high - low, 1e-6)


def _of_header(header: Any) -> tuple[float, float]:
    """The first of the header's windows."""
    first = [
        value[0] if isinstance(value, list) or hasattr(value, "append") else value
        for value in (header.WindowCenter, header.WindowWidth)
    ]
    return float(first[0]), float(first[1])


def _asked(window: str) -> tuple[float, float]:
    center, _, width = window.partition("/")
    return float(center), float(width)


def check_window(window: str) -> str:
    """`window` itself; InputError when it is neither empty nor CENTER/WIDTH."""
    try:
        good = not window or _asked(window)[1] > 0
    except ValueError:
        good = False
    if not good:
        raise InputError("window", f"{window!r} is no window", "write it as CENTER/WIDTH, like 40/400, or leave it out")
    return window


def _coloured(pydicom: Any, pixels: np.ndarray, header: Any, path: Path) -> Decoded:
    """RGB, YBR (pydicom hands it over as RGB) and palettes, tint removed as from any other file."""
    if header.PhotometricInterpretation == "PALETTE COLOR":
        pixels = pydicom.pixels.apply_color_lut(pixels, header)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(path, f"photometric interpretation {header.PhotometricInterpretation} is not supported", FIX)
    if pixels.dtype != np.uint8:
        deepest = 65535 if header.PhotometricInterpretation == "PALETTE COLOR" else 2 ** int(header.BitsStored) - 1
        pixels = np.rint(pixels.astype(np.float64) * (255 / deepest)).astype(np.uint8)
    return untinted(Image.fromarray(pixels), transparent=False)


def _inside_regions(decoded: Decoded, header: Any, path: Path) -> Decoded:
    regions = header.get("SequenceOfUltrasoundRegions") or []
    if not regions:
        fix = "look at the images, then pass --burned-in keep, or remove the file"
        raise InputError(path, "no SequenceOfUltrasoundRegions says where the scan ends and the writing begins", fix)
    inside = np.zeros(decoded.grey.shape, dtype=bool)
    for region in regions:
        rows = slice(int(region.RegionLocationMinY0), int(region.RegionLocationMaxY1) + 1)
        columns = slice(int(region.RegionLocationMinX0), int(region.RegionLocationMaxX1) + 1)
        inside[rows, columns] = True
    return Decoded(np.where(inside, decoded.grey, 0).astype(np.uint8), decoded.colour, decoded.transparent)
