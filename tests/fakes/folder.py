"""Class folders with two images per patient, in several file formats and depths."""

from tests.fakes.pictures import save_grey, save_mask

SUFFIXES = ["png", "jpg", "bmp", "tif"]


def write(folder):
    """Write healthy/ and sick/ below `folder`: patient p<k> has the images p<k>_0 and p<k>_1."""
    for start, label in enumerate(("healthy", "sick")):
        for patient in range(4):
            for view in range(2):
                name = f"p{4 * start + patient}_{view}.{SUFFIXES[patient]}"
                below = "deep/er" if view else "."
                save_grey(folder / label / below / name, seed=700 + 100 * start + 10 * patient + view)
        save_mask(folder / label / "masks" / "p0_0.png")
        (folder / label / "notes.txt").write_text("not an image")
    return folder


OPTIONS = {"patient_regex": r"^(p\d+)_"}
EXPECTED = {"images": 16, "classes": ("healthy", "sick"), "patients": 8}
