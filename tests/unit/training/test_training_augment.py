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


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_nothing_is_ever_turned_upside_down(name):
    """Skin is up in ultrasound: whatever is drawn, the bright upper quarter stays above the dark rest."""
    images = torch.full((400, 1, 32, 32), 0.2)
    images[:, :, :8] = 0.8
    changed = augment(images, AUGMENTATIONS[name], torch.Generator().manual_seed(0))
    assert (changed[:, :, :8].mean((1, 2, 3)) > changed[:, :, 24:].mean((1, 2, 3)) + 0.2).all()
