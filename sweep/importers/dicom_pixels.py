"""One frame of a DICOM file -> grey uint8: modality rescale, window, photometric interpretation, palette, colour spaces.

PS3.3 C.11 (modality and VOI transformations), C.7.6.16 (functional groups of enhanced multi-frame images), C.7.5.1.1.2 (padding).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sweep.core.errors import InputError
from sweep.importers.decode import Decoded, untinted
from sweep.importers.dicom_header import FIX, named, open_header

_GREY = ("MONOCHROME1", "MONOCHROME2")
_GRAPHICS = 5  # RegionSpatialFormat of drawings and text
_WHOLE = 0.98  # share of a frame from which regions leave no margin that writing could stand in
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_WINDOW_FIX = "pass --window CENTER/WIDTH for the whole data set, or --skip-bad N"


@dataclass(frozen=True)
class _Range:
    """Lowest and highest value that a frame's pixels can have, stored and after the modality transformation."""

    low: float
    high: float


def read_frame(path: Path, frame: int = 0, window: str = "", blank: bool = False, depth: int | None = None) -> Decoded:
    """Decode one frame, without the others; InputError names the file and what is wrong with it.

    `window` is CENTER/WIDTH in rescaled units, '' for the header's own; `depth` the number of stored bits where the header does not
    say it right, used where there is no window; `blank` blackens what lies outside of the scanner's declared ultrasound regions,
    where names and dates are written.
    """
    with named(path) as pydicom:
        found = path.stat()
        header = _header(path, found.st_size, found.st_mtime_ns)
        pixels = _pixels(pydicom, header, path, frame)
        if header.PhotometricInterpretation in _GREY:
            decoded = _Grey(pydicom, header, path, frame, window, depth).decoded(pixels)
        else:
            decoded = _coloured(pydicom, pixels, header, path)
        return _inside_regions(decoded, header, path) if blank else decoded


@lru_cache(maxsize=1)
def _header(path: Path, size: int, changed: int) -> Any:
    """The header of the file whose frames are being read one after the other."""
    with named(path) as pydicom:
        return open_header(pydicom, path)


def _pixels(pydicom: Any, header: Any, path: Path, frame: int) -> np.ndarray:
    """Stored values [H, W], or colours [H, W, 3]."""
    syntax = header.file_meta.TransferSyntaxUID
    try:
        try:
            return pydicom.pixels.pixel_array(path, index=frame)
        except (
            AttributeError,
            TypeError,
            ValueError,
        ):  # without a file meta header, or with elements that have no value
            whole = pydicom.dcmread(path, force=True)
            whole.file_meta.TransferSyntaxUID = syntax
            for element in [element for element in whole if element.is_empty]:
                del whole[element.tag]
            return pydicom.pixels.pixel_array(whole, index=frame)
    except (RuntimeError, NotImplementedError) as broken:
        if "missing dependencies" not in str(broken) and "no available" not in str(broken).lower():
            raise
        raise InputError(
            path, f"compressed as {syntax.name}, and no decoder of it is installed", _packages(syntax)
        ) from None


def _packages(syntax: Any) -> str:
    """What to install for a compressed transfer syntax."""
    if "JPEG-LS" in syntax.name or "JPEG Lossless" in syntax.name or "Extended" in syntax.name:
        return "install the extra that has one: pip install 'recipe-finder[dicom-jpeg]' (python-gdcm), or decompress the files"
    return "install the extra: pip install 'recipe-finder[dicom]', or decompress the files"


