"""Shards of a hospital whose images nobody labelled: written, verified, read, split and audited like any other."""

import numpy as np
import pytest

from sweep.audit.audit import audit
from sweep.audit.text import render
from sweep.core.errors import InputError
from sweep.shards.labels import label_indices
from sweep.shards.reader import read_images, read_manifest, read_metadata, verify
from sweep.shards.schema import MULTI_LABEL, NO_LABEL, Header, ShardRow
from sweep.shards.splits import make_split
from sweep.shards.stored import StoredImages
from sweep.shards.writer import write_dataset


def rows(labels):
    draw = np.random.default_rng(0)
    return [
        ShardRow(f"i{k}", draw.integers(0, 256, (24, 24), dtype=np.uint8), label, patient=f"p{k // 2}")
        for k, label in enumerate(labels)
    ]


@pytest.fixture
def folder(tmp_path):
    write_dataset(tmp_path / "set", Header(name="ward", domain="here", labelled=False), rows([None] * 30))
    return tmp_path / "set"


def test_the_manifest_says_so_and_no_class_is_needed(folder):
    manifest = verify(folder)
    assert not manifest.labelled and manifest.classes == () and manifest.positive == ""
    assert read_manifest(folder) == manifest and not manifest.multi_label


def test_labels_are_read_as_minus_one(folder):
    images = read_images(folder, 24)
    assert images.labels.tolist() == [NO_LABEL] * 30 == [-1] * 30 and images.class_counts() == {}
    assert read_metadata(folder)["label"].isna().all()
    assert np.array_equal(StoredImages(folder, 24, images.ids.tolist())[:], images.images)


def test_some_images_may_have_a_label(tmp_path):
    header = Header(name="ward", domain="here", classes=("benign", "malignant"), labelled=False)
    write_dataset(tmp_path / "set", header, rows(["malignant", None, "benign", None]))
    images = read_images(tmp_path / "set", 24)
    assert images.labels.tolist() == [1, -1, 0, -1] and images.class_counts() == {"benign": 1, "malignant": 1}
    assert images.subset(images.labels >= 0).ids.tolist() == ["i0", "i2"]
    with pytest.raises(InputError, match="'x' is none of the classes"):
        write_dataset(tmp_path / "other", header, rows(["x"]))


def test_a_labelled_set_needs_every_label(tmp_path):
    with pytest.raises(InputError, match="i1: the image has no label"):
        write_dataset(tmp_path / "set", Header(name="x", domain="x"), rows(["a", None]))
    with pytest.raises(InputError, match="'' is none of the classes"):
        write_dataset(tmp_path / "set", Header(name="x", domain="x"), rows(["a", ""]))
    with pytest.raises(ValueError, match="NaN"):
        write_dataset(tmp_path / "set", Header(name="x", domain="x", task=MULTI_LABEL, labelled=False), rows([None]))
    assert not (tmp_path / "set").exists()


def test_identity_tells_a_missing_label_from_any_text(tmp_path):
    header = Header(name="x", domain="x", classes=("None", "null"), labelled=False)
    hashes = {
        write_dataset(tmp_path / f"of {label!r}", header, rows([label])).sha256 for label in (None, "None", "null")
    }
    assert len(hashes) == 3


def test_groups_stay_together_in_a_split_without_labels(folder):
    split = make_split(read_metadata(folder), seed=0)
    assert set(split.frame["label"]) == {""} and {"train", "val", "test"} == set(split.frame["fold"])
    assert split.frame.groupby("group")["fold"].nunique().max() == 1


def test_the_audit_needs_no_label(folder, tmp_path):
    labelled = Header(name="clinic", domain="there", classes=("a", "b"))
    twin = rows([None] * 30)[0].image
    write_dataset(tmp_path / "clinic", labelled, [*rows("ab")[1:], ShardRow("stolen", twin, "a")])
    report = audit([folder, tmp_path / "clinic"])
    facts = report.sets[0]
    assert (facts.unlabelled, facts.classes, facts.constant_class, facts.constant_accuracy) == (30, {}, "", 0.0)
    assert not report.conflicts and ("i0", "stolen") in {(copy.first, copy.second) for copy in report.crossing}
    text = render(report)
    assert "30 images without a label" in text and "labels unknown / a" in text


def test_indices_of_missing_labels():
    assert label_indices(["b", None, float("nan"), "a"], ("a", "b")).tolist() == [1, -1, -1, 0]
    with pytest.raises(InputError, match="'c' is none"):
        label_indices(["c", None], ("a", "b"))
