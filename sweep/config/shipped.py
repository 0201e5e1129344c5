"""Sweep configs that come with the package, found by name: `ratio` is search_spaces/ratio.yaml."""

from __future__ import annotations

from pathlib import Path

from sweep.core.errors import InputError, suggestion

FOLDER = Path(__file__).resolve().parents[2] / "search_spaces"  # beside the packages, in a checkout and when installed


def shipped_configs() -> dict[str, Path]:
    """Name -> file of every shipped sweep config, in the order of their names."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def find_config(config: str | Path) -> Path:
    """The file itself where there is one, else the shipped sweep config of that name; `-` counts as `_`. InputError for neither."""
    path = Path(config)
    if path.exists() or path.name != str(config):
        return path
    shipped = shipped_configs()
    found = shipped.get(path.name.removesuffix(".yaml").replace("-", "_"))
    if found is None and not path.suffix:
        raise InputError(path, "is no file here and no shipped sweep config", suggestion(path.name, shipped))
    return found or path


def summary(path: Path) -> str:
    """What a shipped sweep config asks: its first comment line."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip()
