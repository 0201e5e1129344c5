"""`data.target_labels`: what a sweep may read of the target's labels, and how sealed ones are read in the end."""

import json

import numpy as np
import pandas as pd
import pytest

from sweep.config.load import load_config
from sweep.config.sweep_config import BLIND_OBJECTIVE, DataSection
from sweep.core.errors import InputError, InputErrors
from sweep.core.storage import Storage
from sweep.data.data_card import messages
from sweep.data.datasets import Data, prepare
from sweep.data.sealed_labels import read_sealed_labels
from sweep.shards.schema import Header, ShardRow
from sweep.shards.writer import write_dataset

CLASSES = ("benign", "malignant", "normal")
IMAGES = 60


def hospital(place, name, labels, seed, classes=CLASSES, px=32):
    """A shard folder of `labels`, two images a patient; the pictures depend on `seed` alone."""
    draw = np.random.default_rng(seed)
    rows = [
        ShardRow(f"{name}{k:03d}", draw.integers(1, 256, (px, px), dtype=np.uint8), label, patient=f"{name}{k // 2}")
        for k, label in enumerate(labels)
    ]
    labelled = all(label is not None for label in labels)
    header = Header(
        name=name,
        domain=name,
        classes=classes if labelled else (),
        positive="malignant" if labelled else "",
        labelled=labelled,
    )
    write_dataset(place, header, rows)
    return str(place)


def shares(seed, normals=0.1):
    draw = np.random.default_rng(seed)
    return [str(label) for label in draw.choice(CLASSES, IMAGES, p=(0.5, 0.5 - normals, normals))]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return hospital(tmp_path_factory.mktemp("shards") / "here", "here", shares(0), 0)


def target(place, labels):
    return hospital(place, "there", labels, 1)


def prepared(place, source, folder, allowed, **section):
    run = Storage(place)
    data = prepare(DataSection(source=source, target=folder, image_px=32, target_labels=allowed, **section), run)
    return run, data


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_permuted_sealed_labels_change_no_byte_that_is_written(tmp_path, source):
    labels = shares(1)
    draw, written = np.random.default_rng(5), []
    for number, given in enumerate((labels, list(draw.permutation(labels)))):
        folder = target(tmp_path / f"{number}" / "there", given)
        run, data = prepared(tmp_path / f"{number}" / "run", source, folder, "sealed")
        written.append((files_of(run.local), data.hash))
    assert written[0] == written[1]


def test_removed_labels_leave_the_same_folds_and_signatures(tmp_path, source):
    sealed = prepared(tmp_path / "a", source, target(tmp_path / "there", shares(1)), "sealed")[1]
    unlabelled = prepared(tmp_path / "b", source, target(tmp_path / "bare", [None] * IMAGES), "none")[1]
    assert sealed.hash == unlabelled.hash and sealed.split.equals(unlabelled.split)
    assert set(sealed.fold("target")["label"]) == {-1} and sealed.class_counts("target") == [0, 0]


def test_the_run_folder_holds_no_sealed_label_and_unsealing_reads_them(tmp_path, source):
    labels = shares(1)
    run, data = prepared(tmp_path / "run", source, target(tmp_path / "there", labels), "sealed", normals="benign")
    card = json.loads(run.read("data.json"))["target"]
    assert card["classes"] == {} and card["folds"] == {"target": {"unlabelled": IMAGES}}
    assert card["constant_accuracy"] is None and card["target_labels"] == "sealed"
    assert Data.load(run).hash == data.hash and Data.load(run).target_labels == "sealed"
    opened = read_sealed_labels(run)
    truth = {f"there{k:03d}": int(label == "malignant") for k, label in enumerate(labels)}
    assert dict(zip(opened["image_id"], opened["label"], strict=True)) == truth
    assert opened["image_id"].tolist() == data.fold("target")["image_id"].tolist()


def test_unsealing_leaves_normal_scans_out_where_the_run_drops_them(tmp_path, source):
    labels = shares(1)
    run, data = prepared(tmp_path / "run", source, target(tmp_path / "there", labels), "sealed")
    assert len(data.fold("target")) == IMAGES
    assert len(read_sealed_labels(run)) == IMAGES - labels.count("normal")


def test_unsealing_refuses_other_images_and_missing_labels(tmp_path, source):
    run, _ = prepared(tmp_path / "run", source, target(tmp_path / "bare", [None] * IMAGES), "none")
    with pytest.raises(InputError, match="60 of 60 images have no label"):
        read_sealed_labels(run)
    with pytest.raises(InputError, match="other images than the target"):
        read_sealed_labels(run, source)
    labelled = target(tmp_path / "there", shares(1))
    assert len(read_sealed_labels(run, labelled)) == IMAGES - shares(1).count("normal")


