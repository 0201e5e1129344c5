"""What may leave a DICOM header: a whitelist of elements, and identities that are hashed with a key first."""

from __future__ import annotations

import hashlib
import hmac
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError
from sweep.core.images import MAX_PIXELS

# Nothing else of a header is read: no names, no dates, no free text.
WHITELIST = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "IssuerOfPatientID", "Modality",
    "BurnedInAnnotation", "NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "PixelRepresentation", "BitsAllocated", "BitsStored", "HighBit", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData", "PixelPresentation", "ImageType", "PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio",
    "SequenceOfUltrasoundRegions", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip
_REQUIRED = (
    "SOPInstanceUID", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored",
    "PixelRepresentation",
)  # fmt: skip
# Frames of these are screens or photographs: name, date and hospital are usually written into the picture.
_WRITTEN_ON = frozenset({"US", "IVUS", "SC", "OT", "XC", "ES", "GM", "DG", "OP"})
_NOT_SCANS = frozenset(
    ("SR", "KO", "PR", "DOC", "PLAN", "REG", "SEG", "FID", "ECG", "RTDOSE", "RTPLAN", "RTSTRUCT", "RTRECORD")
)
_NO_SCAN_CLASSES = (
    "Segmentation",
    "Presentation State",
    "RT Dose",
)  # in the name of an SOP class whose pixels show no patient
_DIRECTORY = "1.2.840.10008.1.3.10"  # SOP class of a DICOMDIR
_SHORTEST_KEY = 16  # bytes
_MOST_INFLATED = 512 << 20  # bytes of a deflated file
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # float, double and whole-number pixels
_FLOATING = _PIXELS[:2]
_UNDEFINED = 0xFFFFFFFF  # length of an element that is split into items
_LOOKED_AT = 1 << 20  # bytes after the pixels
_ROW_FROM = 8  # bytes after the pixels that are padding, however short a row is
_ITEM_HEADER = 8  # bytes that a compressed frame takes at least
FIX = "restore the file from the archive, remove it, or pass --skip-bad N"
_EXTRA = "install the extra: pip install 'recipe-finder[dicom]'"


@dataclass(frozen=True)
class Facts:
    """Of one file: identities (hashed; '' where the header has none), number of frames, and whether text may be burned in.

    `no_scan` says why the file is no image that a data set could hold, such as a report; the rest is then empty.
    """

    uid: str = ""
    patient: str = ""
    study: str = ""
    series: str = ""
    frames: int = 1
    written_on: str = ""  # why text may be burned in; '' when the header rules it out
    no_scan: str = ""


@contextmanager
def named(path: Path) -> Iterator[Any]:
    """pydicom for work on one file, whose faults become InputError with the file's name; InputError when pydicom is absent."""
    try:
        import pydicom
        import pydicom.errors
    except ImportError:
        raise InputError("importer dicom", "pydicom is not installed", _EXTRA) from None
    pydicom.config.logger.setLevel("CRITICAL")  # what it would warn of is said as an error, or makes no difference
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield pydicom
    except (InputError, MemoryError):
        raise
    except FileNotFoundError:
        raise InputError(path, "there is no such file", "check the list of files against the archive") from None
    except PermissionError:
        raise InputError(path, "no permission to read it", "change its permissions") from None
    except pydicom.errors.InvalidDicomError:
        raise InputError(path, "not a DICOM file", FIX) from None
    except Exception as broken:  # noqa: BLE001 - pydicom and its decoders raise whatever the damaged element makes them raise
        reason = " ".join(str(broken).split())[:200] or type(broken).__name__
        raise InputError(path, f"damaged or unsupported DICOM ({reason})", FIX) from None


def read_key(path: str) -> bytes:
    """The secret that identities are hashed with; InputError when the file is missing or too short to be one."""
    if not path:
        fix = f"write a secret of {_SHORTEST_KEY} or more characters into a file and pass --key-file FILE; the same key gives the same patients"
        raise InputError("key_file", "patient ids are hashed with a key, and none is given", fix)
    try:
        key = Path(path).read_bytes().strip()
    except OSError as error:
        raise InputError(path, f"the key cannot be read ({error.strerror})", "pass --key-file FILE") from None
    if len(key) < _SHORTEST_KEY:
        raise InputError(path, f"a key of {len(key)} bytes can be guessed", f"give {_SHORTEST_KEY} or more")
    return key


