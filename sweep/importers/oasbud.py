"""OASBUD: raw ultrasound echoes of 100 breast lesions from Warsaw, two perpendicular scans each, made into B-mode images.

python -m sweep.importers oasbud OASBUD shards/oasbud

The archive is one MATLAB file; its array `data` holds per lesion id, rf1, rf2, roi1, roi2, birads and class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import loadmat

from sweep.core.bounded import bounded
from sweep.core.errors import InputError
from sweep.importers.files import only
from sweep.importers.raw import Importer, RawImage

CLASSES = ("benign", "malignant")  # class 0 and 1 of the archive
_FIELDS = ("id", "rf1", "rf2", "class")
_EXPECTS = "OASBUD.mat, or the folder that holds it"
_DYNAMIC_RANGE_DB = 50.0  # of the image: common for breast scans, and that of the publication's figures
_SAMPLE_MM = 1540e3 / (2 * 40e6)  # depth of one sample at 40 MHz and 1,540 m/s
_SECONDS = 900.0  # for the whole archive of about a gigabyte of echoes
_PROBE_MM = 38.0  # width of the array, over all lines of a scan


def b_mode(echoes: np.ndarray) -> np.ndarray:
    """uint8 [H, W] with square pixels from raw echoes [samples, lines]: envelope, logarithm, 50 dB on 256 grey levels."""
    from scipy.signal import hilbert  # here: a second of imports, which every import of another set would pay

    envelope = np.abs(hilbert(np.asarray(echoes, dtype=np.float64), axis=0))
    peak = envelope.max()
    level = 20 * np.log10(np.maximum(envelope / peak if peak > 0 else envelope, 1e-6))
    grey = np.clip(255 * (1 + level / _DYNAMIC_RANGE_DB), 0, 255).astype(np.uint8)
    samples, lines = grey.shape
    height = max(1, round(samples * _SAMPLE_MM * lines / _PROBE_MM))
    return np.asarray(Image.fromarray(grey).resize((lines, height), Image.Resampling.BOX))


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage]:
    path = src if src.is_file() else only(src, "OASBUD.mat", "OASBUD.mat")
    for scan in bounded(scans, path, where=path, seconds=_SECONDS, fix="restore the file from the archive"):
        name = f"{scan['patient']}-{scan['number']}"
        yield RawImage(
            name, scan["label"], pixels=scan["pixels"], patient=scan["patient"], source_path=f"{path.name}/{name}"
        )


def scans(path: Path) -> list[dict[str, Any]]:
    """patient, number (1 or 2), label and pixels of every scan; read in a process of its own, since a MATLAB file can hold anything."""
    found = []
    for number, lesion in enumerate(_lesions(path), start=1):
        where = f"{path}, data({number})"
        patient = str(_single(lesion["id"], f"{where}.id"))
        kind = _single(lesion["class"], f"{where}.class")
        if kind not in (0, 1):
            raise InputError(f"{where}.class", f"{kind!r} is neither 0 (benign) nor 1 (malignant)", "restore the file")
        for place in ("rf1", "rf2"):
            echoes = np.asarray(lesion[place])
            if echoes.ndim != 2 or echoes.dtype.kind not in "iuf" or min(echoes.shape) < 2:
                raise InputError(f"{where}.{place}", f"{echoes.dtype} {echoes.shape} is no scan", "restore the file")
            scan = {"patient": patient, "number": int(place[-1]), "label": CLASSES[int(kind)], "pixels": b_mode(echoes)}
            found.append(scan)
    return found


def _lesions(path: Path) -> np.ndarray:
    try:
        data = loadmat(path, variable_names=["data"])["data"]
    except Exception as broken:  # noqa: BLE001 - the reader raises what zlib, struct and NumPy raise
        problem = f"cannot be read as the published MATLAB file ({broken})"
        raise InputError(path, problem, "restore it from the archive") from None
    lacking = [name for name in _FIELDS if name not in (data.dtype.names or ())]
    if lacking:
        raise InputError(f"{path}, data", f"no field {lacking[0]!r}", "restore it from the archive")
    return data.reshape(-1)


def _single(value: Any, where: str) -> Any:
    flat = np.asarray(value).reshape(-1)
    if len(flat) != 1:
        raise InputError(where, f"{len(flat)} values instead of one", "restore the file from the archive")
    return flat[0].item()


ROW = Importer(
    describe="breast ultrasound, Poland, from raw echoes: 52 malignant and 48 benign lesions, two scans each",
    unconfirmed=("licence",),
    compared_with="a TensorFlow Datasets builder of OASBUD.mat",
    modality="breast ultrasound",
    expects=_EXPECTS,
    licence="see-the-Zenodo-record",
    citation="Piotrzkowska-Wroblewska et al., Medical Physics 44(11):6105-6109, 2017",
    source="https://doi.org/10.5281/zenodo.545928",
    iterate=_iterate,
    total=lambda src, options: None,  # known only after the echoes are read
    domain="warsaw",
    positive="malignant",
    classes=CLASSES,
    traps="the images are computed here from echoes (envelope, 50 dB), so they look unlike a scanner's own processing",
)
