"""Acquisition changes at severities: grow with severity, repeat, and MedMNIST-C's by hand with its published parameters."""

import io

import numpy as np
import pytest
from PIL import Image

from sweep.core.acquisition_names import ACQUISITION, SEVERITIES
from sweep.core.errors import InputError
from sweep.core.seeds import rng
from sweep.shift.severity import CHANGES, changed


@pytest.fixture(scope="module")
def images():
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:40, :40] / 40
    smooth = 120 + 60 * np.sin(6 * x + np.arange(24)[:, None, None]) * np.cos(5 * y)
    return (smooth + draw.normal(0, 8, (24, 40, 40))).clip(1, 255).astype(np.uint8)


def test_the_config_names_every_change():
    assert sorted(ACQUISITION) == sorted(CHANGES)


@pytest.mark.parametrize("name", CHANGES)
class TestEveryChange:
    def test_shape_stays_and_the_same_images_come_again(self, name, images):
        before = images.copy()
        for severity in SEVERITIES:
            first, again = (changed(name, images, severity) for _ in range(2))
            assert first.shape == images.shape and first.dtype == np.uint8
            assert np.array_equal(first, again) and not np.array_equal(first, images)
        assert np.array_equal(images, before)
        assert changed(name, images[:0], 3).shape == (0, 40, 40)

    def test_the_last_severity_changes_more_than_the_first(self, name, images):
        distance = [np.abs(changed(name, images, s).astype(float) - images).mean() for s in SEVERITIES]
        assert distance[-1] > distance[0] > 0

    def test_mistakes_are_refused(self, name, images):
        with pytest.raises(InputError, match=r"threats\.severity"):
            changed(name, images, 6)


def test_an_unknown_change_is_suggested(images):
    with pytest.raises(InputError, match="did you mean blur"):
        changed("blurr", images, 1)


def test_a_crop_shows_the_middle_enlarged(images):
    """At severity 4 a fifth of each side is cut away: what stays is 32 of 40 px, enlarged by 1.25."""
    ramp = np.tile(np.arange(40, dtype=np.uint8) * 6, (1, 40, 1))
    cut = changed("crop", ramp, 4)[0].astype(float)
    slope = np.diff(cut[20, 5:35]).mean()
    assert slope == pytest.approx(6 / 1.25, abs=0.1) and (np.ptp(cut, axis=0) == 0).all()


class TestParityWithMedMNISTC:
    """Published definitions and parameters for breast ultrasound, written out here again."""

    def test_speckle(self, images):
        found = changed("medmnistc_speckle_noise", images, 2)
        noise = rng(0, "acquisition", "medmnistc_speckle_noise").normal(size=images.shape, scale=0.15)
        assert np.array_equal(found, (np.clip(images / 255 * (1 + noise), 0, 1) * 255).astype(np.uint8))

    def test_brightness_and_contrast(self, images):
        brighter = changed("medmnistc_brightness_up", images, 5).astype(float)
        assert np.abs(brighter - np.minimum(2.0 * images, 255)).max() <= 1
        darker = changed("medmnistc_brightness_down", images, 1).astype(float)
        assert np.abs(darker - 0.55 * images).max() <= 1
        flatter = changed("medmnistc_contrast_down", images, 5).astype(float)
        mean = np.floor(images.mean((1, 2), keepdims=True) + 0.5)
        assert np.abs(flatter - (mean + 0.4 * (images - mean))).max() <= 1

    def test_pixelate_is_a_mean_of_blocks(self):
        """40 px at factor 0.1: four blocks a side, each the mean of 10 x 10 pixels."""
        images = np.random.default_rng(1).integers(0, 256, (2, 40, 40), dtype=np.uint8)
        blocks = images.reshape(2, 4, 10, 4, 10).mean((2, 4))
        found = changed("medmnistc_pixelate", images, 5)
        assert np.abs(found - blocks.repeat(10, 1).repeat(10, 2)).max() <= 1

    def test_jpeg(self, images):
        buffer = io.BytesIO()
        Image.fromarray(images[0]).save(buffer, "JPEG", quality=7)
        assert np.array_equal(changed("medmnistc_jpeg_compression", images, 5)[0], np.asarray(Image.open(buffer)))
