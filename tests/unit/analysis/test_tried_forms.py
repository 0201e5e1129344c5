"""Adaptations tried on trained models are predicted beside the recipes as configured, and scored once the labels are opened."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.frames import load_run
from analysis.json_records import from_text
from analysis.predicted import predicted_target
from analysis.rank import forms_table
from analysis.target_assessment import CORRECTED, RECALIBRATED, prevalence_threshold
from analysis.tried_forms import AS_CONFIGURED
from analysis.unsealed import as_json, sentences, unsealed
from analysis.verdict_unlabelled import SOUP
from sweep.core.storage import Storage
from sweep.shift.stored import (
    ADAPTED_TARGET_FILE,
    PSEUDO_HOSPITALS_FILE,
    SOUP_FILE,
    adapted_target_frame,
    hospitals_frame,
    read_hospitals,
    soup_folder,
    write_hospitals,
)
from sweep.shift.stored import (
    AS_CONFIGURED as AS_IS,
)
from tests.fakes.run_folder import TWO_BLIND_RECIPES, write_fake_run

GAIN = {"histogram": 1.0, "batch_norm": -1.0}  # by which an adaptation moves the classes apart


def moved(logits, labels, gain):
    margin = logits[:, 1] - logits[:, 0] + gain * (labels - 0.5)
    return np.stack([-margin / 2, margin / 2], axis=1)


def keep_soup(storage, signature, seeds):
    """A weight soup that tells the classes apart better than its first seed, as `sweep.soups` stores it."""
    rows = pd.read_parquet(io.BytesIO(storage.read(f"trials/{signature}/seed-0/predictions.parquet")))
    rows = rows.assign(logits=list(moved(np.stack(rows["logits"].to_list()), rows["label"].to_numpy(), 1.0)))
    held = read_hospitals(storage, f"trials/{signature}/seed-0")
    shown = [replace(one, logits=moved(one.logits, one.labels, 1.0)) for one in held if one.adaptation == AS_IS]
    write_hospitals(storage, soup_folder(signature), shown)
    storage.write(f"{soup_folder(signature)}/predictions.parquet", rows.to_parquet(index=False))
    storage.write(f"{soup_folder(signature)}/{SOUP_FILE}", json.dumps({"seeds": seeds}).encode())


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
    for number, trial in enumerate(sorted(folder.glob("trials/*"))):
        # The first one's is of other seeds than were evaluated, so it does not count.
        keep_soup(storage, trial.name, seeds=[0, 1] if number else [0, 2])
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
    lows = [tuple(float(part.split(" to ")[0]) for part in line.split("(")[1:]) for line in rows]
    assert len(rows) == 13 and text.count("weight soup of 2 seeds") == 1 and lows == sorted(lows, reverse=True)


def test_mean_weights_are_foreseen_where_they_are_of_the_seeds_that_were_evaluated(run, made):
    (key,) = made.soups
    candidate = made.assessment.candidates[key]
    soup = next(form for form in candidate.tried if form.name == SOUP)
    assert soup.auroc.low > soup.beside.low
    rows = run.predictions(key)
    labels = rows[rows["split"] == "target"].drop_duplicates("image_id")
    found = unsealed(run, made, dict(zip(labels["image_id"].astype(str), labels["label"].astype(int), strict=True)))
    recipe = next(one for one in found.recipes if one.signature == key)
    assert recipe.tried[SOUP]["true"] > recipe.true["auroc"]
    assert any(
        "Mean weights of the seeds: predicted AUROC off by" in line and "in 1 of 1 cases" in line
        for line in sentences(found)
    )


def test_moved_thresholds_are_forms_too(made):
    rows = {(row.label, row.form): row for row in made.assessment.forms()}
    for one in made.assessment.candidates.values():
        own, moved, corrected = (rows[one.label, form] for form in ("as configured", RECALIBRATED, CORRECTED))
        assert own.auroc == moved.auroc == corrected.auroc
        assert own.probability == one.own.probability and moved.probability == one.moved.probability
        assert (
            moved.balanced.value == one.moved.balanced.value
            and corrected.balanced.value == one.corrected.balanced.value
        )


def test_a_prevalence_correction_moves_the_threshold_as_far_as_bayes_says(made):
    """Labels drawn from a logistic model of the margin: log odds of the class shares are added to it."""
    draw = np.random.default_rng(0)
    z = draw.normal(0, 2, 4000)
    labels = (draw.random(4000) < 1 / (1 + np.exp(-(0.8 * z + 0.3)))).astype(int)
    one = next(iter(made.evidence.values()))[0]
    model = replace(one, source_logits=np.stack([-z / 2, z / 2], axis=1), source_labels=labels)
    odds = np.log(0.2 / 0.8) - np.log(labels.mean() / (1 - labels.mean()))
    assert prevalence_threshold(model, 0.2) == pytest.approx(-(0.3 + odds) / 0.8, abs=0.15)
    backwards = replace(model, source_labels=1 - labels)
    assert prevalence_threshold(backwards, 0.2) == model.threshold
