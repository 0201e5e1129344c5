"""BUS-BRA's official cross-validation partitions: 5-fold-cv.csv and 10-fold-cv.csv, columns ID and kFold."""

from __future__ import annotations

from pathlib import Path

from sweep.core.errors import InputError
from sweep.importers.tables import read_table

HELP = (
    "Only one part of an official partition: 5/2/test is the test part of fold 2 of 5, 10/1/train the rest; empty: all."
)
_FIX = "write FOLDS/FOLD/PART, like 5/2/test: 5 or 10 folds, a fold of them, train or test"


def partition_ids(root: Path, partition: str) -> set[str] | None:
    """The image ids of a part of an official partition; None for all images. InputError names what is wrong with it."""
    if not partition:
        return None
    parts = partition.split("/")
    if len(parts) != 3 or parts[0] not in ("5", "10") or parts[2] not in ("train", "test"):
        raise InputError("partition (--partition)", f"{partition!r} names no part of a partition", _FIX)
    if not parts[1].isdecimal() or not 1 <= int(parts[1]) <= int(parts[0]):
        raise InputError("partition (--partition)", f"fold {parts[1]!r} of {parts[0]}", _FIX)
    path = root / f"{parts[0]}-fold-cv.csv"
    table = read_table(path, ["ID", "kFold"])
    for row, fold in table["kFold"].items():
        if not fold.isdecimal() or not 1 <= int(fold) <= int(parts[0]):
            raise InputError(f"{path}, row {row}, column kFold", f"{fold!r} is no fold", "restore it from the archive")
    tested = table["kFold"].astype(int) == int(parts[1])
    return set(table.loc[tested if parts[2] == "test" else ~tested, "ID"])
