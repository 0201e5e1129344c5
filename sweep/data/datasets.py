"""sweep config -> data of the run: shards located or simulated, split once, described in the data card.

Trials read `split.parquet` and `data.json` in the run folder and split nothing themselves.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from sweep.config.sweep_config import DataSection
from sweep.core.errors import InputError
from sweep.core.hashing import content_hash
from sweep.core.location import is_url
from sweep.core.metric_table import DIRECTIONS, SOURCE_TO_TARGET, TARGET_TO_SOURCE
from sweep.core.storage import Storage
from sweep.data.data_card import card_of, messages
from sweep.data.domains import FOLD_BACK, FOLDS, LABELS, domain_frames, split_domains
from sweep.data.properties import write_properties
from sweep.data.simulated import ARTIFACTS, is_phantom, simulated_folder
from sweep.data.target_labels import ALL, NONE, SEALED, Allowed, known
from sweep.shards.checked import checked_manifest
from sweep.shards.findings import present_counts, stacked
from sweep.shards.image_set import ImageSet
from sweep.shards.labels import classes_after
from sweep.shards.lazy import Images
from sweep.shards.reader import read_images, read_manifest
from sweep.shards.schema import Manifest
from sweep.shards.splits import TARGET, UNUSED
from sweep.shards.stored import StoredImages

SPLIT_FILE = "split.parquet"
CARD_FILE = "data.json"


@dataclass(frozen=True)
class Data:
    """The data of a run in one direction: two shard folders and one split.

    `split` has a row per image: image_id, label (index into `classes`; or, of several findings an image, labels: one of 1, 0,
    -1 and NaN for each class), group, domain and fold: train, val, test or unused in the source domain, target in the other;
    where the other direction is in use too, its folds as fold_back. `loading` is how the workers read: auto, resident or stream.
    `target_labels` says which labels of the target may be read; the others are -1 (NaN of several findings) in `split`.
    `pseudo_hospitals` is the number of stand-ins for the target that every trained model is evaluated on, `try_adaptations` what is tried
    on it beside the configured adaptation.
    """

    source: str
    target: str
    classes: tuple[str, ...]
    image_px: int
    fit: str
    normals: str
    split: pd.DataFrame
    loading: str = "auto"
    direction: str = SOURCE_TO_TARGET
    target_labels: Allowed = ALL
    pseudo_hospitals: int = 0
    try_adaptations: tuple[str, ...] = ()

    @cached_property
    def hash(self) -> str:
        """Identity of a trial's data: images, labels, folds, size."""
        rows = [self.fold_hash(fold) for fold in FOLDS]
        return content_hash({"folds": rows, "image_px": self.image_px, "fit": self.fit})

    def fold_hash(self, fold: str) -> str:
        """Identity of one fold: pixels, labels and order."""
        if fold not in self._fold_hashes:
            rows = self.fold(fold)
            if fold == TARGET:  # its order has no effect
                rows = rows.sort_values("image_id")
            labels = self._labels(rows)
            known = labels.astype(object)
            if self.multi_label:
                known[np.isnan(labels)] = None
            self._fold_hashes[fold] = content_hash([self.classes, rows["sha256"].tolist(), known.tolist()])
        return self._fold_hashes[fold]

    @cached_property
    def _fold_hashes(self) -> dict[str, str]:
        return {}

    def directed(self, direction: str) -> Data:
        """These data as a trial of `direction` sees them: with source and target exchanged for target_to_source."""
        return self if direction == self.direction else self._reversed

    def seen_by(self, config: Mapping[str, Any]) -> Data:
        """These data as a trial of this configuration sees them: in its direction, with its number of training images.

        Raises InputError when the training fold holds fewer.
        """
        data, keep = self.directed(config.get("direction", SOURCE_TO_TARGET)), config.get("train_images")
        return data if keep is None else data._limited(keep)

    def _limited(self, keep: int) -> Data:
        if keep not in self._limits:
            train = self.split.index[self.split["fold"] == "train"]
            if keep > len(train):
                raise InputError(
                    "train_images",
                    f"{keep} asked for, the training fold holds {len(train)}",
                    f"ask for at most {len(train)}, or give more data",
                )
            fold = self.split["fold"].where(~self.split.index.isin(train[keep:]), UNUSED)
            self._limits[keep] = replace(self, split=self.split.assign(fold=fold))
        return self._limits[keep]

    @cached_property
    def _limits(self) -> dict[int, Data]:
        return {}

    @cached_property
    def _reversed(self) -> Data:
        if FOLD_BACK not in self.split:
            raise InputError(
                "direction",
                "target_to_source is not prepared in this run",
                "run the sweep config once, which prepares the directions that it names",
            )
        exchanged = self.split.rename(columns={"fold": FOLD_BACK, FOLD_BACK: "fold"})
        direction = next(name for name in DIRECTIONS if name != self.direction)
        return replace(self, source=self.target, target=self.source, split=exchanged, direction=direction)

    def fold(self, fold: str) -> pd.DataFrame:
        """The rows of one fold."""
        return self.split[self.split["fold"] == fold]

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several findings."""
        return LABELS in self.split

    def labels(self, fold: str) -> np.ndarray:
        """Class numbers int64 [N] of one fold, or float32 [N, K] of several findings an image, uncertain ones undecided."""
        return self._labels(self.fold(fold))

    def _labels(self, rows: pd.DataFrame) -> np.ndarray:
        return (
            stacked(rows[LABELS]).reshape(-1, len(self.classes))
            if self.multi_label
            else rows["label"].to_numpy(np.int64)
        )

    def class_counts(self, fold: str) -> list[int]:
        """Images per class of one fold, those without a known label left out; of several findings an image those that have it."""
        labels = self.labels(fold)
        if self.multi_label:
            return present_counts(labels).tolist()
        return np.bincount(labels[known(labels)], minlength=len(self.classes)).tolist()

    def read(self, fold: str, image_px: int | None = None) -> ImageSet:
        """One fold decoded straight from its shards, at the run's size unless another is given."""
        ids = list(self.fold(fold)["image_id"])
        return self.image_set(fold, read_images(self.folder(fold), image_px or self.image_px, ids, self.fit).images)

    def open(self, fold: str) -> ImageSet:
        """The same without reading an image before it is looked at."""
        stored = StoredImages(self.folder(fold), self.image_px, list(self.fold(fold)["image_id"]), self.fit)
        return self.image_set(fold, cast("Images", stored))

    @property
    def datasets(self) -> tuple[str, str]:
        """Names of the source's and the target's data set, as their importers gave them."""
        return read_manifest(self.source).name, read_manifest(self.target).name

    def folder(self, fold: str) -> str:
        """The shard folder that a fold lies in."""
        return self.target if fold == TARGET else self.source

    def image_set(self, fold: str, images: Images) -> ImageSet:
        """One fold from its images, which are in the split's order, with its labels and groups."""
        rows = self.fold(fold)
        return ImageSet(
            images=images,
            labels=self.labels(fold),
            ids=rows["image_id"].to_numpy(object),
            groups=rows["group"].to_numpy(object),
            classes=self.classes,
            domain=rows["domain"].iloc[0],
            synthetic=np.zeros(len(rows), bool),
        )

    def save(self, run: Storage, card: Mapping[str, Any]) -> None:
        """Write the split and the data card into the run folder."""
        run.write(SPLIT_FILE, self.split.to_parquet(index=False))
        facts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "split"}
        facts |= {name: _from_run(run, facts[name]) for name in ("source", "target")}
        run.write(CARD_FILE, json.dumps({**card, "data": facts}, indent=1).encode())

    @classmethod
    def load(cls, run: Storage) -> Data:
        """What `save` wrote."""
        facts = json.loads(run.read(CARD_FILE))["data"]
        facts |= {name: _found_from(run, facts[name]) for name in ("source", "target")}
        split = pd.read_parquet(io.BytesIO(run.read(SPLIT_FILE)))
        lists = {name: tuple(facts.get(name, ())) for name in ("classes", "try_adaptations")}
        return cls(**{**facts, **lists}, split=split)


