"""One small file interface over a local folder or any `pyarrow.fs` URL (s3://, gs://, file://)."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from pyarrow import fs

from sweep.core import atomic
from sweep.core.errors import InputError
from sweep.core.location import absolute, below, located, split_last

_PROBE_S = 20  # the client of an unreachable object store retries for minutes


class Storage:
    """A folder that holds one run: whole files by relative name, written atomically.

    `url` is a local path or a URL that `pyarrow.fs.FileSystem.from_uri` knows. Raises InputError when it is not one.
    """

    def __init__(self, url: str | Path) -> None:
        self.url = absolute(url)
        self._fs, self._root = located(self.url)

    @classmethod
    def of_file(cls, address: str | Path) -> tuple[Storage, str]:
        """The storage that a file's address lies in, and the file's name there."""
        folder, name = split_last(address)
        return cls(folder), name

    @property
    def local(self) -> Path | None:
        """The folder on this machine, or None when the storage is remote."""
        return Path(self._root) if isinstance(self._fs, fs.LocalFileSystem) else None

    @property
    def is_folder(self) -> bool:
        """Whether a folder lies at the address itself."""
        return self._fs.get_file_info(self._root).type == fs.FileType.Directory

    def child(self, name: str) -> Storage:
        """The storage one folder down."""
        return Storage(self.address(name))

    def address(self, name: str) -> str:
        """Path or URL of one file or folder, for those who open it themselves."""
        return below(self.url, name)

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """A folder of this machine to write to; where the storage is elsewhere its files are sent there when the block ends."""
        if self.local is not None:
            yield self.local / name
            return
        with tempfile.TemporaryDirectory() as draft:
            try:
                yield Path(draft)
            finally:
                for path in sorted(path for path in Path(draft).rglob("*") if path.is_file()):
                    self.write(f"{name}/{path.relative_to(draft).as_posix()}", path.read_bytes())

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file; a reader sees the old one or the new one."""
        if self.local is not None:
            atomic.write_bytes(self.local / name, data)
            return
        with self._fs.open_output_stream(self._at(name)) as stream:  # object stores publish on close
            stream.write(data)

    def write_blocks(self, name: str, blocks: Iterable[bytes]) -> None:
        """Write a whole file from blocks, one of which is in memory at a time; when making one raises, the file stays as it was."""
        if self.local is not None:
            atomic.write_blocks(self.local / name, blocks)
            return
        with tempfile.TemporaryFile() as draft:  # closing an output stream would publish half a file
            draft.writelines(blocks)
            draft.seek(0)
            with self._fs.open_output_stream(self._at(name)) as stream:
                shutil.copyfileobj(draft, stream)

    def append(self, name: str, data: bytes) -> bool:
        """Append to a local file and flush it to disk; False where the storage cannot append.

        After a failed write (OSError) the file is as it was before.
        """
        if self.local is None:
            return False
        path = self.local / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab", buffering=0) as stream:
            before = os.fstat(stream.fileno()).st_size
            try:
                _write_whole(stream, data)
                os.fsync(stream.fileno())
            except OSError:
                with suppress(OSError):  # the reader recovers the next event from behind half a line too
                    os.ftruncate(stream.fileno(), before)
                raise
        return True

    def read(self, name: str) -> bytes:
        """The whole file; FileNotFoundError when absent."""
        with self._fs.open_input_stream(self._at(name)) as stream:
            return stream.read()

    def exists(self, name: str = "") -> bool:
        """Whether a file or folder of this name is there; without a name, the storage itself."""
        return self._fs.get_file_info(self._at(name)).type != fs.FileType.NotFound

    def names(self, folder: str = "") -> list[str]:
        """Names of what lies directly in `folder`, sorted; empty when it is absent."""
        selector = fs.FileSelector(self._at(folder), allow_not_found=True)
        return sorted(info.base_name for info in self._fs.get_file_info(selector))

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of each file that lies directly in `folder`."""
        found = self._fs.get_file_info(fs.FileSelector(self._at(folder), allow_not_found=True))
        return {
            info.base_name: info.size
            for info in found
            if info.type == fs.FileType.File and not info.base_name.startswith(".")
        }

    def written_at(self, name: str) -> float:
        """When a file was last written, in seconds by the storage's own clock; FileNotFoundError when absent."""
        found = self._fs.get_file_info(self._at(name))
        if found.type == fs.FileType.NotFound:
            raise FileNotFoundError(self.address(name))
        return found.mtime.timestamp()

    def delete(self, name: str) -> None:
        """Remove one file or one folder with what is in it."""
        if self._fs.get_file_info(self._at(name)).type == fs.FileType.Directory:
            self._fs.delete_dir(self._at(name))
        else:
            self._fs.delete_file(self._at(name))

    def probe(self, wait_s: float = _PROBE_S) -> None:
        """Write, read, list and delete a small file, as a sweep will; InputError says which of them cannot be done."""
        name = f".probe-{uuid.uuid4().hex[:12]}"
        self._check(
            {
                "write": lambda: self.write(name, b"probe"),
                "read": lambda: self.read(name) == b"probe" or _refuse("other bytes came back"),
                "list": lambda: name in self.names() or _refuse("the file is not listed"),
                "delete": lambda: self.delete(name),
            },
            wait_s,
        )

    def check_reachable(self, wait_s: float = _PROBE_S) -> None:
        """Look the folder up without writing; InputError when that cannot be done. It need not exist."""
        self._check({"be reached": self.exists}, wait_s)

    def _check(self, steps: Mapping[str, Callable[[], object]], wait_s: float) -> None:
        """Run the steps in a thread, since a client may wait for minutes; InputError names the one that failed."""
        state = {"step": next(iter(steps)), "problem": f"no answer within {wait_s:g} s"}
        attempt = threading.Thread(target=_try_each, args=(steps, state), daemon=True)
        attempt.start()
        attempt.join(wait_s)
        if state["problem"]:
            fix = "check the address, the rights and, for a bucket, the credentials of this machine and of every node"
            raise InputError(f"--storage {self.url}", f"cannot {state['step']} ({state['problem']})", fix)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root


def _try_each(steps: Mapping[str, Callable[[], object]], state: dict[str, str]) -> None:
    for step, action in steps.items():
        state["step"] = step
        try:
            action()
        except Exception as mistake:  # noqa: BLE001 - clients of object stores raise many kinds, all of which mean that it does not work
            state["problem"] = " ".join(str(mistake).split())[:200]
            return
    state["problem"] = ""


def _write_whole(stream: io.FileIO, data: bytes) -> None:
    """Write until everything is written: a disk that becomes full takes a part of it first."""
    left = memoryview(data)
    while left:
        left = left[stream.write(left) or 0 :]


def _refuse(problem: str) -> NoReturn:
    raise OSError(problem)
