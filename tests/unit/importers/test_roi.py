"""Crops to the lesion: the same box for all importers that have masks, normal scans left out."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from recipe_finder.__main__ import main
from sweep.core.errors import InputError
from sweep.importers import import_dataset
from sweep.importers.lesion_sizes import COLUMN
from sweep.importers.roi import crop_to_lesion, masks_beside
from sweep.shards.reader import read_metadata
from tests.fakes import brest, busbra, busi
from tests.fakes.pictures import picture, save_mask

FAKES = {"busi": busi, "brest": brest, "busbra": busbra}


@pytest.mark.parametrize("name", FAKES)
@pytest.mark.parametrize("roi", ["box", "mask"])
def test_every_lesion_is_cropped(tmp_path, name, roi):
    import_dataset(name, FAKES[name].write(tmp_path / "source"), tmp_path / "out", roi=roi)
    frame = read_metadata(tmp_path / "out")
    assert set(frame["label"]) == {"benign", "malignant"}
    # The mask is 7 x 9 pixels; a tenth of 9 is kept around it.
    assert set(zip(frame["height"], frame["width"], strict=True)) == {(9, 11)}
    assert (frame["original_width"] == 52).all()


def test_outside_of_the_mask_is_black(tmp_path):
    save_mask(tmp_path / "x_mask.png")
    grey = np.maximum(picture(0), 1)
    box, masked = (crop_to_lesion(grey, [tmp_path / "x_mask.png"], roi, tmp_path) for roi in ("box", "mask"))
    assert box.all() and np.array_equal(masked[1:-1, 1:-1], box[1:-1, 1:-1])
    assert not masked[0].any() and not masked[:, -1].any()


def test_several_masks_are_one_region(tmp_path):
    first, second = np.zeros((2, 40, 52), np.uint8)
    first[2:6, 2:6] = second[30:36, 40:50] = 255
    Image.fromarray(first).save(tmp_path / "a (1)_mask.png")
    Image.fromarray(second).save(tmp_path / "a (1)_mask_1.png")
    Image.fromarray(second).save(tmp_path / "a (10)_mask.png")
    masks = masks_beside(tmp_path / "a (1).png", "{stem}_mask*.png")
    assert len(masks) == 2 and crop_to_lesion(picture(0), masks, "box", tmp_path).shape == (40, 52)


@pytest.mark.parametrize("top", [1, 255, 65535])
def test_a_mask_marks_whatever_its_greys(tmp_path, top):
    mask = np.zeros((40, 52), np.uint16 if top > 255 else np.uint8)
    mask[10:20, 10:20] = top
    Image.fromarray(mask).save(tmp_path / "x_mask.png")
    assert crop_to_lesion(picture(0), [tmp_path / "x_mask.png"], "box", tmp_path).shape == (12, 12)


def test_mistakes_are_named(tmp_path):
    source = busi.write(tmp_path / "source")
    with pytest.raises(InputError, match="'lesion' is unknown"):
        import_dataset("busi", source, tmp_path / "out", roi="lesion")
    mask = source / "Dataset_BUSI_with_GT" / "benign" / "benign (3)_mask.png"
    save_mask(mask, height=20)
    with pytest.raises(InputError, match=r"benign \(3\)_mask.png: a mask of 52 x 20"):
        import_dataset("busi", source, tmp_path / "out", roi="box")
    mask.unlink()
    with pytest.raises(InputError, match=r"benign \(3\).png: no mask"):
        import_dataset("busi", source, tmp_path / "out", roi="box")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", FAKES)
def test_sizes_of_lesions_fit_the_ids_of_the_shards(tmp_path, name, capsys):
    source, out = FAKES[name].write(tmp_path / "source"), tmp_path / "run" / "subgroups.csv"
    words = ["lesion-sizes", name, str(source), str(out)]
    assert main(words) == 0 and f"{out}: " in capsys.readouterr().out
    table = pd.read_csv(out, dtype={"image_id": str}).set_index("image_id")
    assert table[COLUMN].unique() == pytest.approx(
        [100 * 7 * 9 / (40 * 52)], abs=1e-3
    )  # the size of each fake mask and image
    import_dataset(name, source, tmp_path / "out")
    frame = read_metadata(tmp_path / "out").set_index("image_id")
    assert set(table.index) == set(frame.index[frame["label"] != "normal"])
    assert main(words) == 2 and "is there already" in capsys.readouterr().err


def test_sizes_need_masks(tmp_path, capsys):
    assert main(["lesion-sizes", "kermany", str(tmp_path), str(tmp_path / "x.csv")]) == 2
    assert "kermany: is no data set with masks of lesions; give one of busi, brest" in capsys.readouterr().err
    source = busi.write(tmp_path / "source")
    next(source.rglob("*_mask.png")).unlink()
    assert main(["lesion-sizes", "busi", str(source), str(tmp_path / "x.csv")]) == 2
    assert "no mask beside it" in capsys.readouterr().err and not (tmp_path / "x.csv").exists()
