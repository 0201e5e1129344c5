"""A Dataset B of twelve images: DatasetB.xlsx with bare numbers, original/ and GT/ with padded ones."""

import pandas as pd

from tests.fakes.pictures import save_grey, save_mask


def write(folder):
    """Write the archive's layout below `folder`."""
    rows = []
    for number in range(1, 13):
        save_grey(folder / "BUS" / "original" / f"{number:06d}.png", seed=2100 + number)
        save_mask(folder / "BUS" / "GT" / f"{number:06d}.png")
        rows.append({"Image": number, "Type": "Benign" if number < 8 else "Malignant"})
    pd.DataFrame(rows).to_excel(folder / "BUS" / "DatasetB.xlsx", index=False)
    return folder / "BUS"


EXPECTED = {"images": 12, "classes": ("benign", "malignant"), "patients": 0}
