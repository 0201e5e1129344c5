"""New images through an exported model: the same logits as the record, decisions at the threshold, bad files told."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from sweep.core.errors import InputError
from sweep.deployment.familiarity import limit_of
from sweep.deployment.images import Reading, kind_of
from sweep.deployment.model_folder import read_exported
from sweep.deployment.predictions import flagged, predict_new
from sweep.export import main as export
from sweep.predict import main as predict


def refuse(error):
    raise error


def recorded(run, signature, split, seed=0):
    """Logits [N, K] of a record by image id."""
    frame = pd.read_parquet(run.place / "trials" / signature / f"seed-{seed}" / "predictions.parquet")
    rows = frame[frame["split"] == split]
    return dict(zip(rows["image_id"], rows["logits"], strict=True))


@pytest.mark.parametrize("adapt", ["none", "histogram", "batch_norm", "batch_norm_mixed", "entropy"])
def test_logits_of_image_files_are_those_of_the_record(run, pictures, tmp_path, adapt):
    folder, names = pictures
    out = tmp_path / "model"
    assert export([str(run.place), run.signatures[adapt], str(out), "--seed", "1"]) == 0
    made = predict_new(read_exported(out), Reading(str(folder), {}, refuse))
    wanted = recorded(run, run.signatures[adapt], "target", seed=1)
    kept = [
        place for place, name in enumerate(made.images["image"]) if names[name] in wanted
    ]  # normal scans are not in the fold
    seen = [wanted[names[name]] for name in made.images["image"].iloc[kept]]
    assert len(seen) == len(wanted) and np.allclose(made.logits[kept], np.stack(seen), atol=1e-4)


def test_an_ensemble_gives_the_mean_probability_of_its_seeds(run, exported):
    made = predict_new(read_exported(exported), Reading(run.data.target, {}, refuse))
    found = made.images.set_index("image")["probability_malignant"]
    chances = []
    for seed in (0, 1):
        logits = recorded(run, run.signatures["none"], "target", seed)
        rows = np.stack(list(logits.values()))
        chances.append(np.exp(rows[:, 1]) / np.exp(rows).sum(axis=1))
    assert np.allclose(found.loc[list(logits)], np.mean(chances, axis=0), atol=1e-5)


def test_decisions_are_at_the_exported_threshold_for_images_and_patients(run, exported):
    model = read_exported(exported)
    made = predict_new(model, Reading(run.data.target, {}, refuse))
    (limit,) = model.thresholds
    for frame in (made.images, made.patients):
        assert (frame["decision"] == np.where(frame["probability_malignant"] >= limit, "malignant", "benign")).all()
    means = made.images.groupby("patient")["probability_malignant"].mean()
    assert np.allclose(made.patients.set_index("patient")["probability_malignant"], means.loc[made.patients["patient"]])
    assert made.patients["images"].sum() == len(made.images)


def test_images_unlike_the_training_images_are_flagged(run, exported, tmp_path):
    from PIL import Image

    model = read_exported(exported)
    own = predict_new(model, Reading(run.data.source, {}, refuse)).images.set_index("image")
    known = own.loc[
        run.data.fold("test")["image_id"]
    ]  # of a hospital of 24 patients, with few images to set the limits by
    assert (known["unlike_training"] == "yes").mean() <= 0.5
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64), dtype=np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    strange = predict_new(model, Reading(str(tmp_path), {}, refuse)).images
    assert (strange["unlike_training"] == "yes").all() and strange["unlike_because"].str.len().min() > 0
    assert strange["unlike_score"].min() > 1 and ((own["unlike_score"] > 1) == (own["unlike_training"] != "no")).all()


class TestAShiftedHospital:
    def rows(self, scores):
        return pd.DataFrame({"unlike_score": scores, "unlike_training": "yes", "unlike_because": "contrast"})

    def test_is_flagged_once_and_only_images_that_stand_out_are_flagged_themselves(self):
        made, said = flagged(self.rows([*np.linspace(2, 3, 19), 60.0, 0.9]))
        assert list(made["unlike_training"]) == ["hospital"] * 19 + ["yes", "no"]
        assert "this hospital as a whole is unlike the training images (95 % of its images, mostly by contrast)" in said
        assert said.endswith("1 also stand out from its other images")

    def test_is_none_where_few_images_are_flagged_or_few_are_given(self):
        few = self.rows([0.5] * 18 + [1.5, 2.0])
        made, said = flagged(few)
        assert made is few and said.startswith(
            "20 images, 2 unlike the training images (of the training hospital's own"
        )
        assert "as a whole" not in flagged(self.rows([5.0] * 9))[1]

    def test_is_seen_in_another_scanner_and_not_in_the_own_hospital(self, run, exported):
        model = read_exported(exported)
        assert "as a whole" not in predict_new(model, Reading(run.data.source, {}, refuse)).familiarity
        made = predict_new(model, Reading(run.data.target, {}, refuse))
        assert "as a whole" in made.familiarity and (made.images["unlike_training"] == "yes").mean() < 0.2

    def test_needs_a_reference(self):
        assert flagged(pd.DataFrame({"image": ["a"]}))[1].endswith("without a reference, so none is flagged")


class TestTheCommand:
    def test_writes_images_and_patients_and_lists_bad_files(self, exported, pictures, tmp_path, capsys):
        folder = shutil.copytree(pictures[0], tmp_path / "images")
        (folder / "=cmd_broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
        good = next(iter(pictures[1]))
        shutil.copy(folder / good, folder / "=1+1_x.png")
        out = tmp_path / "predictions.csv"
        words = [str(exported), str(folder), "--out", str(out), "--patient-regex", "^([^_]+)_"]
        assert predict(words) == 3
        said = capsys.readouterr().out
        assert "1 could not be read" in said and "=cmd_broken.png: a PNG file that is damaged" in said
        rows = pd.read_csv(out, dtype=str)
        assert len(rows) == len(pictures[1]) + 1 and rows["image"].iloc[-1] != "=1+1_x.png"
        assert {"'=1+1_x.png", good} <= set(rows["image"])
        assert set(rows["decision"]) <= {"benign", "malignant"} and set(rows["unlike_training"]) <= {
            "yes",
            "no",
            "hospital",
        }
        patients = pd.read_csv(tmp_path / "predictions_patients.csv", dtype=str)
        assert patients["patient"].is_unique and "'=1+1" in set(patients["patient"])

    def test_a_table_of_paths(self, exported, pictures, tmp_path, capsys):
        folder, names = pictures
        table = pd.DataFrame({"file": list(names), "person": [name.partition("_")[0] for name in names]}).head(8)
        table.to_csv(tmp_path / "images.csv", index=False)
        words = ["--path-column", "file", "--patient-column", "person", "--root", str(folder)]
        out = tmp_path / "out" / "p.csv"
        assert predict([str(exported), str(tmp_path / "images.csv"), "--out", str(out), *words]) == 0
        assert len(pd.read_csv(out)) == 8
        assert pd.read_csv(tmp_path / "out" / "p_patients.csv")["images"].sum() == 8

    def test_dicom_files(self, exported, tmp_path, capsys):
        from tests.fakes import dicom

        dicom.write(tmp_path / "DICOM")
        (tmp_path / "key").write_text("a secret of some length")
        words = [str(exported), str(tmp_path / "DICOM"), "--out", str(tmp_path / "p.csv")]
        assert predict(words) == 2 and "--key-file" in capsys.readouterr().err
        assert predict([*words, "--key-file", str(tmp_path / "key"), "--burned-in", "blank"]) == 0
        assert len(pd.read_csv(tmp_path / "p.csv")) > 0

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["nowhere", "IMAGES"], "config.json is absent, so this is no exported model"),
            (["MODEL", "nowhere"], "there is no such file or folder"),
            (["MODEL", "IMAGES", "--path-column", "file"], "has no effect on a folder of image files"),
            (["MODEL", "SHARDS", "--patient-regex", "(x)"], "a shard folder is decoded already"),
            (["MODEL", "MODEL"], "the folder holds no image"),
        ],
    )
    def test_wrong_input_is_named(self, run, exported, pictures, tmp_path, monkeypatch, capsys, words, said):
        monkeypatch.chdir(tmp_path)
        places = {"MODEL": str(exported), "IMAGES": str(pictures[0]), "SHARDS": str(run.data.target)}
        assert predict([places.get(word, word) for word in words]) == 2
        assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_limits_are_conformal_quantiles():
    assert limit_of(np.arange(10.0)) == 9 and limit_of(np.arange(39.0)) == 38 and limit_of(np.arange(79.0)[::-1]) == 77


def test_the_kind_of_images_is_seen(run, pictures, tmp_path):
    assert kind_of(run.data.target) == "shards" and kind_of(str(pictures[0])) == "folder"
    (tmp_path / "one.png").write_bytes(b"")
    with pytest.raises(InputError, match="a single file that is no table"):
        kind_of(str(tmp_path / "one.png"))


def test_the_public_function(exported, pictures):
    import recipe_finder as rf

    frame = rf.predict(exported, pictures[0], patient_regex="^([^_]+)_")
    assert len(frame) == len(pictures[1]) and frame.attrs["bad_files"] == []
    assert len(frame.attrs["patients"]["patient"]) == frame["patient"].nunique()
    assert json.dumps(frame.attrs)
