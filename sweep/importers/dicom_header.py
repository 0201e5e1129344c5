"""What may leave a DICOM header: a whitelist of elements, and identities that are hashed with a key first."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError
from sweep.core.images import MAX_PIXELS

# Nothing else of a header is read: no names, no dates, no free text.
WHITELIST = (
    "SOPInstanceUID", "PatientID", "IssuerOfPatientID", "Modality", "BurnedInAnnotation", "NumberOfFrames", "Rows", "Columns",
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "PixelRepresentation", "BitsAllocated", "BitsStored", "HighBit",
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
    "SequenceOfUltrasoundRegions",
)  # fmt: skip
# Frames of these are screens or photographs: name, date and hospital are usually written into the picture.
_WRITTEN_ON = frozenset({"US", "IVUS", "SC", "OT", "XC", "ES", "GM", "DG", "OP"})
_SHORTEST_KEY = 16  # bytes
FIX = "restore the file from the archive, remove it, or pass --skip-bad N"


@dataclass(frozen=True)
class Facts:
    """Of one file: identities (hashed), number of frames, and whether text may be burned into its pixels."""

    uid: str
    patient: str
    frames: int
    written_on: str  # why text may be burned in; '' when the header rules it out


@contextmanager
def named(path: Path) -> Iterator[Any]:
    """pydicom for work on one file, whose faults become InputError with the file's name; InputError when pydicom is absent."""
    try:
        import pydicom
        import pydicom.errors
    except ImportError:
        raise InputError(
            "importer dicom", "pydicom is not installed", "install the extra: pip install 'recipe-finder[dicom]'"
        ) from None
    try:
        yield pydicom
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(path, "there is no such file", "check the list of files against the archive") from None
    except PermissionError:
        raise InputError(path, "no permission to read it", "change its permissions") from None
    except pydicom.errors.InvalidDicomError:
        raise InputError(path, "not a DICOM file", FIX) from None
    except Exception as broken:  # noqa: BLE001 - pydicom and its decoders raise whatever the damaged element makes them raise
        reason = " ".join(str(broken).split())[:200] or type(broken).__name__
        fix = "install the extra: pip install 'recipe-finder[dicom]'" if "missing dependencies" in reason else FIX
        raise InputError(path, f"damaged or unsupported DICOM ({reason})", fix) from None


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


def read_facts(path: Path, key: bytes) -> Facts:
    """Whitelisted header of one file; InputError names a file that is no DICOM image or too large to be one."""
    with named(path) as pydicom:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(WHITELIST))
        for name in ("SOPInstanceUID", "Rows", "Columns", "PhotometricInterpretation"):
            if name not in header:
                raise InputError(path, f"no {name} in its header: not an image", FIX)
        if header.Rows * header.Columns > MAX_PIXELS:
            raise InputError(path, f"more than {MAX_PIXELS:,} pixels", FIX)
        patient = str(header.get("PatientID") or "").strip()
        return Facts(
            uid=hashed(str(header.SOPInstanceUID), key),
            patient=hashed(f"{header.get('IssuerOfPatientID') or ''}/{patient}", key) if patient else "",
            frames=int(header.get("NumberOfFrames") or 1),
            written_on=_written_on(header),
        )


def hashed(identity: str, key: bytes) -> str:
    """16 hex digits that nobody without the key can turn back or test a guess against."""
    return hmac.new(key, identity.encode(), hashlib.sha256).hexdigest()[:16]


def _written_on(header: Any) -> str:
    burned, modality = str(header.get("BurnedInAnnotation") or "").upper(), str(header.get("Modality") or "OT")
    if burned == "YES":
        return "its header says that text is burned into the picture"
    if not burned and modality in _WRITTEN_ON:
        return f"modality {modality}, and its header does not rule out that text is burned into the picture"
    return ""
