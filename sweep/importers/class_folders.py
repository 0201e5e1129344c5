"""The loop that data sets made of class folders share: folder name -> label, nothing known of patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sweep.core.errors import InputError
from sweep.importers.files import images_below
from sweep.importers.raw import RawImage


def images_by_folder(
    root: Path, folders: Mapping[str, Sequence[str]], expects: str, prefix: str = ""
) -> Iterator[RawImage]:
    """Images of `root`/<one of the names>/ for every label of `folders`; ids are `prefix` plus the path.

    Raises InputError when a label has no folder under any of its names, or an empty one.
    """
    for label, names in folders.items():
        folder = next((root / name for name in names if (root / name).is_dir()), None)
        if folder is None:
            raise InputError(root / names[0], "there is no such folder", f"expects {expects}")
        images = list(images_below(folder))
        if not images:
            raise InputError(folder, "the folder holds no image", "restore it from the archive")
        for path in images:
            name = prefix + path.relative_to(root).as_posix()
            yield RawImage(name, label, path, source_path=name)
