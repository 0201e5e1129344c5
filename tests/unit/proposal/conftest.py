"""Two hospitals as a user has them: images in a subfolder a class, and images without labels."""

from types import SimpleNamespace

import pytest

from sweep.importers import import_dataset
from sweep.shards.reader import read_images, read_metadata


@pytest.fixture(scope="session")
def hospitals(tmp_path_factory):
    """here: class folders with files named by patient; there: one folder of unlabelled files; imported: the latter's shards, with labels."""
    from PIL import Image

    place = tmp_path_factory.mktemp("hospitals")
    for letter in "ab":
        import_dataset(f"phantom-{letter}", None, place / letter, patients=24, image_px=64)
    for letter in "ab":
        rows = read_metadata(place / letter)
        images = read_images(place / letter, 64).images
        for number, (label, patient, pixels) in enumerate(zip(rows["label"], rows["patient"], images, strict=True)):
            if label == "normal":
                continue
            folder = place / "here" / label if letter == "a" else place / "there"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{patient}_{number}.png")
    return SimpleNamespace(here=place / "here", there=place / "there", imported=place / "b")
