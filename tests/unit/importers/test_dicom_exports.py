"""What clinics' exports hold: names that are UIDs, reports among the images, elements that are empty, missing or do not make sense."""

import shutil
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, JPEGLSLossless, SegmentationStorage

from sweep.core.errors import InputError
from sweep.importers import import_dataset
from sweep.importers.account import Account
from sweep.importers.dicom_header import is_dicom, read_facts
from sweep.importers.dicom_pixels import read_frame
from sweep.shards.reader import read_metadata
from tests.fakes import dicom as fake
from tests.fakes.pictures import picture

KEY = b"a key of the tests"


def saved(tmp_path, image, name="a.dcm"):
    fake.save(image, tmp_path / name)
    return tmp_path / name


def export(tmp_path, change=None, patients=6):
    """Class folders of 12-bit images in files named by UID; `change(image, number)` alters each."""
    for number in range(patients):
        image = fake.image_of("deep", 300 + number, patient=number)
        if change is not None:
            change(image, number)
        name = f"1.2.840.113619.2.55.3.{number}"
        fake.save(image, tmp_path / "in" / ("ill", "well")[number % 2] / name)
    (tmp_path / "key").write_text(fake.KEY)
    return {"key_file": str(tmp_path / "key")}


def imported(tmp_path, options, **more):
    accounts = []
    manifest = import_dataset("dicom", tmp_path / "in", tmp_path / "out", on_account=accounts.append, **options, **more)
    return manifest, accounts[0]


def test_files_named_by_uid_are_found_by_content(tmp_path):
    options = export(tmp_path)
    (tmp_path / "in" / "ill" / "notes.txt").write_text("about")
    (tmp_path / "in" / "ill" / "VERSION").write_text("1")
    manifest, account = imported(tmp_path, options)
    assert manifest.images == 6 and set(read_metadata(tmp_path / "out")["label"]) == {"ill", "well"}
    assert account.ignored == {
        "no images (.txt)": (1, "ill/notes.txt"),
        "no images (without suffix)": (1, "ill/VERSION"),
    }


def test_reports_and_directories_are_ignored_and_said(tmp_path):
    options = export(tmp_path)
    report = fake.header(900, 1, Modality="SR")
    del report.PhotometricInterpretation
    fake.save(report, tmp_path / "in" / "ill" / "1.2.3.900")
    directory = fake.header(901, 1)
    directory.SOPClassUID = directory.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    fake.save(directory, tmp_path / "in" / "well" / "DICOMDIR")
    manifest, account = imported(tmp_path, options)
    assert manifest.images == 6
    assert {reason: count for reason, (count, _) in account.ignored.items()} == {
        "DICOM files without a scan (modality SR)": 1,
        "DICOM directories (DICOMDIR)": 1,
    }
    assert "DICOMDIR" not in str(manifest.settings["account"]).replace("(DICOMDIR)", "")


def other_files(folder):
    """Beside the images: a localizer, a segmentation that has pixels and a copy of a screen."""
    localizer, segments, screen = (fake.image_of("monochrome2", 70 + number, patient=1) for number in range(3))
    localizer.Modality, localizer.ImageType = "CT", ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    segments.SOPClassUID = segments.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    fake.save(localizer, folder / "ill" / "localizer")
    fake.save(segments, folder / "well" / "segments")
    screen.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    del screen.BurnedInAnnotation
    return screen


def test_what_shows_no_patient_is_ignored_and_said(tmp_path):
    options = export(tmp_path)
    screen = other_files(tmp_path / "in")
    accounts = []
    manifest = import_dataset("dicom", tmp_path / "in", tmp_path / "out", on_account=accounts.append, **options)
    assert manifest.images == 6
    assert [(count, reason) for reason, (count, _) in accounts[0].ignored.items()] == [
        (1, "DICOM files of localizers, which only plan the other images"),
        (1, "DICOM files without a scan (Segmentation Storage)"),
    ]
    assert "copy of a screen" in read_facts(saved(tmp_path, screen), KEY).written_on


def test_a_class_of_files_without_images_is_missed(tmp_path):
    options = export(tmp_path)
    report = fake.header(99, 1)
    report.Modality = "SR"
    fake.save(report, tmp_path / "in" / "unclear" / "report")
    with pytest.raises(InputError, match="no image of the class 'unclear' is left"):
        import_dataset("dicom", tmp_path / "in", tmp_path / "out", **options)


