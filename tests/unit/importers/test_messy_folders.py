"""Folders as people leave them: every file is read, refused or counted with the reason why it is not read."""

import os

import numpy as np
import pytest
from PIL import Image

from sweep.core.errors import InputError
from sweep.importers import import_dataset
from sweep.importers.__main__ import main
from sweep.importers.folder import _compiled, patients_by_name
from sweep.importers.walk import images_and_masks, listing, natural_key
from sweep.shards.reader import read_manifest, read_metadata
from tests.fakes import kermany
from tests.fakes.pictures import picture, save_grey


def source(folder, labels=("ill", "well"), each=3):
    """Class folders of grey pictures."""
    for start, label in enumerate(labels):
        for number in range(each):
            save_grey(folder / label / f"{number}.png", seed=10 * start + number)
    return folder


def imported(folder, tmp_path, **options):
    accounts = []
    manifest = import_dataset("folder", folder, tmp_path / "out", on_account=accounts.append, **options)
    assert accounts[0].read == manifest.images
    return accounts[0]


def refused(folder, tmp_path, **options):
    with pytest.raises(InputError) as mistake:
        import_dataset("folder", folder, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists() and mistake.value.fix
    return str(mistake.value)


def test_every_file_is_accounted_for(tmp_path, capsys):
    src = source(tmp_path / "in")
    save_grey(src / "ill" / "masks" / "0.png", seed=90)
    save_grey(src / "contact sheet.png", seed=91)
    for name in ("notes.txt", "Thumbs.db", ".DS_Store", "._0.png", "more.zip", "0.png.bak"):
        (src / "ill" / name).write_bytes(
            (src / "ill" / "0.png").read_bytes() if name.endswith("bak") else b"PK\x03\x04"
        )
    (src / "__MACOSX" / "ill").mkdir(parents=True)
    save_grey(src / "__MACOSX" / "ill" / "._0.png", seed=92)
    (src / "ill" / "again").symlink_to(src / "well")
    (src / "ill" / "round").symlink_to(src / "ill")
    (src / "ill" / "gone").symlink_to(src / "nowhere")
    account = imported(src, tmp_path)
    assert account.read == 9 and account.files == 6 + 1 + 1 + 6 + 1 + 3
    assert {reason: count for reason, (count, _) in account.ignored.items()} == {
        "masks by their names": 1, "images that this layout does not use": 1, "no images (.txt)": 1, "hidden and system files": 4,
        "archives, which are not unpacked": 1, "images under the suffix .bak": 1, "links to folders that are read already": 2,
        "links to nothing": 1,
    }  # fmt: skip
    main(["folder", str(src), str(tmp_path / "told")])
    said = capsys.readouterr().out
    assert (
        "saw 18 files: 9 images read, 0 refused, 12 ignored" in said
        and "1 masks by their names, like ill/masks/0.png" in said
    )
    kept = read_manifest(tmp_path / "told").settings["account"]
    assert kept["read"] == 9 and kept["ignored"]["no images (.txt)"] == 1 and "notes" not in str(kept)


def test_linked_folders_are_read_once(tmp_path):
    src = source(tmp_path / "in")
    source(tmp_path / "elsewhere", ("more",))
    (src / "ill" / "linked").symlink_to(tmp_path / "elsewhere" / "more")
    assert imported(src, tmp_path).read == 9
    assert "ill/linked/0.png" in set(read_metadata(tmp_path / "out")["image_id"])


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.jfif", "JPEG"), ("a.jp2", "JPEG2000"), ("a.pgm", "PPM"), ("a.tga", "TGA"), ("a", "PNG"), ("1.2.840.3", "PNG"), ("A.PNG", "PNG"),
     ("a.tiff", "TIFF"), ("a.webp", "WEBP"), ("a.gif", "GIF"), ("a.bmp", "BMP"), ("a.jpg", "PNG"), ("x" * 250, "PNG")],
)  # fmt: skip
def test_images_of_every_format_and_name_are_read(tmp_path, name, form):
    src = source(tmp_path / "in", each=1)
    how = {"lossless": True} if form == "WEBP" else {}
    Image.fromarray(picture(5)).save(src / "ill" / name, format=form, **how)
    assert imported(src, tmp_path).read == 3


