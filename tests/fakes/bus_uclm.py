"""A BUS-UCLM of nine patients: images/, masks/ in colour, INFO.csv separated by semicolons."""

from tests.fakes.pictures import save_grey, save_mask

LABELS = ["Benign"] * 3 + ["Malignant"] * 3 + ["Normal"] * 3


def write(folder):
    """Write the archive's layout below `folder`."""
    root, lines = folder / "BUS-UCLM", ["Image;Doppler;Marks;Label"]
    for patient, label in enumerate(LABELS):
        for frame in range(2):
            name = f"{'ABCDEFGHI'[patient]}NFO_{frame:03d}.png"
            save_grey(root / "images" / name, seed=2000 + 2 * patient + frame)
            save_mask(root / "masks" / name)
            lines.append(f"{name};No;No;{label}")
    (root / "INFO.csv").write_text("\n".join(lines) + "\n")
    return root


EXPECTED = {"images": 18, "classes": ("benign", "malignant", "normal"), "patients": 9}
