"""Copies are found however they were disguised, unrelated images are not called copies, a planted leak is caught."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from sweep.core.errors import InputError
from sweep.core.seeds import rng
from sweep.synth.copies import copy_check, leaked
from sweep.synth.train import train_generator

PX = 64


def scans(name: str, count: int) -> np.ndarray:
    """Smooth random pictures, each its own."""
    fields = gaussian_filter(rng(0, name).standard_normal((count, PX, PX)), (0, 4, 4))
    return np.clip(128 + 60 * fields / fields.std(), 0, 255).astype(np.uint8)


DISGUISES = {
    "as it is": lambda images: images,
    "mirrored": lambda images: images[:, :, ::-1],
    "noisy": lambda images: np.clip(images + rng(1, "noise").normal(0, 15, images.shape), 0, 255).astype(np.uint8),
    "paler": lambda images: (images * 0.6 + 60).astype(np.uint8),
    "moved": lambda images: np.roll(images, (3, -4), (1, 2)),
    "blurred": lambda images: gaussian_filter(images, (0, 2, 2)),
}


def moved(images: np.ndarray, zoom: float = 1.0, degrees: float = 0.0) -> np.ndarray:
    """Enlarged about the middle and turned."""
    angle = np.deg2rad(degrees)
    y, x = np.mgrid[:PX, :PX] - (PX - 1) / 2
    place = [(np.cos(angle) * y + np.sin(angle) * x) / zoom, (np.cos(angle) * x - np.sin(angle) * y) / zoom]
    turned = [
        map_coordinates(image.astype(float), np.array(place) + (PX - 1) / 2, order=1, mode="nearest")
        for image in images
    ]
    return np.rint(turned).astype(np.uint8)


VIEWS = {
    "upside down": lambda images: images[:, ::-1],
    "turned by a quarter": lambda images: np.rot90(images, axes=(1, 2)),
    "enlarged": lambda images: moved(images, zoom=1.09),
    "reduced": lambda images: moved(images, zoom=0.93),
    "turned": lambda images: moved(images, degrees=-5),
    "upside down and enlarged": lambda images: moved(images[:, ::-1], zoom=1.07),
    "blended": lambda images: (0.85 * images + 0.15 * scans("other", len(images))).astype(np.uint8),
    "blended and turned": lambda images: moved(
        (0.9 * images + 0.1 * scans("other", len(images))).astype(np.uint8), degrees=4
    ),
}


@pytest.mark.parametrize("view", VIEWS)
def test_changed_views_are_found_and_named(view: str) -> None:
    real = scans("real", 60)
    copies = np.ascontiguousarray(VIEWS[view](real[10:20]))
    check = copy_check(copies, real)
    assert check.rate == 1 and check.nearest.tolist() == list(range(10, 20))
    narrow = copy_check(copies, real, views="shifted")
    assert narrow.threshold == pytest.approx(check.threshold, rel=0.1)
    assert (check.distance <= narrow.distance + 1e-6).all()
    if view.startswith(("upside", "turned by")):
        assert narrow.rate == 0
    assert leaked(copies, scans("train", 60), real).all()


def test_unknown_views_are_refused() -> None:
    with pytest.raises(InputError, match="copy_views: 'shift' is unknown; did you mean shifted"):
        copy_check(scans("other", 5), scans("real", 5), views="shift")


def test_no_held_out_image_is_no_leak() -> None:
    assert not leaked(scans("real", 5), scans("real", 5), scans("real", 5)[:0]).any()


@pytest.mark.parametrize("disguise", DISGUISES)
def test_copies_are_found_and_named(disguise: str) -> None:
    real = scans("real", 60)
    check = copy_check(DISGUISES[disguise](real[10:20]), real)
    assert check.rate == 1
    assert check.nearest.tolist() == list(range(10, 20))


def test_unrelated_images_are_not_copies() -> None:
    check = copy_check(scans("other", 100), scans("real", 60))
    assert check.rate == 0
    assert check.real_rate == 0


def test_near_duplicates_in_the_data_do_not_move_the_threshold() -> None:
    real = scans("real", 60)
    doubled = np.concatenate([real, DISGUISES["noisy"](real[:10])])
    without = copy_check(real[:5], real)
    check = copy_check(real[:5], doubled)
    assert check.threshold == pytest.approx(without.threshold, rel=0.2)
    assert check.rate == 1
    assert check.real_rate == pytest.approx(20 / 70)
    groups = np.concatenate([np.arange(60), np.arange(10)])
    assert copy_check(real[:5], doubled, groups=groups).real_rate == 0


def test_blocks_give_the_same_answer_as_one_array() -> None:
    real, synthetic = scans("real", 30), scans("other", 20)
    whole, streamed = copy_check(synthetic, real), copy_check(iter([synthetic[:7], synthetic[7:]]), real)
    assert np.allclose(whole.distance, streamed.distance, atol=1e-6)
    assert np.array_equal(whole.nearest, streamed.nearest)


def test_copies_of_held_out_images_are_a_leak_and_copies_of_training_images_are_not() -> None:
    images = scans("real", 80)
    train, held_out = images[:60], images[60:]
    pool = np.concatenate([scans("other", 10), train[:5], DISGUISES["mirrored"](held_out[:4])])
    assert np.flatnonzero(leaked(pool, train, held_out)).tolist() == [15, 16, 17, 18]


def test_a_generator_that_was_shown_the_test_fold_is_found_out() -> None:
    images = scans("real", 24)
    train, test = images[:16], images[16:]
    settings = {"steps": 1, "width": 4, "batch_size": 4}
    honest = train_generator("wgan", train, settings=settings, seed=0)
    leaking = train_generator("wgan", np.concatenate([train, test[:1]]), settings=settings, seed=0)
    assert not honest.saw(test).any()
    assert leaking.saw(test).tolist() == [True] + [False] * 7


def test_three_real_images_are_needed() -> None:
    with pytest.raises(InputError, match="at least three"):
        copy_check(scans("other", 2), scans("real", 2))


@pytest.mark.parametrize("shape", [(5, 50, 50), (5, 64, 96), (5, 16, 16), (64, 64)])
def test_images_that_do_not_divide_into_thumbnails_are_refused(shape: tuple[int, ...]) -> None:
    odd = np.zeros(shape, np.uint8)
    with pytest.raises(InputError, match="multiple of 32 px"):
        copy_check(odd, scans("real", 5))
    with pytest.raises(InputError, match="multiple of 32 px"):
        copy_check(scans("real", 5), odd)
    with pytest.raises(InputError, match="multiple of 32 px"):
        leaked(scans("real", 5), scans("real", 5), odd)