@dataclass(frozen=True)
class _Grey:
    """The transformations of one grey frame: stored values -> modality values -> 256 greys."""

    pydicom: Any
    header: Any
    path: Path
    frame: int
    window: str
    depth: int | None

    def decoded(self, pixels: np.ndarray) -> Decoded:
        """White where MONOCHROME1 means black, black where there is padding."""
        stored = self._stored(pixels)
        values, held = self._modality(pixels, stored)
        grey, deep = self._greys(values, held)
        shown = np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)
        if self.header.PhotometricInterpretation == "MONOCHROME1":
            shown = 255 - shown
        padding = self._padding(pixels, stored)
        return Decoded(np.where(padding, 0, shown).astype(np.uint8) if padding is not None else shown, 0.0, False, deep)

    def _stored(self, pixels: np.ndarray) -> _Range:
        bits, signed = int(self.header.BitsStored), int(self.header.PixelRepresentation) == 1
        if not 1 <= bits <= 16 or pixels.dtype.kind == "f":
            raise InputError(self.path, f"pixels of {bits} stored bits ({pixels.dtype})", "give 16 bits or fewer")
        bits = self.depth or bits if bits > 8 else bits
        half = 2 ** (bits - 1)
        low, high = (-half, half - 1) if signed else (0, 2 * half - 1)
        if self.depth is not None and (int(pixels.min()) < low or int(pixels.max()) > high):
            problem = f"stored values from {pixels.min()} to {pixels.max()} do not fit {bits} bits"
            raise InputError(self.path, problem, "pass the depth of the whole data set, like --depth 16")
        return _Range(low, high)

    def _modality(self, pixels: np.ndarray, stored: _Range) -> tuple[np.ndarray, _Range]:
        table = self.header.get("ModalityLUTSequence")
        if table:
            top = 2 ** int(table[0].LUTDescriptor[2]) - 1
            return self.pydicom.pixels.apply_modality_lut(pixels, self.header).astype(np.float64), _Range(0, top)
        slope = self._number("PixelValueTransformationSequence", "RescaleSlope", 1.0)
        intercept = self._number("PixelValueTransformationSequence", "RescaleIntercept", 0.0)
        if slope == 0:
            raise InputError(self.path, "RescaleSlope is 0, which makes every pixel equal", FIX)
        return pixels * slope + intercept, _Range(stored.low * slope + intercept, stored.high * slope + intercept)

    def _greys(self, values: np.ndarray, held: _Range) -> tuple[np.ndarray, bool]:
        """Shares of white, and whether they depend on the number of stored bits."""
        table = self.header.get("VOILUTSequence")
        if table and not self.window:
            shown = self.pydicom.pixels.apply_voi(np.rint(values).astype(np.int64), self.header)
            return shown / float(2 ** int(table[0].LUTDescriptor[2]) - 1), False
        center = self._number("FrameVOILUTSequence", "WindowCenter", None)
        width = self._number("FrameVOILUTSequence", "WindowWidth", None)
        function = str(self._element("FrameVOILUTSequence", "VOILUTFunction") or "LINEAR")
        if self.window:
            (center, width), function = asked_window(self.window), "LINEAR"
        if center is None and width is None:
            return (values - held.low) / (held.high - held.low), int(self.header.BitsStored) > 8
        if center is None or width is None:
            missing = "WindowCenter" if center is None else "WindowWidth"
            raise InputError(self.path, f"a window without {missing}", _WINDOW_FIX)
        self._check_window(center, width, function, held)
        return _shares(values, center, width, function), False

    def _check_window(self, center: float, width: float, function: str, held: _Range) -> None:
        if function not in _FUNCTIONS:
            raise InputError(self.path, f"VOILUTFunction {function!r} is unknown", _WINDOW_FIX)
        if width < 1 if function == "LINEAR" else width <= 0:
            raise InputError(self.path, f"a window of width {width:g}", _WINDOW_FIX)
        low, high = sorted((held.low, held.high))
        if center + width / 2 < low or center - width / 2 > high:
            problem = f"the window {center:g}/{width:g} shows nothing of the values {low:g} to {high:g} that the file can hold"
            raise InputError(self.path, problem, _WINDOW_FIX)

    def _padding(self, pixels: np.ndarray, stored: _Range) -> np.ndarray | None:
        first = self.header.get("PixelPaddingValue")
        if first is None:
            return None
        last = self.header.get("PixelPaddingRangeLimit")
        ends = [
            _in_range(int(value), stored, int(self.header.BitsAllocated))
            for value in (first, first if last is None else last)
        ]
        return (pixels >= min(ends)) & (pixels <= max(ends))

    def _element(self, sequence: str, name: str) -> Any:
        """An element of the frame's own functional group, of the shared one, or of the file."""
        frames = self.header.get("PerFrameFunctionalGroupsSequence") or []
        if frames and self.frame >= len(frames):
            raise InputError(self.path, f"functional groups of {len(frames)} frames and no frame {self.frame}", FIX)
        shared = self.header.get("SharedFunctionalGroupsSequence") or []
        for group in [*frames[self.frame : self.frame + 1], *shared[:1]]:
            items = group.get(sequence) or []
            if items and items[0].get(name) not in (None, ""):
                return items[0].get(name)
        return self.header.get(name)

    def _number(self, sequence: str, name: str, default: Any) -> Any:
        """The first value of an element; InputError when it is not finite."""
        value = self._element(sequence, name)
        if value is None or value == "":
            return default
        first = value[0] if isinstance(value, Sequence) and not isinstance(value, str) and len(value) else value
        number = float(first)
        if not math.isfinite(number):
            raise InputError(self.path, f"{name} is {number}", _WINDOW_FIX if name.startswith("Window") else FIX)
        return number


