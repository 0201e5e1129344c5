"""Adaptations tried on trained models are predicted beside the recipes as configured, and scored once the labels are opened."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.frames import load_run
from analysis.json_records import from_text
from analysis.predicted import predicted_target
from analysis.rank import forms_table
from analysis.tried_forms import AS_CONFIGURED
from analysis.unsealed import as_json, sentences, unsealed
from sweep.core.storage import Storage
from sweep.shift.stored import (
    ADAPTED_TARGET_FILE,
    PSEUDO_HOSPITALS_FILE,
    adapted_target_frame,
    hospitals_frame,
    read_hospitals,
)
from tests.fakes.run_folder import TWO_BLIND_RECIPES, write_fake_run

GAIN = {"histogram": 1.0, "batch_norm": -1.0}  # by which an adaptation moves the classes apart


def moved(logits, labels, gain):
    margin = logits[:, 1] - logits[:, 0] + gain * (labels - 0.5)
    return np.stack([-margin / 2, margin / 2], axis=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A labelled run whose records tried both adaptations on eight of their ten pseudo-hospitals, as the training job stores them."""
    folder = write_fake_run(tmp_path_factory.mktemp("forms") / "r", TWO_BLIND_RECIPES)
    storage = Storage(folder)
    for place in sorted(folder.glob("trials/*/seed-*")):
        name = place.relative_to(folder).as_posix()
        rows = pd.read_parquet(place / "predictions.parquet")
        rows = rows[rows["split"] == "target"]
        target, labels = np.stack(rows["logits"].to_list()), rows["label"].to_numpy()
        held = read_hospitals(storage, name)
        made = [
            replace(one, adaptation=way, logits=moved(one.logits, one.labels, gain))
            for way, gain in GAIN.items()
            for one in held[:8]
        ]
        storage.write(f"{name}/{PSEUDO_HOSPITALS_FILE}", hospitals_frame([*held, *made]).to_parquet(index=False))
        frame = adapted_target_frame(
            {way: moved(target, labels, gain) for way, gain in GAIN.items()}, list(rows["image_id"])
        )
        storage.write(f"{name}/{ADAPTED_TARGET_FILE}", frame.to_parquet(index=False))
    card = json.loads((folder / "data.json").read_text())
    card["data"]["try_adaptations"] = list(GAIN)
    (folder / "data.json").write_text(json.dumps(card))
    return load_run(folder)


@pytest.fixture(scope="module")
def made(run):
    return predicted_target(run)


def test_every_recipe_has_its_adaptations_on_the_hospitals_that_they_were_tried_on(made):
    for key, ways in made.tried.items():
        assert set(ways) == {*GAIN, AS_CONFIGURED}
        assert all(len(models) == 2 and len(models[0].hospitals) == 8 for models in ways.values())
        own = made.evidence[key][0]
        assert np.array_equal(ways[AS_CONFIGURED][0].hospitals[3].logits, own.hospitals[3].logits)
        assert not np.array_equal(ways["histogram"][0].target_logits, own.target_logits)
    assert made.tried.keys() == made.evidence.keys()


def test_the_better_and_the_worse_one_are_foreseen(run, made):
    for candidate in made.assessment.candidates.values():
        forms = {form.name: form for form in candidate.tried}
        assert forms["histogram"].auroc.low > forms["histogram"].beside.low
        assert forms["batch_norm"].auroc.value < forms["batch_norm"].beside.value
        assert forms["histogram"].beside == forms["batch_norm"].beside
    labels = run.predictions(next(iter(made.evidence)))
    labels = labels[labels["split"] == "target"].drop_duplicates("image_id")
    found = unsealed(run, made, dict(zip(labels["image_id"].astype(str), labels["label"].astype(int), strict=True)))
    for recipe in found.recipes:
        assert recipe.tried["histogram"]["true"] > recipe.true["auroc"] > recipe.tried["batch_norm"]["true"]
        assert abs(recipe.tried["histogram"]["value"] - recipe.tried["histogram"]["true"]) < 0.15
    assert any(
        "better than as configured in 2 of 4 cases, which was foreseen rightly in 4" in line
        for line in sentences(found)
    )
    assert from_text(type(found), as_json(found).encode()) == found


def test_all_forms_stand_in_one_table_by_the_lower_end(run):
    text = forms_table(run)
    assert (
        text.count("ensemble of 2 seeds") == 2
        and text.count("adapt histogram") == 2
        and text.count("as configured") == 2
    )
    rows = [line for line in text.splitlines() if " to " in line]
    lows = [float(line.rsplit("(", 1)[1].split(" to ")[0]) for line in rows]
    assert len(rows) == 8 and lows == sorted(lows, reverse=True)
