"""An address -> the file system and the path in it: a folder of this machine or any URL that pyarrow knows (s3://, gs://, file://)."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pyarrow import fs

from sweep.core.errors import InputError

_FIX = "give a folder, or an s3://BUCKET/PATH, gs://BUCKET/PATH or file:///PATH URL"


def is_url(place: str | Path) -> bool:
    """Whether an address names its kind of storage; without one it is a folder of this machine."""
    return "://" in str(place)


def absolute(place: str | Path) -> str:
    """The address as another working directory would need it. InputError for an empty one, and one with a NUL byte or line break."""
    text = str(place)
    if not text.strip() or any(letter in text for letter in "\0\n\r"):
        raise InputError(repr(text), f"not a usable address ({_reason(text)})", _FIX)
    return str(place) if is_url(place) else str(Path(place).expanduser().absolute())


def located(place: str | Path) -> tuple[fs.FileSystem, str]:
    """File system and path of an address; InputError when it is none, also where it names no bucket."""
    try:
        files, path = fs.FileSystem.from_uri(absolute(place))
    except (ValueError, OSError, NotImplementedError) as error:
        raise InputError(place, f"not a usable address ({' '.join(str(error).split())})", _FIX) from error
    if not path.strip("/") and not isinstance(files, fs.LocalFileSystem):
        raise InputError(place, "not a usable address (it names no bucket)", _FIX)
    return files, path


def _reason(text: str) -> str:
    return "it has a NUL byte or a line break" if text.strip() else "it is empty"


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
