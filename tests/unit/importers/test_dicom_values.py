"""Stored values, tables and lengths that headers describe wrongly or in an older way: read by the standard, or refused by name."""

import numpy as np
import pydicom
import pytest
from pydicom.sequence import Sequence
from pydicom.uid import MPEG2MPML, ExplicitVRBigEndian, JPEGExtended12Bit

from sweep.core.errors import InputError
from sweep.importers.dicom_header import read_facts
from sweep.importers.dicom_luts import voi_table
from sweep.importers.dicom_pixels import read_frame
from tests.fakes import dicom as fake
from tests.fakes.pictures import picture

KEY = b"a key of the tests"
GREY = picture(31)
TWELVE = GREY.astype(np.uint16) * 16
IN_TWELVE = np.rint(GREY * 16.0 / 4095 * 255)


def deep(pixels, signed=False, **elements):
    """A file of 12 bits in 16, with `elements` set over that."""
    image = fake.header(31, 1, BitsAllocated=16, BitsStored=12, HighBit=11, PixelRepresentation=int(signed))
    for name, value in elements.items():
        setattr(image, name, value)
    return fake.with_pixels(image, pixels)


def saved(tmp_path, image):
    fake.save(image, tmp_path / "a.dcm")
    return tmp_path / "a.dcm"


def grey(tmp_path, image, **how):
    return read_frame(saved(tmp_path, image), **how).grey


def test_a_negative_slope_turns_black_and_white(tmp_path):
    image = fake.with_pixels(fake.header(1, 1, RescaleSlope=-1, RescaleIntercept=255), GREY)
    assert np.array_equal(grey(tmp_path, image), 255 - GREY)


def test_values_in_the_upper_bits_of_a_word(tmp_path):
    assert np.array_equal(grey(tmp_path, deep(TWELVE << 4, HighBit=15)), IN_TWELVE)


@pytest.mark.parametrize("bits", [0x8000, 0x1000])
def test_drawings_in_the_unused_bits_are_refused(tmp_path, bits):
    with pytest.raises(InputError, match="do not fit 12 bits; pass the depth"):
        grey(tmp_path, deep(np.where(GREY > 200, TWELVE | bits, TWELVE)))
    assert grey(tmp_path, deep(TWELVE | bits), depth=16).max() > 0


def test_negative_values_without_their_sign(tmp_path):
    values = GREY.astype(np.int16) - 100
    window = {"WindowCenter": 27.5, "WindowWidth": 255, "VOILUTFunction": "LINEAR_EXACT"}
    written = deep(values & 0xFFF, signed=True, **window)
    assert np.array_equal(grey(tmp_path, written), grey(tmp_path, deep(values, signed=True, **window)))


@pytest.mark.parametrize(
    ("signed", "vr", "value", "held"),
    [(False, "US", 63536, 63536), (True, "US", 63536, -2000), (True, "SS", -2000, -2000), (False, "SS", -2000, 63536)],
)
def test_padding_beyond_the_stored_bits(tmp_path, signed, vr, value, held):
    pixels = np.where(GREY > 200, held, GREY.astype(int) * 8).astype(np.int16 if signed else np.uint16)
    image = deep(pixels, signed=signed)
    image.add_new(0x00280120, vr, value)
    shown = grey(tmp_path, image)
    assert not shown[GREY > 200].any() and shown[(GREY > 20) & (GREY <= 200)].all()


@pytest.mark.parametrize("width", [1, 7, 9, 51])
def test_odd_widths(tmp_path, width):
    pixels = np.resize(GREY, (41, width))
    path = saved(tmp_path, fake.with_pixels(fake.header(1, 1), pixels))
    assert read_facts(path, KEY).frames == 1 and np.array_equal(read_frame(path).grey, pixels)


def test_colours_in_planes_and_with_halved_chroma(tmp_path):
    odd = np.resize(GREY, (41, 51))
    planes = fake.header(
        1, 1, SamplesPerPixel=3, PlanarConfiguration=1, PhotometricInterpretation="RGB", Rows=41, Columns=51
    )
    planes.PixelData = np.stack([odd] * 3).tobytes() + b"\0"
    assert np.array_equal(grey(tmp_path, planes), odd)
    even = np.repeat(GREY[:, ::2], 2, axis=1)
    halved = fake.header(
        1, 1, SamplesPerPixel=3, PlanarConfiguration=0, PhotometricInterpretation="YBR_FULL_422", Rows=40, Columns=52
    )
    pairs = np.full((40, 26, 4), 128, np.uint8)
    pairs[..., :2] = even.reshape(40, 26, 2)
    halved.PixelData = pairs.tobytes()
    path = saved(tmp_path, halved)
    assert read_facts(path, KEY).frames == 1 and np.array_equal(read_frame(path).grey, even)


@pytest.mark.parametrize(("bits", "kind"), [(8, np.uint8), (8, np.uint16), (16, np.uint16)])
def test_palettes_of_bytes_in_words(tmp_path, bits, kind):
    image = fake.header(1, 1, PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(image, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, bits])
        setattr(image, f"{colour}PaletteColorLookupTableData", np.arange(256, dtype=kind).tobytes())
    assert np.array_equal(grey(tmp_path, fake.with_pixels(image, GREY)), GREY)


