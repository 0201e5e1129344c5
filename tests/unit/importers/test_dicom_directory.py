"""A medium with a DICOMDIR: labels by patient, study or series, as a table of the clinic names them."""

from pathlib import Path

import pydicom.data
import pytest

from sweep.core.errors import InputError
from sweep.importers import import_dataset
from sweep.importers.dicom_directory import read_directory
from sweep.shards.reader import read_manifest, read_metadata

MEDIUM = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"
KEY = "a key of the tests"


@pytest.fixture(scope="module")
def listed():
    return read_directory(MEDIUM / "DICOMDIR")


def options(tmp_path, level, labels):
    (tmp_path / "key").write_text(KEY)
    lines = [f"{level},label", *(f"{name},{label}" for name, label in labels)]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return {
        "table": str(tmp_path / "labels.csv"),
        "key_file": str(tmp_path / "key"),
        "burned_in": "keep",
        "import_px": 16,
    }


def test_a_directory_lists_files_with_their_patients(listed):
    assert len(listed) >= 20 and {entry["patient"] for entry in listed} == {"77654033", "98890234"}
    assert all((MEDIUM / entry["path"]).is_file() and entry["study"] and entry["series"] for entry in listed)


def test_labels_by_patient(tmp_path, listed):
    chosen = options(tmp_path, "patient", [("77654033", "ill"), ("98890234", "well")])
    accounts = []
    import_dataset(
        "dicom", MEDIUM, tmp_path / "out", on_account=accounts.append, accept=["few-patients"], skip_bad=99, **chosen
    )
    frame = read_metadata(tmp_path / "out")
    assert frame["patient"].nunique() == 2 and frame.groupby("patient")["label"].nunique().eq(1).all()
    localizers = sum(count for reason, (count, _) in accounts[0].ignored.items() if "localizers" in reason)
    assert localizers == 2 and accounts[0].read + accounts[0].refused + localizers == len(listed)
    assert "77654033" not in str(read_manifest(tmp_path / "out").to_json()) + "".join(frame["patient"])


def test_series_that_the_table_does_not_name_are_said(tmp_path, listed):
    series = sorted({entry["series"] for entry in listed if "CT2N" not in entry["path"]})[:2]  # those are localizers
    chosen = options(tmp_path, "series", zip(series, ("ill", "well"), strict=True))
    accounts = []
    import_dataset("dicom", MEDIUM, tmp_path / "out", on_account=accounts.append, accept=["few-patients"], **chosen)
    left_out = sum(entry["series"] not in series for entry in listed)
    assert accounts[0].ignored["files of a series that the table does not name"][0] == left_out


@pytest.mark.parametrize(
    ("labels", "said"),
    [([("1", "ill"), ("77654033", "well")], "1 of 2 are not in .*DICOMDIR, like '1'"),
     ([("77654033", "ill"), ("77654033", "well")], "a second label of '77654033'")],
)  # fmt: skip
def test_tables_that_do_not_fit(tmp_path, labels, said):
    with pytest.raises(InputError, match=said):
        import_dataset("dicom", MEDIUM, tmp_path / "out", **options(tmp_path, "patient", labels))


def test_patients_need_a_directory(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="there is no such file, and the table names each patient"):
        import_dataset(
            "dicom", tmp_path / "in", tmp_path / "out", **options(tmp_path, "patient", [("1", "a"), ("2", "b")])
        )
