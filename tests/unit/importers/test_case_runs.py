"""Neighbouring slices that look alike stay together; ranges given by hand do too; what is wrong with a range file is named."""

import numpy as np
import pytest
from PIL import Image

from sweep.core.errors import InputError
from sweep.importers import import_dataset
from sweep.importers.iqothnccd import FOLDERS
from sweep.shards.reader import read_metadata
from sweep.shards.splits import make_split
from tests.fakes.pictures import picture


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Three classes of six cases of four slices, numbered through: each slice is the case's picture under other noise."""
    root = tmp_path_factory.mktemp("slices")
    draw = np.random.default_rng(0)
    for place, (names, word) in enumerate(zip(FOLDERS.values(), ("Bengin", "Malignant", "Normal"), strict=True)):
        (root / names[0]).mkdir()
        for number in range(24):
            noisy = picture(3000 + 100 * place + number // 4) + draw.normal(0, 12, (40, 52))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(
                root / names[0] / f"{word} case ({number + 1}).jpg"
            )
    return root


def test_runs_of_similar_neighbours_are_groups_that_no_split_parts(archive, tmp_path):
    import_dataset("iqothnccd", archive, tmp_path / "set")
    frame = read_metadata(tmp_path / "set")
    assert frame["patient"].nunique() == 18 and frame["patient"].value_counts().unique().tolist() == [4]
    assert "malignant slices from 5" in set(frame["patient"])
    split = make_split(frame, seed=0).frame.assign(patient=frame["patient"])
    assert split.groupby("patient")["fold"].nunique().max() == 1


def test_ranges_by_hand(archive, tmp_path):
    ranges = tmp_path / "cases.txt"
    ranges.write_text("benign 1-10\nbenign 11-24\n\nmalignant 1-24\nnormal 1-24\n")
    import_dataset("iqothnccd", archive, tmp_path / "set", cases=str(ranges))
    counts = read_metadata(tmp_path / "set")["patient"].value_counts().to_dict()
    assert counts == {"benign 1-10": 10, "benign 11-24": 14, "malignant 1-24": 24, "normal 1-24": 24}
    import_dataset("iqothnccd", archive, tmp_path / "none", cases="none")
    assert not read_metadata(tmp_path / "none")["patient"].any()


@pytest.mark.parametrize(
    ("text", "message"),
    [("benign 1-10", "lies in no range"), ("benign 1-24\nbenign 3-4", "lies in 2 ranges"), ("benign", "line 1"),
     ("benign 9-3", "line 1: 'benign 9-3' is no range")],
)  # fmt: skip
def test_wrong_ranges(archive, tmp_path, text, message):
    ranges = tmp_path / "cases.txt"
    ranges.write_text(text)
    with pytest.raises(InputError, match=message):
        import_dataset("iqothnccd", archive, tmp_path / "set", cases=str(ranges))
    with pytest.raises(InputError, match="no such file"):
        import_dataset("iqothnccd", archive, tmp_path / "set", cases="simlar")