@pytest.mark.parametrize(
    "name",
    [b"caf\xe9.png", "1\u00b23.png".encode(), "\u0663.png".encode(), b"a\nb.png", b"\x1b[31mred.png", b"a b (1).png", b"-rf.png", "\u202egnp.png".encode(),
     b"[a]*?.png", b"'\".png"],
)  # fmt: skip
def test_any_file_name_is_read_and_shown_without_control_characters(tmp_path, capsys, name):
    src = source(tmp_path / "in", each=1)
    (src / "ill" / "0.png").rename(os.fsdecode(os.fsencode(src / "ill") + b"/" + name))
    assert main(["folder", str(src), str(tmp_path / "out")]) == 0
    ids = read_metadata(tmp_path / "out")["image_id"]
    assert len(ids) == 2 and all(text.isprintable() for text in ids)
    with open(os.fsencode(src / "ill") + b"/" + name, "wb"):
        pass
    assert main(["folder", str(src), str(tmp_path / "bad")]) == 2
    said = capsys.readouterr().err
    assert "0 bytes" in said and said.replace("\n", "").isprintable()


def test_names_are_sorted_whatever_digits_they_hold():
    names = ["benign (10)", "benign (2)", "1\u00b23", "\u0663", "12", "2"]
    found = sorted(names, key=natural_key)
    assert found.index("2") < found.index("12") and found.index("benign (2)") < found.index("benign (10)")


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path, kind):
    src = source(tmp_path / "in")
    place = src / "ill" / "scan.png"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "link":
        place.symlink_to(tmp_path / "nowhere.png")
    else:
        place.mkdir()
        assert imported(src, tmp_path).read == 6
        return
    assert {"pipe": "not a regular file", "link": "a link to nothing"}[kind] in refused(src, tmp_path)


def test_a_folder_that_cannot_be_listed_is_no_empty_folder(tmp_path, monkeypatch):
    src = source(tmp_path / "in")
    scandir = os.scandir

    def locked(path):
        if str(path).endswith("well"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(InputError, match="cannot be listed"):
        listing(src)


@pytest.mark.parametrize(
    "names",
    [("training_set", "test_set"), ("train", "test"), ("Training", "Testing"), ("trainData", "valData"), ("fold1", "fold2"), ("images_train", "images_val"),
     ("train",), ("ill", "well", "test")],
)  # fmt: skip
def test_parts_of_a_split_are_no_classes(tmp_path, names):
    assert "of a split, not" in refused(source(tmp_path / "in", names), tmp_path)


def test_a_folder_around_the_classes_is_no_class(tmp_path):
    source(tmp_path / "in" / "my data")
    said = refused(tmp_path / "in", tmp_path)
    assert "would be the only class" in said and f"give SRC {tmp_path / 'in' / 'my data'}" in said
    source(tmp_path / "one", ("ill",))
    assert "--accept one-class" in refused(tmp_path / "one", tmp_path)
    assert imported(tmp_path / "one", tmp_path, accept=["one-class"]).read == 3


@pytest.mark.parametrize(
    "names", [("Benign", "benign"), ("ill", "ill "), ("not ill", "not_ill"), ("1", "01"), ("\u00e9", "e\u0301")]
)
def test_two_spellings_of_one_class_are_refused(tmp_path, names):
    assert "look like one class" in refused(source(tmp_path / "in", names), tmp_path)


def test_a_class_that_vanishes_is_refused(tmp_path):
    src = source(tmp_path / "in", ("a", "b", "c"), each=2)
    for path in (src / "c").iterdir():
        path.write_bytes(b"")
    said = refused(src, tmp_path, skip_bad=2)
    assert "no image of the class 'c' is left" in said and "--accept lost-class" in said
    assert imported(src, tmp_path, skip_bad=2, accept=["lost-class"]).refused == 2


def test_a_label_for_every_image_is_refused(tmp_path):
    assert "6 labels for 6 images" in refused(source(tmp_path / "in", "abcdef", each=1), tmp_path)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [(r"^(p)\d", "all 16 images have the same patient id"), (r"^(p\d)", "takes 'p1' out of a longer number"), (r"(\d)_", "takes '0' out of a longer number"),
     (r"^(q\d+)", "does not match"), (r"^(x*)", "gives no patient"), (r"(a+)+$", "does not match"), ("(", "no regular expression"),
     ("a(b){1,2}(c)", "2 groups"), (r"^(?:p)(\d+){", "")],
)  # fmt: skip
def test_patterns_that_cannot_name_patients(tmp_path, pattern, said):
    for number in range(16):
        save_grey(tmp_path / "in" / ("ill", "well")[number % 2] / f"p{10 + number // 2}_{number % 2}.png", seed=number)
    if said:
        assert said in refused(tmp_path / "in", tmp_path, patient_regex=pattern)


