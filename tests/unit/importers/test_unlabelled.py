"""A hospital without labels: folders, tables and DICOM files import without a class, and the manifest says so."""

import pytest

from sweep.core.errors import InputError
from sweep.importers import import_dataset
from sweep.importers.__main__ import main
from sweep.shards.reader import read_manifest, read_metadata
from tests.fakes import csv_table, dicom, folder


@pytest.mark.parametrize(("name", "fake", "options"), [
    ("folder", folder, {}), ("csv", csv_table, {"path_column": "file", "patient_column": "person"}), ("dicom", dicom, dicom.OPTIONS),
])  # fmt: skip
def test_images_without_labels(tmp_path, name, fake, options):
    src = fake.write(tmp_path / "source")
    given = {**options, **({"key_file": str(tmp_path / "clinic.key")} if name == "dicom" else {})}
    import_dataset(name, src, tmp_path / "out", unlabelled=True, **given)
    manifest, frame = read_manifest(tmp_path / "out"), read_metadata(tmp_path / "out")
    assert not manifest.labelled and manifest.classes == () and manifest.images == fake.EXPECTED["images"]
    assert frame["label"].isna().all()
    assert frame["patient"].ne("").any() == (name != "folder")


def test_a_flat_folder_of_any_depth(tmp_path, capsys):
    src = folder.write(tmp_path / "source") / "healthy"
    assert main(["folder", str(src), str(tmp_path / "out"), "--unlabelled"]) == 0
    assert "8 images (without labels)" in capsys.readouterr().out
    with pytest.raises(InputError, match="would be the only class|hold"):
        import_dataset("folder", src, tmp_path / "labelled")


def test_a_table_needs_no_label_column(tmp_path):
    table = csv_table.write(tmp_path / "source")
    table.write_text("\n".join(line.split(",")[0] for line in table.read_text().splitlines()) + "\n")
    import_dataset("csv", table, tmp_path / "out", path_column="file", unlabelled=True)
    assert read_manifest(tmp_path / "out").images == 12
