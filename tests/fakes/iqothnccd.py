"""An IQ-OTH/NCCD of twelve slices, under the archive's spelling of benign."""

from tests.fakes.pictures import save_grey

FOLDERS = {"Bengin cases": "Bengin case", "Malignant cases": "Malignant case", "Normal cases": "Normal case"}


def write(folder):
    """Write the archive's inner folder below `folder`."""
    root = folder / "The IQ-OTHNCCD lung cancer dataset"
    for start, (place, name) in enumerate(FOLDERS.items()):
        for number in range(1, 5):
            save_grey(root / place / f"{name} ({number}).jpg", seed=1600 + 10 * start + number)
    (root / "IQ-OTH_NCCD lung cancer dataset.txt").write_text("about")
    return folder


EXPECTED = {"images": 12, "classes": ("benign", "malignant", "normal"), "patients": 12}
