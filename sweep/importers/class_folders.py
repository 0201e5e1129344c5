"""The loop that data sets made of class folders share: folder name -> label, nothing known of patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sweep.core.errors import InputError
from sweep.importers.files import images_below, is_system
from sweep.importers.raw import Ignored, RawImage
from sweep.importers.walk import is_mask_folder


def images_by_folder(
    root: Path, folders: Mapping[str, Sequence[str]], expects: str, prefix: str = "", known: Sequence[str] = ()
) -> Iterator[RawImage | Ignored]:
    """Images of `root`/<one of the names>/ for every label of `folders`; ids are `prefix` plus the path.

    `known` are further folders of the published archive that hold images without a class: they are ignored, and said. Raises
    InputError when a label has no folder under any of its names, or an empty one, and for a folder of images that is none of these.
    """
    places = {label: _place(root, names, expects) for label, names in folders.items()}
    yield from other_folders(root, [path.name for path in places.values()], expects, known)
    for label, folder in places.items():
        images = list(images_below(folder))
        if not images:
            raise InputError(folder, "the folder holds no image", "restore it from the archive")
        for path in images:
            name = prefix + path.relative_to(root).as_posix()
            yield RawImage(name, label, path, source_path=name)


def other_folders(root: Path, classes: Sequence[str], expects: str, known: Sequence[str] = ()) -> Iterator[Ignored]:
    """What lies in folders beside the classes; InputError for one with images that is not among `known`."""
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and path.name not in classes):
        if is_system(folder.name) or is_mask_folder(folder.name):
            continue
        images = list(images_below(folder))
        if images and folder.name not in known:
            problem = f"a folder of {len(images):,} images that is no class of this data set"
            raise InputError(folder, problem, f"move it away, or use the importer of its data set; expects {expects}")
        for path in images:
            yield Ignored(path.relative_to(root).as_posix(), "images without a class", path)


def _place(root: Path, names: Sequence[str], expects: str) -> Path:
    folder = next((root / name for name in names if (root / name).is_dir()), None)
    if folder is None:
        raise InputError(root / names[0], "there is no such folder", f"expects {expects}")
    return folder
