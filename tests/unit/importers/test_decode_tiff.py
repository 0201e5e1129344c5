"""TIFF in all its layouts against the array that was written, and other files whose depth or colours are easily read wrongly."""

import itertools

import numpy as np
import pytest
import tifffile
from PIL import Image

from sweep.core.errors import InputError
from sweep.importers.decode import read_grey
from tests.fakes.pictures import picture
from tests.fakes.pillow import needs_pillow_13

TURNED = {
    1: lambda grey: grey, 2: np.fliplr, 3: lambda grey: np.rot90(grey, 2), 4: np.flipud, 5: np.transpose, 6: lambda grey: np.rot90(grey, -1),
    7: lambda grey: np.rot90(grey, 2).T, 8: np.rot90,
}  # fmt: skip


def write(path, grey, orientation=1, **how):
    tags = [(274, "H", 1, orientation, True)] if orientation != 1 else None
    tifffile.imwrite(path, grey, extratags=tags, metadata=None, **how)
    return path


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize(
    ("bits", "compression", "photometric"),
    list(itertools.product((8, 16), (None, "zlib"), ("minisblack", "miniswhite"))),
)
def test_orientation_depth_and_photometric(tmp_path, orientation, bits, compression, photometric):
    stored = picture(1) if bits == 8 else picture(1).astype(np.uint16) * 257
    path = write(tmp_path / "a.tif", stored, orientation, compression=compression, photometric=photometric)
    expected = picture(1) if photometric == "minisblack" else 255 - picture(1)
    assert np.array_equal(read_grey(path).grey, TURNED[orientation](expected))


@pytest.mark.parametrize("how", [
    {"byteorder": ">"}, {"tile": (16, 16)}, {"bigtiff": True}, {"predictor": True, "compression": "zlib"}, {"rowsperstrip": 3},
])  # fmt: skip
def test_layouts_of_sixteen_bits(tmp_path, how):
    path = write(tmp_path / "a.tif", picture(1).astype(np.uint16) * 257, photometric="minisblack", **how)
    decoded = read_grey(path)
    assert decoded.deep and np.array_equal(decoded.grey, picture(1))


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_planes_of_colours(tmp_path, planar):
    grey = np.stack([picture(1)] * 3, axis=2 if planar == "contig" else 0)
    path = write(tmp_path / "a.tif", grey, photometric="rgb", planarconfig=planar)
    assert np.array_equal(read_grey(path).grey, picture(1))


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.complex64])
def test_values_without_a_scale_are_refused(tmp_path, kind):
    with pytest.raises(InputError, match="floating-point|unsupported kind"):
        read_grey(write(tmp_path / "a.tif", picture(1).astype(kind), photometric="minisblack"))


def test_signed_values_and_big_endian_white_are_never_inverted_in_silence(tmp_path):
    signed = write(tmp_path / "a.tif", picture(1).astype(np.int16) * 128, photometric="minisblack")
    assert np.abs(read_grey(signed).grey.astype(int) - picture(1)).max() <= 1  # fifteen bits
    white = write(tmp_path / "b.tif", picture(1).astype(np.uint16) * 257, photometric="miniswhite", byteorder=">")
    with pytest.raises(InputError, match="a TIFF file that is damaged or of an unsupported kind"):
        read_grey(white)


def test_colours_of_sixteen_bits(tmp_path):
    colours = np.stack([picture(1).astype(np.uint16) * 257] * 3, axis=2)
    path = write(tmp_path / "a.tif", colours, photometric="rgb")
    decoded = read_grey(path)
    assert decoded.deep and np.array_equal(decoded.grey, picture(1))
    with pytest.raises(InputError, match="a colour image of 16 bits per sample"):
        read_grey(path, depth=12)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *(("CMYK", suffix) for suffix in ("tif", "jpg")),
        *(("RGBX", suffix) for suffix in ("tif", "jpg")),
        ("YCbCr", "jpg"),
        pytest.param("YCbCr", "tif", marks=needs_pillow_13),
    ],
)
def test_other_colour_spaces(tmp_path, mode, suffix):
    image = Image.fromarray(np.stack([picture(1)] * 3, axis=2)).convert(mode)
    if (mode, suffix) == ("RGBX", "tif"):
        suffix = "bmp"
        image = image.convert("RGB")
    image.save(tmp_path / f"a.{suffix}", **({"quality": 98} if suffix == "jpg" else {}))
    assert np.abs(read_grey(tmp_path / f"a.{suffix}").grey.astype(int) - picture(1)).max() <= 6


@pytest.mark.parametrize("maximum", [255, 1023, 4095, 65535])
def test_the_maximum_of_a_pgm_is_its_white(tmp_path, maximum):
    values = np.rint(picture(1) / 255 * maximum).astype(">u2" if maximum > 255 else np.uint8)
    (tmp_path / "a.pgm").write_bytes(f"P5\n52 40\n{maximum}\n".encode() + values.tobytes())
    for depth in (None, 12):
        assert np.abs(read_grey(tmp_path / "a.pgm", depth).grey.astype(int) - picture(1)).max() <= 1


@pytest.mark.parametrize("form", ["png", "webp", "jpg"])
@pytest.mark.parametrize("orientation", TURNED)
def test_orientation_of_every_format(tmp_path, form, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    how = {"webp": {"lossless": True}, "jpg": {"quality": 100}}.get(form, {})
    Image.fromarray(picture(1)).save(tmp_path / f"a.{form}", exif=exif, **how)
    grey = read_grey(tmp_path / f"a.{form}").grey.astype(int)
    assert grey.shape == TURNED[orientation](picture(1)).shape
    assert np.abs(grey - TURNED[orientation](picture(1))).max() <= (2 if form == "jpg" else 0)


def test_transparent_grey_of_sixteen_bits_is_black(tmp_path):
    values = picture(1).astype(np.uint16) * 257
    values[:10] = 65535
    Image.fromarray(values).save(tmp_path / "a.png", transparency=65535)
    decoded = read_grey(tmp_path / "a.png")
    assert decoded.transparent and not decoded.grey[:10].any()
