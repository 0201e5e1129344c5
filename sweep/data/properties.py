"""Images of both domains -> a small table of what their pixels look like, for the report: brightness, contrast, sharpness, speckle, text.

No label of the target is read. At most 300 images a domain are measured, spread over the whole domain by a seeded draw; once per machine and
data set, so that a second sweep over the same images starts sooner.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd

from sweep.core.cache import cache_folder, code_hash, computed_once
from sweep.core.hashing import content_hash
from sweep.core.storage import Storage
from sweep.shards.schema import Manifest

PROPERTIES_FILE = "properties.parquet"
_KIND = "properties"  # of the entries in the cache folder
_MOST_ENTRIES = 256  # of the cache folder, some hundred kilobytes each


def write_properties(
    run: Storage, folders: Sequence[str], manifests: Sequence[Manifest], frames: Sequence[pd.DataFrame]
) -> None:
    """Measure source and target and write the table into the run folder; nothing is done where it holds these images already.

    Columns: role (source, target), image_id, scanner (the data set's own domain of the image), the properties (NaN for images that were not
    drawn), and png: a small picture of the images at the 10th, 50th and 90th percentile of each property, empty for the others.
    """
    names = [frame["image_id"].tolist() for frame in frames]
    if run.exists(PROPERTIES_FILE):
        held = pd.read_parquet(io.BytesIO(run.read(PROPERTIES_FILE)), columns=["image_id"])
        if held["image_id"].tolist() == [name for part in names for name in part]:
            return
    parts = [
        _measured_once(folder, manifest, part).assign(role=role)
        for role, folder, manifest, part in zip(("source", "target"), folders, manifests, names, strict=True)
    ]
    run.write(PROPERTIES_FILE, pd.concat(parts, ignore_index=True).to_parquet(index=False))


def _measured_once(folder: str, manifest: Manifest, names: Sequence[str]) -> pd.DataFrame:
    entry = (
        cache_folder(_KIND)
        / f"{content_hash([manifest.sha256, names, code_hash('data', 'audit', 'shift')], 32)}.parquet"
    )

    def make() -> bytes:
        from sweep.data.image_properties import measured  # here: SciPy is not waited for where nothing is measured

        found: bytes = measured(folder, names).to_parquet(index=False)
        return found

    kept = computed_once(entry, make, _MOST_ENTRIES, "every run measures its images anew")
    return pd.read_parquet(io.BytesIO(kept))
