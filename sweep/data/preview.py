"""sweep config -> its data as far as they can be foreseen before anything is prepared: classes and sizes, no images.

Enough to count trials and stages by; the names that follow from it are nobody's.
"""

from __future__ import annotations

import pandas as pd

from sweep.config.sweep_config import Data as DataSection
from sweep.config.sweep_config import SweepConfig
from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.data.datasets import FOLD_BACK, PHANTOMS, TARGET, Data
from sweep.shards.labels import classes_after
from sweep.shards.reader import read_manifest
from sweep.shards.schema import MANIFEST
from sweep.shards.splits import FRACTIONS

_VIEWS = 2.5  # images of a simulated patient, on average
_PHANTOM_CLASSES = ("benign", "malignant", "normal")
_UNKNOWN = (("negative", "positive"), 1000, False)  # classes, images, several findings: of shards that are not here

Sight = tuple[tuple[str, ...], int, bool]  # classes, images, several findings an image


def foreseen_data(sweep_config: SweepConfig) -> tuple[Data, str]:
    """The data that a sweep config will have, as a table without images; and the sentence that says what was assumed."""
    section = sweep_config.data
    sights = [_sight(name, section) for name in (section.source, section.target)]
    classes, images, several = sights[0] or sights[1] or _UNKNOWN
    classes = classes if several else classes_after(classes, section.normals)
    train = section.train_images or round(FRACTIONS["train"] * images)
    absent = [name for name, sight in zip((section.source, section.target), sights, strict=True) if sight is None]
    told = f"counted for {len(classes)} {'findings' if several else 'classes'} and about {train} training images"
    if absent:
        told += f"; {' and '.join(dict.fromkeys(absent))} cannot be seen from here"
    rows = [
        row
        for domain in ("source", "target")
        for row in _rows(domain, max(train, *_asked(sweep_config)), len(classes), several)
    ]
    return Data(
        section.source, section.target, classes, section.image_px, section.fit, section.normals, pd.DataFrame(rows)
    ), told


def _sight(name: str, section: DataSection) -> Sight | None:
    """What can be read of one domain without its images; None where its shards are not here."""
    if name in PHANTOMS:
        return _PHANTOM_CLASSES, round(_VIEWS * section.phantom_patients), False
    try:
        if not Storage(name).exists(MANIFEST):
            return None
        manifest = read_manifest(name)
    except OSError as error:  # a bucket without rights, a name that no file can have
        raise InputError(
            f"data: {name}",
            f"cannot be looked at ({' '.join(str(error).split())[:120]})",
            "give a shard folder, or phantom-a or phantom-b",
        ) from error
    return manifest.classes, manifest.images, manifest.multi_label


def _asked(sweep_config: SweepConfig) -> list[int]:
    """Sizes of training sets that configurations ask for: the table has room for the largest."""
    return [2, *(int(value) for value in sweep_config.values_of("train_images") if value)]


def _rows(domain: str, train: int, classes: int, several: bool) -> list[dict[str, object]]:
    """One domain in both directions: training images of every class in turn, one to choose by and one to test on."""
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