def test_one_image_in_two_files_is_named_and_the_manifest_names_neither(tmp_path):
    options = export(tmp_path)
    first = tmp_path / "in" / "ill" / "1.2.840.113619.2.55.3.0"
    shutil.copy(first, first.with_name("DOE"))
    with pytest.raises(InputError, match="DOE: the same image as another file; remove it or .*55.3.0"):
        import_dataset("dicom", tmp_path / "in", tmp_path / "out", **options)
    manifest = import_dataset("dicom", tmp_path / "in", tmp_path / "out", skip_bad=1, **options)
    assert manifest.settings["skipped"][0].endswith("the same image as another file")
    shutil.move(first.with_name("DOE"), tmp_path / "in" / "well" / "DOE")
    with pytest.raises(InputError, match=r"DOE: listed twice, as .*55.3.0, with the labels 'ill' and 'well'"):
        import_dataset("dicom", tmp_path / "in", tmp_path / "two", **options)


def test_pixels_that_are_not_square_and_floating_point_pixels(tmp_path):
    image = fake.image_of("deep", 31, patient=1)
    image.PixelSpacing = [0.2, 0.2]
    assert read_frame(saved(tmp_path, image)).warning == ""
    image.PixelSpacing = [0.2, 0.1]
    warning = read_frame(saved(tmp_path, image, "b.dcm")).warning
    assert warning == "its pixels are not square (PixelSpacing 0.2 x 0.1), and shapes are stretched"
    image.FloatPixelData = np.zeros((image.Rows, image.Columns), np.float32).tobytes()
    for name in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(image, name)
    image.BitsAllocated = 32
    with pytest.raises(InputError, match="floating-point pixels, whose greys have no known scale"):
        read_facts(saved(tmp_path, image, "c.dcm"), KEY)


def test_the_manifest_names_no_path_of_this_machine(tmp_path):
    manifest, _ = imported(tmp_path, export(tmp_path))
    assert str(tmp_path) not in str(manifest.to_json()) and manifest.settings["key_file"] == "given"


def test_a_blank_patient_id_keeps_a_study_together(tmp_path):
    def blank(image, number):
        image.PatientID = ""
        image.StudyInstanceUID = f"1.2.3.{number // 2}"

    options = export(tmp_path, blank)
    imported(tmp_path, options)
    frame = read_metadata(tmp_path / "out")
    assert frame["patient"].nunique() == 3 and frame["patient"].str.startswith("study ").all()
    assert not frame["patient"].str.contains("1.2.3", regex=False).any()


def test_a_series_is_kept_together_where_there_is_no_study(tmp_path):
    def blank(image, number):
        del image.PatientID
        image.SeriesInstanceUID = f"1.2.3.{number // 2}"

    imported(tmp_path, export(tmp_path, blank))
    assert read_metadata(tmp_path / "out")["patient"].nunique() == 3


def test_one_id_over_many_studies_is_a_placeholder(tmp_path):
    def anonymous(image, number):
        image.PatientID = "ANON" if number < 11 else "REAL"
        image.StudyInstanceUID = f"1.2.3.{number}"

    options = export(tmp_path, anonymous, patients=12)
    with pytest.raises(InputError, match="one patient id covers 11 of 12 studies.*--patient-from study"):
        imported(tmp_path, options)
    imported(tmp_path, options, patient_from="study")
    assert read_metadata(tmp_path / "out")["patient"].nunique() == 12


def test_optional_elements_without_a_value_are_no_damage(tmp_path):
    image = fake.image_of("monochrome2", 31, patient=1)
    for name in ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "NumberOfFrames", "PlanarConfiguration",
                 "VOILUTFunction", "PixelPaddingValue", "IssuerOfPatientID"):  # fmt: skip
        setattr(image, name, None)
    image.VOILUTSequence = image.ModalityLUTSequence = Sequence([])
    path = saved(tmp_path, image)
    assert read_facts(path, KEY).frames == 1 and np.array_equal(read_frame(path).grey, picture(31))


def _functional(**elements):
    group = pydicom.Dataset()
    for name, value in elements.items():
        inner = pydicom.Dataset()
        for element, number in value.items():
            setattr(inner, element, number)
        setattr(group, name, Sequence([inner]))
    return group


