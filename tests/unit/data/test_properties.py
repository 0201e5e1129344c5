"""What images look like, on images whose look is known."""

import io

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from sweep.config.sweep_config import DataSection
from sweep.core.storage import Storage
from sweep.data.datasets import prepare
from sweep.data.image_properties import MEASURED, properties
from sweep.data.properties import PROPERTIES_FILE
from sweep.importers.phantom import simulate
from sweep.shards.schema import Header, ShardRow
from sweep.shards.writer import write_dataset
from sweep.shift.properties import speckle_size


def noise(blur, size=96):
    made = gaussian_filter(np.random.default_rng(0).normal(size=(size, size)), blur)
    return np.clip(128 + 40 * made / made.std(), 0, 255).astype(np.uint8)


def test_brightness_and_contrast_are_shares_of_the_range():
    halves = np.zeros((40, 40), dtype=np.uint8)
    halves[:, 20:] = 255
    assert properties(halves)["grey_mean"] == pytest.approx(0.5) and properties(halves)["contrast"] == pytest.approx(
        0.5
    )


@pytest.mark.parametrize("blur", [0.8, 1.5])
def test_speckle_size_grows_with_the_grain(blur):
    # White noise blurred by sigma has a Gaussian autocorrelation of sigma sqrt(2): one half at 2 sigma sqrt(ln 2).
    expected = 2 * blur * np.sqrt(np.log(2))
    assert speckle_size(noise(blur).astype(np.float32) / 255) == pytest.approx(expected, rel=0.3)
    assert speckle_size(noise(blur) / 255.0) > speckle_size(noise(0.4) / 255.0)


def test_blur_lowers_sharpness():
    assert properties(noise(2.0))["sharpness"] < properties(noise(0.5))["sharpness"]


def test_a_flat_image_has_neither_contrast_nor_speckle():
    flat = properties(np.full((30, 30), 90, dtype=np.uint8))
    assert (flat["contrast"], flat["sharpness"], flat["speckle_px"], flat["letters"]) == (0, 0, 0, 0)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    place = tmp_path_factory.mktemp("drift")
    for scanner in "ab":
        images = [
            ShardRow(raw.image_id, raw.pixels, raw.label, raw.patient, domain=f"scanner {number % 2}")
            for number, raw in enumerate(simulate(scanner, 12, image_px=48))
        ]
        write_dataset(place / scanner, Header(name=scanner, domain=scanner), images)
    run = Storage(place / "run")
    data = prepare(DataSection(source=str(place / "a"), target=str(place / "b"), image_px=32), run)
    return run, data


def test_preparing_data_writes_the_table(prepared):
    run, data = prepared
    table = pd.read_parquet(io.BytesIO(run.read(PROPERTIES_FILE)))
    assert set(table["role"]) == {"source", "target"} and set(table["scanner"]) == {"scanner 0", "scanner 1"}
    assert set(data.split["image_id"]) <= set(table["image_id"])
    assert table[list(MEASURED)].notna().all().all()
    pictures = table[table["png"].str.len() > 0]
    assert 6 <= len(pictures) <= 30 and pictures["png"].iloc[0].startswith(b"\x89PNG")


def test_the_table_is_written_once(prepared, monkeypatch):
    run, data = prepared
    monkeypatch.setattr("sweep.data.image_properties.properties", lambda grey: pytest.fail("measured again"))
    prepare(DataSection(source=data.source, target=data.target, image_px=32), run)
