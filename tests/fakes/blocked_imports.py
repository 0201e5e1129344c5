"""A Python in which some packages cannot be imported, as on a machine where they are not installed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

_CODE = """\
import sys


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None


sys.meta_path.insert(0, Blocked())
"""


def without(packages: Iterable[str], variables: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Environment variables for a process, and those it starts, that has none of `packages`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(_CODE.format(names=tuple(packages)), encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(folder), variables.get("PYTHONPATH"))))
    return {**variables, "PYTHONPATH": path}
