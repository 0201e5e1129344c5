"""Slices of volumes are the same picture whatever the order in which the voxels are stored."""

import numpy as np
import pytest

from sweep.core.errors import InputError
from sweep.importers import import_dataset
from sweep.importers.volumes import count_slices, read_slice
from tests.fakes import volumes as fake
from tests.fakes.pictures import picture

WINDOW = "1275/2550"


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "ASR", "IPL", "SAL"])
@pytest.mark.parametrize(("plane", "count"), [("axial", 10), ("coronal", 16), ("sagittal", 12)])
def test_a_slice_does_not_depend_on_the_order_of_storage(tmp_path, orientation, plane, count):
    array = fake.volume(5)
    fake.save_nifti(tmp_path / "a.nii.gz", array, orientation)
    assert count_slices(tmp_path / "a.nii.gz", plane) == count
    axis = {"sagittal": 0, "coronal": 1, "axial": 2}[plane]
    expected = np.rot90(np.take(array, 3, axis) // 10)
    assert np.array_equal(read_slice(tmp_path / "a.nii.gz", plane, 3, WINDOW).grey, expected)


def test_eight_bits_need_no_window(tmp_path):
    np.save(tmp_path / "a.npy", np.stack([picture(1), picture(2)]))
    assert np.array_equal(read_slice(tmp_path / "a.npy", "axial", 1, "").grey, picture(2))
    np.save(tmp_path / "b.npy", np.zeros((2, 40, 52), np.float32))
    with pytest.raises(InputError, match="no known scale; pass --window"):
        read_slice(tmp_path / "b.npy", "axial", 1, "")


def _object(path):
    np.save(path, np.array([{}]), allow_pickle=True)


BAD = {
    "objects.npy": _object,
    "text.npy": lambda path: np.save(path, np.array(["a"])),
    "flat.npy": lambda path: np.save(path, picture(1)),
    "five.npy": lambda path: np.save(path, np.zeros((1, 2, 3, 4, 5))),
    "short.npy": lambda path: (np.save(path, np.zeros((4, 9, 9))), path.write_bytes(path.read_bytes()[:-99])),
    "empty.nii": lambda path: path.write_bytes(b""),
    "noise.nii": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "noise.nii.gz": lambda path: path.write_bytes(b"\x1f\x8b" + bytes(range(99))),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_volume_is_refused_by_name(tmp_path, name):
    fake.write(tmp_path / "in")
    BAD[name](tmp_path / "in" / "ill" / name)
    with pytest.raises(InputError) as refused:
        import_dataset("volumes", tmp_path / "in", tmp_path / "out", **fake.OPTIONS)
    assert refused.value.where.endswith(name) and not (tmp_path / "out").exists()
    assert import_dataset("volumes", tmp_path / "in", tmp_path / "out", skip_bad=1, **fake.OPTIONS).images == 30
