"""One small file interface over a local folder or any `pyarrow.fs` URL (s3://, gs://, file://)."""

from __future__ import annotations

import os
from pathlib import Path

from pyarrow import fs

from sweep.core import atomic
from sweep.core.errors import InputError


class Storage:
    """A folder that holds one run: whole files by relative name, written atomically.

    `url` is a local path or a URL that `pyarrow.fs.FileSystem.from_uri` knows. Raises InputError when it is not one.
    """

    def __init__(self, url: str | Path) -> None:
        text = str(url)
        if "://" not in text:
            text = str(Path(text).expanduser().absolute())
        try:
            self._fs, self._root = fs.FileSystem.from_uri(text)
        except (ValueError, OSError) as error:
            raise InputError(f"--storage {url}", f"not a usable address ({error})", "give a folder or an s3://, gs:// or file:// URL") from error
        self.url = text

    @property
    def local(self) -> Path | None:
        """The folder on this machine, or None when the storage is remote."""
        return Path(self._root) if isinstance(self._fs, fs.LocalFileSystem) else None

    def child(self, name: str) -> Storage:
        """The storage one folder down."""
        return Storage(f"{self.url.rstrip('/')}/{name}")

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file; a reader sees the old one or the new one."""
        if self.local is not None:
            atomic.write_bytes(self.local / name, data)
            return
        with self._fs.open_output_stream(self._at(name)) as stream:  # object stores publish on close
            stream.write(data)

    def append(self, name: str, data: bytes) -> bool:
        """Append to a local file and flush it to disk; False where the storage cannot append."""
        if self.local is None:
            return False
        path = self.local / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        return True

    def read(self, name: str) -> bytes:
        """The whole file; FileNotFoundError when absent."""
        with self._fs.open_input_stream(self._at(name)) as stream:
            return stream.read()

    def exists(self, name: str) -> bool:
        """Whether a file or folder of this name is there."""
        return self._fs.get_file_info(self._at(name)).type != fs.FileType.NotFound

    def names(self, folder: str = "") -> list[str]:
        """Names of what lies directly in `folder`, sorted; empty when it is absent."""
        selector = fs.FileSelector(self._at(folder) if folder else self._root, allow_not_found=True)
        return sorted(info.base_name for info in self._fs.get_file_info(selector))

    def delete(self, name: str) -> None:
        """Remove one file or one folder with what is in it."""
        if self._fs.get_file_info(self._at(name)).type == fs.FileType.Directory:
            self._fs.delete_dir(self._at(name))
        else:
            self._fs.delete_file(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"