def prepare(section: DataSection, run: Storage, directions: Iterable[str] = (SOURCE_TO_TARGET,)) -> Data:
    """Locate or simulate both shard folders, split the source, keep the target whole, write the data card.

    With target_to_source among `directions` the target is split too, for the trials in which it is the source.
    """
    hidden = section.target_labels in (NONE, SEALED)  # a simulated target is then written without labels
    folders = [_shard_folder(section.source, section, run), _shard_folder(section.target, section, run, hidden)]
    if folders[0] == folders[1] and not section.hold_out:
        raise InputError(
            "data",
            f"source and target are both {folders[0]}",
            "name another target, or hold some of its domains out: hold_out: [NAME]",
        )
    manifests = [checked_manifest(folder) for folder in folders]
    classes = _common_classes(manifests, section)
    frames = domain_frames(folders, manifests, section, classes, run)
    both_in_one = [0, 0] if section.hold_out else [0, 1]
    write_properties(
        run, [folders[place] for place in both_in_one], [manifests[place] for place in both_in_one], frames
    )
    both = TARGET_TO_SOURCE in directions or _was_both(run)
    whole = split_domains(frames, section, both)
    data = Data(
        folders[0],
        folders[1],
        classes,
        section.image_px,
        section.fit,
        section.normals,
        whole,
        section.loading,
        target_labels=section.target_labels,
        pseudo_hospitals=section.hospitals,
        try_adaptations=tuple(section.try_adaptations),
    )
    _refuse_empty(data, section)
    if both:
        _refuse_empty(
            data.directed(TARGET_TO_SOURCE),
            section.model_copy(update={"source": section.target, "target": section.source}),
        )
    card = card_of(data, manifests, frames)
    dropped = section.normals == "drop" and "normal" in manifests[0].classes
    two_classes = len(data.classes) == 2 and not data.multi_label
    for line in filter(None, messages(card, dropped, two_classes)):
        print(f"data: {line}", flush=True)
    data.save(run, card)
    return data


