"""What source and target share never reaches training; cross-validation and held-out scanners from a sweep config."""

import json

import numpy as np
import pytest

from sweep.config.json_schema import schema
from sweep.config.load import load_config
from sweep.config.sweep_config import DataSection
from sweep.core.errors import InputError, InputErrors
from sweep.core.storage import Storage
from sweep.data.datasets import CARD_FILE, DIRECTIONS, TARGET_TO_SOURCE, prepare
from sweep.data.domains import FOLDS
from sweep.importers.phantom import simulate
from sweep.shards.schema import Header, ShardRow
from sweep.shards.writer import write_dataset

SCANNERS = ("logiq", "vivid", "acuson")


def rows(scanner, prefix=""):
    return [
        ShardRow(f"{prefix}{raw.image_id}", raw.pixels, raw.label, raw.patient)
        for raw in simulate(scanner, 40, image_px=48)
    ]


def written(folder, name, images, citation=""):
    write_dataset(folder, Header(name=name, domain=name, citation=citation), images)
    return str(folder)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two hospitals; the target has a mirrored source image, an identical one, and an image of a source patient."""
    place = tmp_path_factory.mktemp("pair")
    here, there = rows("a"), rows("b")
    lesions = [row for row in here if row.label != "normal"]
    first, second = lesions[0], next(row for row in lesions if row.patient != lesions[0].patient)
    third = next(row for row in lesions if row.patient not in (first.patient, second.patient))
    there += [
        ShardRow("mirrored", np.ascontiguousarray(np.fliplr(first.image)), first.label),
        ShardRow("identical", second.image, second.label),
        ShardRow("visitor", simulate_other(), third.label, third.patient),
    ]
    shared = {row.image_id for row in lesions if row.patient in (first.patient, second.patient, third.patient)}
    return written(place / "here", "here", here), written(place / "there", "there", there), shared


def simulate_other():
    return next(iter(simulate("b", 1, seed=9, image_px=48))).pixels


def test_what_the_target_has_too_is_left_out_of_the_source(pair, tmp_path, capsys):
    here, there, shared = pair
    data = prepare(DataSection(source=here, target=there, image_px=32), Storage(tmp_path))
    source = data.split[data.split["fold"] != "target"].set_index("image_id")
    assert set(source.index[source["fold"] == "unused"]) == shared
    assert {"mirrored", "identical", "visitor"} <= set(data.fold("target")["image_id"])
    audit = json.loads((tmp_path / CARD_FILE).read_text())["audit"]
    facts = audit["left_out_of_source_to_target_for"]
    assert sum(facts.values()) == len(shared) and facts["a_picture"] >= 2 and facts["a_patient"] >= 1
    assert (
        f"data: {len(shared)} images are left out of training, validation and test on here: " in capsys.readouterr().out
    )


def test_the_other_direction_leaves_out_its_own(pair, tmp_path):
    here, there, shared = pair
    data = prepare(DataSection(source=here, target=there, image_px=32), Storage(tmp_path), DIRECTIONS)
    back = data.directed(TARGET_TO_SOURCE)
    assert set(back.split.loc[back.split["fold"] == "unused", "image_id"]) == {"mirrored", "identical", "visitor"}
    assert shared <= set(back.fold("target")["image_id"])


def test_two_publications_number_their_patients_each_for_itself(tmp_path):
    images = [ShardRow(f"{row.image_id}x", row.image, row.label, row.patient.replace("b", "a")) for row in rows("b")]
    here = written(tmp_path / "here", "here", rows("a"), "Some et al.")
    for citation, leaves_out in (("Other et al.", False), ("", True)):
        there = written(tmp_path / f"there {citation}", "there", images, citation)
        data = prepare(DataSection(source=here, target=there, image_px=32), Storage(tmp_path / f"run {citation}"))
        assert ("unused" in set(data.split["fold"])) == leaves_out


def test_nothing_left_to_train_on_is_refused(tmp_path):
    folders = [written(tmp_path / name, name, rows("a", name)) for name in ("here", "there")]
    with pytest.raises(InputError, match="every other image shares a patient or picture with the target"):
        prepare(DataSection(source=folders[0], target=folders[1], image_px=32), Storage(tmp_path / "run"))


def test_one_folder_twice_is_refused(pair, tmp_path):
    with pytest.raises(InputError, match="source and target are both"):
        prepare(DataSection(source=pair[0], target=pair[0], image_px=32), Storage(tmp_path))


def test_folds_test_every_image_once_and_validate_on_the_next(tmp_path):
    section = {"source": "phantom-a", "target": "phantom-b", "image_px": 32, "phantom_patients": 60}
    made = [prepare(DataSection(**section, folds=3, fold=fold), Storage(tmp_path)) for fold in range(3)]
    tested = [set(data.fold("test")["image_id"]) for data in made]
    everything = set(made[0].split.loc[made[0].split["fold"] != "target", "image_id"])
    assert set.union(*tested) == everything and sum(map(len, tested)) == len(everything)
    assert [set(data.fold("val")["image_id"]) for data in made] == [tested[1], tested[2], tested[0]]
    assert len({data.hash for data in made}) == 3 and len({data.fold_hash("target") for data in made}) == 1


@pytest.fixture(scope="module")
def scanners(tmp_path_factory):
    """One folder of three scanners; patient a00000 was seen on two of them."""
    found = rows("a")
    numbered = {patient: number for number, patient in enumerate(dict.fromkeys(row.patient for row in found))}
    images = [
        ShardRow(row.image_id, row.image, row.label, row.patient, domain=SCANNERS[numbered[row.patient] % 3])
        for row in found
    ]
    ill = next(row for row in found if row.label != "normal" and numbered[row.patient] % 3 != 2)
    images.append(ShardRow("moved", simulate_other(), ill.label, ill.patient, domain="acuson"))
    return written(tmp_path_factory.mktemp("scanners") / "set", "set", images), ill.patient


def test_a_scanner_is_held_out_of_the_source_folder(scanners, tmp_path):
    folder, moved = scanners
    data = prepare(DataSection(source=folder, hold_out=["acuson"], image_px=32), Storage(tmp_path), DIRECTIONS)
    assert (
        data.source == data.target
        and data.read("target").domain == "acuson"
        and data.read("test").domain == "set without acuson"
    )
    target, unused = set(data.fold("target")["image_id"]), data.split[data.split["fold"] == "unused"]
    assert "moved" in target and set(unused["image_id"].str.rpartition("-")[0]) == {moved}
    folds = [set(data.fold(fold)["image_id"]) for fold in FOLDS]
    assert all(folds) and sum(map(len, folds)) == len(set.union(*folds))
    assert len(data.directed(TARGET_TO_SOURCE).fold("train")) > 0


def test_an_unknown_scanner_is_refused(scanners, tmp_path):
    with pytest.raises(InputError, match=r"data.hold_out: no image of 'acusonn'; did you mean acuson\?"):
        prepare(DataSection(source=scanners[0], hold_out=["acusonn"], image_px=32), Storage(tmp_path))


@pytest.mark.parametrize(("given", "said"), [
    ("target: phantom-b, folds: 5", "folds is given without the other; give both"),
    ("target: phantom-b, fold: 1", "fold is given without the other; give both"),
    ("target: phantom-b, folds: 5, fold: 5", "fold 5 is none of 5 folds; give 0 to 4"),
    ("target: phantom-b, folds: 2, fold: 1", "data.folds: 2 does not fit"),
    ("target: phantom-b, hold_out: [x]", "hold_out takes the target out of phantom-a, and target names phantom-b; keep one"),
    ("image_px: 64", "data.target: is missing"),
])  # fmt: skip
def test_contradictions_are_refused(tmp_path, given, said):
    path = tmp_path / "sweep_config.yaml"
    path.write_text(f"name: x\ndata: {{source: phantom-a, {given}}}\n")
    with pytest.raises(InputErrors) as refused:
        load_config(path)
    assert said in str(refused.value)


def test_schema_wants_a_target_or_a_hold_out():
    assert (
        schema()["$defs"]["DataSection"]["required"] == ["source"]
        and len(schema()["$defs"]["DataSection"]["anyOf"]) == 2
    )