def test_enhanced_images_are_windowed_by_their_functional_groups(tmp_path):
    image = fake.header(7, 1, BitsAllocated=16, BitsStored=12, HighBit=11)
    grey = picture(31).astype(np.uint16)
    image = fake.with_pixels(image, np.stack([grey * 4, grey * 8]))
    image.SharedFunctionalGroupsSequence = Sequence(
        [_functional(PixelValueTransformationSequence={"RescaleSlope": 2, "RescaleIntercept": -100})]
    )
    image.PerFrameFunctionalGroupsSequence = Sequence(
        [
            _functional(
                FrameVOILUTSequence={
                    "WindowCenter": top / 2 - 100,
                    "WindowWidth": top,
                    "VOILUTFunction": "LINEAR_EXACT",
                }
            )
            for top in (255 * 8, 255 * 16)
        ]
    )
    path = saved(tmp_path, image)
    assert all(np.abs(read_frame(path, frame).grey.astype(int) - picture(31)).max() <= 1 for frame in (0, 1))
    del image.PerFrameFunctionalGroupsSequence[1]
    with pytest.raises(InputError, match="functional groups of 1 frames and no frame 1"):
        read_frame(saved(tmp_path, image, "b.dcm"), 1)


@pytest.mark.parametrize("kind", ["monochrome2", "monochrome1"])
def test_padding_is_black(tmp_path, kind):
    image = fake.image_of("deep", 31, patient=1)
    image.PhotometricInterpretation = kind.upper()
    stored = np.frombuffer(image.PixelData, np.uint16).reshape(40, 52).copy()
    stored[:10], stored[10:20] = 4000, 4005
    image.PixelPaddingValue, image.PixelPaddingRangeLimit = 4000, 4010
    image.PixelData = stored.tobytes()
    grey = read_frame(saved(tmp_path, image)).grey
    assert not grey[:20].any() and grey[20:].any()


