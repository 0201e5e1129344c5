"""Augmentation keeps the range, the seed's promise and the top of the image."""

import math

import numpy as np
import pytest
import torch

from sweep.training import augment_policies as policies
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
    settings = AUGMENTATIONS[name]
    margin = (
        0.0 if settings.policy or settings.shift else 0.2
    )  # a shift fills with black, policies may leave a tenth of the contrast
    assert (changed[:, :, :8].mean((1, 2, 3)) > changed[:, :, 24:].mean((1, 2, 3)) + margin).all()


class TestTrivialAugment:
    def test_operations_by_hand(self):
        image = torch.tensor([[0.0, 0.25], [0.5, 0.75]]).view(1, 1, 2, 2)
        levels = lambda x: (x * 255).round().int().flatten().tolist()
        assert levels(policies.autocontrast(image)) == [0, 85, 170, 255]
        # black stays out of the count: three levels, a third of the pixels each
        assert levels(policies.equalize(image)) == [0, 85, 170, 255]
        assert levels(policies.posterize(image, torch.tensor([2.0]))) == [
            0,
            64,
            128,
            128,
        ]  # levels 0 64 128 191, steps of 64
        assert torch.equal(policies.autocontrast(torch.full((1, 1, 2, 2), 0.3)), torch.full((1, 1, 2, 2), 0.3))

    def test_every_image_gets_one_operation_and_all_are_drawn(self):
        images = torch.rand(1, 1, 24, 24, generator=generator()).expand(600, 1, 24, 24).contiguous()
        changed = policies.trivial(images.clone(), generator(1))
        unchanged = (changed == images).all(3).all(2).all(1).float().mean().item()
        assert 1 / 24 < unchanged < 4 / 12  # identity; posterize to eight bits and weak draws come near it
        assert len({tuple(image.flatten().tolist()) for image in changed}) > 400

    def test_contrast_and_brightness_by_hand(self):
        images = torch.tensor([0.2, 0.6]).view(1, 1, 1, 2).expand(3, 1, 2, 2).contiguous()
        chosen = {
            name: torch.tensor([place == k for k in range(3)]) for place, name in enumerate(policies.OPERATIONS[6:9])
        }
        moved = policies._blend(images, chosen, torch.tensor([0.5, 1.5, 0.5]))
        assert moved[0, 0, 0].tolist() == pytest.approx([0.1, 0.3])  # half way to black
        assert moved[1, 0, 0].tolist() == pytest.approx([0.1, 0.7])  # away from the mean 0.4
        # 3x3 mean with the edge repeated: 0.2 has two columns of 0.2 and one of 0.6
        assert moved[2, 0, 0].tolist() == pytest.approx([(0.2 + 1 / 3) / 2, (0.6 + 1.4 / 3) / 2])

    def test_a_shift_moves_a_point_by_at_most_its_reach(self):
        images = torch.zeros(2, 1, 41, 41)
        images[:, :, 20, 20] = 1
        strengths = {name: torch.zeros(2) for name in policies.OPERATIONS[1:6]} | {
            "translate_x": torch.tensor([0.0, 1.0])
        }
        moved = policies._affine(images, strengths)
        assert torch.equal(moved[0], images[0])
        columns = moved[1, 0].sum(0)
        assert (columns * torch.arange(41.0)).sum() / columns.sum() == pytest.approx(20 - 0.15 * 41, abs=0.1)


class TestRandomConvolution:
    def test_moments_and_order_stay(self):
        images = 0.3 + 0.2 * torch.rand(64, 1, 16, 16, generator=generator())
        changed = policies.random_convolution(images.clone(), generator(1))
        assert torch.allclose(changed.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=0.01)
        centred = lambda x: x - x.mean((1, 2, 3), keepdim=True)
        assert ((centred(changed) * centred(images)).sum((1, 2, 3)) > 0).all()
        assert (changed - images).abs().amax((1, 2, 3)).min() >= 0 and not torch.allclose(changed, images, atol=0.02)

    def test_a_filter_of_one_pixel_changes_nothing(self, monkeypatch):
        monkeypatch.setattr(policies, "_KERNELS", (1,))
        images = 0.1 + 0.8 * torch.rand(8, 1, 12, 12, generator=generator())
        assert torch.allclose(policies.random_convolution(images.clone(), generator(1)), images, atol=1e-5)


class TestAmplitudeMix:
    def test_by_numpy_with_the_drawn_partner_and_share(self):
        images = 0.2 + 0.6 * torch.rand(4, 1, 8, 10, generator=generator())
        changed = policies.amplitude_mix(images.clone(), generator(5))
        draws = generator(5)
        partner, share = torch.randperm(4, generator=draws), torch.rand(4, generator=draws)
        for index in range(4):
            own, other = (np.fft.fft2(images[k, 0].double().numpy()) for k in (index, int(partner[index])))
            amplitude = (1 - float(share[index])) * np.abs(own) + float(share[index]) * np.abs(other)
            wanted = np.fft.ifft2(amplitude * np.exp(1j * np.angle(own))).real.clip(0, 1)
            assert np.allclose(changed[index, 0].numpy(), wanted, atol=1e-5)


def test_geometric_shear_and_shift_keep_their_reach():
    images = torch.zeros(300, 1, 81, 81)
    images[:, :, 40, 40] = 1.0
    moved = augment(images, Augmentation(shift=0.1), generator()).squeeze(1)
    place = (moved.sum(1) * (torch.arange(81.0) - 40)).sum(1) / moved.sum((1, 2))
    assert place.abs().max() <= 0.1 * 81 + 0.1 and place.abs().max() > 7.5
    sheared = torch.zeros(300, 1, 81, 81)
    sheared[:, :, 20, 40] = 1.0  # 20 px above the centre
    sheared = augment(sheared, Augmentation(shear=0.15), generator()).squeeze(1)
    place = (sheared.sum(1) * (torch.arange(81.0) - 40)).sum(1) / sheared.sum((1, 2))
    assert place.abs().max() <= 0.15 * 20 + 0.1 and place.abs().max() > 2.7
