"""sweep config -> a stand-in for its data before anything is prepared: classes and sizes without images.

Sufficient to count trials and stages; the signatures and hashes that follow from it name nothing that will be computed.
"""

from __future__ import annotations

import pandas as pd

from sweep.config.sweep_config import DataSection, SweepConfig
from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.data.datasets import FOLD_BACK, TARGET, Data
from sweep.data.simulated import is_phantom
from sweep.shards.labels import classes_after
from sweep.shards.reader import read_manifest
from sweep.shards.schema import MANIFEST
from sweep.shards.splits import FRACTIONS

_VIEWS = 2.5  # images of a simulated patient, on average
_PHANTOM_CLASSES = ("benign", "malignant", "normal")
_UNKNOWN = (("negative", "positive"), 1000, False)  # classes, images, several findings: of shards that are not here

Contents = tuple[tuple[str, ...], int, bool]  # classes, images, several findings an image


def foreseen_data(sweep_config: SweepConfig) -> tuple[Data, str]:
    """The data of a sweep config as a table without images, and a sentence on what was assumed."""
    section = sweep_config.data
    found = [_contents(name, section) for name in (section.source, section.target)]
    classes, images, several = found[0] or found[1] or _UNKNOWN
    classes = classes if several else classes_after(classes, section.normals)
    train = section.train_images or round(FRACTIONS["train"] * images)
    absent = [name for name, sight in zip((section.source, section.target), found, strict=True) if sight is None]
    assumed = f"counted for {len(classes)} {'findings' if several else 'classes'} and about {train} training images"
    if absent:
        assumed += f"; {' and '.join(dict.fromkeys(absent))} cannot be read from here"
    rows = [
        row
        for domain in ("source", "target")
        for row in _rows(domain, max(train, *_asked(sweep_config)), len(classes), several)
    ]
    return Data(
        section.source, section.target, classes, section.image_px, section.fit, section.normals, pd.DataFrame(rows)
    ), assumed


def _contents(name: str, section: DataSection) -> Contents | None:
    """Classes and size of one domain, from its manifest; None where its shards cannot be read here."""
    if is_phantom(name):
        return _PHANTOM_CLASSES, round(_VIEWS * section.phantom_patients), False
    try:
        if not Storage(name).exists(MANIFEST):
            return None
        manifest = read_manifest(name)
    except OSError as error:  # a bucket without rights, a name that no file can have
        raise InputError(
            f"data: {name}",
            f"cannot be looked at ({' '.join(str(error).split())[:120]})",
            "give a shard folder, or phantom:SCANNER",
        ) from error
    return manifest.classes, manifest.images, manifest.multi_label


def _asked(sweep_config: SweepConfig) -> list[int]:
    """Training set sizes of all configurations: the table holds the largest."""
    return [2, *(int(value) for value in sweep_config.values_of("train_images") if value)]


def _rows(domain: str, train: int, classes: int, several: bool) -> list[dict[str, object]]:
    """One domain in both directions: training images of each class in turn, one validation and one test image."""
    folds = [*["train"] * train, "val", "test"]
    own, other = ("fold", FOLD_BACK) if domain == "source" else (FOLD_BACK, "fold")
    labels = {"labels": [1.0] * classes} if several else {}
    return [
        {
            "image_id": f"{domain}/{number}",
            "label": number % classes,
            "group": str(number),
            "domain": domain,
            own: fold,
            other: TARGET,
            "sha256": "",
            **labels,
        }
        for number, fold in enumerate(folds)
    ]


def foreseen_datasets(section: DataSection) -> list[str]:
    """Names of the data sets of a sweep that has prepared nothing; a shard folder that cannot be read from here is left out."""
    names = []
    for place in filter(None, (section.source, section.target)):
        if is_phantom(place):
            names.append(place)
            continue
        try:
            names.append(read_manifest(place).name)
        except InputError:
            continue  # shards that lie on the cluster alone; whether a folder is there is another check's finding
    return list(dict.fromkeys(names))
