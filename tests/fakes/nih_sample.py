"""A sample of ChestX-ray14: its table under the sample's name, all images in one folder."""

from tests.fakes import chestxray14

EXPECTED = chestxray14.EXPECTED


def write(folder):
    """Write sample_labels.csv and images/ below `folder`."""
    chestxray14.write(folder)
    (folder / "Data_Entry_2017.csv").rename(folder / "sample_labels.csv")
    images = folder / "images"
    images.mkdir()
    for path in sorted(folder.glob("images_*/images/*.png")):
        path.rename(images / path.name)
    for name in ("train_val_list.txt", "test_list.txt"):
        (folder / name).unlink()
    return folder
