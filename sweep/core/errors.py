"""Errors in the user's input, each with its place, the value found and the fix; never a traceback."""

from __future__ import annotations

import difflib
import errno
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

EXIT_COMPLETE = 0
EXIT_BAD_INPUT = 2
EXIT_FAILED_TRIALS = 3
EXIT_STOPPED = 130
EXIT_READER_GONE = 141


class InputError(Exception):
    """Bad input: `where` names file and place, `problem` the value found, `fix` what to do about it."""

    def __init__(self, where: str | Path, problem: str, fix: str) -> None:
        self.where, self.problem, self.fix = printable(str(where)), printable(problem), fix
        super().__init__(f"{self.where}: {self.problem}; {fix}")

    def __reduce__(
        self,
    ) -> tuple[Any, ...]:  # crosses process borders whole: Exception would pickle the joined message only
        return type(self), (self.where, self.problem, self.fix)


class InputErrors(InputError):
    """Several mistakes found in one reading of one file."""

    def __init__(self, where: str | Path, errors: Sequence[InputError]) -> None:
        self.errors = list(errors)
        Exception.__init__(self, _listing(where, self.errors))
        self.where, self.problem, self.fix = str(where), f"{len(self.errors)} mistakes", "see the list"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.where, self.errors)


class Diverged(Exception):
    """A loss became NaN or infinite: the trial stops here, with its stage and step."""

    def __init__(self, stage: str, step: int, value: float) -> None:
        self.stage, self.step, self.value = stage, step, value
        super().__init__(
            f"{stage}: loss is {value} at step {step}; lower the learning rate, or set grad_clip if it is 0"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.stage, self.step, self.value)


def _listing(where: str | Path, errors: Sequence[InputError]) -> str:
    noun = "mistake" if len(errors) == 1 else "mistakes"
    return "\n".join([f"{where}: {len(errors)} {noun}", *(f"  {e.where}: {e.problem}; {e.fix}" for e in errors)])


def printable(text: str) -> str:
    """`text` with control characters and bytes that are not UTF-8 (as file names may hold) written as escapes like \\x1b."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in " \n" else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    code = ord(letter)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else repr(letter)[1:-1]  # how Python keeps such bytes


def described(value: object) -> str:
    """Type and shape of an array or tensor (`torch.uint8 of shape (4, 3)`), else the kind of the value, for the problem of an InputError."""
    kind, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if kind is None or shape is None:
        return f"a value of type {type(value).__name__}"
    library = "" if str(kind).startswith("torch.") else f"{type(value).__module__.partition('.')[0]}."
    return f"{library}{kind} of shape {tuple(shape)}"


def first_line(error: BaseException, most: int | None = None) -> str:
    """The first line of an exception's message, cut to `most` characters; its class where it has none. What follows is advice of libraries."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).strip()[:most]


def suggestion(name: str, known: Iterable[str]) -> str:
    """'did you mean resnet18?' for a near miss, else the known names (the first dozen)."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    more = "" if len(names) <= 12 else f" and {len(names) - 12} more"
    return f"known: {', '.join(names[:12])}{more}"


_NAMED_FILE = re.compile(r"(?:file|path|directory) '([^']+)'")  # how pyarrow names the file that it failed on
_SYSTEM_FIXES = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there: your quota is used up",
    errno.EACCES: "restore the rights of this user to it",
    errno.EPERM: "restore the rights of this user to it",
    errno.EROFS: "it is mounted read-only: mount it for writing, or give another place",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOENT: "restore it, or give another place",
}


def of_system(fault: OSError) -> InputError:
    """A failed operation on a file, disk or network as a message with its place, and what to do."""
    place = fault.filename
    problem = " ".join((fault.strerror or str(fault) or type(fault).__name__).split())
    if place is None and fault.errno and (named := _NAMED_FILE.search(problem)):
        place, problem = named[1], os.strerror(fault.errno)
    fix = _SYSTEM_FIXES.get(fault.errno or 0, "check the place and run the same command again")
    return InputError(str(place or "a file operation failed"), problem, fix)


def guarded(command: Callable[[], int | None]) -> int:
    """Run a command; bad input, and a file or disk that fails, becomes a message on stderr and exit code 2."""
    try:
        return command() or EXIT_COMPLETE
    except InputError as mistake:
        print(f"error: {mistake}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except BrokenPipeError:  # the reader, like `head`, has seen enough; what is left must not raise again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_READER_GONE
    except OSError as fault:
        print(f"error: {of_system(fault)}", file=sys.stderr)
        return EXIT_BAD_INPUT
