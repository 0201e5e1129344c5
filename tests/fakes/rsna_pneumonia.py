"""An RSNA pneumonia set of twelve patients: DICOM files by patient id, a row per box, and the detailed classes."""

from tests.fakes.dicom import header, with_pixels
from tests.fakes.pictures import picture

DETAILS = ["Normal", "No Lung Opacity / Not Normal", "Lung Opacity"]


def write(folder):
    """Write the challenge's layout below `folder`."""
    images = folder / "stage_2_train_images"
    images.mkdir(parents=True)
    boxes, details = ["patientId,x,y,width,height,Target"], ["patientId,class"]
    for number in range(12):
        name, detail = f"{number:08x}-36ec-4415-8d34-7aa5ed5b4f40", DETAILS[number % 3]
        with_pixels(header(2400 + number, name), picture(2400 + number)).save_as(
            images / f"{name}.dcm", enforce_file_format=True
        )
        for _ in range(2 if detail == "Lung Opacity" else 1):  # two boxes are two rows
            boxes.append(f"{name},264.0,152.0,213.0,379.0,1" if detail == "Lung Opacity" else f"{name},,,,,0")
            details.append(f"{name},{detail}")
    (folder / "stage_2_train_labels.csv").write_text("\n".join(boxes) + "\n")
    (folder / "stage_2_detailed_class_info.csv").write_text("\n".join(details) + "\n")
    return folder


EXPECTED = {"images": 12, "classes": ("no pneumonia", "pneumonia"), "patients": 12}
