"""The evidence of an ensemble of seeds is that of the model which `sweep.export --seeds all` exports."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis.frames import load_run
from analysis.predicted import predicted_target
from analysis.seed_ensembles import ensemble_of
from analysis.unseal import score_run
from analysis.unsealed import sentences
from sweep.deployment.combine import mean_logits
from sweep.shift.predicted_performance import margin
from tests.fakes.run_folder import TWO_BLIND_RECIPES, write_fake_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load_run(write_fake_run(tmp_path_factory.mktemp("ensembles") / "r", TWO_BLIND_RECIPES))


@pytest.fixture(scope="module")
def made(run):
    return predicted_target(run)


def test_every_part_is_that_of_the_exported_model(made):
    models = next(iter(made.evidence.values()))
    together = ensemble_of(models)

    def exported(logits):
        return mean_logits(torch.tensor(np.stack(logits)), multi_label=False).numpy()

    assert np.allclose(together.target_logits, exported([one.target_logits for one in models]), atol=1e-5)
    assert np.allclose(together.source_logits, exported([one.source_logits for one in models]), atol=1e-5)
    for place, hospital in enumerate(together.hospitals):
        assert np.allclose(hospital.logits, exported([one.hospitals[place].logits for one in models]), atol=1e-5)
        assert hospital.family == models[0].hospitals[place].family
    held = [one.held_out.margins for one in models]
    as_logits = [np.stack([np.zeros_like(z), z], axis=1) for z in held]
    assert np.allclose(together.held_out.margins, margin(exported(as_logits)), atol=1e-5)


def test_one_seed_and_seeds_on_other_images_are_no_ensemble(made):
    first, second = next(iter(made.evidence.values()))
    assert ensemble_of([first]) is None
    assert ensemble_of([first, replace(second, source_labels=1 - second.source_labels)]) is None
    assert ensemble_of([first, replace(second, target_logits=second.target_logits[1:])]) is None
    assert ensemble_of([first, replace(second, hospitals=second.hospitals[1:])]) is None


def test_it_is_predicted_and_scored(run, made):
    assert made.assessment.ensembles.keys() == made.evidence.keys()
    for key, candidate in made.assessment.candidates.items():
        assert candidate.seeds == 2 and candidate.ensemble == made.assessment.ensembles[key].metrics["auroc"]
    found = score_run(run)
    for recipe in found.recipes:
        assert abs(recipe.ensemble["value"] - recipe.ensemble["true"]) < 0.1
        assert recipe.ensemble["true"] > recipe.true["auroc"] - 0.02  # independent errors of two seeds average out
    assert any("Seeds as an ensemble: predicted AUROC off by" in line for line in sentences(found))


def test_models_contradict_each_other_as_often_as_their_pairs_do(made):
    models = [one for of_recipe in made.evidence.values() for one in of_recipe]

    def by_pairs(logits):
        calls = [margin(z) > one.threshold for z, one in zip(logits, models, strict=True)]
        return np.mean([np.mean(a != b) for a, b in itertools.combinations(calls, 2)])

    found = made.assessment.contradiction
    assert found.target == pytest.approx(by_pairs([one.target_logits for one in models]))
    shown = zip(*(one.hospitals for one in models), strict=True)
    usual = np.quantile([by_pairs([one.logits for one in hospital]) for hospital in shown], 0.95)
    assert found.hospitals == pytest.approx(usual)
