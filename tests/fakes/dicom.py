"""A clinic's DICOM export of eight patients in class folders: real Part 10 files of every pixel kind that the importer reads."""

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, SecondaryCaptureImageStorage

from tests.fakes.pictures import picture

KEY = "a secret of the clinic\n"
KINDS = ("monochrome2", "monochrome1", "deep", "signed", "rgb", "ybr", "palette", "rle")


def header(seed, patient, **elements):
    """A secondary-capture image without pixels; `elements` are set last."""
    file = FileMetaDataset()
    file.TransferSyntaxUID = ExplicitVRLittleEndian
    file.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    file.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.8.498.{seed}"
    image = pydicom.Dataset()
    image.file_meta = file
    image.SOPClassUID, image.SOPInstanceUID = file.MediaStorageSOPClassUID, file.MediaStorageSOPInstanceUID
    image.PatientName, image.PatientID, image.PatientBirthDate = "Doe^Jane", f"HOSPITAL-{patient}", "19700101"
    image.Modality, image.BurnedInAnnotation = "CR", "NO"
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    for name, value in elements.items():
        setattr(image, name, value)
    return image


def with_pixels(image, pixels):
    """The image with its pixels and their size, frames first where there are several."""
    frames = pixels.ndim - 2 - (image.SamplesPerPixel == 3)
    if frames:
        image.NumberOfFrames = pixels.shape[0]
    image.Rows, image.Columns = pixels.shape[frames : frames + 2]
    image.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    return image


def _deep(image, signed=False):
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, int(signed)


def image_of(kind, seed, patient):
    """One image of a pixel kind; all kinds show `picture(seed)`."""
    grey = picture(seed)
    image = header(seed, patient)
    if kind == "monochrome1":
        image.PhotometricInterpretation = "MONOCHROME1"
        return with_pixels(image, 255 - grey)
    if kind == "deep":  # 12 bits, the picture between 1024 and 2044, said by the window
        _deep(image)
        image.WindowCenter, image.WindowWidth = [1534.5, 40], [1021, 80]
        return with_pixels(image, grey.astype(np.uint16) * 4 + 1024)
    if kind == "signed":  # Hounsfield-like: stored around zero, rescaled to [-100, 920]
        _deep(image, signed=True)
        image.RescaleSlope, image.RescaleIntercept = 2, -100
        image.WindowCenter, image.WindowWidth, image.VOILUTFunction = 410, 1020, "LINEAR_EXACT"
        return with_pixels(image, grey.astype(np.int16) * 2)
    if kind in ("rgb", "ybr"):
        image.SamplesPerPixel, image.PlanarConfiguration = 3, 0
        image.PhotometricInterpretation = "RGB"
        pixels = np.stack([grey] * 3, axis=2)
        if kind == "ybr":
            image.PhotometricInterpretation = "YBR_FULL"
            pixels = np.stack([grey, np.full_like(grey, 128), np.full_like(grey, 128)], axis=2)
        return with_pixels(image, pixels)
    if kind == "palette":  # stored upside down, turned back by the table
        image.PhotometricInterpretation = "PALETTE COLOR"
        table = (np.arange(255, -1, -1) * 257).astype(np.uint16).tobytes()
        for colour in ("Red", "Green", "Blue"):
            setattr(image, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
            setattr(image, f"{colour}PaletteColorLookupTableData", table)
        return with_pixels(image, 255 - grey)
    image = with_pixels(image, grey)
    if kind == "rle":
        image.compress(RLELossless)
    return image


def several_frames(seed, patient, count=3):
    """An ultrasound clip with the patient's name written above the scan, and the region that the scan fills."""
    image = header(seed, patient, Modality="US", BurnedInAnnotation="YES")
    region = pydicom.Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 4, 10
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 47, 35
    image.SequenceOfUltrasoundRegions = Sequence([region])
    return with_pixels(image, np.stack([picture(seed + number) for number in range(count)]))


def save(image, path):
    """Write a Part 10 file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)


def write(folder):
    """Eight patients with an image of another kind each in both classes, a clip, and the key beside the folder."""
    for number, kind in enumerate(KINDS):
        for place, label in enumerate(("healthy", "ill")):
            seed = 1700 + 20 * number + 10 * place
            save(image_of(kind, seed, patient=2 * number + place), folder / label / f"IM{number:04d}.dcm")
    save(several_frames(1900, patient=99), folder / "ill" / "series" / "clip.dcm")
    OPTIONS["key_file"] = str(folder.parent / "clinic.key")
    (folder.parent / "clinic.key").write_text(KEY)
    return folder


OPTIONS = {"burned_in": "blank", "key_file": ""}
EXPECTED = {"images": 19, "classes": ("healthy", "ill"), "patients": 17}
