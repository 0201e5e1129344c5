"""What each newly published layout asks of its importer beyond the contract: folds, consensus, echoes, and wrong tables."""

import numpy as np
import pytest

from sweep.core.errors import InputError
from sweep.importers import IMPORTERS, import_dataset
from sweep.importers.__main__ import listing, main
from sweep.importers.oasbud import b_mode
from sweep.importers.vindr_cxr import FINDINGS
from sweep.shards.reader import read_images, read_metadata
from tests.fakes import bus_uclm, busbra, oasbud, rsna_pneumonia, udiat, vindr_cxr


def ids(folder):
    return set(read_metadata(folder)["image_id"])


def test_official_folds_of_busbra_part_its_patients(tmp_path):
    src = busbra.write(tmp_path / "src")
    for part in ("train", "test"):
        import_dataset("busbra", src, tmp_path / part, partition=f"5/3/{part}")
    train, test = read_metadata(tmp_path / "train"), read_metadata(tmp_path / "test")
    assert set(test["patient"]) == {"case 2", "case 7"} and not set(train["patient"]) & set(test["patient"])
    assert len(train) + len(test) == 16


@pytest.mark.parametrize("wrong", ["5", "7/1/test", "5/6/test", "5/0/train", "5/1/all"])
def test_a_partition_that_is_none(tmp_path, wrong):
    with pytest.raises(InputError, match="FOLDS/FOLD/PART"):
        import_dataset("busbra", busbra.write(tmp_path / "src"), tmp_path / "set", partition=wrong)


def test_bus_uclm_reads_semicolons_and_patients_from_names(tmp_path):
    import_dataset("bus_uclm", bus_uclm.write(tmp_path / "src"), tmp_path / "set")
    frame = read_metadata(tmp_path / "set").set_index("image_id")
    assert frame.loc["DNFO_001", ["label", "patient"]].tolist() == ["malignant", "DNFO"]


def test_udiat_finds_padded_files_by_bare_numbers(tmp_path):
    import_dataset("udiat", udiat.write(tmp_path / "src"), tmp_path / "set", roi="box")
    frame = read_metadata(tmp_path / "set")
    assert "000008" in set(frame.loc[frame["label"] == "malignant", "image_id"])


def test_rsna_has_an_image_per_patient_and_can_leave_out_what_is_not_normal(tmp_path):
    src = rsna_pneumonia.write(tmp_path / "src")
    import_dataset("rsna_pneumonia", src, tmp_path / "set", negatives="normal")
    assert read_metadata(tmp_path / "set")["label"].value_counts().to_dict() == {"no pneumonia": 4, "pneumonia": 4}


def test_vindr_labels_are_those_of_most_readers(tmp_path):
    src = vindr_cxr.write(tmp_path / "src")
    import_dataset("vindr_cxr", src, tmp_path / "train")
    import_dataset("vindr_cxr", src, tmp_path / "test", part="test")
    train, test = (read_images(tmp_path / part, 32) for part in ("train", "test"))
    assert train.labels.shape == (12, 27) and len(test) == 4
    assert train.class_counts()[FINDINGS[7]] == 0 and train.labels[3, 3] == 1 and train.labels.sum() == 6
    assert not ids(tmp_path / "train") & ids(tmp_path / "test")


def test_the_list_tells_kind_and_licence(capsys):
    assert main(["--list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(lines) == set(IMPORTERS)
    assert "breast ultrasound" in lines["bus_uclm"] and "CC-BY-4.0" in lines["bus_uclm"]
    for kind in ("breast ultrasound", "chest X-ray", "brain MRI", "lung CT"):
        assert any(kind in line for line in lines.values())


def test_echoes_become_an_image_whose_brightness_follows_the_envelope():
    grey = b_mode(oasbud.echoes(0))
    assert grey.dtype == np.uint8 and grey.shape == (round(480 * 1540e3 / 80e6 * 52 / 38), 52)
    flat = b_mode(np.sin(np.arange(400))[:, None] * np.ones((1, 40)))
    assert (flat[2:-2] > 230).all()
    assert not b_mode(np.zeros((400, 40))).any()


def test_an_oasbud_of_another_kind(tmp_path):
    src = oasbud.write(tmp_path / "src")
    (src / "OASBUD.mat").write_bytes(b"no MATLAB file")
    with pytest.raises(InputError, match=r"OASBUD.mat: cannot be read"):
        import_dataset("oasbud", src, tmp_path / "set")


def test_what_is_not_confirmed_is_said_in_the_list_and_the_help(capsys):
    lines = {line.split()[0]: line for line in listing()}
    for name, row in IMPORTERS.items():
        assert ("unconfirmed: " in lines[name]) == bool(row.unconfirmed)
        assert all(word in lines[name] for word in row.unconfirmed)
    assert "unconfirmed: licence" in lines["oasbud"] and "unconfirmed" not in lines["busi"]
    assert not any("layout" in row.unconfirmed and row.compared_with for row in IMPORTERS.values())
    main(["busis", "--help"])
    assert "Unconfirmed: layout and licence" in " ".join(capsys.readouterr().out.split())
    main(["chestmnist", "--help"])
    assert "compared with the table of labels in the package medmnist" in " ".join(capsys.readouterr().out.split())
