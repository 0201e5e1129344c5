"""A deferred function is imported when it is called, and compares like its name."""

import sys

import pytest

from sweep.core.deferred import Deferred


def test_it_is_imported_when_it_is_called():
    row = Deferred("textwrap", "shorten")
    assert row("one two three", width=9) == "one [...]"
    assert row == Deferred("textwrap", "shorten") and row.load() is sys.modules["textwrap"].shorten


@pytest.mark.parametrize(
    ("row", "error"), [(Deferred("no_such", "f"), ImportError), (Deferred("math", "no"), AttributeError)]
)
def test_what_is_not_there_is_an_error(row, error):
    with pytest.raises(error):
        row.load()
