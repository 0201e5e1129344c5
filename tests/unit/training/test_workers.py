"""Several workers end with one model and one history."""

import pytest
import torch

from sweep.training.fit import fit
from sweep.training.recipe import Recipe
from sweep.training.workers import mean_over_workers, rank
from tests.fakes.fit_arguments import fit_arguments
from tests.fakes.toy_classifier import ToyBatches, ToyClassifier, toy_images
from tests.fakes.two_workers import train_on_two_workers

SETTINGS = {"epochs": 4, "batch_size": 8, "lr": 3e-3, "augment": "flip", "patience": 0, "precision": "fp32"}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"procedure": "two_step"}, marks=pytest.mark.extended),
        pytest.param({"procedure": "joint"}, marks=pytest.mark.slow),
        pytest.param({"train_eps": 0.05, "train_attack": "fgsm", "dual_bn": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_two_workers_agree_on_weights_and_metrics(tmp_path, changes):
    first, second = train_on_two_workers(tmp_path, Recipe(**SETTINGS | changes))
    assert first["history"] == second["history"] and len(first["history"]) == 4
    for kind in ("weights", "attacked_norms"):
        assert first[kind].keys() == second[kind].keys()
        for name, value in first[kind].items():
            assert torch.equal(value, second[kind][name]), name
    assert bool(first["attacked_norms"]) == ("dual_bn" in changes)
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
    result = fit(
        ToyClassifier(),
        ToyBatches(*toy_images(16)),
        toy_images(16, seed=9),
        recipe,
        seed=0,
        **fit_arguments(reduce=reduce),
    )
    assert result.epochs_run == 3 and result.best_epoch == 1
