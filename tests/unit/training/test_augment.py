"""Augmentation keeps the range, the seed's promise and the top of the image."""

import math

import pytest
import torch

from sweep.training.augment import AUGMENTATIONS, Augmentation, augment


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_none_changes_nothing():
    images = torch.rand(2, 1, 8, 8)
    assert augment(images, AUGMENTATIONS["none"], generator()) is images


def test_half_of_the_images_are_mirrored():
    images = torch.rand(1, 1, 8, 8).expand(400, 1, 8, 8).contiguous()
    changed = augment(images.clone(), Augmentation(flip=True), generator())
    mirrored = torch.isclose(changed, images.flip(3)).all(3).all(2).all(1)
    same = torch.isclose(changed, images).all(3).all(2).all(1)
    assert (mirrored ^ same).all() and 150 < mirrored.sum() < 250


def test_a_flip_by_resampling_is_the_exact_mirror():
    images = torch.rand(50, 1, 9, 12)
    changed = augment(images.clone(), Augmentation(flip=True, scale=1e-9), generator())
    same = (changed - images).abs().amax((1, 2, 3)) < 1e-4
    mirrored = (changed - images.flip(3)).abs().amax((1, 2, 3)) < 1e-4
    assert (same ^ mirrored).all() and mirrored.any() and same.any()


def test_rotation_is_rigid_on_an_oblong_image():
    """A bright point keeps its distance from the centre, in pixels, whatever the image's proportions."""
    images = torch.zeros(40, 1, 61, 121)
    images[:, :, 30, 90] = 1.0  # 30 px right of the centre
    changed = augment(images, Augmentation(rotation_deg=40.0), generator()).squeeze(1)
    rows, columns = torch.arange(61.0) - 30, torch.arange(121.0) - 60
    mass = changed.sum((1, 2))
    y, x = (changed.sum(2) * rows).sum(1) / mass, (changed.sum(1) * columns).sum(1) / mass
    assert torch.allclose(torch.hypot(y, x), torch.tensor(30.0), atol=0.3)
    assert math.degrees(torch.atan2(y, x).abs().max()) > 20


def test_speckle_multiplies_and_tgc_varies_with_depth_only():
    grey = torch.full((8, 1, 64, 64), 0.5)
    noisy = augment(grey.clone(), Augmentation(speckle=0.1), generator())
    assert noisy.std().item() == pytest.approx(0.05, rel=0.05)
    gained = augment(grey.clone(), Augmentation(tgc=0.2), generator())
    assert gained.std(3).max() < 1e-6 and gained.std(2).min() > 0.001
    assert (gained - 0.5).abs().max() <= 0.1 + 1e-6


def test_brightness_and_contrast_keep_their_reach_and_leave_black_alone():
    grey = torch.tensor([0.0, 0.25, 0.5, 0.75]).view(1, 1, 1, 4).expand(2000, 1, 4, 4).contiguous()
    brighter = augment(grey.clone(), Augmentation(brightness=0.1), generator())[:, 0, 0]
    shift = brighter - grey[:, 0, 0]
    assert (shift[:, 0] == 0).all() and shift.abs().max() <= 0.1 + 1e-6
    assert torch.allclose(shift[:, 1], shift[:, 2], atol=1e-6) and torch.allclose(shift[:, 1], shift[:, 3], atol=1e-6)
    assert shift[:, 2].min() < -0.095 and shift[:, 2].max() > 0.095
    steeper = augment(grey.clone(), Augmentation(contrast=0.2), generator())[:, 0, 0]
    slope = (steeper[:, 3] - steeper[:, 1]) / 0.5
    assert torch.allclose(steeper[:, 2], torch.tensor(0.5), atol=1e-6)  # mid-grey stays
    assert slope.min() >= 0.8 - 1e-5 and slope.max() <= 1.2 + 1e-5 and slope.min() < 0.81 and slope.max() > 1.19


def test_zoom_keeps_its_reach():
    """A point 20 px from the centre comes to lie between 20 (1 - scale) and 20 (1 + scale) px from it."""
    images = torch.zeros(400, 1, 81, 81)
    images[:, :, 40, 60] = 1.0
    changed = augment(images, Augmentation(scale=0.2), generator()).squeeze(1)
    distance = (changed.sum(1) * (torch.arange(81.0) - 40)).sum(1) / changed.sum((1, 2))
    assert distance.min() >= 15.7 and distance.max() <= 24.3 and distance.min() < 16.6 and distance.max() > 23.4


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name != "none"])
def test_a_seed_draws_the_same_changes_again(name):
    images = torch.rand(16, 1, 16, 16, generator=generator(3))
    first, again, other = (augment(images.clone(), AUGMENTATIONS[name], generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.min() >= 0 and first.max() <= 1


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_nothing_is_ever_turned_upside_down(name):
    """Skin is up in ultrasound: whatever is drawn, the bright upper quarter stays above the dark rest."""
    images = torch.full((400, 1, 32, 32), 0.2)
    images[:, :, :8] = 0.8
    changed = augment(images, AUGMENTATIONS[name], torch.Generator().manual_seed(0))
    assert (changed[:, :, :8].mean((1, 2, 3)) > changed[:, :, 24:].mean((1, 2, 3)) + 0.2).all()
