"""What the messages of the audit and of the shards advise does help: every one tells what to do, and none advises what would change nothing."""

import ast
import errno
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sweep
from sweep.audit.audit import audit
from sweep.core.errors import InputError
from sweep.shards import mixing, splits
from sweep.shards.contents import damaged
from sweep.shards.manifest import COPY_FIX
from tests.fakes import damaged_shards

FOLDERS = ("audit", "shards")
# With what an advice begins; a name is one that holds such a text, or a function that makes one.
VERBS = {"ask", "check", "choose", "copy", "did", "give", "hold", "import", "known:", "lower", "remove", "rename", "restore", "sample", "use", "write", "resize",
         "raise", "make", "change"}  # fmt: skip
NAMES = {"IMPORT_FIX", "COPY_FIX", "fix"}


def advice():
    """(file:line, syntax tree of the third argument) of every InputError."""
    for folder in FOLDERS:
        for path in sorted(Path(next(iter(sweep.__path__)), folder).glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InputError":
                    yield f"{path.name}:{node.lineno}", node.args[2]


def begins(node):
    """The first word of each text that an expression may be."""
    if isinstance(node, ast.IfExp):
        return begins(node.body) | begins(node.orelse)
    if isinstance(node, ast.JoinedStr):
        return begins(node.values[0])
    if isinstance(node, ast.FormattedValue):
        return begins(node.value)
    if isinstance(node, ast.Constant):
        return {node.value.split()[0]}
    return {getattr(node, "id", None) or getattr(getattr(node, "func", None), "id", None) or ast.unparse(node)}


def test_every_message_says_what_to_do():
    found = list(advice())
    assert len(found) > 50
    for place, node in found:
        assert begins(node) <= VERBS | NAMES | {"suggestion", "of_system(error).fix"}, f"{place}: {ast.unparse(node)}"


@pytest.mark.parametrize(
    ("error", "path", "said", "fix"),
    [
        (PermissionError(errno.EACCES, "x"), "/d/p.parquet", os.strerror(errno.EACCES), "restore the rights"),
        (OSError(errno.EMFILE, "x"), "/d/p.parquet", os.strerror(errno.EMFILE), "ulimit -n"),
        (OSError(errno.EIO, "x"), "/d/p.parquet", os.strerror(errno.EIO), "run the same command again"),
        (OSError("AWS Error NETWORK_CONNECTION"), "s3://b/p.parquet", "AWS Error", "check the connection"),
        (OSError("Couldn't deserialize thrift"), "/d/p.parquet", "damaged", COPY_FIX),
        (ValueError("x"), "s3://b/p.parquet", "damaged", COPY_FIX),
    ],
)
def test_an_import_is_advised_only_where_it_helps(error, path, said, fix):
    refused = damaged(path, error)
    assert refused.where == path and said in refused.problem and fix in refused.fix
    assert ("import" in refused.fix) == (refused.problem.startswith("damaged"))


def frame(count=0, label="a"):
    return pd.DataFrame({"image_id": [str(k) for k in range(count)], "label": [label] * count})


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda folder: audit([folder, folder / ".." / folder.name]), "give each data set once"),
        (lambda folder: audit([folder, folder]), "give each data set once"),
        (lambda folder: mixing.steps_per_epoch(10, 20, 4, "hours"), "write one of"),
        (lambda folder: splits._keep_training(np.zeros(0), np.zeros(0, int), 3), "larger fraction"),
        (lambda folder: splits._check(frame(), {"train": 1.0}, "drop"), "import images with labels"),
        (lambda folder: audit([folder / "absent"]), "check the path, or import"),
    ],
)
def test_single_messages(call, said, tmp_path):
    folder = damaged_shards.write(tmp_path / "set")
    with pytest.raises(InputError) as refused:
        call(folder)
    assert said in refused.value.fix and refused.value.where
