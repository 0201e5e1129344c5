"""One frame of a DICOM file -> grey uint8: modality rescale, window, photometric interpretation, palette, colour spaces.

PS3.3 C.11 (modality and VOI transformations), C.7.6.16 (functional groups of enhanced multi-frame images), C.7.5.1.1.2 (padding).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sweep.core.errors import InputError
from sweep.importers.decode import Decoded, untinted
from sweep.importers.dicom_header import FIX, named, open_header
from sweep.importers.dicom_luts import palette_top, voi_table

_GREY = ("MONOCHROME1", "MONOCHROME2")
_GRAPHICS = 5  # RegionSpatialFormat of drawings and text
_WHOLE = 0.98  # share of a frame from which regions leave no margin that writing could stand in
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_VIDEOS = ("MPEG", "HEVC", "SMPTE", "JPIP")  # transfer syntaxes for which no decoder is offered
_LOSSLESS = ("JPEG-LS", "JPEG Lossless", "Extended")  # those that gdcm alone decodes, the last one above eight bits
_SQUARE = 0.02  # by which the sides of a pixel may differ
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
        shown = _inside_regions(decoded, header, path) if blank else decoded
        return replace(shown, warning=_stretched(header))


def _stretched(header: Any) -> str:
    """Why shapes are not those of the patient; '' where pixels are square, or where the header does not say it."""
    for name in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        sides = [float(side) for side in header.get(name) or ()]
        if len(sides) == 2 and min(sides) > 0 and abs(sides[0] / sides[1] - 1) > _SQUARE:
            return f"its pixels are not square ({name} {sides[0]:g} x {sides[1]:g}), and shapes are stretched"
    return ""


@lru_cache(maxsize=1)
def _header(path: Path, size: int, changed: int) -> Any:
    """The header of the file whose frames are being read one after the other."""
    with named(path) as pydicom:
        return open_header(pydicom, path)


def _pixels(pydicom: Any, header: Any, path: Path, frame: int) -> np.ndarray:
    """Stored values [H, W], or colours [H, W, 3]."""
    syntax = header.file_meta.TransferSyntaxUID
    if any(name in syntax.name for name in _VIDEOS):
        fix = "export its frames as single images with the scanner's or the archive's own program, or pass --skip-bad N"
        raise InputError(path, f"a video ({syntax.name}), which is not decoded", fix)
    # Bits above those stored are looked at here: pydicom would cut them off, and a value that needs them would wrap around.
    unused = {"correct_unused_bits": False} if header.PhotometricInterpretation in _GREY else {}
    try:
        try:
            return pydicom.pixels.pixel_array(path, index=frame, **unused)
        except (
            AttributeError,
            TypeError,
            ValueError,
        ):  # without a file meta header, or with elements that have no value
            whole = pydicom.dcmread(path, force=True)
            whole.file_meta.TransferSyntaxUID = syntax
            for element in [element for element in whole if element.is_empty]:
                del whole[element.tag]
            return pydicom.pixels.pixel_array(whole, index=frame, **unused)
    except (RuntimeError, NotImplementedError) as broken:
        absent = "missing dependencies" in str(broken) or "no available" in str(broken).lower()
        only_gdcm = "Extended" in syntax.name and header.BitsStored > 8 and find_spec("gdcm") is None
        if not absent and not only_gdcm:
            raise
        raise InputError(
            path, f"compressed as {syntax.name}, and no decoder of it is installed", _packages(syntax)
        ) from None


def _packages(syntax: Any) -> str:
    """What to install for a compressed transfer syntax."""
    if any(name in syntax.name for name in _LOSSLESS):
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
        stored = self._stored()
        padding = self._padding(pixels, stored)
        pixels = self._used_bits(pixels, stored, padding)
        values, held = self._modality(pixels, stored)
        grey, deep = self._greys(values, held)
        shown = np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)
        if self.header.PhotometricInterpretation == "MONOCHROME1":
            shown = 255 - shown
        return Decoded(np.where(padding, 0, shown).astype(np.uint8) if padding is not None else shown, 0.0, False, deep)

    def _stored(self) -> _Range:
        bits, signed = int(self.header.BitsStored), int(self.header.PixelRepresentation) == 1
        if not 1 <= bits <= 16:
            fix = "export it with 16 bits or fewer, or pass --skip-bad N"
            raise InputError(self.path, f"pixels of {bits} stored bits", fix)
        bits = self.depth or bits if bits > 8 else bits
        half = 2 ** (bits - 1)
        return _Range(-half, half - 1) if signed else _Range(0, 2 * half - 1)

    def _used_bits(self, pixels: np.ndarray, stored: _Range, padding: np.ndarray | None) -> np.ndarray:
        """The stored bits of each word with their sign; older files store them further up in the word (HighBit).

        InputError for values of more bits: drawings in the unused ones, or a header that is wrong.
        """
        if pixels.dtype.kind not in "iu":
            raise InputError(self.path, f"pixels of {pixels.dtype}", FIX)
        shift = int(self.header.get("HighBit") or 0) + 1 - int(self.header.BitsStored)
        values = pixels >> shift if 0 < shift < 16 else pixels
        bits = int(stored.high - stored.low + 1).bit_length() - 1
        unused = 8 * values.dtype.itemsize - bits
        if unused <= 0:
            return values
        used = (values << unused) >> unused
        fits = (values == used) | (values == (used & (2**bits - 1)))  # negative ones may be written without their sign
        if padding is not None:
            fits |= padding
        if not fits.all():
            strange = values[~fits]
            problem = f"stored values from {strange.min()} to {strange.max()} do not fit {bits} bits"
            fix = (
                "pass the depth of the whole data set, like --depth 16, if its headers are wrong, or pass --skip-bad N"
            )
            raise InputError(self.path, problem, fix)
        return used

    def _modality(self, pixels: np.ndarray, stored: _Range) -> tuple[np.ndarray, _Range]:
        table = self.header.get("ModalityLUTSequence")
        if table:
            top = 2 ** int(table[0].LUTDescriptor[2]) - 1
            return self.pydicom.pixels.apply_modality_lut(pixels, self.header).astype(np.float64), _Range(0, top)
        slope = self._number("PixelValueTransformationSequence", "RescaleSlope", 1.0)
        intercept = self._number("PixelValueTransformationSequence", "RescaleIntercept", 0.0)
        if slope == 0:
            raise InputError(self.path, "RescaleSlope is 0, which makes every pixel equal", FIX)
        ends = sorted((stored.low * slope + intercept, stored.high * slope + intercept))
        return pixels * slope + intercept, _Range(*ends)

    def _greys(self, values: np.ndarray, held: _Range) -> tuple[np.ndarray, bool]:
        """Shares of white, and whether they depend on the number of stored bits."""
        table = self.header.get("VOILUTSequence")
        if table and not self.window:
            big_endian = self.header.file_meta.TransferSyntaxUID == self.pydicom.uid.ExplicitVRBigEndian
            return voi_table(table[0], held.low, big_endian, self.path, _WINDOW_FIX).shares(values), False
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
        if center + width / 2 < held.low or center - width / 2 > held.high:
            problem = f"the window {center:g}/{width:g} shows nothing of the values {held.low:g} to {held.high:g} that the file can hold"
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
    """A padding value as the pixels hold it: some scanners write a negative one without its sign, or an unsigned one with one."""
    if stored.low < 0:
        return value - 2**bits if value > stored.high else value
    return value + 2**bits if value < 0 else value


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
    deepest = 2 ** int(header.BitsStored) - 1
    if header.PhotometricInterpretation == "PALETTE COLOR":
        little = _little_endian(pydicom, header)
        pixels, deepest = pydicom.pixels.apply_color_lut(pixels, little)[..., :3], palette_top(little)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(path, f"photometric interpretation {header.PhotometricInterpretation} is not supported", FIX)
    if pixels.dtype != np.uint8:
        if pixels.dtype.kind != "u" or pixels.dtype.itemsize > 2:
            fix = "export it with 16 bits or fewer, or pass --skip-bad N"
            raise InputError(path, f"colours of {pixels.dtype}", fix)
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
