"""What is particular to each layout: patients, scanners, official lists, uncertain labels, array shapes."""

import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from sweep.core.errors import InputError
from sweep.importers import import_dataset
from sweep.importers.files import images_and_masks
from sweep.shards.reader import read_images, read_manifest, read_metadata
from sweep.shards.splits import make_split
from tests.fakes import brain4, brest, busbra, chestmnist, chestxray14, chexpert, csv_table, folder, kermany, medmnist
from tests.fakes.pictures import picture


def imported(name, src, tmp_path, **options):
    import_dataset(name, src, tmp_path / "out", **options)
    return read_metadata(tmp_path / "out")


def refused(name, src, tmp_path, **options):
    with pytest.raises(InputError) as mistake:
        import_dataset(name, src, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    return str(mistake.value)


@pytest.fixture
def source(tmp_path):
    return tmp_path / "source"


def test_busbra_scanner_is_the_domain_and_can_be_chosen(source, tmp_path):
    busbra.write(source)
    whole = imported("busbra", source, tmp_path)
    assert set(whole["domain"]) == set(busbra.DEVICES) and (whole.groupby("patient").size() == 2).all()
    one = imported("busbra", source, tmp_path / "one", device="GE Logiq 5")
    assert set(one["domain"]) == {"GE Logiq 5"} and len(one) == 8
    assert "did you mean GE Logiq 5" in refused("busbra", source, tmp_path / "two", device="GE Logiq 6")


def test_busbra_names_the_row_of_a_missing_image(source, tmp_path):
    busbra.write(source)
    (source / "Images" / "bus_0002-l.png").unlink()
    assert "bus_data.csv, row 4, column ID" in refused("busbra", source, tmp_path)


def test_kermany_person_is_one_group_over_the_published_folders(source, tmp_path):
    frame = imported("kermany", kermany.write(source), tmp_path)
    first = frame[frame["patient"] == "person1"]
    assert sorted(path.split("/")[0] for path in first["source_path"]) == ["test", "train", "train"]
    assert (frame["patient"] == "NORMAL2-IM-0173").sum() == 2
    mendeley = frame[frame["patient"] == "213622"]
    assert sorted(path.split("/")[0] for path in mendeley["source_path"]) == ["test", "train"] and "28501" in set(
        frame["patient"]
    )
    split = make_split(frame, seed=0).frame.set_index("image_id")["fold"]
    assert split[first["image_id"]].nunique() == 1


def test_kermany_published_folder(source, tmp_path):
    frame = imported("kermany", kermany.write(source), tmp_path, split="test")
    assert len(frame) == 5 and "unknown" in refused("kermany", source, tmp_path / "x", split="dev")


def test_kermany_refuses_other_names(source, tmp_path):
    kermany.write(source)
    train = source / "chest_xray" / "train" / "NORMAL"
    (train / "IM-0115-0001.jpeg").rename(train / "scan.jpeg")
    assert "scan.jpeg" in refused("kermany", source, tmp_path)


def test_chestxray14_findings_and_official_lists(source, tmp_path):
    chestxray14.write(source)
    whole = imported("chestxray14", source, tmp_path, finding="any")
    assert (whole["label"] == "abnormal").sum() == 6 and whole["transparent"].sum() == 1
    effusion = imported("chestxray14", source, tmp_path / "e", finding="Effusion", split="train_val")
    assert len(effusion) == 8 and (effusion["label"] == "abnormal").sum() == 2
    assert "did you mean Effusion" in refused("chestxray14", source, tmp_path / "x", finding="Efusion")
    (source / "test_list.txt").unlink()
    assert "official lists" in refused("chestxray14", source, tmp_path / "y", split="test")


@pytest.mark.parametrize(
    ("finding", "uncertain", "images", "abnormal"),
    [("Pleural Effusion", "ones", 7, 4), ("Pleural Effusion", "zeros", 7, 3), ("Pleural Effusion", "mix", 7, 3),
     ("Pleural Effusion", "ignore", 6, 3), ("Edema", "mix", 7, 3), ("Edema", "zeros", 7, 2)],
)  # fmt: skip
def test_chexpert_uncertain_labels(source, tmp_path, finding, uncertain, images, abnormal):
    frame = imported("chexpert", chexpert.write(source), tmp_path, finding=finding, uncertain=uncertain)
    assert (len(frame), (frame["label"] == "abnormal").sum()) == (images, abnormal)
    assert not frame["source_path"].str.contains("lateral").any()


def test_chestxray14_partial_download_and_other_mistakes(source, tmp_path):
    chestxray14.write(source)
    for number in (1, 2):
        (source / "images_001" / "images" / f"0000000{number}_000.png").unlink()
    assert "row 2, column Image Index: no image '00000001_000.png'" in refused("chestxray14", source, tmp_path)
    frame = imported("chestxray14", source, tmp_path, skip_bad=2)
    assert len(frame) == 10 and len(read_manifest(tmp_path / "out").settings["skipped"]) == 2
    (source / "images_003").mkdir()
    shutil.copy(source / "images_002" / "images" / "00000003_001.png", source / "images_003" / "00000003_001.png")
    said = refused("chestxray14", source, tmp_path / "x", skip_bad=9)
    assert "images_002/images/00000003_001.png" in said and "images_003/00000003_001.png" in said
    (source / "test_list.txt").write_bytes("Zürich.png".encode("latin-1"))
    assert "test_list.txt: not UTF-8" in refused("chestxray14", source, tmp_path / "y", split="test")


def test_brest_refuses_one_name_in_two_folders(source, tmp_path):
    brest.write(source)
    (source / "copy").mkdir()
    shutil.copy(source / brest.IMAGES / "case001.png", source / "copy" / "case001.png")
    said = refused("brest", source, tmp_path)
    assert f"{brest.IMAGES}/case001.png" in said and "copy/case001.png" in said


def test_missing_images_are_skipped_by_every_table(source, tmp_path):
    busbra.write(source / "busbra")
    (source / "busbra" / "Images" / "bus_0002-l.png").unlink()
    brest.write(source / "brest")
    (source / "brest" / brest.IMAGES / "case004.png").unlink()
    for name, images in (("busbra", 15), ("brest", 9)):
        assert len(imported(name, source / name, tmp_path / name, skip_bad=1)) == images


def test_folder_refuses_what_is_no_class(source, tmp_path):
    busbra.write(source / "archive")
    assert "Masks: by its name it holds masks" in refused("folder", source / "archive", tmp_path)
    for part in ("train", "valid", "test"):
        folder.write(source / "split" / part)
    assert "its folders test, train, valid are parts of a split" in refused("folder", source / "split", tmp_path)


@pytest.mark.parametrize(("name", "mask"), [
    ("a_mask.png", True), ("a_mask_1.png", True), ("mask_0001-l.png", True), ("a_segmentation.png", True), ("a_tumor.png", True), ("a_other2.png", True),
    ("a_annotation.png", True), ("b_tumor.png", False), ("unmasked.png", False), ("a2.png", False), ("masks/x.png", True), ("lung masks/x.png", True),
])  # fmt: skip
def test_masks_are_recognised_by_the_names_of_published_sets(source, name, mask):
    for file in ("a.png", name):
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).touch()
    images, masks = images_and_masks(source)
    assert (source / name in masks) == mask and (source / name in images) != mask and source / "a.png" in images


