"""The one place where the project opens an image file: a fixed list of formats, and limits that are checked before a pixel is decoded.

Pillow chooses a decoder by content. Left alone it hands PostScript to Ghostscript and knows some forty formats that no data set
here uses; the list below is what medical data sets are published in. Every other module opens images with `open_image`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")
MAX_PIXELS = 64_000_000  # an 8,000 x 8,000 scan; anything larger is a decompression bomb or no scan
MAX_FILE_BYTES = 1 << 30
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
_JPEG_SCANS = 64  # an encoder writes about ten; each one is a pass over all pixels
_TGA_SUFFIXES = frozenset({".tga", ".icb", ".vda", ".vst"})

SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000",
    b"\xff\x4f\xff\x51": "JPEG2000",
}


class UnreadableImage(ValueError):
    """The file is no image of a format that is opened, or its header exceeds a limit; the message says which."""


def image_format(head: bytes) -> str:
    """The format in whose signature `head` (the first 16 bytes or more of a file) begins; '' when it is none of FORMATS."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "PPM"
    return next((name for mark, name in SIGNATURES.items() if head.startswith(mark)), "")


@contextmanager
def open_image(
    source: Path | str | BinaryIO, formats: Sequence[str] = FORMATS, max_pixels: int = MAX_PIXELS
) -> Iterator[Image.Image]:
    """An image of one of `formats`, its header read and its pixels not yet decoded; closed when the block ends.

    Raises UnreadableImage for another format, a file over MAX_FILE_BYTES, more than `max_pixels` pixels, or a JPEG with so many
    scans that decoding it would take hours; OSError as `open` does.
    """
    if not isinstance(source, (str, Path)):
        yield _checked(source, formats, max_pixels)
        return
    if Path(source).suffix.lower() in _TGA_SUFFIXES:
        formats = (*formats, "TGA")  # has no signature: tried only where the name says so
    # Opened here rather than by Pillow, which maps files that it opened itself and then mixes up the rows of rotated TIFFs.
    with open(source, "rb") as stream:
        yield _checked(stream, formats, max_pixels)


def _checked(stream: BinaryIO, formats: Sequence[str], max_pixels: int) -> Image.Image:
    if _length(stream) > MAX_FILE_BYTES:
        raise UnreadableImage(f"a file of more than {MAX_FILE_BYTES >> 20:,} MiB")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(stream, formats=tuple(formats))
        except Image.UnidentifiedImageError:
            raise UnreadableImage(_unidentified(stream)) from None
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise UnreadableImage(f"more than {max_pixels:,} pixels") from None
    if image.width * image.height > max_pixels:
        raise UnreadableImage(f"more than {max_pixels:,} pixels")
    if image.format in ("JPEG", "MPO") and (scans := _scans(stream)) > _JPEG_SCANS:
        raise UnreadableImage(f"a JPEG of {scans:,} scans")
    return image


def _length(stream: BinaryIO) -> int:
    place = stream.tell()
    length = stream.seek(0, 2)
    stream.seek(place)
    return length


def _unidentified(stream: BinaryIO) -> str:
    stream.seek(0)
    head = stream.read(132)
    if head[128:] == b"DICM":
        return "a DICOM file, which the importer dicom reads"
    name = image_format(head)
    return f"a {name} file that is damaged or of an unsupported kind" if name else "not an image that can be read"


def _scans(stream: BinaryIO) -> int:
    """Start-of-scan markers; within compressed data the byte FF is never followed by DA."""
    place = stream.tell()
    stream.seek(0)
    count = stream.read().count(b"\xff\xda")
    stream.seek(place)
    return count
