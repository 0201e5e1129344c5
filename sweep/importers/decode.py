"""Any image file of a published data set -> grey uint8, by one rule; hostile or broken files are refused by name.

Transparency is composited on black (as a viewer shows an ultrasound frame), tint is removed by the luma
weights of Rec. 601, palettes are resolved first, a camera's rotation mark is obeyed. Files deeper than eight bits are scaled by
the depth that they declare, or by the one that is given for the whole data set: never by an image's own brightest pixel, so that
equal tissue gets equal grey.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from sweep.core.errors import InputError

MAX_PIXELS = 64_000_000  # an 8,000 x 8,000 scan; anything larger is a bomb or no scan
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
_TINT = 6  # levels between the largest and smallest channel from which a pixel counts as tinted (JPEG noise is below)
_BITS_PER_SAMPLE, _MAX_SAMPLE_VALUE = 258, 281  # TIFF tags
_FIX = "restore the file from the archive, remove it, or pass --skip-bad N"


@dataclass(frozen=True)
class Decoded:
    """grey uint8 [H, W]; `colour` the share of tinted pixels in [0, 1]; `transparent` whether any pixel was."""

    grey: np.ndarray
    colour: float
    transparent: bool


def read_grey(path: Path, depth: int | None = None) -> Decoded:
    """Decode one image file; InputError names the file and what is wrong with it.

    `depth` is the number of bits that the greys of a file deeper than eight bits have, where the file does not say it right.
    """
    try:
        if path.stat().st_size == 0:
            raise InputError(path, "the file is empty (0 bytes)", _FIX)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _to_grey(_upright(image), path, depth)
    except UnidentifiedImageError:
        raise InputError(path, "not an image that can be read", _FIX) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise InputError(path, f"more than {MAX_PIXELS:,} pixels", _FIX) from None
    except FileNotFoundError:
        raise InputError(path, "there is no such file", "check the list of files against the archive") from None
    except PermissionError:
        raise InputError(path, "no permission to read it", "change its permissions") from None
    except (OSError, SyntaxError, ValueError) as broken:  # Pillow's plugins raise all three on damaged files
        raise InputError(path, f"damaged image ({broken})", _FIX) from None


def _upright(image: Image.Image) -> Image.Image:
    """The image as its camera was held (EXIF), where it says so."""
    if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
        return image
    return ImageOps.exif_transpose(image)


def _to_grey(image: Image.Image, path: Path, depth: int | None) -> Decoded:
    if image.mode in ("I", "F", "I;16", "I;16B", "I;16L", "I;16N"):
        return Decoded(_deep(np.asarray(image), path, depth or _declared_depth(image)), 0.0, False)
    if image.mode in ("L", "1") and "transparency" not in image.info:
        return Decoded(np.array(image.convert("L")), 0.0, False)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        return _composited(image.convert("RGBA"))
    return untinted(image.convert("RGB"), transparent=False)


def _composited(image: Image.Image) -> Decoded:
    transparent = image.getchannel("A").getextrema()[0] < 255
    if transparent:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    return untinted(image.convert("RGB"), transparent)


def untinted(image: Image.Image, transparent: bool) -> Decoded:
    """Grey by luma, with the share of pixels that were tinted."""
    channels = np.asarray(image)
    spread = channels.max(axis=2) - channels.min(axis=2)
    return Decoded(np.array(image.convert("L")), float((spread >= _TINT).mean()), transparent)


def _declared_depth(image: Image.Image) -> int:
    """Bits of a grey, as the file's format says: a TIFF's BitsPerSample or MaxSampleValue, else sixteen."""
    tags = getattr(image, "tag_v2", {})
    brightest, bits = (np.ravel(tags.get(tag, 0))[0] for tag in (_MAX_SAMPLE_VALUE, _BITS_PER_SAMPLE))
    depth = int(brightest).bit_length() or int(bits)
    return depth if 8 <= depth <= 16 else 16


def _deep(values: np.ndarray, path: Path, depth: int) -> np.ndarray:
    """Whole-number greys of `depth` bits as eight bits."""
    if values.dtype.kind == "f":
        raise InputError(path, "32-bit floating-point pixels have no known scale", "convert it to 8- or 16-bit grey")
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= 2**depth:
        fix = (
            "convert it to 16-bit grey"
            if high > 65535 or low < 0
            else "pass the depth of the whole data set, like --depth 16"
        )
        raise InputError(path, f"pixel values from {low} to {high} do not fit {depth} bits", fix)
    return np.round(values.astype(np.float32) * (255.0 / (2**depth - 1))).astype(np.uint8)