def test_a_deep_set_of_the_wrong_depth_is_refused(source, tmp_path):
    for number in range(4):
        (source / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number).astype(np.uint16) * 16).save(
            source / "ab"[number % 2] / f"{number}.png"
        )  # twelve bits
    assert "more than eight bits spans more than" in refused("folder", source, tmp_path)
    imported("folder", source, tmp_path, depth=12)
    assert (
        read_images(tmp_path / "out", 52, fit="stretch").images.max() > 200
        and read_manifest(tmp_path / "out").settings["depth"] == 12
    )
    assert imported("folder", source, tmp_path / "dark", depth=16)["label"].tolist() == ["a", "a", "b", "b"]
    assert "17 bits" in refused("folder", source, tmp_path / "x", depth=17)


def test_chexpert_views_and_split(source, tmp_path):
    frame = imported("chexpert", chexpert.write(source), tmp_path, views="all", split="valid")
    assert len(frame) == 4 and frame["patient"].nunique() == 2
    assert "maybe" in refused("chexpert", source, tmp_path / "x", uncertain="maybe")
    assert "did you mean Edema" in refused("chexpert", source, tmp_path / "y", finding="Edma")


def test_chexpert_refuses_an_unknown_state(source, tmp_path):
    table = chexpert.write(source) / "train.csv"
    table.write_text(table.read_text().replace("-1.0", "perhaps"))
    message = refused("chexpert", source, tmp_path, finding="Edema")
    assert "row 2, column Edema" in message and "'perhaps'" in message


def test_chexpert_keeps_every_state_of_five_findings(source, tmp_path):
    imported("chexpert", chexpert.write(source), tmp_path)
    manifest, labels = read_manifest(tmp_path / "out"), read_images(tmp_path / "out", 32).labels
    assert manifest.multi_label and manifest.classes[3:] == ("Edema", "Pleural Effusion")
    assert labels[:, 4].tolist() == [1, 0, -1, 0, 1, 1, 0] and labels[:, 3].tolist() == [-1, 0, 1, 0, 0, 0, 1]
    imported("chexpert", source, tmp_path / "unknown", blank="unknown")
    found = read_images(tmp_path / "unknown" / "out", 32).labels
    assert np.isnan(found[1, 3]) and np.isnan(found[:, 0]).all() and found[0, 3] == -1


