"""`phantom-a`, `phantom:SCANNER` in a sweep config -> the shard folder of that simulated hospital in the run folder.

Simulated once for each machine: the shards are kept in the user's cache folder, by what was asked for and by the code that simulates and
writes them, and copied into every run that asks for them.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from sweep.core.cache import cache_folder, code_hash, make_room, warn_once
from sweep.core.errors import InputError
from sweep.core.hashing import content_hash
from sweep.core.storage import Storage
from sweep.shards.schema import MANIFEST

PHANTOMS, PHANTOM = ("phantom-a", "phantom-b"), "phantom:"  # simulated hospitals: two names, and how the others begin
ARTIFACTS = "artifacts"  # the folder of the run that simulated shards lie in
_VERSION = 2  # of the simulator: raise it when its images change
_KIND = "simulated"  # of the entries in the cache folder
_MOST_ENTRIES = 64  # of the cache folder, a few megabytes each


def is_phantom(name: str) -> bool:
    """Whether `data.source` or `data.target` names a simulated hospital."""
    return name in PHANTOMS or name.startswith(PHANTOM)


def check_phantom(name: str) -> None:
    """InputError for a simulated hospital whose scanner or population is unknown."""
    from sweep.importers.phantom import hospital_of

    hospital_of(name)


def simulated_folder(name: str, patients: int, run: Storage, hidden: bool) -> str:
    """The address of its shard folder in the run folder, simulated or copied where it is not there yet; `hidden`: without labels.

    Raises InputError for an unknown scanner or population.
    """
    from sweep.importers.phantom import hospital_of

    try:
        name = hospital_of(name).name  # one name for each hospital
    except InputError as error:
        raise InputError(f"data: {name}", error.problem, error.fix) from None
    identity = {"phantom": name, "patients": patients, "version": _VERSION} | ({"unlabelled": True} if hidden else {})
    folder = run.child(f"{ARTIFACTS}/{content_hash(identity)}")
    if not folder.exists(MANIFEST):
        kept = cache_folder(_KIND) / content_hash([identity, code_hash("importers", "shards")], 32)
        if kept.is_dir() or _is_kept(kept, name, patients, hidden):
            _copy(kept, folder)
        else:
            _simulate(name, patients, hidden, folder.url)
    return folder.url


def _simulate(name: str, patients: int, hidden: bool, folder: str) -> None:
    from sweep.importers import import_dataset

    import_dataset(name, None, folder, patients=patients, unlabelled=hidden)


def _is_kept(kept: Path, name: str, patients: int, hidden: bool) -> bool:
    """Simulate into the cache; the folder appears when it is whole, whoever else writes the same. False where nothing can be written."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        make_room(kept.parent, _MOST_ENTRIES)
        with tempfile.TemporaryDirectory(prefix=".", dir=kept.parent) as scratch:
            made = Path(scratch) / "shards"
            _simulate(name, patients, hidden, str(made))
            try:
                os.rename(made, kept)
            except OSError:
                if not kept.is_dir():
                    raise
    except OSError as broken:
        warn_once(kept.parent, str(broken.strerror), "every run simulates its hospitals anew")
        return False
    return True


def _copy(kept: Path, folder: Storage) -> None:
    """All files of `kept`; the manifest last, since a folder with a manifest counts as finished."""
    files = sorted((file for file in kept.rglob("*") if file.is_file()), key=lambda file: (file.name == MANIFEST, file))
    for file in files:
        folder.write(file.relative_to(kept).as_posix(), file.read_bytes())
