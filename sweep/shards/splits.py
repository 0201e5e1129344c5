"""Metadata -> train, validation and test folds that share no patient and no near-duplicate, and none with what is held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sweep.core.errors import InputError, suggestion
from sweep.core.hashing import content_hash
from sweep.core.seeds import rng
from sweep.shards.findings import stacked
from sweep.shards.groups import closed_groups, renumbered
from sweep.shards.label_conflicts import conflicting
from sweep.shards.labels import label_names

FRACTIONS = {"train": 0.6, "val": 0.2, "test": 0.2}
CONFLICTS = ("drop", "train_only", "keep")
UNUSED, TARGET = "unused", "target"


@dataclass(frozen=True)
class Split:
    """One row per image: image_id, label ('' where none is known), group (int: images that stay together), fold and place.

    The training images of the `n` lowest places are the training set of `train_images=n`: each set lies in the next larger one. fold is a name of the fractions, or `unused` for images left out by a rule or by a smaller training set.
    """

    frame: pd.DataFrame

    def ids(self, fold: str) -> np.ndarray:
        """The image ids of a fold, in the order of the data set."""
        return self.frame.loc[self.frame["fold"] == fold, "image_id"].to_numpy(dtype=str)

    def counts(self) -> dict[str, dict[str, int]]:
        """Images per fold and label."""
        table = pd.crosstab(self.frame["fold"], self.frame["label"])
        return {str(fold): {str(label): int(n) for label, n in row.items()} for fold, row in table.iterrows()}

    @cached_property
    def sha256(self) -> str:
        """Identity of the assignment: equal for equal ids and folds, whatever the order of rows."""
        ordered = self.frame.sort_values("image_id")
        return content_hash([ordered["image_id"].tolist(), ordered["fold"].tolist()], length=64)


def make_split(
    frame: pd.DataFrame,
    *,
    seed: int,
    fractions: Mapping[str, float] = FRACTIONS,
    train_images: int | None = None,
    conflicts: str = "drop",
    near_duplicates: np.ndarray | None = None,
) -> Split:
    """Hold-out split, stratified by label (by each finding, where a column `labels` holds several), no group in two folds.

    Groups are the closure of patients, identical pixels (column sha256, where present) and `near_duplicates`
    ([N] group names or numbers, e.g. from audit.near_duplicate_groups). `conflicts` decides on near-duplicates
    whose labels differ: left out (`drop`), in training only (`train_only`) or treated like the rest (`keep`).
    `train_images` keeps that many training images; 100 are a subset of 200, and validation and test stay as
    they are. Raises InputError when the data cannot be split so.
    """
    _check(frame, fractions, conflicts)
    duplicates = _copies(frame, near_duplicates)
    labels = label_names(frame["label"])
    groups = closed_groups(frame["patient"].to_numpy(dtype=str), *duplicates)
    findings = stacked(frame["labels"]) if "labels" in frame else None
    in_doubt = conflicting(frame, duplicates)
    fold = np.full(len(frame), UNUSED, dtype=object)
    free = np.ones(len(frame), dtype=bool)
    if conflicts == "drop":
        free = ~in_doubt
    elif conflicts == "train_only":
        free = ~np.isin(groups, groups[in_doubt])
        fold[~free] = "train"
    if findings is None:
        fold[free] = _assign(_counts_per_group(labels[free], groups[free]), groups[free], fractions, rng(seed, "split"))
    else:
        fold[free] = _assign_findings(findings[free], groups[free], fractions, rng(seed, "split"))
    return _split_of(frame["image_id"].to_numpy(), labels, groups, fold, seed, train_images)


def _split_of(
    ids: np.ndarray, labels: np.ndarray, groups: np.ndarray, fold: np.ndarray, seed: int, train_images: int | None
) -> Split:
    """The split of images whose folds are settled: their places, and only so many of them in training."""
    fold, place = fold.astype(object), np.zeros(len(ids), dtype=np.int64)
    order = _training_order(fold, labels, groups, rng(seed, "split", "train"))
    if train_images is not None:
        _keep_training(fold, order, train_images)
    place[order] = np.arange(len(order))
    return Split(
        pd.DataFrame({"image_id": ids, "label": labels, "group": groups, "fold": fold.astype(str), "place": place})
    )


def hold_out_domains(
    frame: pd.DataFrame, held_out: Sequence[str], *, near_duplicates: np.ndarray | None = None, **rules: Any
) -> Split:
    """The images of some domains (column domain: hospitals, scanners) are `target`, all others are split: see `split_without`.

    Raises InputError for an unknown domain, and when none is left to train on.
    """
    return split_without(frame, of_domains(frame, held_out), near_duplicates=near_duplicates, **rules)


def of_domains(frame: pd.DataFrame, held_out: Sequence[str]) -> np.ndarray:
    """bool [N]: the image comes from one of these domains; InputError when one is unknown, or when they are none or all."""
    known = sorted(set(frame["domain"]))
    for name in held_out:
        if name not in known:
            raise InputError("held_out", f"no image of {name!r}", suggestion(name, known))
    away = frame["domain"].isin(held_out).to_numpy()
    if not held_out or away.all():
        raise InputError(
            "held_out",
            f"{', '.join(held_out) or 'nothing'} of {', '.join(known)}",
            "hold back some domains and keep others",
        )
    return away


def split_without(
    frame: pd.DataFrame,
    away: np.ndarray,
    *,
    near_duplicates: np.ndarray | None = None,
    folds: int | None = None,
    fold: int = 0,
    **rules: Any,
) -> Split:
    """The images `away` (bool [N]) are `target`, all others are split by `make_split` under `rules`, or are fold `fold` of `make_folds`.

    A patient or picture that the target has too is left out of the others: nothing of the target is ever trained on, and the
    target stays whole. Raises InputError when no other image is left.
    """
    shared = shared_with(frame, away, near_duplicates)
    free = ~away & ~shared
    if not free.any():
        raise InputError(
            "target", "every other image shares a patient or picture with the target", "choose another target"
        )
    copies = None if near_duplicates is None else np.asarray(near_duplicates)[free]
    if folds is None:
        inner = make_split(frame[free], near_duplicates=copies, **rules)
    else:
        inner = make_folds(frame[free], folds=folds, validate=True, near_duplicates=copies, **rules)[fold]
    name, place = np.where(away, TARGET, UNUSED).astype(object), np.zeros(len(frame), dtype=np.int64)
    name[free], place[free] = inner.frame["fold"], inner.frame["place"]
    groups = closed_groups(frame["patient"].to_numpy(dtype=str), *_copies(frame, near_duplicates))
    labels = label_names(frame["label"])
    return Split(
        pd.DataFrame(
            {
                "image_id": frame["image_id"].to_numpy(),
                "label": labels,
                "group": groups,
                "fold": name.astype(str),
                "place": place,
            }
        )
    )


def shared_with(frame: pd.DataFrame, away: np.ndarray, near_duplicates: np.ndarray | None = None) -> np.ndarray:
    """bool [N]: images outside of `away` (bool [N]) that show a patient or picture of it, directly or through others."""
    groups = closed_groups(frame["patient"].to_numpy(dtype=str), *_copies(frame, near_duplicates))
    return ~away & np.isin(groups, groups[away])


def _copies(frame: pd.DataFrame, near_duplicates: np.ndarray | None) -> list[np.ndarray]:
    """What makes images copies of each other: near-duplicate groups, and identical pixels where known."""
    copies = [] if near_duplicates is None else [np.asarray(near_duplicates)]
    return [*copies, frame["sha256"].to_numpy(dtype=str)] if "sha256" in frame else copies


def make_folds(
    frame: pd.DataFrame,
    *,
    seed: int,
    folds: int,
    conflicts: str = "drop",
    near_duplicates: np.ndarray | None = None,
    train_images: int | None = None,
    validate: bool = False,
) -> list[Split]:
    """Cross-validation: `folds` splits into train and test; every image not ruled out is tested exactly once.

    With `validate` the part that the next split tests is this one's validation fold, so that three parts are the fewest.
    """
    if folds < 2 + validate:
        raise InputError(
            "folds", f"{folds} folds leave nothing to train on", f"ask for {'three' if validate else 'two'} or more"
        )
    names = [f"fold-{k}" for k in range(folds)]
    parts = make_split(frame, seed=seed, fractions=dict.fromkeys(names, 1 / folds), conflicts=conflicts,
                       near_duplicates=near_duplicates).frame  # fmt: skip
    ids, labels, groups = (parts[name].to_numpy() for name in ("image_id", "label", "group"))
    # `train_only` images carry the fold "train" already and are never tested.
    roles = [
        {UNUSED: UNUSED, own: "test"} | ({following: "val"} if validate else {})
        for own, following in zip(names, (*names[1:], names[0]), strict=True)
    ]
    assigned = [parts["fold"].map(lambda part, role=role: role.get(part, "train")).to_numpy() for role in roles]
    return [_split_of(ids, labels, groups, fold, seed, train_images) for fold in assigned]


def _assign(
    counts: np.ndarray, groups: np.ndarray, fractions: Mapping[str, float], draw: np.random.Generator
) -> np.ndarray:
    """Fold of every image: groups, largest first and shuffled within a size, go where their labels lack most.

    `counts` [G, C]: images of each label in each group.
    """
    names = list(fractions)
    share = np.array([fractions[name] for name in names])
    wanted = np.outer(share, counts.sum(axis=0))
    shuffled = draw.permutation(len(counts))
    order = shuffled[np.argsort(-counts.sum(axis=1)[shuffled], kind="stable")]
    chosen = np.empty(len(counts), dtype=np.int64)
    missing = wanted.copy()
    for group in order:
        # The share still missing, in units of the fold's own target, summed over the group's labels.
        need = (missing * counts[group]) @ np.ones(counts.shape[1]) / share
        chosen[group] = int(np.argmax(need))
        missing[chosen[group]] -= counts[group]
    return np.array(names, dtype=object)[chosen[renumbered(groups)]]


def _assign_findings(
    labels: np.ndarray, groups: np.ndarray, fractions: Mapping[str, float], draw: np.random.Generator
) -> np.ndarray:
    """Fold of every image with labels [N, K]: iterative stratification (Sechidis et al. 2011), a group at a time.

    Groups with the finding that fewest unplaced images have come first: a common finding can still be evened out later.
    """
    names, share = list(fractions), np.array(list(fractions.values()))
    group = renumbered(groups)
    counts = np.zeros((group.max(initial=-1) + 1, labels.shape[1] + 1))
    np.add.at(counts, group, np.column_stack([labels == 1, np.ones(len(labels))]))  # the last column: images
    missing = np.outer(share, counts.sum(axis=0))
    chosen = np.full(len(counts), -1)
    order = draw.permutation(len(counts))
    while len(order):
        left = counts[order, :-1].sum(axis=0)
        rare = int(np.argmin(np.where(left > 0, left, np.inf))) if left.any() else -1
        having = counts[order, rare] > 0
        members = order[having]
        for member in members[np.argsort(-counts[members, rare], kind="stable")]:
            # Where the rare finding lacks most, of equal folds where images lack most, each in units of the fold's share.
            need = missing[:, rare] / share
            tied = np.flatnonzero(need >= need.max() - 1e-9)
            chosen[member] = tied[int(np.argmax(missing[tied, -1] / share[tied]))]
            missing[chosen[member]] -= counts[member]
        order = order[~having]
    return np.array(names, dtype=object)[chosen[group]]


def _counts_per_group(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """int64 [G, C]: images of each label in each group, both numbered by first appearance."""
    group, label = renumbered(groups), renumbered(labels)
    counts = np.zeros((group.max(initial=-1) + 1, label.max(initial=-1) + 1), dtype=np.int64)
    np.add.at(counts, (group, label), 1)
    return counts


def _training_order(fold: np.ndarray, labels: np.ndarray, groups: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Positions of the training images, ordered so that every prefix is stratified: subsets nest."""
    train = np.flatnonzero(fold == "train")
    shuffle = draw.permutation(groups.max() + 1)
    # Within a label images come group by group, so that a small set holds whole patients where it can.
    order = train[np.lexsort((train, shuffle[groups[train]]))]
    place = pd.Series(labels[order])
    rank = (place.groupby(place).cumcount() + 0.5) / place.groupby(place).transform("size")
    return order[np.argsort(rank.to_numpy(), kind="stable")]


