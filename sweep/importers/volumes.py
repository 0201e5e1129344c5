"""NIfTI and NumPy volumes in class folders: every slice of a plane is an image, and the slices of a volume stay together.

python -m sweep.importers volumes scans shards/mri --plane axial --step 4 --window 600/1200
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sweep.core.bounded import bounded
from sweep.core.errors import InputError
from sweep.core.images import MAX_PIXELS
from sweep.importers.decode import FIX, Decoded
from sweep.importers.dicom_pixels import asked_window, check_window
from sweep.importers.folder import class_folders_of
from sweep.importers.raw import Importer, RawImage
from sweep.importers.walk import listing

_SUFFIXES = (".nii", ".nii.gz", ".npy")
_PLANES = ("axial", "coronal", "sagittal")
_AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}  # of a volume turned to right, anterior, superior
_SLICES = ("all", "middle")
_MOST_VOXELS = 1_000_000_000
_EXPECTS = "a folder per class with volumes (.nii, .nii.gz, .npy) below it"


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
    window, step = check_window(options["window"]), options["step"]
    if step < 1:
        raise InputError("step", f"{step} is no number of slices", "give 1 or more")
    for folder in class_folders_of(src, _EXPECTS, options["accept"]):
        volumes = [path for path in listing(folder).files if path.name.lower().endswith(_SUFFIXES)]
        if not volumes:
            raise InputError(folder, "no volume below it", f"fill it or remove it; expects {_EXPECTS}")
        for path in volumes:
            yield from _images(src, path, folder.name, options["plane"], _wanted(options["slices"], step), window)


def _wanted(slices: str, step: int) -> int:
    """Every how many slices one is taken; 0: the middle one alone."""
    return step if slices == "all" else 0


def _images(src: Path, path: Path, label: str, plane: str, step: int, window: str) -> Iterator[RawImage]:
    name = path.relative_to(src).as_posix()
    try:
        count = bounded(count_slices, path, plane, where=path)
    except InputError as bad:
        yield RawImage(name, label, path, bad=bad)
        return
    for number in range(0, count, step) if step else (count // 2,):
        read = partial(read_slice, plane=plane, number=number, window=window)
        yield RawImage(f"{name}#{number:04d}", label, path, patient=name, source_path=name, read=read)


def count_slices(path: Path, plane: str) -> int:
    """Slices of a volume along a plane's axis; InputError for what is no volume of a size that can be one."""
    with _named(path):
        shape = _shape(path, plane)
        if len(shape) != 3:
            raise InputError(path, f"{len(shape)} dimensions", "give volumes of three")
        if (
            not all(shape)
            or int(np.prod(shape[1:], dtype=object)) > MAX_PIXELS
            or int(np.prod(shape, dtype=object)) > _MOST_VOXELS
        ):
            raise InputError(path, f"a volume of {' x '.join(map(str, shape))} voxels", FIX)
        return int(shape[0])


def read_slice(path: Path, plane: str, number: int, window: str) -> Decoded:
    """Slice `number` of a plane as grey uint8: through `window` (CENTER/WIDTH), or as it is where the volume has eight bits."""
    with _named(path):
        values = _slice(path, plane, number)
        if not window:
            if values.dtype != np.uint8:
                raise InputError(path, f"voxels of {values.dtype} have no known scale", "pass --window CENTER/WIDTH")
            return Decoded(np.ascontiguousarray(values), 0.0, False)
        if not np.isfinite(values).all():
            raise InputError(path, f"slice {number} holds values that are not finite", FIX)
        center, width = asked_window(window)
        shares = np.clip((values.astype(np.float64) - center) / width + 0.5, 0, 1)
        return Decoded(np.rint(shares * 255).astype(np.uint8), 0.0, False)


def _shape(path: Path, plane: str) -> tuple[int, ...]:
    """The sliced axis first."""
    if path.suffix.lower() == ".npy":
        return tuple(_numpy(path).shape)
    image = _nifti(path)
    shape = tuple(image.shape)
    if len(shape) != 3:
        return shape
    axis = _axis(image, plane)
    return shape[axis], *shape[:axis], *shape[axis + 1 :]


def _slice(path: Path, plane: str, number: int) -> np.ndarray:
    """One slice as a radiologist sees it: superior, or anterior in an axial slice, is up."""
    if path.suffix.lower() == ".npy":
        return np.asarray(_numpy(path)[number])
    import nibabel

    image = _nifti(path)
    axis = _axis(image, plane)
    turned = nibabel.orientations.io_orientation(image.affine)
    flipped = turned[axis, 1] < 0
    place = image.shape[axis] - 1 - number if flipped else number
    index: list[Any] = [slice(None)] * 3
    index[axis] = slice(place, place + 1)
    part = np.asanyarray(image.dataobj[tuple(index)])
    canonical = nibabel.orientations.apply_orientation(part, turned)
    return np.rot90(np.squeeze(canonical, axis=_AXIS[plane]))


def _axis(image: Any, plane: str) -> int:
    """The stored axis that runs through a plane's slices."""
    import nibabel

    return int(np.flatnonzero(nibabel.orientations.io_orientation(image.affine)[:, 0] == _AXIS[plane])[0])


def _numpy(path: Path) -> np.ndarray:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise InputError(path, "an .npz archive under the suffix .npy", "save each array as an .npy file of its own")
    if array.dtype.kind not in "biuf":
        raise InputError(path, f"an array of {array.dtype}", "give whole numbers or floats")
    return array


def _nifti(path: Path) -> Any:
    import nibabel

    return nibabel.Nifti1Image.from_filename(path)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Faults of reading one volume as InputError with its name."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except ImportError:
        fix = "install the extra: pip install 'recipe-finder[nifti]'"
        raise InputError("importer volumes", "nibabel is not installed", fix) from None
    except FileNotFoundError:
        raise InputError(path, "there is no such file", FIX) from None
    except (gzip.BadGzipFile, EOFError):
        raise InputError(path, "a damaged gzip file", FIX) from None
    except Exception as broken:  # noqa: BLE001 - nibabel and NumPy raise whatever a damaged header makes them raise
        reason = " ".join(str(broken).split())[:200] or type(broken).__name__
        raise InputError(path, f"damaged or unsupported volume ({reason})", FIX) from None


ROW = Importer(
    describe="slices of NIfTI (extra: nifti) or NumPy volumes in class folders",
    expects=_EXPECTS,
    licence="unknown",
    citation="",
    source="",
    iterate=_iterate,
    domain="volumes",
    options={"plane": "axial", "slices": "all", "step": 1, "window": ""},
    choices={"plane": _PLANES, "slices": _SLICES},
    help={
        "plane": "Plane of the slices of a NIfTI volume; NumPy volumes are sliced along their first axis.",
        "slices": "All slices of a volume, or the middle one.",
        "step": "Take every N-th slice.",
        "window": "Values shown, as CENTER/WIDTH; needed for volumes of other than eight bits.",
    },
    grouped_by=lambda options: "volumes",
    total=lambda src, options: None,  # the slices of a volume stand in its header
    traps="neighbouring slices look alike: a volume's slices are kept on one side of a split; no patient ids across volumes",
)
