"""Several findings an image: the states of a label, the policies for uncertain ones, storage, splits and batches."""

import numpy as np
import pandas as pd
import pytest

from sweep.audit.audit import audit
from sweep.core.errors import InputError
from sweep.shards.batches import ResidentBatches
from sweep.shards.findings import COMPETITION, POLICIES, resolve_uncertain, summary
from sweep.shards.image_set import ImageSet
from sweep.shards.reader import read_images, read_manifest, read_metadata
from sweep.shards.schema import MULTI_LABEL, Header, ShardRow
from sweep.shards.splits import FRACTIONS, make_split
from sweep.shards.writer import write_dataset

NAN = float("nan")
LABELS = np.array([[1.0, 0.0, NAN, -1.0, -1.0], [-1.0, -1.0, 1.0, 0.0, NAN]])


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("ones", [[1, 0, NAN, 1, 1], [1, 1, 1, 0, NAN]]),
        ("zeros", [[1, 0, NAN, 0, 0], [0, 0, 1, 0, NAN]]),
        ("mix", [[1, 0, NAN, 1, 0], [1, 0, 1, 0, NAN]]),
        ("ignore", [[1, 0, NAN, NAN, NAN], [NAN, NAN, 1, 0, NAN]]),
    ],
)
def test_policies(policy, expected):
    assert policy in POLICIES
    found = resolve_uncertain(LABELS, policy, COMPETITION)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_mix_follows_names_not_places():
    assert resolve_uncertain([[-1.0, -1.0]], "mix", ("Cardiomegaly", "Edema")).tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: resolve_uncertain(LABELS, "one", COMPETITION), "did you mean ones"),
        (lambda: resolve_uncertain(LABELS, "mix", ("Edema",)), "give one column a finding"),
        (lambda: resolve_uncertain([[2.0]], "mix", ("Edema",)), "value 2"),
    ],
)
def test_mistakes_are_input_errors(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_summary_names_what_is_there_and_what_may_be():
    assert summary(LABELS[0], COMPETITION) == "Atelectasis|Edema?|Pleural Effusion?"
    assert summary([0, 0, NAN, 0, 0], COMPETITION) == "no finding"


def rows(labels):
    """One 8x8 image a row of labels."""
    for index, row in enumerate(labels):
        grey = np.full((8, 8), index, np.uint8)
        yield ShardRow(f"i{index}", grey, summary(row, ("a", "b")), patient=f"p{index}", labels=tuple(row))


def test_audit_counts_findings(tmp_path):
    labels = [[1, 0]] * 6 + [[-1, 1]] * 2 + [[0, NAN]] * 2
    write_dataset(tmp_path / "s", Header("s", "here", ("a", "b"), task=MULTI_LABEL), rows(labels))
    facts = audit([tmp_path / "s"]).sets[0]
    assert facts.classes == {"a": 6, "b": 2}
    assert facts.constant_accuracy == 0.75  # 6 of 8 and 6 of 8 known labels


def test_shards_keep_every_state(tmp_path):
    labels = np.array([[1, 0], [-1, NAN], [0, 1]], np.float32)
    written = write_dataset(tmp_path / "s", Header("s", "here", ("a", "b"), task=MULTI_LABEL), rows(labels))
    manifest = read_manifest(tmp_path / "s")
    assert manifest == written and manifest.multi_label and manifest.positive == ""
    whole = read_images(tmp_path / "s", 8)
    np.testing.assert_array_equal(whole.labels, labels)
    assert whole.labels.dtype == np.float32 and whole.multi_label and whole.class_counts() == {"a": 1, "b": 1}
    np.testing.assert_array_equal(whole.subset(np.array([2, 1])).labels, labels[[2, 1]])
    assert read_metadata(tmp_path / "s")["label"].tolist() == ["a", "a?", "b"]


def test_labels_are_part_of_the_identity(tmp_path):
    header = Header("s", "here", ("a", "b"), task=MULTI_LABEL)
    hashes = {
        write_dataset(tmp_path / str(k), header, rows([[1, 0], [0, last]])).sha256 for k, last in enumerate((0, NAN))
    }
    assert len(hashes) == 2


@pytest.mark.parametrize(("row", "words"), [([1], "one column a finding"), ([1, 0.5], "value 0.5")])
def test_writer_refuses_other_labels(tmp_path, row, words):
    images = [ShardRow("i", np.zeros((8, 8), np.uint8), "a", labels=tuple(row))]
    with pytest.raises(InputError, match=words):
        write_dataset(tmp_path / "s", Header("s", "here", ("a", "b"), task=MULTI_LABEL), images)
    assert not (tmp_path / "s").exists()


def table(seed, count, shares):
    """A random metadata table: findings with these shares, some uncertain, some not known, three images a patient."""
    draw = np.random.default_rng(seed)
    labels = (draw.random((count, len(shares))) < shares).astype(np.float32)
    labels[draw.random(labels.shape) < 0.1] = -1
    labels[draw.random(labels.shape) < 0.05] = NAN
    patients = [f"p{k}" for k in draw.integers(0, count // 3, count)]
    return pd.DataFrame(
        {"image_id": [f"i{k}" for k in range(count)], "label": "", "patient": patients, "labels": list(labels)}
    ), labels


@pytest.mark.parametrize("seed", range(20))
def test_every_finding_is_balanced_over_folds_and_patients_stay_whole(seed):
    frame, labels = table(seed, 400, [0.3, 0.1, 0.05, 0.2, 0.02])
    split = make_split(frame, seed=seed).frame
    assert (split.groupby(frame["patient"])["fold"].nunique() == 1).all()
    for fold, share in FRACTIONS.items():
        inside = (split["fold"] == fold).to_numpy()
        assert abs(inside.sum() - share * len(frame)) <= 4
        assert (np.abs((labels[inside] == 1).sum(0) - share * (labels == 1).sum(0)) <= 2.5).all()


def test_small_training_sets_nest_with_findings():
    frame, _ = table(0, 400, [0.3, 0.1, 0.2])
    small, large = (set(make_split(frame, seed=0, train_images=size).ids("train")) for size in (50, 100))
    assert len(small) == 50 and small < large


def test_only_contrary_findings_conflict():
    labels = [[1, 0], [0, 0], [1, NAN], [-1, 1]] + [
        [0, 0],
        [1, 1],
    ] * 10  # the first pair disagrees, the second knows too little to
    frame = pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(24)],
            "label": "",
            "patient": "",
            "labels": [np.array(row, np.float32) for row in labels],
        }
    )
    copies = np.array([0, 0, 1, 1, *range(2, 22)])
    fold = make_split(frame, seed=0, near_duplicates=copies).frame["fold"]
    assert fold[:2].tolist() == ["unused", "unused"] and "unused" not in set(fold[2:])


def image_set(labels):
    """Blank images with these labels."""
    count = len(labels)
    names = np.array([str(k) for k in range(count)])
    return ImageSet(np.zeros((count, 4, 4), np.uint8), labels, names, names, ("a", "b"), "here", np.zeros(count, bool))


def test_batches_carry_labels_and_balance_findings():
    labels = np.zeros((100, 2), np.float32)
    labels[0, 0] = labels[1:11, 1] = 1
    labels[50, 0] = NAN
    batches = ResidentBatches(image_set(labels), 30, seed=0, balanced=True)
    for _, batch in batches(0):
        assert batch.shape == (30, 2) and (batch[:, 0] == 1).sum() == 10 and (batch[:, 1] == 1).sum() == 10
