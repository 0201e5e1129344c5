"""Mixing keeps the class balance in every arm, nests the arms, and refuses what it cannot mix."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.core.errors import InputError
from sweep.shards.image_set import ImageSet
from sweep.shards.mixing import agreeing, mix, steps_per_epoch, synthetic_counts

PX = 4


def real_images(benign: int, malignant: int) -> ImageSet:
    labels = np.array([0] * benign + [1] * malignant, np.int64)
    ids = np.array([f"r{i}" for i in range(len(labels))])
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None].repeat(PX, 1).repeat(PX, 2)
    return ImageSet(images, labels, ids, ids, ("benign", "malignant"), "a", np.zeros(len(labels), bool))


def pools(size: int) -> dict[int, np.ndarray]:
    return {label: np.full((size, PX, PX), 100 + label, np.uint8) for label in (0, 1)}


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 20), st.sampled_from(["add", "replace"]))
def test_every_class_gets_the_same_share(benign: int, malignant: int, ratio: float, policy: str) -> None:
    real = real_images(benign, malignant)
    counts = synthetic_counts(real.labels, ratio, policy)
    mixed = mix(real, pools(1000), synthetic_per_real=ratio, policy=policy, seed=0)
    for label, n in ((0, benign), (1, malignant)):
        of_class = mixed.labels == label
        synthetic = int((mixed.synthetic & of_class).sum())
        assert synthetic == counts[label]
        if policy == "add":
            assert abs(synthetic - ratio * n) <= 0.5 + 1e-6
            assert of_class.sum() == n + synthetic
        else:
            assert of_class.sum() == n
            assert n - synthetic >= 1


@pytest.mark.parametrize(("ratio", "expected"), [(0, 0), (0.25, 25), (0.5, 50), (0.75, 75), (1, 100), (2.005, 201)])
def test_published_ratios(ratio: float, expected: int) -> None:
    assert synthetic_counts(np.zeros(100, np.int64), ratio) == {0: expected}


def test_halves_go_up_and_float_error_does_not_count() -> None:
    assert synthetic_counts(np.zeros(1, np.int64), 0.5) == {0: 1}
    assert synthetic_counts(np.zeros(5, np.int64), 0.3) == {0: 2}


@pytest.mark.parametrize("policy", ["add", "replace"])
def test_a_smaller_arm_is_inside_a_larger_one(policy: str) -> None:
    real = real_images(20, 10)
    arms = [mix(real, pools(99), synthetic_per_real=r, policy=policy, seed=3) for r in (0, 0.25, 0.5, 1, 2)]
    for smaller, larger in itertools.pairwise(arms):
        assert set(smaller.ids[smaller.synthetic]) <= set(larger.ids[larger.synthetic])
        assert set(larger.ids[~larger.synthetic]) <= set(smaller.ids[~smaller.synthetic])


def test_ratio_zero_is_the_real_set() -> None:
    real = real_images(3, 2)
    mixed = mix(real, {}, synthetic_per_real=0, seed=0)
    assert np.array_equal(mixed.images, real.images)
    assert not mixed.synthetic.any()


def test_replace_depends_on_the_seed_only() -> None:
    real = real_images(30, 30)
    first, again, other = (
        mix(real, pools(99), synthetic_per_real=1, policy="replace", seed=seed).ids.tolist() for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"synthetic_per_real": -1}, "from 0 to 20"),
        ({"synthetic_per_real": float("nan")}, "from 0 to 20"),
        ({"synthetic_per_real": 21}, "from 0 to 20"),
        ({"policy": "swap"}, "add, replace"),
        ({"pools": {}}, "pool of benign: 0 images; sample 4"),
        ({"pools": {0: pools(3)[0]}}, "3 images; sample 4"),
        ({"pools": {0: np.zeros((9, 8, 8), np.uint8)}}, "resize it to uint8 4 px"),
    ],
)
def test_refusals_name_the_fix(changes: dict, words: str) -> None:
    arguments = {"pools": pools(9), "synthetic_per_real": 1, **changes}
    with pytest.raises(InputError, match=words):
        mix(real_images(4, 2), arguments.pop("pools"), seed=0, **arguments)


def test_equal_steps_for_every_arm() -> None:
    assert steps_per_epoch(100, 300, 32) == 3
    assert steps_per_epoch(100, 300, 32, "epochs") == 9
    assert steps_per_epoch(5, 5, 32) == 1
    with pytest.raises(InputError, match="steps, epochs"):
        steps_per_epoch(1, 1, 1, "hours")


def test_agreeing_keeps_confident_images_of_the_class() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 2.0], [0.1, 0.0], [900.0, 0.0]])
    assert agreeing(logits, 0).tolist() == [0, 2, 3]
    assert agreeing(logits, 0, confidence=0.8).tolist() == [0, 3]


@pytest.mark.parametrize(
    ("real", "ratio", "expected"),
    [
        ((20, 10), 0.2, {0: 0, 1: 6}),  # the smaller class alone
        ((20, 10), 1 / 3, {0: 0, 1: 10}),  # until both are equal
        ((20, 10), 1.0, {0: 10, 1: 20}),  # then both
        ((10, 10), 0.25, {0: 3, 1: 2}),
    ],
)
def test_balance_fills_the_smaller_class_first(real: tuple[int, int], ratio: float, expected: dict[int, int]) -> None:
    assert synthetic_counts(real_images(*real).labels, ratio, "balance") == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=5), st.floats(0, 5))
def test_balance_leaves_the_classes_as_equal_as_its_images_allow(counts: list[int], ratio: float) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    given_ = synthetic_counts(labels, ratio, "balance")
    assert sum(given_.values()) == int(ratio * len(labels) + 0.5 + 1e-9)
    totals = np.array(counts) + np.array([given_[k] for k in range(len(counts))])
    filled = [total for k, total in enumerate(totals) if given_[k]]
    assert not filled or max(filled) - min(totals) <= 1  # nobody gets an image while another class has fewer


def test_pretraining_takes_the_images_that_adding_would_and_keeps_all_real_ones() -> None:
    real = real_images(20, 10)
    added, pretraining = (
        mix(real, pools(100), synthetic_per_real=0.5, policy=policy, seed=0) for policy in ("add", "pretrain")
    )
    assert (added.ids == pretraining.ids).all() and (added.images == pretraining.images).all()
