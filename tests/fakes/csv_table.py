"""A table of twelve images with patients and hospitals, in a folder of any shape."""

from tests.fakes.pictures import save_grey


def write(folder):
    """Write scans/ and images.csv below `folder` and return the table's path."""
    lines = ["file,diagnosis,person,hospital"]
    for number in range(12):
        name = f"scans/{number % 2}/x{number}.png"
        save_grey(folder / name, seed=1800 + number)
        lines.append(
            f"{name},{'sick' if number % 3 else 'healthy'},p{number // 2},{'north' if number < 6 else 'south'}"
        )
    (folder / "images.csv").write_text("\n".join(lines) + "\n")
    return folder / "images.csv"


OPTIONS = {"path_column": "file", "label_column": "diagnosis", "patient_column": "person",
           "domain_column": "hospital"}  # fmt: skip
EXPECTED = {"images": 12, "classes": ("healthy", "sick"), "patients": 6}
