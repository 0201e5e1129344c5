"""A CheXpert of seven patients: frontal and lateral views, all four states of a label, two tables."""

from tests.fakes.pictures import save_grey

HEADER = ("Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,"
          "Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,"
          "Fracture,Support Devices")  # fmt: skip
# Pleural Effusion and Edema of each patient of train/, then of valid/.
STATES = {"train": [("1.0", "-1.0"), ("0.0", ""), ("-1.0", "1.0"), ("", "0.0"), ("1.0", "")],
          "valid": [("1.0", "0.0"), ("0.0", "1.0")]}  # fmt: skip


def write(folder):
    """Write train/, valid/ and their tables below `folder`; every patient has a frontal and a lateral view."""
    number = 0
    for split, states in STATES.items():
        lines = [HEADER]
        for effusion, edema in states:
            number += 1
            for view in ("view1_frontal", "view2_lateral"):
                place = f"{split}/patient{number:05d}/study1/{view}.jpg"
                save_grey(folder / place, seed=1400 + 2 * number + (view == "view2_lateral"))
                side = "Lateral" if "lateral" in view else "Frontal"
                lines.append(f"CheXpert-v1.0-small/{place},Female,68,{side},AP,,,,,,{edema},,,,,{effusion},,,1.0")
        (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return folder


EXPECTED = {
    "images": 7,
    "classes": ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"),
    "patients": 7,
}
