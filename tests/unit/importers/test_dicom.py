"""Every pixel kind gives the same grey picture; no identity leaves the files; what cannot be used is refused by name."""

import re
import sys

import numpy as np
import pytest

from sweep.core.errors import InputError
from sweep.importers import import_dataset
from sweep.importers.dicom_pixels import read_frame
from sweep.shards.reader import read_images, read_manifest, read_metadata
from tests.fakes import dicom as fake
from tests.fakes.pictures import picture


@pytest.mark.parametrize("kind", fake.KINDS)
def test_every_kind_shows_the_same_picture(tmp_path, kind):
    fake.save(fake.image_of(kind, 31, patient=1), tmp_path / "a.dcm")
    grey = read_frame(tmp_path / "a.dcm").grey
    assert grey.dtype == np.uint8 and np.abs(grey.astype(int) - picture(31)).max() <= 1


def test_window_by_hand_and_none(tmp_path):
    fake.save(fake.image_of("signed", 31, patient=1), tmp_path / "a.dcm")
    narrow = read_frame(tmp_path / "a.dcm", window="410/10").grey
    assert set(np.unique(narrow)) > {0, 255} and (narrow == (picture(31) > 127) * 255).mean() > 0.95
    image = fake.image_of("deep", 31, patient=1)
    del image.WindowCenter, image.WindowWidth
    fake.save(image, tmp_path / "b.dcm")
    stored = picture(31).astype(float) * 4 + 1024
    full = read_frame(tmp_path / "b.dcm")
    assert full.deep and np.array_equal(
        full.grey, np.rint(stored / 4095 * 255)
    )  # by stored bits, not by the frame's own range
    given = read_frame(tmp_path / "b.dcm", depth=11)
    assert np.array_equal(given.grey, np.rint(stored / 2047 * 255))
    with pytest.raises(InputError, match="do not fit 10 bits"):
        read_frame(tmp_path / "b.dcm", depth=10)


def test_lookup_table_instead_of_a_window(tmp_path):
    import pydicom

    image, table = fake.image_of("monochrome2", 31, patient=1), pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [256, 0, 16], (np.arange(255, -1, -1) * 257).astype(np.uint16).tobytes()
    image.VOILUTSequence = pydicom.sequence.Sequence([table])
    fake.save(image, tmp_path / "a.dcm")
    assert np.abs(read_frame(tmp_path / "a.dcm").grey.astype(int) - (255 - picture(31))).max() <= 1


def test_frames_belong_together_and_writing_is_blackened(tmp_path):
    fake.save(fake.several_frames(40, patient=""), tmp_path / "in" / "ill" / "clip.dcm")
    fake.save(fake.image_of("rgb", 50, patient="2"), tmp_path / "in" / "well" / "a.dcm")
    (tmp_path / "key").write_text(fake.KEY)
    import_dataset("dicom", tmp_path / "in", tmp_path / "out", burned_in="blank", key_file=str(tmp_path / "key"))
    frame = read_metadata(tmp_path / "out")
    clip = frame[frame["label"] == "ill"]
    assert len(clip) == 3 and clip["patient"].nunique() == 1 and clip["patient"].iloc[0]
    shown = read_images(tmp_path / "out", 52, clip["image_id"].tolist(), "stretch").images
    assert shown[0].any() and not shown[0][:10].any()
    middle = import_dataset(
        "dicom", tmp_path / "in", tmp_path / "middle", burned_in="keep", frames="middle", key_file=str(tmp_path / "key")
    )
    assert middle.images == 2


def test_no_identity_leaves_the_files(tmp_path):
    src = fake.write(tmp_path / "in")
    manifest = import_dataset("dicom", src, tmp_path / "out", **fake.OPTIONS)
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    for secret in (b"Doe", b"Jane", b"HOSPITAL", b"19700101", b"1.2.826", b"IM0001", b"secret"):
        assert secret not in written
    (tmp_path / "other.key").write_text("another secret altogether")
    other = import_dataset(
        "dicom", src, tmp_path / "again", **{**fake.OPTIONS, "key_file": str(tmp_path / "other.key")}
    )
    assert not set(read_metadata(tmp_path / "out")["patient"]) & set(read_metadata(tmp_path / "again")["patient"])
    assert manifest.images == other.images


