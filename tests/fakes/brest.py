"""A BrEaST of ten cases: spreadsheet, masks beside images, one transparent, one tinted, one normal."""

import pandas as pd

from tests.fakes.pictures import save_grey, save_mask, save_tinted

IMAGES = "BrEaST-Lesions_USG-images_and_masks"
SPREADSHEET = "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx"
LABELS = ["benign"] * 5 + ["malignant"] * 4 + ["normal"]


def write(folder):
    """Write the archive's layout below `folder`."""
    rows = []
    for number, label in enumerate(LABELS, start=1):
        name = f"case{number:03d}"
        save_grey(folder / IMAGES / f"{name}.png", seed=500 + number)
        mask = ""
        if label != "normal":
            mask = f"{name}_tumor.png"
            save_mask(folder / IMAGES / mask)
        rows.append({"CaseID": number, "Image_filename": f"{name}.png", "Mask_tumor_filename": mask,
                     "Mask_other_filename": "", "Age": 50 + number, "Classification": label})  # fmt: skip
    save_tinted(folder / IMAGES / "case002.png", seed=502)
    save_tinted(folder / IMAGES / "case003.png", seed=503, alpha=0)
    save_mask(folder / IMAGES / "case001_other1.png")
    pd.DataFrame(rows).to_excel(folder / SPREADSHEET, index=False)
    return folder


EXPECTED = {"images": 10, "classes": ("benign", "malignant", "normal"), "patients": 10}
