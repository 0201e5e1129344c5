"""Planted copies are found, clean images are left alone, whatever was done to the copies."""

import io

import numpy as np
import pytest
from PIL import Image

from sweep.audit import near_duplicates
from sweep.audit.fingerprints import ORIENTATIONS, describe_orientation, fingerprints, likely_pairs, orient
from sweep.audit.near_duplicates import (
    crossing_pairs,
    find_duplicates,
    folder_duplicates,
    near_duplicate_groups,
    read_thumbs,
)
from sweep.importers import phantom
from sweep.importers.phantom import simulate
from sweep.shards.schema import Header, ShardRow
from sweep.shards.writer import write_dataset
from tests.fakes.pictures import picture


def resized(image, share):
    height, width = image.shape
    return np.asarray(Image.fromarray(image).resize((round(width * share), round(height * share))))


def jpeg(image, quality=40):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def brighter(image, contrast=0.8, shift=30):
    return np.clip(image * contrast + shift, 0, 255).astype(np.uint8)


def cropped(image, share=0.06):
    height, width = image.shape
    return image[: round(height * (1 - share)), round(width * share / 2) : round(width * (1 - share / 2))]


def annotated(image):
    copy = image.copy()
    copy[90:96, 10:40] = 255
    return copy


CHANGES = {
    "exact": np.copy,
    "mirrored": np.fliplr,
    "upside down": np.flipud,
    "turned 90": np.rot90,
    "turned 180": lambda image: np.rot90(image, 2),
    "turned 270": lambda image: np.rot90(image, 3),
    "half size": lambda image: resized(image, 0.5),
    "larger": lambda image: resized(image, 1.7),
    "other aspect": lambda image: np.asarray(Image.fromarray(image).resize((150, 110))),
    "re-encoded": jpeg,
    "brighter": brighter,
    "gamma": lambda image: (255 * (image / 255) ** 1.4).astype(np.uint8),
    "cropped": cropped,
    "annotated": annotated,
    "all at once": lambda image: jpeg(brighter(cropped(np.fliplr(image), 0.04))),
}


@pytest.fixture(scope="module")
def clean():
    """Some hundred views; views of one patient are different pictures."""
    return [raw.pixels for scanner in "ab" for raw in simulate(scanner, 60)]


def test_a_large_set_s_thumbnails_lie_on_disk_and_find_the_same(tmp_path, monkeypatch):
    phantom.write(tmp_path / "set", patients=6, image_px=64)
    thumbs, hashes = read_thumbs(tmp_path / "set")
    monkeypatch.setattr(near_duplicates, "_IN_MEMORY", 5)
    mapped, again = read_thumbs(tmp_path / "set")
    assert isinstance(mapped, np.memmap) and not isinstance(thumbs, np.memmap)
    assert np.array_equal(mapped, thumbs) and np.array_equal(again, hashes)
    assert np.array_equal(
        near_duplicates.duplicates_of(mapped, again).groups, near_duplicates.duplicates_of(thumbs, hashes).groups
    )


def test_pairs_across_folders_are_found_however_many_lie_within(tmp_path):
    pictures = [raw.pixels for raw in simulate("a", 12, image_px=64)]
    shades = [np.clip(pictures[0].astype(int) + shift, 0, 255).astype(np.uint8) for shift in range(1, 7)]
    for name, images in (("a", pictures), ("b", [*shades, np.ascontiguousarray(np.fliplr(pictures[0]))])):
        write_dataset(
            tmp_path / name,
            Header(name=name, domain=name),
            [ShardRow(f"{name}{k}", image, "x") for k, image in enumerate(images)],
        )
    folders = [tmp_path / "a", tmp_path / "b"]
    within, crossing = near_duplicates.duplicates_within_and_between(folders)
    assert {(pair.i, pair.j - len(pictures)) for pair in crossing if pair.i == 0} >= {(0, k) for k in range(7)}
    assert crossing == crossing_pairs(folders)
    assert [found.groups.tolist() for found in within] == [
        folder_duplicates(folder).groups.tolist() for folder in folders
    ]


def test_thirty_planted_leaks(clean):
    changes = list(CHANGES.values()) * 2
    copies = [np.ascontiguousarray(change(clean[5 * k])) for k, change in enumerate(changes)]
    found = {(pair.i, pair.j) for pair in find_duplicates([*clean, *copies]).pairs}
    planted = {(5 * k, len(clean) + k) for k in range(len(copies))}
    assert len(planted) == 30 and len(planted & found) >= 29
    assert len(found - planted) <= 0.01 * len(clean)


def test_clean_images_have_no_pair(clean):
    duplicates = find_duplicates(clean)
    assert duplicates.count == len(clean) and not duplicates.pairs


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_in_a_tiny_set(change):
    images = [raw.pixels for raw in simulate("a", 4)][:4]
    copy = np.ascontiguousarray(CHANGES[change](images[2]))
    assert near_duplicate_groups([*images, copy]).tolist() == [0, 1, 2, 3, 2]


def test_flat_images_do_not_resemble_anything():
    flat = [np.zeros((40, 40), np.uint8), np.full((40, 40), 9, np.uint8), picture(0)]
    assert find_duplicates(flat).pairs == ()


@pytest.mark.parametrize("orientation", range(ORIENTATIONS))
def test_fingerprints_turn_as_the_image_turns(orientation):
    thumbs = np.stack([picture(seed, 64, 64) for seed in range(6)])
    thumbs[5] = orient(thumbs[0], orientation)
    i, j, back = likely_pairs(fingerprints(thumbs)).T
    match = np.flatnonzero((i == 0) & (j == 5))
    assert len(match) == 1 and np.array_equal(orient(thumbs[5], back[match[0]]), thumbs[0])
    assert len({describe_orientation(k) for k in range(ORIENTATIONS)}) == ORIENTATIONS


def test_blocks_do_not_change_the_result(clean, monkeypatch):
    images = [*clean[:30], *(np.fliplr(image) for image in clean[:10])]
    whole = find_duplicates(images)
    monkeypatch.setattr("sweep.audit.fingerprints._COLUMNS", 17)
    monkeypatch.setattr("sweep.audit.fingerprints._ROWS", 5)
    assert np.array_equal(find_duplicates(images).groups, whole.groups) and whole.count == 30


def test_identical_pixels_across_folders(tmp_path):
    phantom.write(tmp_path / "a", patients=6, image_px=64)
    copied = next(iter(simulate("a", 1, image_px=64))).pixels
    flat = np.zeros((40, 40), np.uint8)
    rows = [ShardRow("copy", copied, "benign"), ShardRow("flat", flat, "benign"), ShardRow("flat 2", flat, "benign")]
    write_dataset(tmp_path / "b", Header(name="b", domain="b"), rows)
    pairs = crossing_pairs([tmp_path / "a", tmp_path / "b"])
    assert [(pair.i, pair.j, pair.score) for pair in pairs] == [(0, len(read_thumbs(tmp_path / "a")[0]), 1.0)]
    inside = folder_duplicates(tmp_path / "b")
    assert [(pair.i, pair.j) for pair in inside.pairs] == [(1, 2)] and inside.groups.tolist() == [0, 1, 1]
