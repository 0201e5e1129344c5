"""A Kermany archive: names of both editions, persons with several films, some of them in train and test, two identical files."""

import shutil

from tests.fakes.pictures import save_grey

FILES = {
    "train/NORMAL": [
        "IM-0115-0001",
        "IM-0117-0001",
        "NORMAL2-IM-0173-0001-0001",
        "NORMAL2-IM-0173-0001-0002",
        "NORMAL-28501-0001",
    ],
    "train/PNEUMONIA": [
        "person1_bacteria_1",
        "person1_bacteria_2",
        "person3_virus_15",
        "person4_virus_9",
        "BACTERIA-213622-0001",
        "VIRUS-310421-0001",
    ],
    "val/NORMAL": ["NORMAL2-IM-1427-0001"],
    "val/PNEUMONIA": ["person1946_bacteria_4874"],
    "test/NORMAL": ["IM-0001-0001", "NORMAL2-IM-0030-0001"],
    "test/PNEUMONIA": ["person1_virus_6", "person100_bacteria_475", "BACTERIA-213622-0002"],
}


def write(folder):
    """Write chest_xray/ below `folder`."""
    seed = 1200
    for place, names in FILES.items():
        for name in names:
            seed += 1
            save_grey(folder / "chest_xray" / place / f"{name}.jpeg", seed=seed)
    normal = folder / "chest_xray" / "train" / "NORMAL"
    shutil.copy(normal / "NORMAL2-IM-0173-0001-0001.jpeg", normal / "NORMAL2-IM-0173-0001-0002.jpeg")
    return folder


EXPECTED = {"images": 18, "classes": ("normal", "pneumonia"), "patients": 14}