def test_a_simulated_target_is_written_without_labels_and_unsealed_by_simulation(tmp_path):
    run, _ = prepared(tmp_path / "run", "phantom-a", "phantom-b", "sealed", phantom_patients=30)
    for path in sorted((tmp_path / "run" / "artifacts").rglob("*.parquet")):
        held = pd.read_parquet(path, columns=["domain", "label"])
        assert held["label"].notna().all() == (held["domain"].iloc[0] == "phantom-a")
    plain = prepared(tmp_path / "plain", "phantom-a", "phantom-b", "all", phantom_patients=30)[1].fold("target")
    opened = read_sealed_labels(run)
    assert dict(zip(opened["image_id"], opened["label"], strict=True)) == dict(
        zip(plain["image_id"], plain["label"], strict=True)
    )


def test_a_number_of_labels_is_of_whole_patients_and_seeded(tmp_path, source):
    folder = target(tmp_path / "there", shares(1, normals=0))
    runs = [prepared(tmp_path / f"run {k}", source, folder, 11, split_seed=k // 2)[1].fold("target") for k in range(3)]
    rows = runs[0]
    assert (rows["label"] >= 0).sum() == 10  # two images a patient
    assert rows.assign(known=rows["label"] >= 0).groupby("group")["known"].nunique().eq(1).all()
    assert rows.equals(runs[1]) and not rows["label"].equals(runs[2]["label"])


@pytest.mark.parametrize(("allowed", "message"), [
    ("all", "60 of 60 target images have no label, and data.target_labels is all"),
    ("sealed", "data.target_labels is sealed"),
    (5, "asks for 5 labelled images, the target has 0"),
])  # fmt: skip
def test_labels_that_are_not_there_are_refused_with_the_fix(tmp_path, source, allowed, message):
    folder = target(tmp_path / "bare", [None] * IMAGES)
    with pytest.raises(InputError, match=message) as caught:
        prepared(tmp_path / "run", source, folder, allowed)
    assert "target_labels: none" in caught.value.fix


def test_a_source_without_labels_is_refused(tmp_path, source):
    with pytest.raises(InputError, match="60 of 60 source images have no label"):
        prepared(tmp_path / "run", target(tmp_path / "bare", [None] * IMAGES), source, "none")


def config(tmp_path, text):
    path = tmp_path / "sweep.yaml"
    path.write_text(f"name: x\n{text}")
    return load_config(path)


@pytest.mark.parametrize("allowed", ["none", "sealed", 20])
def test_without_labels_the_default_objective_is_a_blind_one(tmp_path, allowed):
    made = config(tmp_path, f"data: {{source: phantom-a, target: phantom-b, target_labels: {allowed}}}\n")
    assert [one.name for one in made.objectives] == [BLIND_OBJECTIVE] and made.data.hospitals == 40
    assert made.data.target_labels == allowed


def test_old_configs_keep_their_objective_and_evaluate_no_pseudo_hospital(tmp_path):
    made = config(tmp_path, "data: {source: phantom-a, target: phantom-b}\n")
    assert [one.name for one in made.objectives] == ["auroc/target"] and made.data.hospitals == 0
    assert made.data.target_labels == "all"


@pytest.mark.parametrize(("data", "rest", "message"), [
    ("target_labels: none", "objectives: [{metric: auroc/target, goal: maximize}]", "reads target labels"),
    ("target_labels: sealed", "objectives: [{metric: domain_gap, goal: minimize}]", "reads target labels"),
    ("target_labels: sealed", "objectives: [{metric: robust_accuracy, goal: maximize, eps: 1/255}]\n"
     "threats: {attacks: [fgsm], eps: [1/255]}", "set split: source"),
    ("target_labels: all", "objectives: [{metric: predicted_auroc/target, goal: maximize}]", "pseudo_hospitals: 40"),
    ("target_labels: none", "fixed: {direction: target_to_source}", "trains on the target's labels"),
    ("target_labels: half", "", "none, sealed, all"),
    ("target_labels: none, pseudo_hospitals: 3", "", "give 0, or 8 or more"),
])  # fmt: skip
def test_what_needs_labels_that_may_not_be_read_is_refused(tmp_path, data, rest, message):
    with pytest.raises(InputErrors, match=message):
        config(tmp_path, f"data: {{source: phantom-a, target: phantom-b, {data}}}\n{rest}\n")


@pytest.mark.parametrize(("allowed", "warned"), [("none", True), ("sealed", True), (40, False), ("all", False)])
def test_what_cannot_be_predicted_or_dropped_is_said_where_it_matters(allowed, warned):
    target = {"name": "there", "images": 9, "unlabelled": 9, "target_labels": allowed}
    card = {"source": {"name": "here"}, "target": target, "audit": {}}

    def said(normals_dropped, two_classes):
        return " ".join(messages(card, normals_dropped, two_classes))

    assert ("for two classes only" in said(False, False)) is warned and "for two classes" not in said(True, True)
    assert ("normal scans" in said(True, True)) is (allowed != "all") and "normal scans" not in said(False, True)
