"""One rule from any file to grey, and every broken file refused by its name."""

import os

import numpy as np
import pytest
from PIL import Image

from sweep.core import images
from sweep.core.errors import InputError
from sweep.importers.decode import read_grey
from tests.fakes.pictures import picture, save_tinted


def saved(tmp_path, array, name="x.png", mode=None):
    path = tmp_path / name
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path)
    return path


def test_grey_is_kept_as_it_is(tmp_path):
    decoded = read_grey(saved(tmp_path, picture(1)))
    assert np.array_equal(decoded.grey, picture(1)) and decoded.colour == 0 and not decoded.transparent


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_in_other_modes_is_the_same_grey(tmp_path, mode):
    decoded = read_grey(saved(tmp_path, picture(1), mode=mode))
    assert np.abs(decoded.grey.astype(int) - picture(1)).max() <= (4 if mode == "P" else 0)
    assert decoded.colour == 0 and not decoded.transparent


def test_tint_is_removed_and_reported(tmp_path):
    save_tinted(tmp_path / "x.png", seed=1)
    decoded = read_grey(tmp_path / "x.png")
    assert decoded.colour > 0.9 and decoded.grey.ndim == 2


def test_transparency_is_black(tmp_path):
    save_tinted(tmp_path / "x.png", seed=1, alpha=0)
    decoded = read_grey(tmp_path / "x.png")
    assert decoded.transparent and not decoded.grey[:10].any() and decoded.grey[10:].any()


def test_a_transparent_palette_entry_is_black(tmp_path):
    image = Image.fromarray(np.array([[0, 1]] * 8, dtype=np.uint8), mode="P")
    image.putpalette([255, 255, 255, 100, 100, 100] + [0] * 762)
    image.save(tmp_path / "x.png", transparency=0)
    decoded = read_grey(tmp_path / "x.png")
    assert decoded.grey[0].tolist() == [0, 100] and decoded.transparent


@pytest.mark.parametrize("depth", [9, 12, 16])
def test_deep_greys_are_scaled_by_one_depth_whatever_their_brightest(tmp_path, depth):
    top = 2**depth - 1
    values = np.linspace(0, top, 80).astype(np.uint16).reshape(8, 10)
    grey = read_grey(saved(tmp_path, values), depth).grey
    assert grey.max() == 255 and grey.min() == 0 and (np.diff(grey.ravel().astype(int)) >= 0).all()
    tissue = [
        read_grey(saved(tmp_path, np.where(values > limit, top // 2, values)), depth).grey[0, 1]
        for limit in (top // 2, top)
    ]
    assert tissue[0] == tissue[1]


def test_a_file_without_a_depth_given_has_the_one_it_declares(tmp_path):
    values = np.full((8, 10), 200, np.uint16)
    assert read_grey(saved(tmp_path, values)).grey.max() == 1  # of sixteen bits
    Image.fromarray(values).save(tmp_path / "x.tif", tiffinfo={281: 4095})
    assert read_grey(tmp_path / "x.tif").grey.max() == 12
    with pytest.raises(InputError, match="do not fit 12 bits; pass the depth"):
        read_grey(saved(tmp_path, values * 100), 12)


def test_a_camera_s_rotation_is_obeyed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(picture(1)).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(read_grey(tmp_path / "x.png").grey, np.rot90(picture(1), -1))


def _zero(path):
    path.write_bytes(b"")


def _truncated(path):
    Image.fromarray(picture(1)).save(path)
    path.write_bytes(path.read_bytes()[:-400])


def _text(path):
    path.write_text("patient,label\n")


def _float_tiff(path):
    Image.fromarray(np.full((9, 9), np.nan, dtype=np.float32)).save(path, format="TIFF")


def _negative_tiff(path):
    Image.fromarray(np.full((9, 9), -5, dtype=np.int32)).save(path, format="TIFF")


def _bomb(path):
    Image.new("1", (9000, 9000)).save(path)


def _absent(path):
    path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [(_zero, "0 bytes"), (_truncated, "damaged"), (_text, "not an image"), (_float_tiff, "floating-point"),
     (_negative_tiff, "-5"), (_bomb, "64,000,000"), (_absent, "no such file")],
)  # fmt: skip
def test_broken_files_are_refused(tmp_path, damage, message):
    path = tmp_path / "scan (7).png"
    damage(path)
    with pytest.raises(InputError, match=message) as refused:
        read_grey(path)
    assert refused.value.where == str(path) and refused.value.fix


def test_a_file_without_permission_is_refused(tmp_path):
    path = saved(tmp_path, picture(1))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(InputError, match="permission"):
        read_grey(path)


def test_the_limit_holds_for_the_bomb_warning_too():
    assert Image.MAX_IMAGE_PIXELS == images.MAX_PIXELS
