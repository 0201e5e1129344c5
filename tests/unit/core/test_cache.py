"""The cache folder of this machine: an entry is made once, and a folder that cannot be written costs a warning, not the run."""

import pytest

from sweep.core import cache


def test_an_entry_is_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return b"found"

    entry = tmp_path / "kind" / "key"
    assert [cache.computed_once(entry, make, 4, "anew") for _ in range(2)] == [b"found"] * 2
    assert len(made) == 1


def test_what_cannot_be_kept_is_made_and_said(tmp_path):
    (tmp_path / "kind").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="every run does it anew"):
        assert cache.computed_once(tmp_path / "kind" / "key", lambda: b"found", 4, "every run does it anew") == b"found"