def _in_range(value: int, stored: _Range, bits: int) -> int:
    """A padding value written without its sign, as some scanners do, with it."""
    return value - 2**bits if stored.low < 0 and value > stored.high else value


def _shares(values: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """Position in the window, 0 to 1 inside of it (DICOM PS3.3 C.11.2.1)."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return (values - center) / width + 0.5
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return (values - (center - 0.5)) / (width - 1) + 0.5


def asked_window(window: str) -> tuple[float, float]:
    """CENTER/WIDTH as two numbers; ValueError when it is neither."""
    center, _, width = window.partition("/")
    return float(center), float(width)


def check_window(window: str) -> str:
    """`window` itself; InputError when it is neither empty nor CENTER/WIDTH."""
    try:
        center, width = asked_window(window) if window else (0.0, 1.0)
        good = math.isfinite(center) and math.isfinite(width) and width >= 1
    except ValueError:
        good = False
    if not good:
        problem = f"{window!r} is no window (a width is 1 or more)"
        raise InputError("window", problem, "write it as CENTER/WIDTH, like 40/400, or leave it out")
    return window


def _coloured(pydicom: Any, pixels: np.ndarray, header: Any, path: Path) -> Decoded:
    """RGB, YBR (pydicom hands it over as RGB) and palettes, tint removed as from any other file."""
    palette = header.PhotometricInterpretation == "PALETTE COLOR"
    if palette:
        pixels = pydicom.pixels.apply_color_lut(pixels, _little_endian(pydicom, header))[..., :3]
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(path, f"photometric interpretation {header.PhotometricInterpretation} is not supported", FIX)
    if pixels.dtype != np.uint8:
        if pixels.dtype.kind != "u" or pixels.dtype.itemsize > 2:
            raise InputError(path, f"colours of {pixels.dtype}", "give 16 bits or fewer")
        deepest = 65535 if palette else 2 ** int(header.BitsStored) - 1
        pixels = np.rint(np.minimum(pixels, deepest).astype(np.float64) * (255 / deepest)).astype(np.uint8)
    return untinted(Image.fromarray(np.ascontiguousarray(pixels)), transparent=False)


def _little_endian(pydicom: Any, header: Any) -> Any:
    """The header with palettes in the byte order that pydicom reads them in: big-endian files hold 16-bit words the other way round."""
    if header.file_meta.TransferSyntaxUID != pydicom.uid.ExplicitVRBigEndian:
        return header
    turned = pydicom.Dataset()
    for element in header:
        if element.keyword.endswith("PaletteColorLookupTableData") and element.VR == "OW":
            words = np.frombuffer(element.value, dtype=">u2").astype("<u2").tobytes()
            turned.add_new(element.tag, element.VR, words)
        elif "Palette" in element.keyword:
            turned.add(element)
    turned.file_meta = pydicom.dataset.FileMetaDataset()
    turned.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    return turned


def _inside_regions(decoded: Decoded, header: Any, path: Path) -> Decoded:
    """Black outside of the declared regions; InputError where they cannot say where the scan ends and the writing begins."""
    fix = "look at the images, then pass --burned-in keep, or remove the file"
    regions = [
        region
        for region in header.get("SequenceOfUltrasoundRegions") or []
        if int(region.get("RegionSpatialFormat") or 0) != _GRAPHICS
    ]
    if not regions:
        raise InputError(path, "no SequenceOfUltrasoundRegions says where the scan ends and the writing begins", fix)
    height, width = decoded.grey.shape[:2]
    inside = np.zeros((height, width), dtype=bool)
    for region in regions:
        names = ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1")
        ends = [region.get(name) for name in names]
        if any(end in (None, "") for end in ends):
            raise InputError(path, "an ultrasound region without its four ends", fix)
        left, top, right, bottom = (int(end) for end in ends)
        if not (0 <= left < right < width and 0 <= top < bottom < height):
            problem = (
                f"an ultrasound region from {left}, {top} to {right}, {bottom} in a frame of {width} x {height} pixels"
            )
            raise InputError(path, problem, fix)
        inside[top : bottom + 1, left : right + 1] = True
    if inside.mean() > _WHOLE:
        raise InputError(path, "its ultrasound regions cover the whole frame, so nothing would be blackened", fix)
    return Decoded(
        np.where(inside, decoded.grey, 0).astype(np.uint8), decoded.colour, decoded.transparent, decoded.deep
    )
