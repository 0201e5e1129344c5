"""The command: what it writes, what it says, and exit code 2 with one message for wrong input."""

import io
import shutil

import pandas as pd
import pytest
from rich.console import Console

from sweep.core.errors import InputError
from sweep.importers import IMPORTERS, import_dataset
from sweep.importers.__main__ import main
from sweep.importers.progress import Counter
from sweep.shards.reader import read_manifest, read_metadata
from tests.fakes import brest, busi, dicom, folder, medmnist
from tests.fakes.pictures import save_grey


def test_summary_of_what_was_written(tmp_path, capsys):
    src = busi.write(tmp_path / "source")
    assert main(["busi", str(src), str(tmp_path / "out"), "--domain", "cairo", "--px", "20"]) == 0
    assert "20 images (benign 8, malignant 6, normal 6), domain cairo" in capsys.readouterr().out
    frame = read_metadata(tmp_path / "out")
    assert frame["width"].max() == 20 and frame["original_width"].max() == 52
    assert frame["image_id"].tolist()[:2] == ["benign (1)", "benign (2)"]
    assert (frame.set_index("image_id")["colour"] > 0.5).sum() == 1


def test_options_of_the_importer_are_flags(tmp_path):
    src = folder.write(tmp_path / "source")
    assert main(["folder", str(src), str(tmp_path / "out"), "--patient-regex", r"^(p\d+)_"]) == 0
    assert read_metadata(tmp_path / "out")["patient"].nunique() == 8


def test_patients_from_a_table(tmp_path):
    src = folder.write(tmp_path / "source")
    names = [path.relative_to(src).as_posix() for path in src.rglob("p*_*") if "masks" not in path.parts]
    table = tmp_path / "patients.csv"
    pd.DataFrame({"image": names, "patient": ["one"] * 16}).to_csv(table, index=False)
    with pytest.raises(InputError, match="all 16 images have the same patient id.*--accept few-patients"):
        import_dataset("folder", src, tmp_path / "out", patients=str(table))
    import_dataset("folder", src, tmp_path / "out", patients=str(table), accept=["few-patients"])
    assert set(read_metadata(tmp_path / "out")["patient"]) == {"one"}
    assert read_manifest(tmp_path / "out").settings["patients"] == "patients.csv"


def test_phantoms_need_no_source(tmp_path):
    assert main(["phantom-a", str(tmp_path / "out"), "--patients", "3", "--image-px", "32"]) == 0
    assert read_manifest(tmp_path / "out").settings["patients"] == 3


def _table(src, change):
    path = src / brest.SPREADSHEET
    frame = pd.read_excel(path)
    change(frame).to_excel(path, index=False)


