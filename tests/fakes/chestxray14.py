"""A ChestX-ray14 of six patients: two image folders, an RGBA file, the official lists."""

from tests.fakes.pictures import save_grey, save_tinted

FINDINGS = ["No Finding", "Effusion|Infiltration", "No Finding", "Cardiomegaly", "Hernia|Effusion", "No Finding"]
HEADER = ("Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
          "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],")  # fmt: skip


def write(folder):
    """Write images_001/, images_002/, Data_Entry_2017.csv and the two lists below `folder`."""
    lines, names = [HEADER], []
    for patient, findings in enumerate(FINDINGS, start=1):
        for visit in range(2):
            name = f"{patient:08d}_{visit:03d}.png"
            save_grey(folder / f"images_{1 + visit:03d}" / "images" / name, seed=1300 + 2 * patient + visit)
            lines.append(f"{name},{findings},{visit},{patient},58,M,PA,2682,2749,0.143,0.143,")
            names.append(name)
    save_tinted(folder / "images_001" / "images" / "00000001_000.png", seed=1302, alpha=128)
    (folder / "Data_Entry_2017.csv").write_text("\n".join(lines) + "\n")
    (folder / "train_val_list.txt").write_text("\n".join(names[:8]) + "\n")
    (folder / "test_list.txt").write_text("\n".join(names[8:]) + "\n")
    return folder


EXPECTED = {
    "images": 12,
    "classes": ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia",
                "Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax"),
    "patients": 6,
}  # fmt: skip
