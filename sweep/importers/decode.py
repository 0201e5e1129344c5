"""Any image file of a data set -> grey uint8, by one rule; damaged or hostile files are refused by name.

Transparency is composited on black (as a viewer shows an ultrasound frame), tint is removed by the luma
weights of Rec. 601, palettes are resolved first, a camera's rotation mark is obeyed. Files deeper than eight bits are scaled by
the depth that they declare, or by the one that is given for the whole data set: never by an image's own brightest pixel, so that
equal tissue gets equal grey. A file with several pages or frames is refused, since nothing says which of them is meant.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps

from sweep.core.bounded import bounded
from sweep.core.errors import InputError
from sweep.core.images import UnreadableImage, open_image

_TINT = 6  # levels between the largest and smallest channel from which a pixel counts as tinted (JPEG noise is below)
_BITS_PER_SAMPLE, _PHOTOMETRIC, _MAX_SAMPLE_VALUE, _SAMPLE_FORMAT = 258, 262, 281, 339  # TIFF tags
_WHITE_IS_ZERO, _SIGNED = 0, 2  # their values
_DEEP = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
_SCALED = frozenset(
    {"PPM", "JPEG2000"}
)  # Pillow scales their greys to sixteen bits by the maximum that the file states
_PNG_DEPTH = 24  # offset of the bit depth in a PNG
FIX = "restore the file from the archive, remove it, or pass --skip-bad N"


@dataclass(frozen=True)
class Decoded:
    """grey uint8 [H, W]; `colour` the share of tinted pixels in [0, 1]; `transparent` whether any pixel was.

    `deep` says that the file has more than eight bits per sample, so that its greys depend on the depth assumed; `warning` is the first
    warning of its decoder, '' for none.
    """

    grey: np.ndarray
    colour: float
    transparent: bool
    deep: bool = False
    warning: str = ""


@dataclass(frozen=True)
class _Facts:
    """What a file's header says of its samples, read before Pillow's decoding drops it."""

    bits: int  # of a sample, as declared
    inverted: bool = False  # zero is white, which Pillow does not resolve above eight bits
    scaled: bool = False  # whatever the depth of the file, Pillow hands over sixteen bits


def decode(path: Path, read: Callable[..., Decoded]) -> Decoded:
    """`read(path)` within limits of time and memory; `read` is a function of a module or a partial of one (`sweep.core.bounded`)."""
    told: list[str] = []
    decoded = Decoded(**bounded(read, path, where=path, on_warning=told.append))
    return replace(decoded, warning=told[0]) if told else decoded


def read_grey(path: Path, depth: int | None = None) -> Decoded:
    """Decode one image file; InputError names the file and what is wrong with it.

    `depth` is the number of bits that the greys of a file deeper than eight bits have, where the file does not say it right.
    """
    with readable(path), open_image(path) as image:
        if getattr(image, "is_animated", False):
            problem = f"{'pages' if image.format == 'TIFF' else 'frames'}: nothing says which one is meant"
            raise InputError(path, f"several {problem}", "save each as a file of its own, or pass --skip-bad N")
        facts = _facts(image, path)
        return _to_grey(_upright(image), facts, path, depth)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Faults of reading one image file as InputError with its name."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for without end
            raise InputError(path, "not a regular file", "remove it, or pass --skip-bad N")
        if found.st_size == 0:
            raise InputError(path, "the file is empty (0 bytes)", FIX)
        yield
    except UnreadableImage as wrong:
        raise InputError(path, str(wrong), FIX) from None
    except FileNotFoundError:
        problem = "a link to nothing" if path.is_symlink() else "there is no such file"
        raise InputError(path, problem, "check the list of files against the archive, or pass --skip-bad N") from None
    except PermissionError:
        raise InputError(path, "no permission to read it", "change its permissions") from None
    except MemoryError:
        raise
    except Exception as broken:
        if isinstance(broken, InputError):
            raise
        # Pillow's plugins raise OSError, SyntaxError, ValueError, struct.error, KeyError and more on damaged files
        reason = " ".join(str(broken).split()) or type(broken).__name__
        raise InputError(path, f"damaged image ({reason})", FIX) from None


def _facts(image: Image.Image, path: Path) -> _Facts:
    tags: Any = getattr(image, "tag_v2", {})
    if image.format == "TIFF":
        bits = int(np.max(np.ravel(tags.get(_BITS_PER_SAMPLE, 1))))
        brightest = int(np.ravel(tags.get(_MAX_SAMPLE_VALUE, 0))[0])
        signed = int(np.ravel(tags.get(_SAMPLE_FORMAT, 1))[0]) == _SIGNED
        declared = brightest.bit_length() if bits > 8 and brightest else bits - signed
        return _Facts(declared, inverted=bits > 8 and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)
    if image.format in _SCALED:
        return _Facts(16 if image.mode in _DEEP else 8, scaled=True)
    if image.format == "PNG":
        with open(path, "rb") as stream:
            return _Facts(stream.read(_PNG_DEPTH + 1)[_PNG_DEPTH])
    return _Facts(8)


def _upright(image: Image.Image) -> Image.Image:
    """The image as its camera was held (EXIF), where it says so."""
    if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
        return image
    if image.format == "TIFF":
        image.load()  # turns it itself
        return image
    return ImageOps.exif_transpose(image)


def _to_grey(image: Image.Image, facts: _Facts, path: Path, depth: int | None) -> Decoded:
    if image.mode in _DEEP:
        return _deep(image, facts, path, depth)
    deep = facts.bits > 8 and not facts.scaled  # Pillow keeps the upper eight of a colour's sixteen bits
    if deep and depth is not None and depth < 16:
        raise InputError(
            path, f"a colour image of {facts.bits} bits per sample", "convert it to grey of the same depth"
        )
    if image.mode in ("L", "1") and "transparency" not in image.info:
        return Decoded(np.array(image.convert("L")), 0.0, False, deep)
    if image.mode == "La":  # grey times opacity, which is what compositing on black gives
        return Decoded(np.asarray(image)[..., 0].copy(), 0.0, bool((np.asarray(image)[..., 1] < 255).any()), deep)
    if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _composited(image.convert("RGBA"), deep)
    return untinted(image.convert("RGB"), transparent=False, deep=deep)


def _composited(image: Image.Image, deep: bool) -> Decoded:
    lowest = image.getchannel("A").getextrema()[0]
    transparent = isinstance(lowest, (int, float)) and lowest < 255
    if transparent:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    return untinted(image.convert("RGB"), transparent, deep)


def untinted(image: Image.Image, transparent: bool, deep: bool = False) -> Decoded:
    """Grey by luma, with the share of pixels that were tinted."""
    channels = np.asarray(image)
    spread = channels.max(axis=2) - channels.min(axis=2)
    return Decoded(np.array(image.convert("L")), float((spread >= _TINT).mean()), transparent, deep)


def _deep(image: Image.Image, facts: _Facts, path: Path, depth: int | None) -> Decoded:
    """Whole-number greys of more than eight bits as eight bits."""
    values = np.asarray(image)
    if values.dtype.kind == "f":
        raise InputError(path, "32-bit floating-point pixels have no known scale", "convert it to 8- or 16-bit grey")
    bits = 16 if facts.scaled else depth or (facts.bits if 8 <= facts.bits <= 16 else 16)
    low, high, top = int(values.min()), int(values.max()), 2**bits - 1
    if low < 0 or high > top:
        convert = high > 65535 or low < 0
        fix = "convert it to 16-bit grey" if convert else "pass the depth of the whole data set, like --depth 16"
        raise InputError(path, f"pixel values from {low} to {high} do not fit {bits} bits", fix)
    shares = values.astype(np.float32) * (255.0 / top)
    grey = np.round(255.0 - shares if facts.inverted else shares).astype(np.uint8)
    clear = image.info.get("transparency")
    transparent = isinstance(clear, int) and bool((values == clear).any())
    return Decoded(np.where(values == clear, 0, grey).astype(np.uint8) if transparent else grey, 0.0, transparent, True)
