"""pseudo_hospitals.parquet of one record, written by the training job and read by everything that estimates target performance.

A row per image of a pseudo-hospital and adaptation: adaptation, hospital, family, recipe (names of its transforms, joined by `+`),
target_distance, source_distance, image_id, label (class index), logits [K]. It lies beside predictions.parquet, which holds the logits of the
real target; `adapted_target.parquet` holds those of the target under each adaptation that was tried on the trained model. The same files
of a weight soup, the model with the mean weights of a configuration's seeds, lie in `soups/SIGNATURE`, with the seeds in `soup.json`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sweep.core.metric_table import SOURCE_VAL, TARGET
from sweep.core.storage import Storage
from sweep.shift.evidence import Evidence
from sweep.shift.predicted_performance import HospitalResult

PSEUDO_HOSPITALS_FILE = "pseudo_hospitals.parquet"
ADAPTED_TARGET_FILE = "adapted_target.parquet"
PREDICTIONS_FILE = "predictions.parquet"
SOUP_FILE = "soup.json"
AS_CONFIGURED = (
    "as_configured"  # the model and images as the configuration's `adapt` says; what predictions.parquet holds
)
_JOINT = "+"
_OF_HOSPITAL = ("adaptation", "hospital", "family", "recipe", "target_distance", "source_distance")


@dataclass(frozen=True)
class StoredHospital(HospitalResult):
    """One model on one pseudo-hospital, as `predicted_performance.predict` takes it: family, logits float [N, K], labels int [N].

    `recipe` names its transforms, `image_ids` [N] the source-validation images that it shows. `target_distance` and `source_distance`
    are energy distances of image properties (`sweep.shift.properties`) to the real target and to source validation, in standard
    deviations of the latter. `adaptation` says how the model or the images were adapted before prediction.
    """

    name: str = ""
    recipe: tuple[str, ...] = ()
    image_ids: tuple[str, ...] = ()
    target_distance: float = float("nan")
    source_distance: float = float("nan")
    adaptation: str = AS_CONFIGURED


def hospitals_frame(hospitals: Sequence[StoredHospital]) -> pd.DataFrame:
    """The rows of pseudo_hospitals.parquet."""
    parts = [
        pd.DataFrame({"image_id": one.image_ids, "label": one.labels.astype(np.int64)}).assign(
            adaptation=one.adaptation,
            hospital=one.name,
            family=one.family,
            recipe=_JOINT.join(one.recipe),
            target_distance=one.target_distance,
            source_distance=one.source_distance,
            logits=list(np.asarray(one.logits, dtype=np.float32)),
        )
        for one in hospitals
    ]
    columns = [*_OF_HOSPITAL, "image_id", "label", "logits"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def hospitals_of(frame: pd.DataFrame, adaptation: str = AS_CONFIGURED) -> list[StoredHospital]:
    """The pseudo-hospitals of one record and adaptation, from the rows that `hospitals_frame` made; empty when there are none.

    Of a frame with the rows of several seeds, select one seed first.
    """
    if frame.empty:
        return []
    own = frame[frame["adaptation"] == adaptation]
    return [_hospital(str(name), rows) for name, rows in own.groupby("hospital", sort=False)]


def adaptations_in(frame: pd.DataFrame) -> list[str]:
    """Names of the adaptations that the rows of a record hold, in the order of the file."""
    return [] if frame.empty else list(dict.fromkeys(frame["adaptation"]))


def write_hospitals(run: Storage, folder: str, hospitals: Sequence[StoredHospital]) -> None:
    """Write one record's pseudo-hospitals into its `folder` (trials/SIGNATURE/seed-N)."""
    run.write(f"{folder}/{PSEUDO_HOSPITALS_FILE}", hospitals_frame(hospitals).to_parquet(index=False))