NONSENSE = {
    "slope 0": ({"RescaleSlope": 0, "RescaleIntercept": 0}, "RescaleSlope is 0"),
    "slope without end": ({"RescaleSlope": "1e999", "RescaleIntercept": 0}, "RescaleSlope is inf"),
    "width 0": ({"WindowCenter": 100, "WindowWidth": 0}, "a window of width 0"),
    "negative width": ({"WindowCenter": 100, "WindowWidth": -50}, "a window of width -50"),
    "no width": ({"WindowCenter": 100, "WindowWidth": None}, "a window without WindowWidth"),
    "nothing in the window": ({"WindowCenter": 1e6, "WindowWidth": 10}, "shows nothing of the values"),
    "unknown function": ({"WindowCenter": 100, "WindowWidth": 10, "VOILUTFunction": "CUBIC"}, "'CUBIC' is unknown"),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_windows_and_slopes_without_sense_are_refused(tmp_path, kind):
    elements, problem = NONSENSE[kind]
    image = fake.image_of("monochrome2", 31, patient=1)
    for name, value in elements.items():
        setattr(image, name, value)
    path = saved(tmp_path, image)
    with pytest.raises(InputError, match=problem) as refused:
        read_frame(path)
    assert refused.value.where == str(path) and refused.value.fix


@pytest.mark.parametrize("window", ["40/0", "40/-3", "nan/30", "40/inf", "40", "a/b", "0/0.5"])
def test_windows_by_hand_without_sense_are_refused(tmp_path, window):
    with pytest.raises(InputError, match="is no window"):
        imported(tmp_path, export(tmp_path, patients=2), window=window)


@pytest.mark.parametrize("said", ["no", "N", "UNKNOWN", "YES", "FALSE"])
def test_only_an_exact_no_rules_burned_in_text_out(tmp_path, said):
    image = fake.image_of("deep", 31, patient=1)
    image.Modality, image.BurnedInAnnotation = "CT", said
    assert read_facts(saved(tmp_path, image), KEY).written_on
    image.BurnedInAnnotation = "NO"
    assert not read_facts(saved(tmp_path, image), KEY).written_on


def region(left=4, top=10, right=47, bottom=35, kind=1):
    made = pydicom.Dataset()
    made.RegionLocationMinX0, made.RegionLocationMinY0, made.RegionLocationMaxX1, made.RegionLocationMaxY1 = (
        left,
        top,
        right,
        bottom,
    )
    made.RegionSpatialFormat = kind
    return made


LIES = {
    "outside": (region(right=400), "in a frame of 52 x 40"),
    "turned round": (region(left=40, right=4), "in a frame of 52 x 40"),
    "everything": (region(0, 0, 51, 39), "cover the whole frame"),
    "graphics alone": (region(kind=5), "no SequenceOfUltrasoundRegions"),
}


@pytest.mark.parametrize("kind", LIES)
def test_regions_that_cannot_be_true_are_refused(tmp_path, kind):
    image = fake.several_frames(40, patient=1)
    image.SequenceOfUltrasoundRegions = Sequence([LIES[kind][0]])
    with pytest.raises(InputError, match=LIES[kind][1]):
        read_frame(saved(tmp_path, image), blank=True)


def test_big_endian_palettes(tmp_path):
    little = saved(tmp_path, fake.image_of("palette", 31, patient=1))
    image = fake.image_of("palette", 31, patient=1)
    image.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    for colour in ("Red", "Green", "Blue"):
        name = f"{colour}PaletteColorLookupTableData"
        setattr(image, name, np.frombuffer(getattr(image, name), "<u2").astype(">u2").tobytes())
    with open(tmp_path / "big.dcm", "wb") as stream:
        pydicom.dcmwrite(stream, image, implicit_vr=False, little_endian=False, enforce_file_format=True)
    assert np.array_equal(read_frame(tmp_path / "big.dcm").grey, read_frame(little).grey)


def test_a_dataset_without_preamble(tmp_path):
    whole = saved(tmp_path, fake.image_of("deep", 31, patient=1))
    image = pydicom.dcmread(whole)
    bare = tmp_path / "IM1"
    image.file_meta = FileMetaDataset()
    with open(bare, "wb") as stream:
        pydicom.dcmwrite(stream, image, implicit_vr=True, little_endian=True, enforce_file_format=False)
    data = bare.read_bytes()
    bare.write_bytes(data[data.index(b"\x08\0\x16\0") :])
    assert is_dicom(bare) and read_facts(bare, KEY).uid == read_facts(whole, KEY).uid
    assert np.array_equal(read_frame(bare).grey, read_frame(whole).grey)


@pytest.mark.parametrize("frames", [0, -3, 10**9])
def test_a_number_of_frames_that_the_file_cannot_hold(tmp_path, frames):
    image = fake.several_frames(40, patient=1)
    image.NumberOfFrames = frames
    with pytest.raises(InputError, match=r"frames of 52 x 40 pixels in"):
        read_facts(saved(tmp_path, image), KEY)


def test_a_deflated_file_that_grows_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sweep.importers.dicom_header._MOST_INFLATED", 64 << 20)
    image = fake.image_of("monochrome2", 31, patient=1)
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = saved(tmp_path, image)
    assert np.array_equal(read_frame(path).grey, picture(31))
    data = path.read_bytes()
    length = int.from_bytes(data[140:144], "little")
    deflate = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(80)) + deflate.flush()
    path.write_bytes(data[: 144 + length] + bomb)
    with pytest.raises(InputError, match="more than 64 MiB when inflated"):
        read_facts(path, KEY)


def test_a_missing_decoder_is_named_with_what_holds_it(tmp_path):
    image = fake.image_of("monochrome2", 31, patient=1)
    image.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xf7" + bytes(60)])
    image["PixelData"].VR = "OB"
    image.file_meta.TransferSyntaxUID = JPEGLSLossless
    path = saved(tmp_path, image)
    with pytest.raises(InputError) as refused:
        read_frame(path)
    if "no decoder" in refused.value.problem:
        assert "recipe-finder[dicom-jpeg]" in refused.value.fix
    else:
        assert "damaged" in refused.value.problem


def test_wrong_bits_are_refused(tmp_path):
    image = fake.image_of("monochrome2", 31, patient=1)
    del image.BitsStored
    with pytest.raises(InputError, match="no BitsStored"):
        read_facts(saved(tmp_path, image), KEY)


def test_an_account_of_nothing_has_no_people():
    assert "no patient ids" in Account().lines()[-1]