def table(entries, first=0, bits=16, count=None):
    item = pydicom.Dataset()
    item.LUTDescriptor = [len(entries) if count is None else count, first, bits]
    item.LUTData = np.asarray(entries).astype(np.uint16).tobytes()
    return Sequence([item])


@pytest.mark.parametrize("first", [-128, 65408])
def test_a_table_for_negative_values(tmp_path, first):
    image = deep(GREY.astype(np.uint16), RescaleSlope=1, RescaleIntercept=-128)
    image.VOILUTSequence = table(np.arange(256) * 257, first)
    if first < 0:
        image.VOILUTSequence[0].LUTDescriptor = None
        image.VOILUTSequence[0].add_new(0x00283002, "SS", [256, first, 16])
    assert np.array_equal(grey(tmp_path, image), GREY)


@pytest.mark.parametrize(
    ("entries", "how", "said"),
    [(np.arange(256), {}, "declares 16 bits, and its largest entry is 255"), (np.arange(256) * 257, {"bits": 8}, "its largest entry is 65,535"),
     ([], {}, "of 0 entries")],
)  # fmt: skip
def test_tables_that_are_not_what_they_declare(tmp_path, entries, how, said):
    image = fake.with_pixels(fake.header(1, 1), GREY)
    image.VOILUTSequence = table(entries, **how)
    with pytest.raises(InputError, match=said):
        grey(tmp_path, image)
    assert grey(tmp_path, image, window="128/256").any()


def test_tables_of_every_layout(tmp_path):
    item = table(np.arange(4096) * 16, count=4096)[0]
    assert voi_table(item, 0, False, tmp_path, "").shares(np.array([-5, 0, 4095, 9999])).round(3).tolist() == [
        0,
        0,
        1,
        1,
    ]
    item.LUTDescriptor = [0, 0, 16]  # 65,536 entries
    item.LUTData = np.arange(65536).astype(">u2").tobytes()
    assert voi_table(item, 0, True, tmp_path, "").shares(np.array([65535.0]))[0] == 1
    item.LUTDescriptor, item.LUTData = [256, 0, 8], bytes(range(256))
    assert voi_table(item, 0, False, tmp_path, "").shares(np.array([51.0]))[0] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"NumberOfFrames": None}, "pixels of 3 frames, where its header says 1"), ({"NumberOfFrames": 2}, "pixels of 3 frames"),
     ({"NumberOfFrames": 3, "Rows": 35}, "rows more than its header says|pixels of 3 frames")],
)  # fmt: skip
def test_frames_and_rows_that_the_header_does_not_name(tmp_path, change, said):
    image = fake.with_pixels(fake.header(1, 1), np.stack([GREY] * 3))
    for name, value in change.items():
        setattr(image, name, value)
    with pytest.raises(InputError, match=said):
        read_facts(saved(tmp_path, image), KEY)


@pytest.mark.parametrize("count", [1, 52, 104, 5000])
def test_zeros_after_the_pixels_are_padding(tmp_path, count):
    image = fake.with_pixels(fake.header(1, 1), GREY)
    image.PixelData += bytes(count + count % 2)
    image.DataSetTrailingPadding = b"\1\2\3\4"
    path = saved(tmp_path, image)
    assert read_facts(path, KEY).frames == 1 and np.array_equal(read_frame(path).grey, GREY)


def test_decoders_that_would_not_help_are_not_named(tmp_path):
    image = fake.with_pixels(fake.header(1, 1), GREY)
    image.PixelData = pydicom.encaps.encapsulate([b"\0\0\1\xb3" + bytes(60)])
    image["PixelData"].VR = "OB"
    image.file_meta.TransferSyntaxUID = MPEG2MPML
    with pytest.raises(InputError, match="a video .MPEG2") as refused:
        grey(tmp_path, image)
    assert "install" not in refused.value.fix and "single images" in refused.value.fix
    image = deep(TWELVE)
    image.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xc1" + bytes(60)])
    image["PixelData"].VR = "OB"
    image.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    with pytest.raises(InputError) as refused:
        grey(tmp_path, image)
    assert "dicom-jpeg" in refused.value.fix or "damaged" in refused.value.problem


def test_big_endian_values_and_tables(tmp_path):
    image = fake.with_pixels(fake.header(1, 1, BitsAllocated=16, BitsStored=12, HighBit=11), TWELVE.astype(">u2"))
    image.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    image.VOILUTSequence = table(np.arange(4096) * 16)
    image.VOILUTSequence[0]["LUTData"].VR = "OW"
    image.VOILUTSequence[0].LUTData = (np.arange(4096) * 16).astype(">u2").tobytes()
    with open(tmp_path / "big.dcm", "wb") as stream:
        pydicom.dcmwrite(stream, image, implicit_vr=False, little_endian=False, enforce_file_format=True)
    assert np.abs(read_frame(tmp_path / "big.dcm").grey - IN_TWELVE).max() <= 1
