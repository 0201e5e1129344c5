"""The data card (data.json): size, classes, folds, licence and near-duplicates of both domains, from labels that may be read alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sweep.core.metric_table import DIRECTIONS, SOURCE_TO_TARGET, TARGET_TO_SOURCE
from sweep.data.domains import FOLD_BACK, FOLDS, copies_card, left_out, summary_of
from sweep.data.target_labels import ALL, images_identity, known, note_of
from sweep.shards.findings import constant_accuracy, present_counts, stacked
from sweep.shards.schema import Manifest
from sweep.shards.splits import TARGET

if TYPE_CHECKING:
    from sweep.data.datasets import Data

_LAYOUTS = ("folder", "csv", "dicom", "volumes")  # importers of a layout, not of a published data set
UNLABELLED = "unlabelled"  # beside the classes of a fold: images whose label may not be read


def messages(card: Mapping[str, Any], normals_dropped: bool, two_classes: bool) -> Iterable[str]:
    """What to print: images left out because the other domain contains them, and which target labels may be read."""
    names = card["source"]["name"], card["target"]["name"]
    for direction, (here, there) in zip(DIRECTIONS, (names, names[::-1]), strict=True):
        yield summary_of(card["audit"].get(f"left_out_of_{direction}_for", {}), here, there)
    target = card["target"]
    labelled, hidden = target["images"] - target.get("unlabelled", 0), target.get("target_labels", "all")
    yield note_of(hidden, target["images"], labelled, normals_dropped)
    if isinstance(hidden, str) and hidden != ALL and not two_classes:
        yield "performance on the target is predicted for two classes only: here recipes can be compared on source validation alone"


def card_of(data: Data, manifests: list[Manifest], frames: list[pd.DataFrame]) -> dict[str, Any]:
    """The cards of source and target, and what the search for near-duplicates found."""
    source, target = (_domain_card(manifest, frame) for manifest, frame in zip(manifests, frames, strict=True))
    if data.target_labels != ALL:
        target |= _hidden_card(data, manifests[1], frames[1])
    source["folds"], target["folds"] = _fold_counts(data, FOLDS[:3]), _fold_counts(data, (TARGET,))
    if FOLD_BACK in data.split:
        back = data.directed(TARGET_TO_SOURCE)
        source["folds_target_to_source"], target["folds_target_to_source"] = (
            _fold_counts(back, (TARGET,)),
            _fold_counts(back, FOLDS[:3]),
        )
    return {"source": source, "target": target, "audit": _audit_card(frames, FOLD_BACK in data.split)}


def _hidden_card(data: Data, manifest: Manifest, frame: pd.DataFrame) -> dict[str, Any]:
    """What differs where not all target labels may be read; `sha256` is then one of the images alone."""
    unlabelled = int((~known(data.labels(TARGET))).sum())
    return {"target_labels": data.target_labels, "unlabelled": unlabelled, "sha256": images_identity(frame)}


def _fold_counts(data: Data, folds: Iterable[str]) -> dict[str, dict[str, int]]:
    """Images per class of each fold, and of how many no label may be read."""
    counts = {}
    for fold in folds:
        unlabelled = int((~known(data.labels(fold))).sum())
        labelled = dict(zip(data.classes, data.class_counts(fold), strict=True))
        counts[fold] = labelled if not unlabelled or data.multi_label else _some(labelled) | {UNLABELLED: unlabelled}
    return counts


def _some(counts: dict[str, int]) -> dict[str, int]:
    return counts if any(counts.values()) else {}


def _name_of(manifest: Manifest, frame: pd.DataFrame) -> str:
    """Name of a hospital in reports: the data set's, or the domain's where it is one of several or the importer reads anybody's files."""
    domain = str(frame["domain"].iloc[0])
    anybody = manifest.name in _LAYOUTS and frame["domain"].nunique() == 1
    return domain if anybody or domain != manifest.domain else manifest.name


def _domain_card(manifest: Manifest, frame: pd.DataFrame) -> dict[str, Any]:
    domain = str(frame["domain"].iloc[0])
    return {
        "name": _name_of(manifest, frame),
        "domain": domain,
        "images": len(frame),
        "patients": int(frame["patient"].replace("", np.nan).nunique()),
        "groups": int(pd.Series(frame["near_duplicates"]).nunique()),
        **_balance(manifest, frame),
        "licence": manifest.licence,
        "citation": manifest.citation,
        "sha256": manifest.sha256,
    }


def _balance(manifest: Manifest, frame: pd.DataFrame) -> dict[str, Any]:
    """Images per class and the accuracy of the constant predictor; with several findings also uncertain and unknown labels."""
    if not manifest.multi_label:
        counts = Counter(frame["name"].dropna())
        right = max(counts.values()) / counts.total() if counts else None
        return {"classes": dict(counts), "constant_accuracy": right}
    labels = stacked(frame["labels"])
    columns = {
        "classes": present_counts(labels),
        "uncertain": (labels == -1).sum(axis=0),
        "not_known": np.isnan(labels).sum(axis=0),
    }
    named = {key: dict(zip(manifest.classes, counts.tolist(), strict=True)) for key, counts in columns.items()}
    return {"task": manifest.task, **named, "constant_accuracy": constant_accuracy(labels)}


def _audit_card(frames: list[pd.DataFrame], both: bool) -> dict[str, Any]:
    """Near-duplicates within each domain, and what was left out of training in each direction because the other domain contains it."""
    facts: dict[str, Any] = {name: copies_card(frame) for name, frame in zip(("source", TARGET), frames, strict=True)}
    for target, name in ((1, SOURCE_TO_TARGET), (0, TARGET_TO_SOURCE))[: 1 + both]:
        facts[f"left_out_of_{name}_for"] = left_out(frames, target)
    return facts
