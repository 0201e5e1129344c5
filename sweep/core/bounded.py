"""Calls to decoders of untrusted files in a child process with a time and a memory limit.

Decoders are C libraries: a damaged or hostile file can make one loop, allocate without end or crash, and nothing inside the
process can stop that. One child is kept for many calls (about 0.2 ms each); when it dies, the call ends with an InputError that
names the file, and the next call starts another child. Both sides speak JSON and raw buffers, never pickles.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import importlib
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from sweep.core.errors import InputError

SECONDS = 60.0  # for one call; an image takes milliseconds
MEMORY_BYTES = 4 << 30  # that a call may add to what the child holds; 64 million pixels take at most half of it
_LENGTH = struct.Struct("<Q")
_SKIP_FIX = "restore the file from the archive, remove it, or pass --skip-bad N"


class _Child:
    """A process that runs one call after another."""

    def __init__(self) -> None:
        paths = [path or os.getcwd() for path in sys.path]
        quiet = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
        self.owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sweep.core.bounded"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **quiet},
        )

    def ask(self, request: list[bytes]) -> dict[str, Any]:
        """The answer to one request; EOFError when the child dies over it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            _send(self._process.stdin, request)
            head, *buffers = _receive(self._process.stdout)
        except BrokenPipeError:
            raise EOFError from None
        answer: dict[str, Any] = json.loads(head)
        answer["value"] = _unpacked(answer.get("value"), buffers)
        return answer

    def end(self) -> int:
        """Kill the process and return its exit status as subprocess counts it (a signal is negative)."""
        if self._process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.2)  # it may be dying by a signal of its own, which is the status wanted
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        return self._process.wait()


_lock = threading.Lock()
_child: _Child | None = None


def bounded(
    function: Callable[..., Any],
    *args: Any,
    where: Path | str,
    seconds: float = SECONDS,
    fix: str = _SKIP_FIX,
    on_warning: Callable[[str], None] | None = None,
) -> Any:
    """`function(*args)`, run in the child; arguments and value are plain data, paths, bytes and arrays; tuples become
    lists and dataclasses dicts.

    `function` is a function of a module, or a `functools.partial` of one. `on_warning` is given the text of each of its warnings, which
    otherwise are warnings of this process.

    Raises InputError at `where` with `fix` when the call takes longer than `seconds`, needs more than MEMORY_BYTES or crashes the
    child, and any InputError that the function raises itself. Another exception of the function becomes a RuntimeError.
    """
    global _child
    request = _request(function, args, seconds)
    with _lock:
        if _child is None or _child.owner != os.getpid():
            _child = _Child()
        try:
            answer = _child.ask(request)
        except EOFError:
            status = _child.end()
            _child = None
            raise InputError(where, _died(status, seconds), fix) from None
        except BaseException:  # an interrupt between request and answer: the answer must not reach the next call
            _child.end()
            _child = None
            raise
    for text in answer.get("warnings", ()):
        (on_warning or warnings.warn)(text)
    if "error" in answer:
        raise InputError(*answer["error"])
    if answer.get("memory"):
        raise InputError(where, f"decoding it needs more than {MEMORY_BYTES >> 30} GiB of memory", fix)
    if "crash" in answer:
        raise RuntimeError(f"{where}: {answer['crash']}")
    return answer["value"]


def _request(function: Callable[..., Any], args: Sequence[Any], seconds: float) -> list[bytes]:
    keywords: dict[str, Any] = {}
    while isinstance(function, functools.partial):
        args, keywords, function = (*function.args, *args), {**function.keywords, **keywords}, function.func
    name = getattr(function, "__qualname__", "")
    if not name.isidentifier():
        raise TypeError(f"{function!r} is no function of a module")
    buffers: list[bytes] = []
    # The child lives on: it works where this process does now, not where it was started.
    call = {"module": function.__module__, "name": name, "seconds": seconds, "folder": os.getcwd()}
    call["args"], call["keywords"] = _packed(list(args), buffers), _packed(keywords, buffers)
    return [json.dumps(call).encode(), *buffers]


def _died(status: int, seconds: float) -> str:
    if status == -signal.SIGALRM:
        return f"decoding it takes longer than {seconds:g} s"
    name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return f"its decoder crashed ({name})"


@atexit.register
def _end_child() -> None:
    if _child is not None and _child.owner == os.getpid():
        _child.end()


def _send(stream: IO[bytes], parts: list[bytes]) -> None:
    stream.write(_LENGTH.pack(len(parts)) + b"".join(_LENGTH.pack(len(part)) for part in parts))
    for part in parts:
        stream.write(part)
    stream.flush()


def _receive(stream: IO[bytes]) -> list[bytes]:
    (count,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    lengths = [_LENGTH.unpack(_exactly(stream, _LENGTH.size))[0] for _ in range(count)]
    return [_exactly(stream, length) for length in lengths]


def _exactly(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _packed(value: Any, buffers: list[bytes]) -> Any:
    """`value` as JSON, its arrays and bytes moved to `buffers`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, bytes):
        buffers.append(value)
        return {"bytes": len(buffers) - 1}
    if isinstance(value, Path):
        return {"path": str(value)}
    if isinstance(value, np.ndarray):
        buffers.append(np.ascontiguousarray(value).tobytes())
        return {"array": len(buffers) - 1, "dtype": value.dtype.str, "shape": value.shape}
    if isinstance(value, dict):
        return {"dict": [[key, _packed(item, buffers)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_packed(item, buffers) for item in value]
    return value


def _unpacked(value: Any, buffers: list[bytes]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, buffers) for item in value]
    if isinstance(value, dict) and "array" in value:
        return np.frombuffer(buffers[value["array"]], dtype=value["dtype"]).reshape(value["shape"])
    if isinstance(value, dict) and "bytes" in value:
        return buffers[value["bytes"]]
    if isinstance(value, dict) and "path" in value:
        return Path(value["path"])
    if isinstance(value, dict):
        return {key: _unpacked(item, buffers) for key, item in value["dict"]}
    return value


def _serve() -> None:
    """Answer requests until the parent closes the pipe or dies; what a decoder prints goes to standard error."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt at the terminal is the parent's to handle
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends this process from outside of whatever C code it is in
    while True:
        try:
            request = _receive(requests)
        except EOFError:
            return
        _send(answers, _answer(request))


def _answer(request: list[bytes]) -> list[bytes]:
    buffers: list[bytes] = []
    call = json.loads(request[0])
    try:
        function = getattr(importlib.import_module(call["module"]), call["name"])
        args, keywords = _unpacked(call["args"], request[1:]), _unpacked(call["keywords"], request[1:])
        os.chdir(call["folder"])
        signal.setitimer(signal.ITIMER_REAL, call["seconds"])
        _limit_memory()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")  # of each call, not only of the first one
            value = function(*args, **keywords)
        texts = [" ".join(str(warning.message).split()) for warning in told]
        answer: dict[str, Any] = {"value": _packed(value, buffers), "warnings": texts}
    except InputError as error:
        answer = {"error": [error.where, error.problem, error.fix]}
    except MemoryError:
        answer = {"memory": True}
    except Exception:  # noqa: BLE001 - a fault of the program: its traceback is raised in the parent
        answer = {"crash": traceback.format_exc()}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return [json.dumps(answer).encode(), *buffers]


def _limit_memory() -> None:
    """Bound the address space to what is held now and MEMORY_BYTES more, where the system knows such a limit."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return  # no Linux: time alone is bounded
    held = pages * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = held + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


if __name__ == "__main__":
    _serve()