def test_a_pattern_that_never_ends_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("sweep.importers.folder._SECONDS", 0.5)
    with pytest.raises(
        InputError, match=r"patient_regex \(--patient-regex\): .*longer than 0.5 s; write it without nested"
    ):
        patients_by_name(_compiled(r"^(a+)+$"), [tmp_path / ("a" * 60 + "b")])


def test_one_patient_a_class_is_refused(tmp_path):
    src = source(tmp_path / "in", each=9)
    table = tmp_path / "patients.csv"
    lines = [f"{path.relative_to(src).as_posix()},{path.parent.name}" for path in src.rglob("*.png")]
    table.write_text("image,patient\n" + "\n".join(lines) + "\n")
    assert "each class is one patient" in refused(src, tmp_path, patients=str(table))
    table.write_text("image,patient\nill/0.png,1\nill/0.png,2\n")
    assert "a second patient of 'ill/0.png'" in refused(src, tmp_path, patients=str(table))


def test_kermany_is_not_oct2017(tmp_path):
    kermany.write(tmp_path / "in")
    for split in ("train", "test"):
        for name in ("CNV", "DME", "DRUSEN"):
            save_grey(tmp_path / "in" / "chest_xray" / split / name / f"{name}-1-1.jpeg", seed=1)
    with pytest.raises(InputError, match="CNV: a folder of 1 images that is no class of this data set"):
        import_dataset("kermany", tmp_path / "in", tmp_path / "out")
    (tmp_path / "only" / "train").mkdir(parents=True)
    (tmp_path / "in" / "chest_xray" / "train" / "NORMAL").rename(tmp_path / "only" / "train" / "NORMAL")
    with pytest.raises(InputError, match="PNEUMONIA: there is no such folder"):
        import_dataset("kermany", tmp_path / "only", tmp_path / "out")


def test_several_pages_and_frames_are_refused(tmp_path):
    pages = [Image.fromarray(picture(number)) for number in range(3)]
    for name, how in (("a.tif", {}), ("a.gif", {}), ("a.webp", {"lossless": True}), ("a.png", {})):
        src = source(tmp_path / name)
        pages[0].save(src / "ill" / name, save_all=True, append_images=pages[1:], **how)
        assert "nothing says which one is meant" in refused(src, tmp_path)


def test_twelve_bits_beside_eight_are_not_taken_for_sixteen(tmp_path):
    src = source(tmp_path / "in")
    for number in range(4):
        Image.fromarray(picture(number).astype(np.uint16) * 16).save(src / "ill" / f"deep{number}.png")
    assert "none of the 4 images of more than eight bits spans more than" in refused(src, tmp_path)
    assert imported(src, tmp_path, depth=12).read == 10
    for number in range(4):
        Image.fromarray(picture(number).astype(np.uint16) * 257).save(src / "well" / f"deep{number}.png")
    with pytest.raises(InputError, match="4 of 8 images of more than eight bits"):
        import_dataset("folder", src, tmp_path / "mixed")


def test_tga_and_pages_of_masks_are_told_apart(tmp_path):
    src = source(tmp_path / "in", ("one",))
    images, masks = images_and_masks(src)
    assert len(images) == 3 and not masks


def test_what_a_killed_import_left_is_cleared_by_the_next_one(tmp_path):
    src = source(tmp_path / "in")
    draft = tmp_path / ".out.abcdefgh"  # as `new_folder` names it
    draft.mkdir()
    (draft / "part-00000.parquet").write_bytes(b"PAR1")
    (tmp_path / ".out.importing").mkdir()
    (tmp_path / ".out.importing" / "lock").touch()
    imported(src, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    with pytest.raises(InputError, match="destination is not empty"):
        imported(src, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
