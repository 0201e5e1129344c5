"""Every name that a sweep config may put under grid, search and fixed: the rows of all folders, and what follows from them.

Adding a hyperparameter: one row in `hyperparameters.py` of the folder that owns it (a field of `Recipe` made with `setting` for the training
loop). Checks, JSON Schema, `docs/hyperparameters.md` (print it anew with `python -m sweep.space --reference`), the network's and the
texture loss's arguments and the pairing with real-only models follow from the row. A row later than version 0.1 gives `since`, and `before`
where its default is not what the versions without it did:

    Hyperparameter("colorizer_init", "...", (str,), "imagenet", one_of("random", "imagenet"), since="0.2", before="random",
                   active=LEARNED, argument="colorizer.init")

Run folders that are older than the row then need nothing more: their records keep their signatures (`identity`), what their configurations
lack is filled with what it was (`restored`), and a folder that is resumed keeps the defaults it began with (`sweep.planning.defaults`). A
row whose default changes gives the old one as `before`, because folders of version 0.1 did not note their defaults. A new value of an existing row (`mixing_policy: pretrain`) needs no `since`; the condition of an
existing row must not become narrower, or records that hold its value are no longer found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sweep.losses.hyperparameters
import sweep.models.hyperparameters
import sweep.shards.hyperparameters
import sweep.synth.hyperparameters
import sweep.training.hyperparameters
from sweep.core.hashing import canonical_json
from sweep.core.hyperparameter import FIRST, Hyperparameter, Scalar

GROUPS: Mapping[str, tuple[Hyperparameter, ...]] = {  # headings of the reference page -> rows
    "Data": sweep.shards.hyperparameters.ROWS,
    "Network": sweep.models.hyperparameters.ROWS,
    "Training": sweep.training.hyperparameters.ROWS,
    "Texture loss": sweep.losses.hyperparameters.ROWS,
    "Synthetic images": sweep.synth.hyperparameters.ROWS,
}
HYPERPARAMETERS: dict[str, Hyperparameter] = {row.name: row for rows in GROUPS.values() for row in rows}


def is_active(name: str, config: Mapping[str, Any]) -> bool:
    """Whether a hyperparameter has an effect in a complete configuration: its condition holds, and its parents are active."""
    condition = HYPERPARAMETERS[name].active
    parents = (parent for parent in condition.parents if parent != name)
    return condition(config) and all(is_active(parent, config) for parent in parents)


def relevant(config: Mapping[str, Any]) -> dict[str, Any]:
    """A complete configuration without its inactive hyperparameters; names that are none (hashes of files) stay."""
    return {name: value for name, value in config.items() if name not in HYPERPARAMETERS or is_active(name, config)}


def rows_filling(part: str) -> Iterable[Hyperparameter]:
    """The rows that fill arguments of one part's constructor, e.g. colorizer."""
    return (row for row in HYPERPARAMETERS.values() if row.argument and row.argument.startswith(f"{part}."))


def default_values() -> dict[str, Scalar]:
    """Every hyperparameter's default in this version."""
    return {name: row.default for name, row in HYPERPARAMETERS.items()}


def complete(config: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """`config` with every default filled in and without the hyperparameters that are inactive in it."""
    return relevant(default_values() | dict(config))


def restored(config: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The complete configuration of a record that any version wrote: what it lacks has the value it had at that time."""
    return relevant({name: row.introduced_with for name, row in HYPERPARAMETERS.items()} | dict(config))


def identity(config: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The part of a complete configuration that names it.

    Hyperparameters later than version 0.1 are left out where they have the value they were introduced with: a configuration that an
    earlier version could have run has the signature that the earlier version gave it.
    """
    return {name: value for name, value in config.items() if not _as_introduced(name, value)}


def _as_introduced(name: str, value: Scalar) -> bool:
    row = HYPERPARAMETERS.get(name)
    return row is not None and row.since != FIRST and canonical_json(value) == canonical_json(row.introduced_with)
