"""Image transforms keep shape and labels, do what they say, and are the same for the same seed."""

import numpy as np
import pytest
from scipy import ndimage

from sweep.importers.phantom import simulate
from sweep.shift import properties as image_properties
from sweep.shift.acquisition import TRANSFORMS
from sweep.shift.properties import PROPERTIES, energy_distance, properties, standardised, two_sample_p
from sweep.shift.pseudo_hospitals import (
    ACQUISITION,
    BOTH,
    FAMILIES,
    FIELD,
    MATCHED_SET,
    PREVALENCE,
    RESTYLED,
    pseudo_hospitals,
)
from sweep.shift.restyle import MATCHED, PAIRED, RESTYLES, fitted_to_field


def scans(scanner, patients=10, px=64):
    raws = list(simulate(scanner, patients))
    images = np.stack([raw.pixels for raw in raws])
    step = images.shape[1] // px
    return images[:, ::step, ::step].copy(), np.array([str(raw.label) != "benign" for raw in raws]).astype(int)


@pytest.fixture(scope="module")
def hospitals():
    return scans("a"), scans("b")


@pytest.mark.parametrize("name", TRANSFORMS)
def test_acquisition_changes_images_by_its_strength_and_seed(name, hospitals):
    images = hospitals[0][0]
    transform = TRANSFORMS[name]
    weak, strong, again = (transform(images, strength, np.random.default_rng(1)) for strength in (0.1, 1.0, 1.0))
    assert strong.shape == images.shape and strong.dtype == np.uint8 and np.array_equal(strong, again)
    change = [np.abs(one.astype(int) - images).mean() for one in (weak, strong)]
    assert 0 <= change[0] <= change[1] and change[1] > 0.1
    if name not in ("jpeg", "borders"):
        assert np.abs(transform(images, 0.0, np.random.default_rng(1)).astype(int) - images).max() <= 1


@pytest.mark.parametrize("name", RESTYLES)
def test_restyled_images_come_nearer_to_the_target(name, hospitals):
    (source, _), (target, _) = hospitals
    restyled = RESTYLES[name](source, target, np.random.default_rng(2))
    assert restyled.shape == source.shape and restyled.dtype == np.uint8
    there, before, after = standardised(properties(target), properties(source), properties(restyled))
    assert energy_distance(there, after) < energy_distance(there, before)


def test_histogram_restyle_gives_the_target_s_grey_levels(hospitals):
    (source, _), (target, _) = hospitals
    restyled = RESTYLES["histogram"](source, target[:1], np.random.default_rng(0))
    wanted = np.percentile(target[0][target[0] > 0], [25, 50, 75])
    found = np.median([np.percentile(image[image > 0], [25, 50, 75]) for image in restyled], axis=0)
    assert np.abs(found - wanted).max() < 6
    assert np.array_equal(restyled == 0, source == 0)


def test_fourier_restyle_keeps_high_frequencies(hospitals):
    (source, _), (target, _) = hospitals
    restyled = RESTYLES["fourier_0.03"](source, target, np.random.default_rng(0))
    inner = (restyled > 2) & (restyled < 253)
    fine = [one - ndimage.gaussian_filter(one, (0, 2, 2)) for one in (source.astype(float), restyled.astype(float))]
    assert np.corrcoef(fine[0][inner], fine[1][inner])[0, 1] > 0.95


def test_hospitals_keep_their_labels_and_an_earlier_number_never_changes(hospitals):
    (source, labels), (target, _) = hospitals
    few = list(pseudo_hospitals(source, labels, target, count=9, seed=3))
    more = list(pseudo_hospitals(source, labels, target, count=16, seed=3))
    assert [one.name for one in more[:9]] == [one.name for one in few]
    assert {one.family for one in more} == set(FAMILIES)
    for one, other in zip(few, more, strict=False):
        assert np.array_equal(one.images, other.images) and one.recipe == other.recipe
        assert np.array_equal(one.labels, labels[one.rows]) and len(one.images) == len(one.labels)
    assert sum(one.family == MATCHED_SET for one in more) == 6 and sum(one.family == BOTH for one in more) == 4
    fitted = {
        f: [FIELD in one.recipe for one in more if one.family == f] for f in FAMILIES
    }  # b has a black strip on the right
    assert (
        fitted[MATCHED_SET] == [True, False] * 3
        and fitted[PREVALENCE] == [True, False]
        and not any(fitted[ACQUISITION])
    )
    first = {f: [next(n for n in one.recipe if n != FIELD) for one in more if one.family == f] for f in FAMILIES}
    assert set(first[MATCHED_SET]) == set(MATCHED) and first[RESTYLED] == list(PAIRED)[:2]


