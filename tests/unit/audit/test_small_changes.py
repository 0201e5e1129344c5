"""Copies that were enlarged or turned a little: found, and strangers are not."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from sweep.audit.fingerprints import LIKELY_CHANGED, ORIENTATIONS, describe_orientation, fingerprints
from sweep.audit.near_duplicates import duplicates_of, find_duplicates
from sweep.audit.small_changes import CHANGES, Change, registered, sampling, undone
from sweep.core.seeds import rng

COPIES = 50


def pictures(count, px=96):
    """Images of one anatomy (a common shading), each with tissue of its own."""
    draw = rng(0, "pictures")
    shade = gaussian_filter(draw.normal(0, 1, (px, px)), 20) * 1500
    tissue = gaussian_filter(draw.normal(0, 1, (count, px, px)), (0, 3, 3))
    return np.clip(tissue / tissue.std() * 30 + shade + 110 + draw.normal(0, 6, tissue.shape), 0, 255).astype(np.uint8)


def changed(image, zoom=1.0, degrees=0.0, down=0.0, right=0.0):
    """The image enlarged by `zoom` and turned by `degrees` about its middle, then shifted; by another way than the product's."""
    px, angle = len(image), np.deg2rad(degrees)
    y, x = np.mgrid[:px, :px] - (px - 1) / 2
    y, x = y - down, x - right
    rows = (np.cos(angle) * y + np.sin(angle) * x) / zoom + (px - 1) / 2
    columns = (np.cos(angle) * x - np.sin(angle) * y) / zoom + (px - 1) / 2
    return np.rint(map_coordinates(image.astype(float), [rows, columns], order=1, mode="nearest")).astype(np.uint8)


def test_a_change_is_undone_in_the_coefficients():
    image = pictures(1, 64)[0]
    for change in CHANGES:
        copy = changed(image, change.zoom, change.degrees)
        back = (undone(change, 64, 10) @ copy.ravel().astype(np.float32))[1:]
        own = fingerprints(image[None]).coefficients[0].ravel()[1:]
        assert np.corrcoef(back, own)[0, 1] > 0.99, change


def test_sampling_of_no_change_is_the_pixel_itself():
    rows, columns = sampling(Change("none").start, 5)
    assert np.allclose(rows, np.arange(5)[:, None]) and np.allclose(columns, np.arange(5))


@pytest.mark.parametrize("zoom, degrees", [(1.05, 0.0), (1.1, 0.0), (1.0, 5.0), (1.0, -2.5), (1.06, 3.0)])
def test_registration_ends_at_the_change(zoom, degrees):
    fine = gaussian_filter(rng(1, "fine").normal(0, 1, (64, 64)), 1.5)
    rows, columns = sampling(np.array([np.log(zoom), np.deg2rad(degrees), 0.7, -0.5]), 64)
    # second(sampling) = first: build the first one from a finer second one
    second = fine
    first = map_coordinates(second, [rows, columns], order=3, mode="nearest")
    nearest = min(CHANGES, key=lambda one: abs(np.log(one.zoom / zoom)) * 10 + abs(one.degrees - degrees))
    assert registered(first, second, nearest) > 0.97
    assert registered(first, gaussian_filter(rng(2, "other").normal(0, 1, (64, 64)), 1.5), nearest) < 0.5


@pytest.mark.parametrize(
    "kind, zooms, angles",
    [
        pytest.param("zoom", (1.05, 1.10), (0, 0), marks=pytest.mark.slow),
        pytest.param("rotation", (1, 1), (-5, 5), marks=pytest.mark.slow),
        ("both", (1.0, 1.08), (-3, 3)),
    ],
)
def test_nine_of_ten_planted_copies_are_found_and_no_stranger(kind, zooms, angles):
    images, draw = pictures(300), rng(3, kind)
    copies = np.stack([changed(image, draw.uniform(*zooms), draw.uniform(*angles)) for image in images[:COPIES]])
    pairs = {(pair.i, pair.j) for pair in find_duplicates(np.concatenate([images, copies])).pairs}
    planted = {(number, 300 + number) for number in range(COPIES)}
    assert len(pairs & planted) >= 0.9 * COPIES
    assert len(pairs - planted) <= 0.01 * COPIES


def test_a_change_is_named():
    image = pictures(12)
    copy = changed(image[0], degrees=5)
    (pair,) = find_duplicates(np.concatenate([image, copy[None]])).pairs
    assert (pair.i, pair.j) == (0, 12) and describe_orientation(pair.orientation) == "turned by a few degrees"
    assert pair.orientation >= ORIENTATIONS and 0.5 < LIKELY_CHANGED < 1


def test_flat_thumbnails_are_no_copies_of_each_other_by_chance():
    assert duplicates_of(np.full((3, 64, 64), 7, np.uint8)).pairs == ()