def _keep_training(fold: np.ndarray, order: np.ndarray, keep: int) -> None:
    """Mark all but the first `keep` training images unused."""
    if not 0 < keep <= len(order):
        raise InputError(
            "train_images",
            f"{keep} asked for, the training fold holds {len(order)}",
            f"ask for 1 to {len(order)}, or leave it out" if len(order) else "give the training part a larger fraction",
        )
    fold[order[keep:]] = UNUSED


def _check(frame: pd.DataFrame, fractions: Mapping[str, float], conflicts: str) -> None:
    if conflicts not in CONFLICTS:
        raise InputError("conflicts", f"{conflicts!r} is no rule", f"write one of {', '.join(CONFLICTS)}")
    total = sum(fractions.values())
    if not fractions or abs(total - 1) > 1e-6 or min(fractions.values()) <= 0:
        raise InputError("fractions", f"{dict(fractions)} sum to {total:g}", "give positive shares that sum to 1")
    if frame.empty:
        raise InputError(
            "split",
            "no image is left to split",
            "import images with labels, or change the rules for normal scans and conflicting labels",
        )
    if frame["image_id"].duplicated().any():
        twice = frame.loc[frame["image_id"].duplicated(), "image_id"].iloc[0]
        raise InputError("split", f"image {twice!r} comes twice", "give every image an id of its own")
