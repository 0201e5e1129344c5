"""requirements.lock -> the Ray and Python versions that every image must carry; image names against them."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path

from sweep.core.errors import InputError

ROOT = Path(__file__).parents[1]
LOCK, _PROJECT = "requirements.lock", "pyproject.toml"
_NAME = "recipe-finder"
_RAY_TAG = re.compile(r"[\d.]+-py\d+(-cpu|-gpu|-cu\d{3})?(-aarch64)?")
MOVING_TAGS = ("latest", "nightly", "master", "main")


@dataclass(frozen=True)
class Versions:
    """What the lock holds: ray like 2.60.0, python like 3.11."""

    ray: str
    python: str

    @property
    def python_tag(self) -> str:
        """As image tags write it: py311."""
        return "py" + self.python.replace(".", "")


def locked_versions(root: Path = ROOT) -> Versions:
    """Versions of the checkout at `root`; the lock is compiled for the oldest Python that pyproject.toml allows.

    Of an installed package, which has neither file, the Ray that is installed with it and the oldest Python that it names.
    Raises InputError when a file of a checkout does not say.
    """
    if not is_checkout(root):
        return _installed_versions()
    return Versions(
        ray=_find(root / LOCK, r"^ray==([\w.]+)", "a line ray==VERSION"),
        python=_find(root / _PROJECT, r'^requires-python = ">=(\d+\.\d+)', 'requires-python = ">=3.x"'),
    )


def is_checkout(root: Path = ROOT) -> bool:
    """Whether the packages lie in a checkout, not in an environment that they were installed into."""
    return (root / _PROJECT).is_file()


def _installed_versions() -> Versions:
    try:
        oldest = metadata(_NAME)["Requires-Python"]
        return Versions(ray=version("ray"), python=oldest.removeprefix(">="))
    except PackageNotFoundError as absent:
        raise InputError(
            "versions", f"{absent.name} is not installed and this is no checkout", f"pip install {_NAME}"
        ) from None


def image_problem(image: object, versions: Versions) -> tuple[str, str] | None:
    """What is wrong with an image name, and the fix; None when its tag carries both versions of the lock."""
    fix = f"use a tag like {versions.ray}-{versions.python_tag}, the versions of {LOCK}"
    if not isinstance(image, str) or not image.strip():
        return f"{image!r} is not an image name", fix
    name, _, tag = image.rpartition(":")
    if not name or "/" in tag:
        return f"{image} has no tag, which means latest", fix
    parts = tag.split("-")
    if any(part in MOVING_TAGS for part in parts):
        return f"{image} changes without notice", fix
    if versions.ray not in parts:
        return f"{image} is not Ray {versions.ray}", fix
    if versions.python_tag not in parts:
        return f"{image} is not Python {versions.python}", fix
    if name != "rayproject/ray" and difflib.SequenceMatcher(None, name, "rayproject/ray").ratio() > 0.8:
        return f"{name} looks like rayproject/ray but belongs to another publisher", "write rayproject/ray"
    if name.startswith("rayproject/") and (name != "rayproject/ray" or not _RAY_TAG.fullmatch(tag)):
        return (
            f"{image} is not one of Ray's images",
            f"use rayproject/ray:{versions.ray}-{versions.python_tag}-gpu, or -cpu",
        )
    return None


def _find(path: Path, pattern: str, wanted: str) -> str:
    try:
        found = re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    if found is None:
        raise InputError(path, f"does not hold {wanted}", "run the check from a complete checkout")
    return found[1]
