"""A VinDr-CXR of twelve training and four test images: three readers' rows per training image, one row of consensus per test image."""

from sweep.importers.vindr_cxr import FINDINGS
from tests.fakes.dicom import header, with_pixels
from tests.fakes.pictures import picture


def write(folder):
    """Write annotations/, train/ and test/ below `folder`."""
    columns = [*FINDINGS, "No finding"]
    train, test = (
        ["image_id,rad_id," + ",".join(columns)],
        ["image_id," + ",".join(columns[:-2]) + ",Other disease,No finding"],
    )
    for number in range(16):
        part, name = ("train", "test")[number >= 12], f"{number:032x}"
        (folder / part).mkdir(parents=True, exist_ok=True)
        image = with_pixels(header(2500 + number, name), picture(2500 + number))
        image.save_as(folder / part / f"{name}.dicom", enforce_file_format=True)
        for reader in range(3 if part == "train" else 1):
            found = {FINDINGS[number % 5]} if number % 2 and reader < 2 else set()
            found |= {FINDINGS[7]} if reader == 2 else set()  # one reader of three: no majority
            cells = [str(int(name in found)) for name in FINDINGS] + [str(int(not found))]
            (train if part == "train" else test).append(
                ",".join([name, *([f"R{reader + 8}"] if part == "train" else []), *cells])
            )
    (folder / "annotations").mkdir()
    for part, lines in (("train", train), ("test", test)):
        (folder / "annotations" / f"image_labels_{part}.csv").write_text("\n".join(lines) + "\n")
    return folder


EXPECTED = {"images": 12, "classes": FINDINGS, "patients": 0}
