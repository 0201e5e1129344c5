"""Rows written are the rows read; half a data set is never taken for one."""

import numpy as np
import pandas as pd
import pytest

from sweep.core.errors import InputError
from sweep.shards import reader
from sweep.shards.labels import apply_normals, class_order, classes_after, guess_positive
from sweep.shards.resize import fit_square, shrink
from sweep.shards.schema import Header, ShardRow
from sweep.shards.writer import write_dataset


def rows(count=6, height=20, width=30, labels=("benign", "malignant", "normal")):
    draw = np.random.default_rng(0)
    return [
        ShardRow(f"image {i}", draw.integers(0, 256, (height, width), dtype=np.uint8), labels[i % len(labels)],
                 patient=f"p{i // 2}" if i < 4 else "", source_path=f"x/{i}.png")
        for i in range(count)
    ]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    write_dataset(tmp_path / "set", Header(name="toy", domain="here", licence="CC0"), rows())
    return tmp_path / "set"


def test_metadata_and_manifest(folder):
    manifest = reader.read_manifest(folder)
    assert manifest.classes == ("benign", "malignant", "normal") and manifest.positive == "malignant"
    assert manifest.images == 6 and [part.rows for part in manifest.parts] == [6]
    frame = reader.read_metadata(folder)
    assert "image" not in frame and frame["image_id"].tolist() == [f"image {i}" for i in range(6)]
    assert set(frame["dataset"]) == {"toy"} and set(frame["domain"]) == {"here"}
    assert reader.verify(folder) == manifest


def test_images_in_the_order_asked(folder):
    source = rows()
    images = reader.read_images(folder, 30, ["image 3", "image 0"])
    assert images.ids.tolist() == ["image 3", "image 0"] and images.groups.tolist() == ["p1", "p0"]
    assert images.labels.tolist() == [0, 0] and images.classes == ("benign", "malignant", "normal")
    assert np.array_equal(images.images[1, 5:25], source[0].image) and not images.images[1, :5].any()


@pytest.mark.parametrize(("normals", "count"), [("drop", 4), ("benign", 6), ("keep", 6)])
def test_normals_rule(folder, normals, count):
    images = reader.read_images(folder, 16, normals=normals)
    assert len(images) == count
    assert images.class_counts()["benign"] == (4 if normals == "benign" else 2)


def test_normals_leave_chest_sets_alone():
    frame = pd.DataFrame({"label": ["normal", "pneumonia"]})
    assert apply_normals(frame, "drop") is frame
    assert classes_after(("normal", "pneumonia"), "drop") == ("normal", "pneumonia")


def test_class_order_puts_the_positive_at_one():
    assert class_order(["normal", "malignant", "benign"], "malignant") == ("benign", "malignant", "normal")
    assert class_order(["abnormal", "normal"], "abnormal") == ("normal", "abnormal")
    assert guess_positive(["normal", "pneumonia"]) == "pneumonia"


def test_identity_ignores_the_cut_into_parts(tmp_path, monkeypatch):
    header = Header(name="toy", domain="here")
    whole = write_dataset(tmp_path / "a", header, rows())
    monkeypatch.setattr("sweep.shards.writer._PART_BYTES", 1000)
    cut = write_dataset(tmp_path / "b", header, rows())
    assert len(cut.parts) == 3 and cut.sha256 == whole.sha256
    assert np.array_equal(reader.read_images(tmp_path / "b", 16).images, reader.read_images(tmp_path / "a", 16).images)


def test_a_destination_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_dataset(tmp_path / "file" / "set", Header(name="toy", domain="here"), rows())


@pytest.mark.parametrize(
    ("bad", "message"),
    [([], "no image"), (rows(1) * 2, "comes twice")],
)
def test_nothing_is_left_of_a_refused_write(tmp_path, bad, message):
    with pytest.raises(InputError, match=message):
        write_dataset(tmp_path / "set", Header(name="toy", domain="here"), bad)
    assert list(tmp_path.iterdir()) == []


def test_a_full_destination_is_refused(folder):
    with pytest.raises(InputError, match="not empty"):
        write_dataset(folder, Header(name="toy", domain="here"), rows())


def test_unknown_id_is_named(folder):
    with pytest.raises(InputError, match="nobody"):
        reader.read_images(folder, 16, ["nobody"])
    with pytest.raises(InputError, match="image 2"):
        reader.read_images(folder, 16, ["image 2"], normals="drop")


def test_resize_keeps_shape_or_stretches():
    grey = np.full((10, 20), 200, dtype=np.uint8)
    padded = fit_square(grey, 40)
    assert padded.shape == (40, 40) and not padded[:10].any() and (padded[10:30] == 200).all()
    assert (fit_square(grey, 40, "stretch") == 200).all()
    assert shrink(grey, 10).shape == (5, 10) and shrink(grey, 64).shape == (10, 20)
    with pytest.raises(InputError, match="squash"):
        fit_square(grey, 40, "squash")
