"""What messages quote of exceptions that libraries raise."""

import pytest

from sweep.core.errors import first_line


@pytest.mark.parametrize(
    ("error", "most", "said"),
    [
        (RuntimeError("\n out of memory\nadvice"), None, "out of memory"),
        (ValueError(""), None, "ValueError"),
        (ValueError("abcdef"), 3, "abc"),
    ],
)
def test_the_first_line_of_an_exception(error, most, said):
    assert first_line(error, most) == said
