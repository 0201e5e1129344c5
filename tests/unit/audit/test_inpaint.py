"""Burned-in marks are filled in, and nothing else of a data set changes."""

import numpy as np
import pytest

from sweep.audit.burned_in_text import lettering, marks
from sweep.audit.inpaint import inpaint_folder, inpainted
from sweep.core.errors import InputError
from sweep.core.seeds import rng
from sweep.shards.__main__ import main
from sweep.shards.reader import read_images, read_manifest, read_metadata, verify
from sweep.shards.schema import Header, ShardRow
from sweep.shards.writer import write_dataset


def scan(seed):
    """Smooth tissue of middle brightness."""
    coarse = rng(seed, "scan").normal(0, 1, (4, 4)).repeat(16, 0).repeat(16, 1)
    return np.clip(70 + 10 * coarse + rng(seed, "grain").normal(0, 3, (64, 64)), 0, 255).astype(np.uint8)


def with_cross(grey):
    marked = grey.copy()
    marked[30, 26:35] = marked[26:35, 30] = 250
    return marked


@pytest.fixture
def folder(tmp_path):
    rows = [
        ShardRow(
            f"i{n}",
            with_cross(scan(n)) if n % 2 else scan(n),
            "ab"[n % 2],
            patient=f"p{n}",
            source_path=f"{n}.png",
            colour=0.25,
        )
        for n in range(6)
    ]
    write_dataset(tmp_path / "marked", Header("set", "clinic", ("a", "b"), "b", settings={"depth": 8}), rows)
    return tmp_path / "marked"


def test_marks_go_and_the_rest_stays(folder, tmp_path):
    assert main(["inpaint", str(folder), str(tmp_path / "clean")]) == 0
    before, after = read_images(folder, 64), read_images(tmp_path / "clean", 64)
    assert (lettering(folder) > 0).tolist() == [False, True] * 3 and not lettering(tmp_path / "clean").any()
    for n in range(6):
        changed = before.images[n] != after.images[n]
        assert changed.any() == bool(n % 2)
        assert not changed[:20].any() and not changed[41:].any()
        assert np.abs(after.images[n].astype(int) - scan(n)).max() < 60  # tissue, not a hole
    kept = [name for name in read_metadata(folder) if name != "sha256"]
    assert read_metadata(tmp_path / "clean")[kept].equals(read_metadata(folder)[kept])
    manifest = read_manifest(tmp_path / "clean")
    assert manifest.settings == {"depth": 8, "inpainted": {"images": 3, "marks": 3}}
    assert verify(tmp_path / "clean") == manifest and manifest.sha256 != read_manifest(folder).sha256


def test_an_image_without_marks_is_returned_as_it_is():
    grey = scan(0)
    filled, found = inpainted(grey)
    assert filled is grey and found == 0
    assert marks(inpainted(with_cross(grey))[0]) == []


def test_a_destination_that_holds_something_is_refused(folder):
    with pytest.raises(InputError, match="not empty"):
        inpaint_folder(folder, folder)
