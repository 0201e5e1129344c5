"""The simulated scanners: same seed same frames, several views, two looks, real speckle statistics."""

import time

import numpy as np
import pytest

from sweep.core.errors import InputError
from sweep.importers import phantom
from sweep.importers.phantom_scanner import SCANNERS, _blur, _scatterers
from sweep.shards.reader import read_metadata


def frames(scanner="a", patients=30, **settings):
    return list(phantom.simulate(scanner, patients, **settings))


def test_a_larger_set_begins_with_the_smaller_one():
    small, large = frames(patients=5), frames(patients=25)
    for one, other in zip(small, large[: len(small)], strict=True):
        assert one.image_id == other.image_id and np.array_equal(one.pixels, other.pixels)


def test_seeds_and_scanners_differ():
    first = frames(patients=1)[0].pixels
    assert not np.array_equal(first, frames(patients=1, seed=1)[0].pixels)
    assert not np.array_equal(first, frames("b", patients=1)[0].pixels)


def test_views_classes_and_scanner_looks():
    a, b = frames(patients=60), frames("b", patients=60)
    assert {raw.label for raw in a} == {"benign", "malignant", "normal"} and len(a) > 1.5 * 60
    assert len({raw.patient for raw in a}) == 60
    mean_a, mean_b = (np.mean([raw.pixels[20:-20, 20:-20] for raw in set_]) for set_ in (a, b))
    assert mean_a - mean_b > 10  # grey levels: the second scanner is darker


@pytest.mark.parametrize("scanner", SCANNERS)
def test_speckle_is_fully_developed(scanner):
    # The envelope of fully developed speckle is Rayleigh: mean over standard deviation is 1.91.
    scatter = _scatterers(np.random.default_rng(0), (256, 256))[None]
    focus = np.abs(_blur(SCANNERS[scanner], scatter))[0, 120:136]
    assert focus.mean() / focus.std() == pytest.approx(1.91, rel=0.08)


def test_four_hundred_frames_in_five_seconds():
    start = time.process_time()
    count = len(frames(patients=40))
    assert (time.process_time() - start) / count * 400 < 5


def test_written_as_a_data_set(tmp_path):
    manifest = phantom.write(tmp_path / "b", scanner="b", patients=4, image_px=32)
    assert manifest.domain == "phantom-b" and manifest.name == "phantom-b"
    assert read_metadata(tmp_path / "b")["patient"].nunique() == 4


@pytest.mark.parametrize("wrong", [{"scanner": "c"}, {"patients": 0}, {"image_px": 8}])
def test_impossible_requests(wrong):
    with pytest.raises(InputError):
        frames(**{"patients": 1, **wrong})
