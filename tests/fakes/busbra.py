"""A BUS-BRA of eight patients with two views each, on two scanners."""

import csv

from tests.fakes.pictures import save_grey, save_mask

DEVICES = ["GE Logiq 5", "Toshiba Aplio 300"]


def write(folder):
    """Write Images/, Masks/ and bus_data.csv below `folder`."""
    rows = []
    for case in range(1, 9):
        for side in "lr":
            name = f"bus_{case:04d}-{side}"
            save_grey(folder / "Images" / f"{name}.png", seed=1000 + 2 * case + (side == "r"))
            save_mask(folder / "Masks" / f"mask_{case:04d}-{side}.png")
            rows.append({"ID": name, "Case": case, "Histology": "Fibroadenoma", "BIRADS": 3,
                         "Pathology": "malignant" if case > 5 else "benign", "Device": DEVICES[case % 2],
                         "Width": 52, "Height": 40, "Side": "left", "BBOX": "[10,10,20,20]"})  # fmt: skip
    with open(folder / "bus_data.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    for folds in (5, 10):
        lines = ["ID,Case,Pathology,kFold"]
        lines += [f"{row['ID']},{row['Case']},{row['Pathology']},{row['Case'] % folds + 1}" for row in rows]
        (folder / f"{folds}-fold-cv.csv").write_text("\n".join(lines) + "\n")
    return folder


EXPECTED = {"images": 16, "classes": ("benign", "malignant"), "patients": 8}