def _was_both(run: Storage) -> bool:
    """Whether the run folder was split in both directions before: its records refer to both."""
    return run.exists(SPLIT_FILE) and FOLD_BACK in pd.read_parquet(io.BytesIO(run.read(SPLIT_FILE)))


def _shard_folder(name: str, section: DataSection, run: Storage, hidden: bool = False) -> str:
    if is_phantom(name):
        return simulated_folder(name, section.phantom_patients, run, hidden)
    place = Storage(name)
    if not place.exists():
        raise InputError(
            f"data: {name}",
            "no such shard folder",
            f"make it with: python -m sweep.importers NAME SRC {name}; or use phantom:SCANNER",
        )
    return place.url


def _from_run(run: Storage, folder: str) -> str:
    """A shard folder as the data card names it: relative to the run folder, so that both can be moved and no place is told.

    A URL outside of the run, and a folder of this machine beside a run at a URL, keep their address.
    """
    if folder.startswith(f"{run.url}/") or is_url(folder) or is_url(run.url):
        return folder.removeprefix(f"{run.url}/")
    return Path(os.path.relpath(folder, run.url)).as_posix()


def _found_from(run: Storage, folder: str) -> str:
    """The shard folder that a data card names; version 0.1 wrote absolute places, which a moved run folder has left."""
    if folder.startswith(f"{ARTIFACTS}/"):
        return run.address(folder)
    if folder.startswith("../"):
        return os.path.normpath(f"{run.url}/{folder}")
    inside = "/".join(folder.rsplit("/", 2)[1:])
    return run.address(inside) if inside.startswith(f"{ARTIFACTS}/") and run.exists(inside) else folder


def _common_classes(manifests: list[Manifest], section: DataSection) -> tuple[str, ...]:
    if manifests[0].task != manifests[1].task:
        fix = "import both as two classes (--finding NAME), or both with several findings an image"
        raise InputError("data", f"source is {manifests[0].task} and target {manifests[1].task}", fix)
    if manifests[0].multi_label and manifests[0].classes != manifests[1].classes:  # columns stand in this order
        fix = "import both with the same findings; chestxray14 --findings competition has CheXpert's"
        raise InputError(
            "data",
            f"source has findings {', '.join(manifests[0].classes)} and target {', '.join(manifests[1].classes)}",
            fix,
        )
    source, target = (classes_after(manifest.classes, section.normals) for manifest in manifests)
    if set(source) != set(target) and manifests[0].labelled and (target or manifests[1].labelled):
        raise InputError(
            "data",
            f"source has classes {', '.join(source)} and target {', '.join(target)}",
            "import both with the same class names",
        )
    return tuple(source)


def _refuse_empty(data: Data, section: DataSection) -> None:
    for fold in FOLDS if data.target_labels == ALL else FOLDS[:-1]:
        place = f"data: {section.target if fold == TARGET else section.source}"
        if data.multi_label:
            _refuse_undefined(data.labels(fold), fold, place)
            continue
        counts = data.class_counts(fold)
        empty = [name for name, count in zip(data.classes, counts, strict=True) if not count]
        if empty:
            raise InputError(
                place, f"the {fold} fold has no {empty[0]} image", "give more images or patients, or raise train_images"
            )


def _refuse_undefined(labels: np.ndarray, fold: str, place: str) -> None:
    """A finding that no image or every image of a fold has is left out of the mean; one finding must remain."""
    if not ((labels == 1).any(axis=0) & (labels == 0).any(axis=0)).any():
        raise InputError(
            place,
            f"the {fold} fold has no finding that is both present and absent",
            "give more images or patients, or raise train_images",
        )
