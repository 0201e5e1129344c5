"""Several workers end with one model and one history."""

import pytest
import torch

from sweep.core.errors import InputError
from sweep.training.fit import fit
from sweep.training.recipe import Recipe
from sweep.training.workers import mean_over_workers, rank
from tests.fakes.toy_classifier import ToyBatches, ToyClassifier, toy_images
from tests.fakes.two_workers import train_on_two_workers

SETTINGS = {"epochs": 4, "batch_size": 8, "lr": 3e-3, "augment": "flip", "patience": 0, "precision": "fp32"}


@pytest.mark.parametrize("procedure", ["joint", "two_step"])
def test_two_workers_agree_on_weights_and_metrics(tmp_path, procedure):
    first, second = train_on_two_workers(tmp_path, Recipe(**SETTINGS, procedure=procedure))
    assert first["history"] == second["history"] and len(first["history"]) == 4
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name]), name
    alone = ToyClassifier()
    result = fit(alone, ToyBatches(*toy_images(16)), toy_images(16, seed=9), Recipe(**SETTINGS), seed=0)
    assert result.history[0]["loss/train"] != first["history"][0]["loss/train"]


def test_a_lone_worker_is_number_zero_and_its_mean_is_its_own():
    assert rank() == 0
    assert mean_over_workers({"a": 1.5}) == {"a": 1.5}


def test_reduce_decides_for_everyone():
    def reduce(metrics):
        return dict(metrics) | {"auroc/source_val": 0.5, "loss/source_val": 1.0}

    recipe = Recipe(**SETTINGS | {"epochs": 10, "patience": 2})
    result = fit(ToyClassifier(), ToyBatches(*toy_images(16)), toy_images(16, seed=9), recipe, seed=0, reduce=reduce)
    assert result.epochs_run == 3 and result.best_epoch == 1


def test_dual_norms_refuse_several_workers(monkeypatch):
    model = ToyClassifier()
    monkeypatch.setattr("sweep.training.parts.unwrapped", lambda wrapped: wrapped.inner)

    class Wrapper(torch.nn.Module):
        inner = model

    recipe = Recipe(**SETTINGS, train_eps=0.1, dual_bn=True)
    with pytest.raises(InputError, match="one worker only"):
        fit(Wrapper(), ToyBatches(*toy_images(16)), toy_images(16), recipe, seed=0)