def test_chestxray14_competition_findings_have_chexpert_names(source, tmp_path):
    imported("chestxray14", chestxray14.write(source), tmp_path, findings="competition")
    manifest, labels = read_manifest(tmp_path / "out"), read_images(tmp_path / "out", 32).labels
    assert manifest.classes == chexpert.EXPECTED["classes"]
    assert labels.sum(axis=0).tolist() == [0, 2, 0, 0, 4]
    assert "competition" in refused("chestxray14", source, tmp_path / "x", findings="five")


def test_medmnist_counts_malignant_as_positive(source, tmp_path):
    imported("medmnist", medmnist.write(source), tmp_path)
    labels = read_images(tmp_path / "out", 28).labels
    published = np.concatenate([medmnist.arrays()[f"{split}_labels"].ravel() for split in medmnist.SIZES])
    assert np.array_equal(labels, 1 - published)
    assert read_manifest(tmp_path / "out").positive == "malignant"


@pytest.mark.parametrize("compressed", [False, True])
def test_medmnist_colour_and_many_findings(source, tmp_path, compressed):
    source.mkdir()
    save = np.savez_compressed if compressed else np.savez
    arrays = medmnist.arrays(px=64, colour=True, findings=4)
    save(source / "chestmnist_64.npz", **arrays)
    path = source / "chestmnist_64.npz"
    frame = imported("medmnist", path, tmp_path, finding="2", split="val")
    assert frame["label"].eq("abnormal").tolist() == (arrays["val_labels"][:, 2] > 0).tolist()
    assert frame["height"].tolist() == [64] * 3
    assert "4 findings" in refused("medmnist", path, tmp_path / "x", finding="9")
    assert "--finding any" in refused("medmnist", path, tmp_path / "y")


def test_chestmnist_keeps_all_findings_in_the_published_order(source, tmp_path):
    path = chestmnist.write(source)
    frame = imported("chestmnist", path, tmp_path, split="val")
    published = np.load(path)["val_labels"]
    names = np.array(["Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
                      "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia"])  # fmt: skip
    assert list(frame["label"]) == ["|".join(names[row > 0]) or "no finding" for row in published]
    assert "medmnist" in refused("chestmnist", medmnist.write(source), tmp_path / "x")


def test_medmnist_never_unpickles(source, tmp_path):
    source.mkdir()
    arrays = medmnist.arrays() | {"train_labels": np.array([{}] * 12, dtype=object)}
    np.savez(source / "x.npz", **arrays)
    assert "plain" in refused("medmnist", source / "x.npz", tmp_path)


@pytest.mark.parametrize("wrong", ["absent", "float", "short", "long", "empty", "garbage"])
def test_medmnist_refuses_other_arrays(source, tmp_path, wrong):
    source.mkdir()
    arrays = medmnist.arrays()
    if wrong == "absent":
        del arrays["val_images"]
    elif wrong == "float":
        arrays["test_images"] = arrays["test_images"].astype(np.float32)
    elif wrong in ("short", "empty"):
        arrays["train_labels"] = arrays["train_labels"][: 3 * (wrong == "short")]
    elif wrong == "long":
        arrays["train_images"] = arrays["train_images"][:3]
    np.savez(source / "x.npz", **arrays)
    if wrong == "garbage":
        with zipfile.ZipFile(source / "x.npz", "w") as archive:
            archive.writestr("train_labels.npy", b"garbage garbage")
    told = []
    assert "x.npz" in refused("medmnist", source / "x.npz", tmp_path, on_total=told.append)
    assert told in ([], [20], [11], [8])


def test_brain4_published_folder(source, tmp_path):
    frame = imported("brain4", brain4.write(source), tmp_path, split="Testing")
    assert len(frame) == 8 and read_images(tmp_path / "out", 16).classes[0] == "no tumor"


def test_csv_domains_and_mistakes(source, tmp_path):
    table = csv_table.write(source)
    frame = imported("csv", table, tmp_path, **csv_table.OPTIONS)
    assert frame["domain"].value_counts().to_dict() == {"north": 6, "south": 6}
    assert "did you mean diagnosis" in refused("csv", table, tmp_path / "a", path_column="file",
                                               label_column="diagnoses")  # fmt: skip
    text = table.read_text()
    for change, said in [(("x3.png,healthy", "x3.png,"), "row 5, column diagnosis"), (("scans/1/x3", "../x3"), "outside"),
                         (("scans/1/x3", "scans/1/x99"), "row 5, column file")]:  # fmt: skip
        table.write_text(text.replace(*change))
        assert said in refused("csv", table, tmp_path / "b", **csv_table.OPTIONS)
    table.write_text(text.replace(",", ";"))
    assert len(imported("csv", table, tmp_path / "s", **csv_table.OPTIONS)) == 12
    table.write_text(text.replace("healthy", "None"))
    assert set(imported("csv", table, tmp_path / "n", **csv_table.OPTIONS)["label"]) >= {"None"}
    table.write_bytes(text.replace("healthy", "gesünd").encode("latin-1"))
    assert "UTF-8" in refused("csv", table, tmp_path / "c", **csv_table.OPTIONS)
