"""A file operation that fails, by our own code or by pyarrow's, becomes a message with the file's place and what to do."""

import os

import pytest

from sweep.core.atomic import new_folder, write_text
from sweep.core.errors import guarded
from sweep.core.storage import Storage


def message(action, capsys):
    assert guarded(action) == 2
    return capsys.readouterr().err


def test_a_file_that_is_gone_is_named(tmp_path, capsys):
    place = tmp_path / "split.parquet"
    for read in (place.read_bytes, lambda: Storage(tmp_path).read("split.parquet")):
        said = message(read, capsys)
        assert said == f"error: {place}: No such file or directory; restore it, or give another place\n"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc, a folder in which nobody can make a file")
def test_a_file_that_cannot_be_written_is_the_one_that_was_asked_for(capsys):
    assert message(lambda: write_text("/proc/report.html", "x"), capsys).startswith("error: /proc/report.html: ")
    assert message(lambda: new_folder("/proc/model").__enter__(), capsys).startswith("error: /proc/model: ")