MISTAKES = {
    "spreadsheet without the label column": (
        lambda src: _table(src, lambda f: f.rename(columns={"Classification": "Clasification"})),
        ["row 1", "'Classification'", "did you mean Clasification"],
    ),
    "a label of another study": (
        lambda src: _table(src, lambda f: f.assign(Classification=["benign"] * 9 + ["cyst"])),
        ["row 11, column Classification", "'cyst'", "benign, malignant, normal"],
    ),
    "an image that is not there": (
        lambda src: (src / brest.IMAGES / "case004.png").unlink(),
        ["row 5, column Image_filename", "case004.png"],
    ),
    "an unreadable image": (
        lambda src: (src / brest.IMAGES / "case004.png").write_bytes(b"\x89PNG"),
        ["case004.png", "--skip-bad"],
    ),
    "no spreadsheet": (lambda src: (src / brest.SPREADSHEET).unlink(), ["*.xlsx"]),
    "a damaged spreadsheet": (lambda src: (src / brest.SPREADSHEET).write_bytes(b"PK"), ["cannot be read"]),
    "an empty spreadsheet": (lambda src: _table(src, lambda f: f.iloc[:0]), ["no rows"]),
    "an image listed twice": (
        lambda src: _table(src, lambda f: f.assign(Image_filename=["case001.png"] * len(f))),
        ["case001", "twice"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_the_source(tmp_path, capsys, mistake):
    damage, said = MISTAKES[mistake]
    src = brest.write(tmp_path / "source")
    damage(src)
    assert main(["brest", str(src), str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert all(part in message for part in said), message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [(["busy", "a", "b"], "did you mean busi"), (["busi", "a"], "give two"), (["busi", "/nowhere", "b"], "/nowhere"),
     (["phantom-a", "{tmp}/x", "--patients", "0"], "0 patients"), (["phantom-a", "{tmp}/x", "--px", "2"], "(--px): 2 pixels"),
     (["phantom-a", "{tmp}/x", "{tmp}/y"], "2 paths given; give one"), (["busi", "a", "b", "c"], "3 paths given; give two"),
     (["--domain", "cairo", "busy", "a", "b"], "'busy' is unknown"), (["--domain", "cairo", "busi", "/nowhere", "b"], "/nowhere"),
     (["phantom-a", "{tmp}/x", "--skip-bad", "-1"], "(--skip-bad): -1"), (["busi", "{tmp}", "{tmp}/x", "--roi", "lesion"], "--roi: 'lesion' is unknown")],
)  # fmt: skip
def test_mistakes_on_the_command_line(tmp_path, capsys, argv, said):
    assert main([word.format(tmp=tmp_path) for word in argv]) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_bad_images_can_be_tolerated_up_to_a_number(tmp_path, capsys):
    src = busi.write(tmp_path / "source")
    for number in (1, 2):
        (src / "Dataset_BUSI_with_GT" / "normal" / f"normal ({number}).png").write_bytes(b"")
    assert main(["busi", str(src), str(tmp_path / "out"), "--skip-bad", "1"]) == 2
    assert not (tmp_path / "out").exists()
    assert main(["busi", str(src), str(tmp_path / "out"), "--skip-bad", "2"]) == 0
    assert "skipped 2 bad images" in capsys.readouterr().out
    manifest = read_manifest(tmp_path / "out")
    assert manifest.images == 18 and "normal (1).png" in manifest.settings["skipped"][0]


def test_help_names_what_an_option_may_be(capsys):
    assert main(["busi", "--help"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "One of none, box, mask. [default: none]" in page


@pytest.mark.parametrize("name", sorted(IMPORTERS))
def test_every_option_is_described(name):
    row = IMPORTERS[name]
    assert set(row.help) == set(row.options), "a sentence for each option of the importer, in `help` of its row"


def test_summary_of_what_was_ignored(tmp_path, capsys):
    main(["busi", str(busi.write(tmp_path / "busi")), str(tmp_path / "a"), "--roi", "box"])
    assert "6 normal scans, which have no lesion to crop to, like normal/normal (1).png" in capsys.readouterr().out
    main(["folder", str(folder.write(tmp_path / "folder")), str(tmp_path / "b")])
    assert "2 masks by their names, like healthy/masks/p0_0.png" in capsys.readouterr().out


def test_the_bar_counts_up_to_the_total_with_what_is_skipped(tmp_path):
    src = busi.write(tmp_path / "source")
    (src / "Dataset_BUSI_with_GT" / "normal" / "normal (1).png").write_bytes(b"")
    with Counter(Console(file=io.StringIO())) as counter:
        assert counter.shown == (0, None)
        import_dataset(
            "busi", src, tmp_path / "a", skip_bad=1, on_image=counter.done, on_skip=counter.skip, on_total=counter.total
        )
        assert counter.shown == (20, 20)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [("phantom-a", {"patients": 5, "image_px": 32}, None), ("medmnist", {}, 20), ("dicom", dicom.OPTIONS, "not known")],
)
def test_the_total_is_known_without_reading_images_or_not_at_all(tmp_path, name, options, expected):
    src = None if name == "phantom-a" else {"medmnist": medmnist, "dicom": dicom}[name].write(tmp_path / "source")
    told = []
    manifest = import_dataset(name, src, tmp_path / "out", on_total=told.append, **options)
    assert told == ([] if expected == "not known" else [expected or manifest.images])


def test_nothing_is_drawn_away_from_a_terminal(tmp_path, capsys):
    assert main(["busi", str(busi.write(tmp_path / "source")), str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err == ""


def test_an_empty_class_folder_is_named(tmp_path, capsys):
    src = folder.write(tmp_path / "source")
    shutil.rmtree(src / "sick")
    (src / "sick").mkdir()
    assert main(["folder", str(src), str(tmp_path / "out")]) == 2
    assert "sick" in capsys.readouterr().err


def test_equal_names_in_two_formats_are_two_images(tmp_path):
    for suffix in ("png", "bmp"):
        save_grey(tmp_path / "source" / "one" / f"same.{suffix}", seed=1)
    import_dataset("folder", tmp_path / "source", tmp_path / "out", accept=["one-class"])
    assert read_metadata(tmp_path / "out")["image_id"].tolist() == ["one/same.bmp", "one/same.png"]
