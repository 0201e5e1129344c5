"""Every message on the troubleshooting page is printed by the program: each is provoked here through the product's own code."""

import json
import re

import pandas as pd
import pytest

from analysis.trial_names import trial_signature, unique_start
from sweep.config.load import load_config
from sweep.config.shipped import find_config
from sweep.config.sweep_config import DataSection, Resources
from sweep.core.errors import Diverged, InputError
from sweep.core.storage import Storage
from sweep.data.datasets import prepare
from sweep.deployment.combine import check_shared_start
from sweep.deployment.images import Reading, read_new
from sweep.deployment.model_folder import Exported, read_exported
from sweep.importers import import_dataset
from sweep.init import main as init
from sweep.planning.capacity import capacity_of
from sweep.shards.reader import read_manifest
from sweep.store.run_folder import check_same_config, opened
from tests.docs.pages import text_of
from tests.fakes import dicom, folder

MESSAGES = re.findall(r"^\*\*`([^`\n]+)`\*\*", text_of("docs/troubleshooting.md"), re.MULTILINE)
TINY = "name: tiny\ndata: {source: phantom-a, target: phantom-b}\n"


def config(place, text=TINY):
    (place / "tiny.yaml").write_text(text)
    return load_config(place / "tiny.yaml")


def import_folder(place, **options):
    import_dataset("folder", place, place.parent / "shards", **options)


def only_class(place):
    folder.write(place / "a" / "b")
    import_folder(place / "a")


def split_parts(place):
    for part in ("train", "test"):
        folder.write(place / "a" / part)
    import_folder(place / "a")


def second_patient(place):
    source = folder.write(place / "a")
    names = [path.relative_to(source).as_posix() for path in sorted(source.rglob("*.png"))]
    table = pd.DataFrame({"image": [*names, names[0]], "patient": [*map(str, range(len(names))), "other"]})
    table.to_csv(place / "p.csv", index=False)
    import_folder(source, patients=str(place / "p.csv"))


def cut_number(place):
    source = folder.write(place / "a")
    (source / "healthy" / "p0_0.png").rename(source / "healthy" / "p10_0.png")
    import_folder(source, patient_regex=r"^p(\d)")


def burned_in(place):
    source = dicom.write(place / "a")
    import_dataset("dicom", source, place / "shards", key_file=dicom.OPTIONS["key_file"])


def unlabelled_source(place):
    folder.write(place / "a")
    (place / "flat").mkdir()
    for number, path in enumerate(sorted((place / "a").rglob("p*.png"))):
        path.rename(place / "flat" / f"{number}.png")
    return init([str(place / "flat"), "--shards", str(place / "shards"), "--name", "tiny"])


def other_config(place):
    run = Storage(place / "run")
    with opened(run, config(place)):
        pass
    check_same_config(run, config(place, TINY + "fixed: {lr: 0.1}\n"))


def two_drivers(place):
    with opened(Storage(place / "run"), config(place)), opened(Storage(place / "run"), config(place)):
        pass


def reading(place, **options):
    facts = {
        "image_px": 32,
        "fit": "pad",
        "output": "softmax",
        "preprocessing": {"import": options.pop("stored", None)},
    }
    model = Exported(None, facts, None, str(place / "model"))
    return list(read_new(model, Reading(str(folder.write(place / "a")), options, lambda error: None)))


def diverged(place):
    raise Diverged("train", 3, float("nan"))


PROVOKED = {
    "there is no such file or folder": lambda place: import_folder(place / "absent"),
    "which would be the only class": only_class,
    "are parts of a split, not classes": split_parts,
    "a second patient of": second_patient,
    "takes '1' out of a longer number": cut_number,
    "patient ids are hashed with a key, and none is given": lambda place: import_dataset(
        "dicom", dicom.write(place / "a"), place / "shards"
    ),
    "its header says that text is burned into the picture": burned_in,
    "no manifest.json: not a data set, or an import that did not finish": read_manifest,
    "has no labels to train on": unlabelled_source,
    "is no file here and no shipped sweep config": lambda place: find_config("ratios"),
    "unknown key; did you mean image_px?": lambda place: config(
        place, "name: a\ndata: {source: phantom-a, target: phantom-b, image_pixels: 64}\n"
    ),
    "source and target are both": lambda place: prepare(
        DataSection(source="phantom-a", target="phantom-a", phantom_patients=12, image_px=32), Storage(place / "run")
    ),
    "no such shard folder": lambda place: prepare(
        DataSection(source=str(place / "absent"), target="phantom-a"), Storage(place / "run")
    ),
    "a trial asks for": lambda place: capacity_of(Resources(gpus_per_worker=1), [{"CPU": 2.0}], [], spare_cpus=0),
    "the folder holds another sweep config": other_config,
    "another sweep writes there": two_drivers,
    "lower the learning rate, or set grad_clip if it is 0": diverged,
    "no finished trial begins with it": lambda place: unique_start("zz", ["abcdef"], "run"),
    "holds no finished record": lambda place: trial_signature(str(place), "best"),
    "is absent, so this is no exported model": read_exported,
    "start from different random weights": lambda place: check_shared_start({"weights": None}, None),
    "says nothing of how its images were imported": reading,
    "has no effect on a folder of image files": lambda place: reading(
        place, stored={"import_px": 256}, path_column="file"
    ),
}


def test_the_page_has_messages_and_each_one_is_provoked():
    assert len(MESSAGES) >= 20 and set(MESSAGES) == set(PROVOKED)


@pytest.mark.parametrize("message", MESSAGES)
def test_the_program_prints_the_message(message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        code = PROVOKED[message](tmp_path)
    except (InputError, Diverged) as mistake:
        said = str(mistake)
    else:
        said = capsys.readouterr().err
        assert code == 2, json.dumps(code)
    assert message in said, said
