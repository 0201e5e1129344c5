"""The positive share of an unlabelled target from labelled sets of images: near the truth, with an error that holds, and a prior."""

import numpy as np
import pytest

from sweep.shift.class_mix import best_told, class_mix, labelled_sets, share_of
from sweep.shift.prevalence import towards_home

SKILLS = (1.5, 2.0, 2.5)


def images(draw, share, count, offset=0.0, scale=1.0):
    """Labels [N] and margins [3, N] of a hospital that moves and stretches all margins."""
    labels = (np.arange(count) < round(share * count)).astype(int)
    hard = draw.normal(0, 0.6, count)
    margins = [skill * (labels - 0.5) + hard + draw.normal(0, 0.8, count) for skill in SKILLS]
    return labels, scale * np.array(margins) + offset


def estimated(seed, share, *, offset=0.0, sets=1, spread=0.0, count=600):
    draw = np.random.default_rng(seed)
    made = [images(draw, 0.4, 200, offset + draw.normal(0, spread)) for _ in range(sets)]
    _, target = images(draw, share, count, offset)
    known = labelled_sets([[z[m] for _, z in made] for m in range(3)], [y for y, _ in made])
    return share_of(known, target, np.ones(sets), 0.4)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_the_share_is_found_where_images_of_a_class_are_alike(share):
    found = [estimated(seed, share) for seed in range(12)]
    assert abs(np.mean([value for value, _ in found]) - share) < 0.03
    assert max(abs(value - share) / error for value, error in found) < 2.5


def test_errors_are_as_large_as_stated_where_the_sets_only_resemble_the_target():
    rows = [estimated(seed, 0.7, offset=1.0, sets=16, spread=0.4) for seed in range(20)]
    missed = np.array([(value - 0.7) / error for value, error in rows])
    alike = np.mean([estimated(seed, 0.7, offset=1.0, sets=16)[1] for seed in range(5)])
    assert 0.1 < np.sqrt(np.mean(missed**2)) < 1.3
    assert np.mean([error for _, error in rows]) > 1.1 * alike


def test_by_hand_a_target_half_way_between_the_classes_has_half_positives():
    known = labelled_sets([[np.array([-1.0, -1.1, -0.9, 1.0, 1.1, 0.9])]], [np.array([0, 0, 0, 1, 1, 1])])
    value, error = share_of(known, np.array([[-1.0, 1.0, -1.1, 1.1, -0.9, 0.9]]), np.ones(1), 0.3)
    assert value == pytest.approx(0.5, abs=1e-6) and error < 0.1


def test_nothing_is_known_without_weights():
    known = labelled_sets([[np.array([-1.0, 1.0])]], [np.array([0, 1])])
    assert share_of(known, np.array([[0.0, 1.0]]), np.zeros(1), 0.3) == (0.3, float("inf"))


def test_without_information_the_prior_stays():
    found = class_mix(0.3, float("inf"), 0.3)
    assert found.changed == pytest.approx(0.5) and found.value == pytest.approx((0.3 + 0.5) / 2, abs=1e-3)


def test_a_precise_share_is_kept_and_a_vague_one_drawn_to_the_source():
    precise, vague = class_mix(0.7, 0.01, 0.3), class_mix(0.4, 0.1, 0.3)
    assert precise.value == pytest.approx(0.7, abs=0.002) and precise.changed > 0.999
    assert precise.low == pytest.approx(0.7 - 0.0165, abs=0.003) and precise.high == pytest.approx(
        0.7 + 0.0165, abs=0.003
    )
    assert 0.3 < vague.value < 0.4 and vague.changed < 0.5
    assert class_mix(0.3, 0.02, 0.3).changed < 0.15


@pytest.mark.parametrize("share", [-0.4, 1.7])
def test_a_share_outside_of_nought_to_one_stays_inside(share):
    found = class_mix(share, 0.05, 0.4)
    assert 0 <= found.low <= found.value <= found.high <= 1 and found.changed > 0.99


def test_the_three_models_that_tell_the_classes_apart_best():
    assert best_told(np.array([0.6, 0.9, 0.5, 0.8, 0.7])).tolist() == [1, 3, 4]
    assert best_told(np.array([0.5, 0.7])).tolist() == [0, 1]


def test_a_share_is_drawn_towards_home_as_far_as_it_is_uncertain():
    assert towards_home(0.8, 0.2, 0.4, 0.2) == pytest.approx((0.6, 0.2 / 2**0.5))
    assert towards_home(0.8, 0.0, 0.4, 0.2) == pytest.approx((0.8, 0.0))
    assert towards_home(0.8, float("inf"), 0.4, 0.2) == pytest.approx((0.4, 0.2))
