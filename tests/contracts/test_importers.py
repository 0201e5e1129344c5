"""Every importer, on a fake with the published layout: the same sweep configs to each."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest

from sweep.core.errors import InputError
from sweep.importers import IMPORTERS, import_dataset
from sweep.shards.findings import summary
from sweep.shards.reader import read_images, read_manifest, read_metadata, verify
from sweep.shards.splits import make_split

_PHANTOM = {
    "write": lambda folder: folder,
    "OPTIONS": {"patients": 12, "image_px": 32},
    "EXPECTED": {"classes": ("benign", "malignant", "normal"), "patients": 12},
}
_SIMULATED = {"phantom-a", "phantom-b"}


def _fake(name):
    if name in _SIMULATED:
        return SimpleNamespace(**_PHANTOM)
    return importlib.import_module(f"tests.fakes.{'csv_table' if name == 'csv' else name}")


@pytest.fixture(scope="module", params=sorted(IMPORTERS))
def imported(request, tmp_path_factory):
    """(name, fake, source folder, shard folder, options) of one importer."""
    fake = _fake(request.param)
    place = tmp_path_factory.mktemp(request.param)
    src = fake.write(place / "source")
    options = getattr(fake, "OPTIONS", {})
    import_dataset(request.param, src, place / "shards", **options)
    return SimpleNamespace(name=request.param, fake=fake, src=src, shards=place / "shards", options=options)


class TestEveryImporter:
    def test_counts_classes_and_patients(self, imported):
        frame, expected = read_metadata(imported.shards), imported.fake.EXPECTED
        assert len(frame) == expected.get("images", len(frame))
        assert read_manifest(imported.shards).classes == expected["classes"]
        manifest = read_manifest(imported.shards)
        if manifest.multi_label:
            labels = read_images(imported.shards, 32).labels
            assert labels.shape == (len(frame), len(manifest.classes)) and labels.dtype == np.float32
            assert set(np.unique(labels[~np.isnan(labels)])) <= {-1, 0, 1} and (labels == 1).any()
            assert [summary(row, manifest.classes) for row in labels] == list(frame["label"])
        else:
            assert set(frame["label"]) == set(expected["classes"])
        assert frame.loc[frame["patient"] != "", "patient"].nunique() == expected["patients"]

    def test_rows_are_whole(self, imported):
        frame, manifest = read_metadata(imported.shards), verify(imported.shards)
        assert frame["image_id"].is_unique and manifest.images == len(frame)
        assert (frame["licence"] == IMPORTERS[imported.name].licence).all() and manifest.domain
        assert not frame["source_path"].str.startswith("/").any()
        assert frame["source_path"].str.len().min() > 0

    def test_no_mask_becomes_an_image(self, imported):
        images = read_images(imported.shards, 32, normals="keep")
        levels = [len(np.unique(image)) for image in images.images]
        assert min(levels) > 8

    def test_importing_twice_gives_the_same_identity(self, imported, tmp_path):
        again = import_dataset(imported.name, imported.src, tmp_path / "again", **imported.options)
        assert again.sha256 == read_manifest(imported.shards).sha256

    def test_it_can_be_split(self, imported):
        split = make_split(read_metadata(imported.shards), seed=0)
        assert min(len(split.ids(fold)) for fold in ("train", "val", "test")) > 0

    def test_row_documents_itself(self, imported):
        row = IMPORTERS[imported.name]
        assert row.describe and row.expects and row.licence and row.traps
        assert bool(row.citation) == (imported.name not in ("folder", "csv", "dicom", "volumes"))


@pytest.mark.parametrize("name", sorted(set(IMPORTERS) - _SIMULATED))
class TestEveryImporterOfFiles:
    def test_missing_source(self, name, tmp_path):
        self._refused(name, tmp_path, tmp_path / "nowhere")

    def test_empty_source(self, name, tmp_path):
        (tmp_path / "empty").mkdir()
        self._refused(name, tmp_path, tmp_path / "empty")

    def test_every_image_unreadable(self, name, tmp_path):
        fake = _fake(name)
        src = fake.write(tmp_path / "source")
        for path in (tmp_path / "source").rglob("*"):
            if path.suffix in (
                ".png",
                ".jpg",
                ".jpeg",
                ".tif",
                ".bmp",
                ".npz",
                ".dcm",
                ".dicom",
                ".mat",
                ".nii",
                ".gz",
                ".npy",
            ):
                path.write_bytes(path.read_bytes()[:40])
        self._refused(name, tmp_path, src, **getattr(fake, "OPTIONS", {}))

    @staticmethod
    def _refused(name, tmp_path, src, **options):
        before = set(tmp_path.iterdir())
        with pytest.raises(InputError) as refused:
            import_dataset(name, src, tmp_path / "shards", **options)
        assert refused.value.fix and str(src.parent if src.is_file() else src) in str(refused.value)
        assert set(tmp_path.iterdir()) == before
