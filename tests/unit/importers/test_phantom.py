"""The simulated scanners: same seed same frames, several views, two looks, real speckle statistics."""

import hashlib

import numpy as np
import pytest

from sweep.core.errors import InputError
from sweep.importers import phantom
from sweep.importers.__main__ import main
from sweep.importers.phantom_anatomy import CLASSES, POPULATIONS, draw_patient
from sweep.importers.phantom_scanner import SCANNERS, _blur, _scatterers
from sweep.shards.reader import read_manifest, read_metadata
from sweep.shift.properties import energy_distance, properties, standardised


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


def test_the_first_two_hospitals_are_those_of_version_0_1():
    expected = {"a": "eaad2819c633eb1b", "b": "b071d25d11e8c12b"}
    for scanner, digest in expected.items():
        found = hashlib.sha256()
        for raw in frames(scanner, patients=12, image_px=48):
            found.update(raw.image_id.encode() + raw.label.encode() + raw.patient.encode() + raw.pixels.tobytes())
        assert found.hexdigest()[:16] == digest


@pytest.mark.parametrize("scanner", SCANNERS)
def test_every_scanner_looks_unlike_the_first_and_repeats_itself(scanner):
    made = np.stack([raw.pixels for raw in frames(scanner, patients=12, image_px=64)])
    again = np.stack([raw.pixels for raw in frames(scanner, patients=4, image_px=64)])
    assert np.array_equal(made[: len(again)], again)
    assert 10 < made.mean() < 200 and made.std() > 15  # neither black nor saturated
    if scanner != "a":  # the same anatomy would show the scanner alone, so the distance is one of image properties
        first = properties(np.stack([raw.pixels for raw in frames(patients=12, image_px=64)]))
        reference, own = standardised(first, properties(made))
        halves = energy_distance(reference[::2], reference[1::2])
        assert energy_distance(reference, own) > 2 * halves


@pytest.mark.parametrize("population", POPULATIONS)
def test_every_population_has_its_shares_and_sizes(population):
    people = [draw_patient(0, f"a:{population}", number, population) for number in range(600)]
    shares = [np.mean([one.label == label for one in people]) for label in CLASSES]
    assert np.allclose(shares, POPULATIONS[population].class_shares, atol=0.06)
    areas = [np.sqrt(one.lesion.half_width * one.lesion.half_height) for one in people if one.lesion]
    low, high = POPULATIONS[population].lesion_radius
    assert low <= min(areas) and max(areas) <= high + 1e-9


def test_there_are_enough_hospitals_for_a_benchmark():
    assert len(SCANNERS) >= 12 and len(POPULATIONS) >= 3


def test_hospitals_are_named_in_one_way():
    assert phantom.hospital_of("phantom:a").name == "phantom-a" == phantom.hospital_of("phantom:a:standard").name
    assert phantom.hospital_of("phantom:fine:screening").name == "phantom:fine:screening"
    for wrong, said in (("phantom:fien", "fine"), ("phantom:fine:screning", "screening")):
        with pytest.raises(InputError, match="unknown") as caught:
            phantom.hospital_of(wrong)
        assert said in caught.value.fix


def test_a_named_hospital_is_imported_by_command_without_labels_too(tmp_path, capsys):
    assert main(["phantom:dark:referral", str(tmp_path / "dark"), "--patients", "3", "--px", "48"]) == 0
    assert main(["phantom:dark:referral", str(tmp_path / "bare"), "--patients", "3", "--px", "48", "--unlabelled"]) == 0
    labelled, bare = (read_metadata(tmp_path / name) for name in ("dark", "bare"))
    assert labelled["image_id"].equals(bare["image_id"]) and bare["label"].isna().all()
    manifest = read_manifest(tmp_path / "bare")
    assert phantom.labels_of(manifest.settings) == dict(zip(labelled["image_id"], labelled["label"], strict=True))
    assert main(["phantom:dark:everybody", str(tmp_path / "x")]) == 2
    assert "screening" in capsys.readouterr().err


@pytest.mark.parametrize("scanner", SCANNERS)
def test_speckle_is_fully_developed(scanner):
    # The envelope of fully developed speckle is Rayleigh: mean over standard deviation is 1.91.
    scatter = _scatterers(np.random.default_rng(0), (256, 256))[None]
    focus = np.abs(_blur(SCANNERS[scanner], scatter))[0, 120:136]
    assert focus.mean() / focus.std() == pytest.approx(1.91, rel=0.08)


def test_written_as_a_data_set(tmp_path):
    manifest = phantom.write(tmp_path / "b", scanner="b", patients=4, image_px=32)
    assert manifest.domain == "phantom-b" and manifest.name == "phantom-b"
    assert read_metadata(tmp_path / "b")["patient"].nunique() == 4


@pytest.mark.parametrize("wrong", [{"scanner": "c"}, {"patients": 0}, {"image_px": 8}])
def test_impossible_requests(wrong):
    with pytest.raises(InputError):
        frames(**{"patients": 1, **wrong})