def test_labels_from_a_table(tmp_path):
    src = fake.write(tmp_path / "in")
    (src / "labels.csv").write_text("path,label\nill/IM0000.dcm,cyst\nhealthy/IM0001.dcm,none\n")
    import_dataset("dicom", src, tmp_path / "out", table="labels.csv", **fake.OPTIONS)
    assert sorted(read_metadata(tmp_path / "out")["label"]) == ["cyst", "none"]
    (src / "labels.csv").write_text("path,label\nill/IM0000.dcm,cyst\nhealthy/IM0001.dcm,none\nill/DOE_JANE.dcm,cyst\n")
    manifest = import_dataset("dicom", src, tmp_path / "one", table="labels.csv", skip_bad=1, **fake.OPTIONS)
    assert manifest.settings["table"] == "labels.csv"
    assert (
        manifest.images == 2
        and "no such file" in manifest.settings["skipped"][0]
        and "DOE" not in manifest.settings["skipped"][0]
    )
    (src / "labels.csv").write_text("path,label\n../clinic.key,cyst\n")
    with pytest.raises(InputError, match="row 2, column path"):
        import_dataset("dicom", src, tmp_path / "not", table="labels.csv", **fake.OPTIONS)


def spoil_text(path):
    path.write_text("no medicine in here")


def spoil_pixels(path):
    path.write_bytes(path.read_bytes()[:-600])


def spoil_header(path):
    fake.save(fake.with_pixels(fake.header(1, 1), picture(1)[:, :1]), path)


def spoil_report(path):
    image = fake.header(1, 1)
    del image.PhotometricInterpretation
    fake.save(image, path)


def spoil_annotated(path):
    fake.save(fake.several_frames(40, patient=1), path)


def spoil_unsaid(path):
    image = fake.image_of("rgb", 40, patient=1)
    image.Modality = "US"
    del image.BurnedInAnnotation
    fake.save(image, path)


BAD = {spoil_text: "not a DICOM file", spoil_pixels: "DICOM", spoil_header: "hold no scan", spoil_report: "not an image",
       spoil_annotated: "burned into", spoil_unsaid: "does not rule out"}  # fmt: skip


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_bad_file_is_refused_by_name_or_skipped(tmp_path, spoil):
    src = fake.write(tmp_path / "in")
    (src / "ill" / "series" / "clip.dcm").unlink()
    bad = (src / "healthy" / "IM0003.dcm").rename(src / "healthy" / "DOE_JANE_19700101.dcm")
    spoil(bad)
    options = {**fake.OPTIONS, "burned_in": "refuse"}
    with pytest.raises(InputError, match=BAD[spoil]) as refused:
        import_dataset("dicom", src, tmp_path / "out", **options)
    assert refused.value.where == str(bad) and not (tmp_path / "out").exists()
    told = []
    import_dataset("dicom", src, tmp_path / "out", skip_bad=1, on_skip=told.append, **options)
    manifest = read_manifest(tmp_path / "out")
    assert manifest.images == 15 and [error.where for error in told] == [str(bad)]
    (kept,) = manifest.settings["skipped"]
    assert re.match(r"healthy/[0-9a-f]{16}: ", kept) and BAD[spoil] in kept
    assert not any(
        secret in path.read_bytes() for path in (tmp_path / "out").iterdir() for secret in (b"DOE", b"19700101")
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [("key_file", ""), ("key_file", "nowhere"), ("burned_in", "maybe"), ("frames", "some"), ("window", "wide")],
)
def test_bad_option_is_refused(tmp_path, option, value):
    src = fake.write(tmp_path / "in")
    with pytest.raises(InputError, match=option if value != "nowhere" else "nowhere"):
        import_dataset("dicom", src, tmp_path / "out", **{**fake.OPTIONS, option: value})


def test_without_pydicom_the_extra_is_named(tmp_path, monkeypatch):
    src = fake.write(tmp_path / "in")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(InputError, match=r"recipe-finder\[dicom\]"):
        import_dataset("dicom", src, tmp_path / "out", **fake.OPTIONS)