def open_header(pydicom: Any, path: Path) -> Any:
    """The whitelisted elements of a file, with and without preamble; optional elements without a value are left out.

    The dataset's `file_meta` has a TransferSyntaxUID in any case; `pixels_at` and `pixel_bytes` say where its pixels begin in the file
    and how long they are, `pixel_tag` which element holds them. Raises InputError for a deflated file that grows too large.
    """
    _check_deflated(pydicom, path)
    places = [(0, 0, 0)]

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        if tag in _PIXELS:
            places.append((stream.tell(), length, tag))
        return tag in _PIXELS

    wanted = [pydicom.tag.Tag(name) for name in WHITELIST]
    with open(path, "rb") as stream:
        header = pydicom.filereader.read_partial(stream, at_pixels, force=not has_preamble(path), specific_tags=wanted)
    header.pixels_at, header.pixel_bytes, header.pixel_tag = places[-1]
    for element in [element for element in header if element.is_empty and element.keyword not in _REQUIRED]:
        del header[element.tag]
    if "TransferSyntaxUID" not in header.file_meta:
        if not len(header):
            raise pydicom.errors.InvalidDicomError()
        implicit, little = header.original_encoding
        native = pydicom.uid.ExplicitVRLittleEndian if little else pydicom.uid.ExplicitVRBigEndian
        header.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian if implicit else native
    return header


def has_preamble(path: Path) -> bool:
    """Whether DICOM's mark stands where Part 10 puts it."""
    with open(path, "rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its content: Part 10's mark, or a bare dataset that begins with an identifying group."""
    with open(path, "rb") as stream:
        head = stream.read(132)
    if head[128:] == b"DICM":
        return True
    group, element = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:4], "little")
    length = int.from_bytes(head[4:8], "little")
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return len(head) >= 8 and group in (0x0002, 0x0008) and element <= 0x0018 and (explicit or length <= 256)


def _check_deflated(pydicom: Any, path: Path) -> None:
    if not has_preamble(path):
        return
    meta = pydicom.filereader.read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") != pydicom.uid.DeflatedExplicitVRLittleEndian:
        return
    inflate, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    rest = path.read_bytes()[144 + int(meta.get("FileMetaInformationGroupLength") or 0) :]
    while rest and not inflate.eof:
        size += len(inflate.decompress(rest, 1 << 24))
        rest = inflate.unconsumed_tail
        if size > _MOST_INFLATED:
            raise InputError(path, f"more than {_MOST_INFLATED >> 20} MiB when inflated", FIX)


def read_facts(path: Path, key: bytes) -> Facts:
    """Whitelisted header of one file; InputError names a file that is no DICOM file, damaged, or too large to be an image."""
    with named(path) as pydicom:
        header = open_header(pydicom, path)
        if no_scan := _no_scan(pydicom, header):
            return Facts(no_scan=no_scan)
        if header.pixel_tag in _FLOATING:
            fix = "convert it to 16-bit grey, or pass --skip-bad N"
            raise InputError(path, "floating-point pixels, whose greys have no known scale", fix)
        for name in _REQUIRED:
            if header.get(name) in (None, ""):
                raise InputError(path, f"no {name} in its header: not an image", FIX)
        if header.Rows * header.Columns > MAX_PIXELS:
            raise InputError(path, f"more than {MAX_PIXELS:,} pixels", FIX)
        patient = str(header.get("PatientID") or "").strip()
        issuer = header.get("IssuerOfPatientID") or ""
        return Facts(
            uid=hashed(str(header.SOPInstanceUID), key),
            patient=hashed(f"{issuer}/{patient}", key) if patient else "",
            study=_hashed_uid(header, "StudyInstanceUID", key),
            series=_hashed_uid(header, "SeriesInstanceUID", key),
            frames=_frames(pydicom, header, path),
            written_on=_written_on(header),
        )