def read_hospitals(run: Storage, folder: str, adaptation: str = AS_CONFIGURED) -> list[StoredHospital]:
    """One record's pseudo-hospitals; empty where the run evaluated none."""
    return hospitals_of(_read(run, f"{folder}/{PSEUDO_HOSPITALS_FILE}"), adaptation)


def soup_folder(signature: str) -> str:
    """Folder of the weight soup of a configuration's seeds, relative to the run."""
    return f"soups/{signature}"


def soup_seeds(run: Storage, signature: str) -> tuple[int, ...]:
    """The seeds whose weights the soup of a configuration averages; empty where none was evaluated."""
    path = f"{soup_folder(signature)}/{SOUP_FILE}"
    return tuple(json.loads(run.read(path))["seeds"]) if run.exists(path) else ()


def adapted_target_frame(logits: Mapping[str, np.ndarray], image_ids: Sequence[str]) -> pd.DataFrame:
    """The rows of adapted_target.parquet: adaptation, image_id, logits, from each adaptation's logits [M, K] on the target."""
    parts = [
        pd.DataFrame({"adaptation": name, "image_id": list(image_ids), "logits": list(np.asarray(z, dtype=np.float32))})
        for name, z in logits.items()
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["adaptation", "image_id", "logits"])


def adapted_targets_of(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Logits float32 [M, K] on the target by adaptation, in the order of the target's rows in predictions.parquet."""
    if frame.empty:
        return {}
    return {
        str(name): np.stack(rows["logits"].to_list()) for name, rows in frame.groupby("adaptation", sort=False)
    }  # fmt: skip


def read_adapted_targets(run: Storage, folder: str) -> dict[str, np.ndarray]:
    """`adapted_targets_of` of one record; empty where no other adaptation was tried."""
    return adapted_targets_of(_read(run, f"{folder}/{ADAPTED_TARGET_FILE}"))


def evidence_of(predictions: pd.DataFrame, target_logits: np.ndarray | None = None) -> Evidence:
    """What estimators may see of one record, from its rows of predictions.parquet (all seeds, if there are several, as seeds).

    `target_logits` [M, K] replace those of the target (another adaptation). The target's column of labels is not read. Raises ValueError
    for several findings an image, and as `Evidence` does.
    """
    if "label" not in predictions:
        raise ValueError("target performance is predicted for data with one class an image")
    seeds = [rows for _, rows in predictions.groupby("seed", sort=True)]
    first = seeds[0][seeds[0]["split"] == SOURCE_VAL]
    source = [_logits(rows, SOURCE_VAL) for rows in seeds]
    target = [_logits(rows, TARGET) for rows in seeds]
    several = len(seeds) > 1
    return Evidence(
        source[0],
        first["label"].to_numpy(np.int64),
        target[0] if target_logits is None else target_logits,
        np.stack(source) if several else None,
        np.stack(target) if several else None,
    )


def read_evidence(run: Storage, folder: str) -> Evidence:
    """`evidence_of` one record from its `folder`; FileNotFoundError where it kept no predictions."""
    return evidence_of(pd.read_parquet(io.BytesIO(run.read(f"{folder}/{PREDICTIONS_FILE}"))))


def _logits(rows: pd.DataFrame, split: str) -> np.ndarray:
    return np.stack(rows.loc[rows["split"] == split, "logits"].to_list())


def _hospital(name: str, rows: pd.DataFrame) -> StoredHospital:
    first = rows.iloc[0]
    return StoredHospital(
        family=str(first["family"]),
        logits=np.stack(rows["logits"].to_list()),
        labels=rows["label"].to_numpy(np.int64),
        name=name,
        recipe=tuple(str(first["recipe"]).split(_JOINT)) if first["recipe"] else (),
        image_ids=tuple(rows["image_id"]),
        target_distance=float(first["target_distance"]),
        source_distance=float(first["source_distance"]),
        adaptation=str(first["adaptation"]),
    )


def _read(run: Storage, name: str) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(run.read(name))) if run.exists(name) else pd.DataFrame()