def test_matching_a_set_gives_its_grey_levels_by_depth_and_keeps_the_order_of_images(hospitals):
    (source, _), (target, _) = hospitals
    matched = MATCHED["common_histogram_4_bands"](source, target, np.random.default_rng(0))
    for lines in (slice(0, 16), slice(48, 64)):
        found, wanted = (part[:, lines][part[:, lines] > 0] for part in (matched, target))
        assert np.abs(np.percentile(found, [25, 50, 75]) - np.percentile(wanted, [25, 50, 75])).max() < 12
    paired = PAIRED["histogram"](source, target, np.random.default_rng(0))
    level = source.mean((1, 2))
    kept, lost = (np.corrcoef(level, images.mean((1, 2)))[0, 1] for images in (matched, paired))
    assert kept > 0.9 > lost
    assert np.array_equal((matched == 0).all(0), (target == 0).mean(0) > 0.9)


def test_images_are_fitted_into_the_target_s_black_borders_and_back(hospitals):
    source, _ = hospitals[0]
    framed = TRANSFORMS["borders"](source, 1.0, np.random.default_rng(4))
    fitted = fitted_to_field(source, framed)
    assert np.array_equal((fitted > 0).any(axis=0), (framed > 0).any(axis=0))
    assert np.abs(fitted.astype(int) - framed).mean() < 1
    back = fitted_to_field(framed, source)
    kept, lost = (np.corrcoef(one.ravel(), source.ravel())[0, 1] for one in (back, framed))
    assert (back > 0).any(axis=0).all() and kept > 0.8 > 0.5 > lost


def test_a_target_with_the_same_field_or_none_leaves_images_alone(hospitals):
    source, _ = hospitals[0]
    darker = TRANSFORMS["gain"](source, 0.5, np.random.default_rng(0))
    assert fitted_to_field(source, darker) is source
    assert fitted_to_field(source, np.zeros_like(source)) is source


def test_another_prevalence_keeps_every_class(hospitals):
    (source, labels), (target, _) = hospitals
    shares = []
    for one in pseudo_hospitals(source, labels, target, count=48, seed=0):
        if one.family == PREVALENCE:
            shares.append(one.labels.mean())
            assert len(np.unique(one.labels)) == 2
    assert len(shares) == 6 and np.ptp(shares) > 0.2


@pytest.mark.parametrize("target", [np.zeros((0, 64, 64), np.uint8), np.zeros((3, 32, 32), np.uint8)])
def test_a_target_that_does_not_fit_is_refused(target, hospitals):
    source, labels = hospitals[0]
    with pytest.raises(ValueError, match="do not fit"):
        next(pseudo_hospitals(source, labels, target))


def test_properties_by_hand():
    draw = np.random.default_rng(0)
    noise = draw.integers(60, 200, (64, 64)).astype(np.uint8)
    soft = ndimage.gaussian_filter(noise.astype(float), 2).astype(np.uint8)
    framed = noise.copy()
    framed[:, :16] = 0
    ramp = np.tile(np.linspace(50, 150, 64)[:, None], (1, 64)).astype(np.uint8)
    rows = {name: dict(zip(PROPERTIES, row, strict=True)) for name, row in zip(
        ("noise", "soft", "framed", "ramp", "empty"),
        properties(np.stack([noise, soft, framed, ramp, np.zeros_like(noise)])), strict=True)}  # fmt: skip
    assert rows["noise"]["mean"] == pytest.approx(noise.mean()) and rows["framed"]["black"] == pytest.approx(0.25)
    assert rows["framed"]["mean"] == pytest.approx(rows["noise"]["mean"], abs=2)
    assert rows["soft"]["speckle_size"] > 2 * rows["noise"]["speckle_size"]
    assert rows["noise"]["high_frequencies"] > 0.6 > 0.05 > rows["soft"]["high_frequencies"]
    assert rows["noise"]["sharpness"] > 5 * rows["soft"]["sharpness"]
    assert rows["ramp"]["depth_slope"] == pytest.approx(67, abs=3)
    assert rows["empty"]["black"] == 1


def test_two_hospitals_differ_and_one_does_not_differ_from_itself(hospitals):
    (source, _), (target, _) = hospitals
    here, there = standardised(properties(source), properties(target))
    assert two_sample_p(here, there) <= 0.01
    assert two_sample_p(here[::2], here[1::2]) > 0.05
    assert energy_distance(here, here) == pytest.approx(0)


def test_the_energy_of_a_split_is_that_of_the_two_samples():
    draw = np.random.default_rng(1)
    first, second = draw.normal(0, 1, (30, 3)), draw.normal(1, 1, (20, 3))
    both = np.concatenate([first, second])
    distances = np.linalg.norm(both[:, None] - both[None], axis=2)
    whole = image_properties._energy(distances, np.arange(50) < 30)
    assert whole == pytest.approx(energy_distance(first, second))