def _no_scan(pydicom: Any, header: Any) -> str:
    """Why a DICOM file is no image of a patient: '' for one that is, damaged or not."""
    kind = str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or "")
    if kind == _DIRECTORY:
        return "DICOM directories (DICOMDIR)"
    modality = str(header.get("Modality") or "")
    if modality in _NOT_SCANS:
        return f"DICOM files without a scan (modality {modality})"
    if "LOCALIZER" in _image_type(header):
        return "DICOM files of localizers, which only plan the other images"
    name = pydicom.uid.UID(kind).name
    if any(words in name for words in _NO_SCAN_CLASSES):
        return f"DICOM files without a scan ({name})"
    if "Rows" not in header and kind and "Image" not in name and name != kind:
        return f"DICOM files without a scan ({name})"
    return ""


def _image_type(header: Any) -> list[str]:
    """The values of ImageType: original or derived, primary or secondary, and what kind of image."""
    found = header.get("ImageType") or ()
    return [str(value).strip().upper() for value in ([found] if isinstance(found, str) else found)]


def _hashed_uid(header: Any, name: str, key: bytes) -> str:
    uid = str(header.get(name) or "").strip()
    return hashed(f"{name}/{uid}", key) if uid else ""


def _frames(pydicom: Any, header: Any, path: Path) -> int:
    """The number of frames; InputError where the file cannot hold that many."""
    frames = int(header.get("NumberOfFrames", 1))
    bits = header.Rows * header.Columns * header.SamplesPerPixel * header.BitsAllocated
    syntax = header.file_meta.TransferSyntaxUID
    packed = syntax == pydicom.uid.DeflatedExplicitVRLittleEndian or syntax not in _native(pydicom)
    halved = 2 if str(header.PhotometricInterpretation) == "YBR_FULL_422" else 1
    least = _ITEM_HEADER if packed else bits // 8 // halved
    if frames < 1 or frames * least > path.stat().st_size:
        problem = f"{frames:,} frames of {header.Columns} x {header.Rows} pixels in {path.stat().st_size:,} bytes"
        raise InputError(path, f"damaged or unsupported DICOM: {problem}", FIX)
    if not packed:
        _refuse_excess(header, path, frames, bits // 8 // halved)
    return frames


def _refuse_excess(header: Any, path: Path, frames: int, frame_bytes: int) -> None:
    """InputError where the pixels are those of more frames or rows than the header says: they would be left out in silence."""
    held, row_bytes = header.pixel_bytes, frame_bytes // header.Rows
    expected = frames * frame_bytes
    excess = held - expected
    if held == _UNDEFINED or excess < _ROW_FROM or not _holds_something(path, header.pixels_at + expected, excess):
        return
    if excess >= frame_bytes:
        problem = f"pixels of {held // frame_bytes:,} frames, where its header says {frames:,}"
    elif excess >= row_bytes and excess % row_bytes in (0, 1):
        problem = f"pixels of {excess // row_bytes:,} rows more than its header says"
    else:
        return
    raise InputError(path, problem, "correct NumberOfFrames and Rows in its header, or pass --skip-bad N")


def _holds_something(path: Path, place: int, count: int) -> bool:
    """Whether `count` bytes of a file from `place` on are more than padding by zeros."""
    with open(path, "rb") as stream:
        stream.seek(place)
        return any(stream.read(min(count, _LOOKED_AT)))


def _native(pydicom: Any) -> tuple[Any, ...]:
    uid = pydicom.uid
    return uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian


def hashed(identity: str, key: bytes) -> str:
    """16 hex digits that cannot be turned back, or a guess tested against, without the key."""
    return hmac.new(key, identity.encode(), hashlib.sha256).hexdigest()[:16]


def _written_on(header: Any) -> str:
    burned, modality = str(header.get("BurnedInAnnotation") or ""), str(header.get("Modality") or "OT")
    if burned == "NO":
        return ""
    if burned:
        if burned.strip().upper() == "YES":
            return "its header says that text is burned into the picture"
        return f"BurnedInAnnotation is {burned!r}, which does not rule out that text is burned into the picture"
    if "SCREEN SAVE" in _image_type(header):
        return "its ImageType says that it is a copy of a screen, and its header does not rule out text in the picture"
    if modality in _WRITTEN_ON:
        return f"modality {modality}, and its header does not rule out that text is burned into the picture"
    return ""
