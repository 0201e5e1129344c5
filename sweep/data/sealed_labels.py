"""Labels of a sealed target, read after the sweep: from the shard folder again, or simulated anew.

The run folder holds none of them: its split says -1, its data card has no class counts of the target, and the shards of a simulated target
are written without labels. Only `python -m analysis.unseal` calls this.
"""

from __future__ import annotations

import pandas as pd

from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.data.datasets import Data
from sweep.data.target_labels import NONE, images_identity, is_simulated, without_normals
from sweep.shards.checked import checked_manifest
from sweep.shards.labels import label_indices
from sweep.shards.reader import read_metadata
from sweep.shards.schema import Manifest
from sweep.shards.splits import TARGET


def read_sealed_labels(run: Storage, folder: str | None = None) -> pd.DataFrame:
    """image_id and label (class index; or labels, float32 [K] findings) of the target's images, in the order of the run's split.

    `folder` is the target's shard folder where it has been moved, or one in which the same images have labels by now (a run with
    target_labels none). Images that the run's rule for normal scans leaves out are not among the rows. Raises InputError when the folder
    is missing, holds other images than those of the run, or lacks labels.
    """
    data = Data.load(run)
    place = folder or data.target
    manifest, rows = checked_manifest(place), data.fold(TARGET)
    frame = read_metadata(place).set_index("image_id", drop=False)
    there = rows["image_id"].isin(frame.index)
    own = frame.loc[rows["image_id"][there]].reset_index(drop=True)
    if not there.all() or images_identity(own) != images_identity(rows):
        raise InputError(place, "holds other images than the target of this run", "give the folder that the sweep used")
    if is_simulated(manifest) and own["label"].isna().all():
        from sweep.importers.phantom import labels_of

        own = own.assign(label=own["image_id"].map(labels_of(manifest.settings)))
    _refuse_unlabelled(own, manifest, place, data.target_labels)
    kept = without_normals(own, manifest, NONE, data.normals)
    if manifest.multi_label:
        return kept[["image_id", "labels"]]
    return pd.DataFrame({"image_id": kept["image_id"], "label": label_indices(kept["label"], data.classes, place)})


def _refuse_unlabelled(frame: pd.DataFrame, manifest: Manifest, place: str, allowed: str | int) -> None:
    missing = 0 if manifest.multi_label else int(frame["label"].isna().sum())
    if missing:
        raise InputError(
            place,
            f"{missing} of {len(frame)} images have no label, so there is nothing to unseal (data.target_labels: {allowed})",
            "give a shard folder of the same images with labels",
        )
