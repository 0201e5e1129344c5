"""An address -> the file system and the path in it: a folder of this machine or any URL that pyarrow knows (s3://, gs://, file://)."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pyarrow import fs

from sweep.core.errors import InputError


def is_url(place: str | Path) -> bool:
    """Whether an address names its kind of storage; without one it is a folder of this machine."""
    return "://" in str(place)


def absolute(place: str | Path) -> str:
    """The address as another working directory would need it."""
    return str(place) if is_url(place) else str(Path(place).expanduser().absolute())


def located(place: str | Path) -> tuple[fs.FileSystem, str]:
    """File system and path of an address; InputError when it is none."""
    try:
        return fs.FileSystem.from_uri(absolute(place))
    except (ValueError, OSError) as error:
        raise InputError(
            place, f"not a usable address ({error})", "give a folder or an s3://, gs:// or file:// URL"
        ) from error


def below(place: str | Path, name: str) -> str:
    """The address of what is called `name` under `place`; what stands behind a question mark stays behind it."""
    if not is_url(place):
        return f"{str(place).rstrip('/')}/{name}"
    parts = urlsplit(str(place))
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


def split_last(place: str | Path) -> tuple[str, str]:
    """The address of the folder that something lies in, and its name there."""
    parts = urlsplit(str(place)) if is_url(place) else None
    folder, _, name = (parts.path if parts else absolute(place)).rpartition("/")
    return (urlunsplit(parts._replace(path=folder)) if parts else folder or "/"), name
