"""A BUSIS of twelve cases: BUSIS562.csv with padded names, Original/ and GT/ with unpadded ones."""

from tests.fakes.pictures import save_grey, save_mask


def write(folder):
    """Write the archive's layout below `folder`."""
    root, lines = folder / "BUSIS", ["img name,Ground Truth Name,tumor type"]
    for number in range(1, 13):
        save_grey(root / "Original" / f"case{number}.bmp", seed=2200 + number)
        save_mask(root / "GT" / f"case{number}_GT.bmp")
        lines.append(f"case{number:03d},case{number:03d}_GT,{'B' if number < 8 else 'M'}")
    (root / "BUSIS562.csv").write_text("\n".join(lines) + "\n")
    return root


EXPECTED = {"images": 12, "classes": ("benign", "malignant"), "patients": 12}
