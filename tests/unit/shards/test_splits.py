"""No leak between folds, whatever the data set looks like."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sweep.core.errors import InputError
from sweep.shards.groups import closed_groups, components
from sweep.shards.label_conflicts import conflicting
from sweep.shards.splits import CONFLICTS, FRACTIONS, hold_out_domains, make_folds, make_split


def table(seed, count, patients, classes, duplicates=0, known=0.8):
    """A random data set: ids, labels, patients (some unknown) and near-duplicate group numbers."""
    draw = np.random.default_rng(seed)
    patient = np.array([f"p{k}" for k in draw.integers(0, patients, count)])
    patient[draw.random(count) > known] = ""
    copies = np.arange(count)
    if duplicates:
        copies[draw.integers(0, count, duplicates)] = copies[draw.integers(0, count, duplicates)]
    labels = np.array(["benign", "malignant", "other"])[draw.integers(0, classes, count)]
    ids = [f"i{k}" for k in draw.permutation(count)]
    return pd.DataFrame({"image_id": ids, "label": labels, "patient": patient}), copies


def folds_of(key, fold):
    """The number of folds (without `unused`) that each value of `key` is seen in."""
    used = fold != "unused"
    return pd.Series(fold[used]).groupby(key[used]).nunique()


def seen_in_one_fold(key, fold):
    """No value of `key` (text; '' is nobody) occurs in two folds, `unused` left aside."""
    places = {pair for pair in zip(key, fold, strict=True) if pair[0] != "" and pair[1] != "unused"}
    return len(places) == len({value for value, _ in places})


@pytest.mark.parametrize(
    "seeds", [range(100), pytest.param(range(100, 1000), marks=pytest.mark.slow)], ids=["100", "900"]
)
def test_random_data_sets_are_split_without_leak_reproducibly_and_in_balance(seeds):
    for seed in seeds:
        draw = np.random.default_rng(seed)
        count, classes = int(draw.integers(1, 80)), int(draw.integers(1, 4))
        frame, copies = table(seed, count, int(draw.integers(1, 60)), classes, duplicates=int(draw.integers(0, 20)))
        split = make_split(frame, seed=seed, conflicts=CONFLICTS[seed % 3], near_duplicates=copies)
        fold, patient = split.frame["fold"].to_numpy(), frame["patient"].to_numpy()
        assert set(fold) <= {*FRACTIONS, "unused"}
        assert seen_in_one_fold(patient, fold) and seen_in_one_fold(copies.astype(str), fold), seed
        assert (
            make_split(frame, seed=seed, conflicts=CONFLICTS[seed % 3], near_duplicates=copies).sha256 == split.sha256
        )
        if CONFLICTS[seed % 3] != "train_only":  # which puts more into training on purpose
            used = split.frame[fold != "unused"]
            largest = used.groupby("group").size().max() if len(used) else 0
            for label, total in used["label"].value_counts().items():
                found = used[used["label"] == label]["fold"].value_counts().reindex(list(FRACTIONS), fill_value=0)
                assert all(abs(found[name] - share * total) <= 2 * largest + 1 for name, share in FRACTIONS.items()), (
                    seed
                )


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 80), conflicts=st.sampled_from(CONFLICTS))
def test_the_same_sweep_config_gets_the_same_split(seed, count, conflicts):
    frame, copies = table(seed, count, 30, 2, duplicates=5)
    split, again = (make_split(frame, seed=seed, conflicts=conflicts, near_duplicates=copies) for _ in range(2))
    assert split.frame.equals(again.frame) and split.sha256 == again.sha256
    assert split.frame["image_id"].tolist() == frame["image_id"].tolist()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(20, 300), classes=st.integers(1, 3))
def test_labels_are_balanced_within_the_largest_group(seed, count, classes):
    frame, _copies = table(seed, count, max(1, count // 3), classes)
    split = make_split(frame, seed=seed)
    largest = split.frame.groupby("group").size().max()
    for label, total in frame["label"].value_counts().items():
        for fold, share in FRACTIONS.items():
            found = ((split.frame["fold"] == fold) & (split.frame["label"] == label)).sum()
            assert abs(found - share * total) <= 2 * largest + 1


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), patients=st.integers(10, 150))
def test_small_training_sets_nest_and_leave_the_rest_alone(seed, patients):
    frame, _ = table(seed, 200, patients, 2)
    whole = make_split(frame, seed=seed)
    sizes = [10, 40, 80]
    available = len(whole.ids("train"))
    splits = [make_split(frame, seed=seed, train_images=min(size, available)) for size in sizes]
    for small, large in zip(splits, [*splits[1:], whole], strict=True):
        assert set(small.ids("train")) <= set(large.ids("train"))
        for fold in ("val", "test"):
            assert small.ids(fold).tolist() == whole.ids(fold).tolist()
    share = (whole.frame.query("fold == 'train'")["label"] == "malignant").mean()
    ten = splits[0].frame.query("fold == 'train'")
    assert len(ten) == min(10, available) and abs((ten["label"] == "malignant").mean() - share) <= 0.15


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), folds=st.integers(2, 6))
def test_cross_validation_tests_every_image_once(seed, folds):
    frame, copies = table(seed, 120, 60, 2, duplicates=10)
    splits = make_folds(frame, seed=seed, folds=folds, conflicts="keep", near_duplicates=copies)
    tested = np.concatenate([split.ids("test") for split in splits])
    assert sorted(tested) == sorted(frame["image_id"])
    for split in splits:
        assert (folds_of(copies, split.frame["fold"].to_numpy()) <= 1).all()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    folds=st.integers(2, 6),
    conflicts=st.sampled_from(CONFLICTS),
    validate=st.booleans(),
)
def test_folds_share_no_patient_are_stratified_and_obey_the_rule_for_conflicts(seed, folds, conflicts, validate):
    folds += validate
    frame, copies = table(seed, 120, 60, 2, duplicates=10)
    splits = make_folds(frame, seed=seed, folds=folds, conflicts=conflicts, near_duplicates=copies, validate=validate)
    in_doubt = conflicting(frame, [copies])
    largest = splits[0].frame.groupby("group").size().max()
    for split, following in zip(splits, [*splits[1:], splits[0]], strict=True):
        fold = split.frame["fold"].to_numpy()
        assert seen_in_one_fold(frame["patient"], fold) and seen_in_one_fold(copies.astype(str), fold)
        if conflicts != "keep":
            assert set(fold[in_doubt]) <= {"unused" if conflicts == "drop" else "train"}
        if conflicts != "train_only":
            for label, total in split.frame[fold != "unused"]["label"].value_counts().items():
                assert abs(((fold == "test") & (frame["label"] == label)).sum() - total / folds) <= 2 * largest + 1
        if validate:
            assert split.ids("val").tolist() == following.ids("test").tolist()
        order = split.frame[fold == "train"].sort_values("place")
        assert order["place"].tolist() == list(range(len(order)))


def test_few_training_images_of_a_fold_are_its_first():
    frame, _ = table(0, 120, 60, 2)
    whole, few = (make_folds(frame, seed=0, folds=3, validate=True, train_images=keep)[1] for keep in (None, 20))
    assert set(few.ids("train")) == set(whole.frame.query("fold == 'train' and place < 20")["image_id"])
    with pytest.raises(InputError, match="ask for three or more"):
        make_folds(frame, seed=0, folds=2, validate=True)


def conflict_table():
    """Ten pairs of near-duplicates; the labels of the first pair disagree."""
    label = ["benign", "malignant"] + ["benign"] * 8 + ["malignant"] * 10
    frame = pd.DataFrame({"image_id": [f"i{k}" for k in range(20)], "label": label, "patient": ""})
    return frame, np.repeat(np.arange(10), 2)


@pytest.mark.parametrize(("conflicts", "fold"), [("drop", "unused"), ("train_only", "train")])
def test_conflicting_labels(conflicts, fold):
    frame, copies = conflict_table()
    for seed in range(5):
        split = make_split(frame, seed=seed, conflicts=conflicts, near_duplicates=copies)
        assert set(split.frame["fold"][:2]) == {fold} and "unused" not in set(split.frame["fold"][2:])


def test_a_patient_with_two_labels_is_no_conflict():
    frame = pd.DataFrame({"image_id": ["a", "b"], "label": ["benign", "malignant"], "patient": "p"})
    assert "unused" not in set(make_split(frame, seed=0).frame["fold"])


@pytest.mark.parametrize(("patient", "sha256", "unused"), [
    (["p", "p"], ["x", "y"], False),  # a film and its follow-up
    (["p", "p"], ["x", "x"], True),  # one film under two labels
    (["p", "q"], ["x", "y"], True),
    (["", ""], ["x", "y"], True),
    (["p", ""], ["x", "y"], True),
])  # fmt: skip
def test_near_images_of_one_patient_are_no_conflict(patient, sha256, unused):
    label = ["benign", "malignant"]
    frame = pd.DataFrame({"image_id": ["a", "b"], "label": label, "patient": patient, "sha256": sha256})
    assert conflicting(frame, [np.array([0, 0]), np.array(sha256)]).tolist() == [unused] * 2
    assert ("unused" in set(make_split(frame, seed=0, near_duplicates=np.array([0, 0])).frame["fold"])) == unused
    several = frame.assign(labels=[[1.0, np.nan], [0.0, np.nan]])
    assert conflicting(several, [np.array([0, 0])]).tolist() == [unused] * 2


def test_identical_pixels_stay_together():
    frame = pd.DataFrame({"image_id": [f"i{k}" for k in range(40)], "label": "benign", "patient": "",
                          "sha256": [f"h{k // 2}" for k in range(40)]})  # fmt: skip
    split = make_split(frame, seed=3)
    assert (folds_of(frame["sha256"].to_numpy(), split.frame["fold"].to_numpy()) == 1).all()


def test_seeds_differ():
    frame, _ = table(0, 100, 50, 2)
    assert make_split(frame, seed=0).sha256 != make_split(frame, seed=1).sha256


def test_groups_close_over_keys():
    groups = closed_groups(np.array(["p", "p", "", "q", ""]), np.array([0, 1, 1, 3, 4]))
    assert groups.tolist() == [0, 0, 0, 1, 2]
    assert components(4, [(2, 0), (3, 3)]).tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("pairs", [0, 150, 260])
def test_components_are_those_of_scipy(pairs):
    graph = np.random.default_rng(pairs).integers(0, 300, (pairs, 2))
    both = coo_array((np.ones(pairs), (graph[:, 0], graph[:, 1])), shape=(300, 300))
    expected = connected_components(both, directed=False)[1]
    assert components(300, graph).tolist() == pd.factorize(expected)[0].tolist()
    chain = np.random.default_rng(0).permutation(300)
    assert not components(300, np.stack([chain[:-1], chain[1:]], axis=1)).any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"conflicts": "ask"}, "ask"), ({"fractions": {"train": 0.5}}, "0.5"), ({"train_images": 10_000}, "10000"),
     ({"train_images": 0}, "0 asked")],
)  # fmt: skip
def test_impossible_requests_are_refused(wrong, message):
    frame, _ = table(0, 50, 20, 2)
    with pytest.raises(InputError, match=message):
        make_split(frame, seed=0, **wrong)


def scanners(seed, count=120):
    """A random data set of three scanners; some patients and pictures come from two of them."""
    frame, copies = table(seed, count, 30, 2, duplicates=10)
    return frame.assign(
        domain=np.random.default_rng(seed).choice(["acuson", "logiq", "vivid"], count, p=[0.2, 0.3, 0.5])
    ), copies


def test_a_domain_is_held_out_without_its_patients_and_pictures():
    for seed in range(40):
        frame, copies = scanners(seed)
        split = hold_out_domains(frame, ["acuson"], seed=seed, conflicts="keep", near_duplicates=copies)
        fold, away = split.frame["fold"].to_numpy(), (frame["domain"] == "acuson").to_numpy()
        assert (
            set(fold) == {*FRACTIONS, "target", "unused"}
            and (fold[away] == "target").all()
            and not (fold[~away] == "target").any()
        )
        assert seen_in_one_fold(frame["patient"], fold) and seen_in_one_fold(copies.astype(str), fold)
        again = hold_out_domains(frame, ["acuson"], seed=seed, conflicts="keep", near_duplicates=copies)
        assert again.sha256 == split.sha256
        trained = split.frame[fold == "train"]
        assert sorted(trained["place"]) == list(range(len(trained)))
        few = hold_out_domains(frame, ["acuson"], seed=seed, conflicts="keep", near_duplicates=copies, train_images=5)
        assert set(few.ids("train")) == set(trained.loc[trained["place"] < 5, "image_id"])


@pytest.mark.parametrize(
    ("held_out", "message"),
    [(["vivit"], "did you mean vivid"), ([], "nothing"), (["acuson", "logiq", "vivid"], "keep others")],
)
def test_impossible_hold_outs_are_refused(held_out, message):
    with pytest.raises(InputError, match=message):
        hold_out_domains(scanners(0)[0], held_out, seed=0)
