"""Frozen means frozen: weights, and batch-norm statistics unless asked otherwise."""

import pytest
import torch

from sweep.training.fit import fit
from sweep.training.parts import has_learned_colorizer, part_of
from sweep.training.recipe import Recipe
from tests.fakes.toy_classifier import ToyBatches, ToyClassifier, toy_images

QUICK = {"epochs": 2, "batch_size": 8, "lr": 1e-2, "patience": 0, "precision": "fp32"}


def changed_names(**settings):
    model, start = ToyClassifier(), ToyClassifier()
    fit(model, ToyBatches(*toy_images(32)), toy_images(16, seed=9), Recipe(**QUICK | settings), seed=0)
    return {name for name, value in model.state_dict().items() if not torch.equal(value, start.state_dict()[name])}


def test_head_only_moves_the_head_only():
    assert changed_names(procedure="head_only") == {"head.weight", "head.bias"}


def test_frozen_batch_norm_may_go_on_measuring():
    changed = changed_names(procedure="colorizer_head", frozen_bn="train")
    assert {part_of(name) for name in changed} == {"colorizer", "head", "backbone"}
    assert {name for name in changed if part_of(name) == "backbone"} == {
        "backbone.1.running_mean", "backbone.1.running_var", "backbone.1.num_batches_tracked",
    }  # fmt: skip


@pytest.mark.parametrize("procedure", ["joint", "two_step", "deco"])
def test_whole_procedures_move_every_part(procedure):
    assert {part_of(name) for name in changed_names(procedure=procedure)} == {"colorizer", "backbone", "head"}


def test_afterwards_every_weight_may_train_again():
    model = ToyClassifier()
    fit(model, ToyBatches(*toy_images(16)), toy_images(8), Recipe(**QUICK | {"procedure": "head_only"}), seed=0)
    assert all(weight.requires_grad and weight.is_contiguous() for weight in model.parameters())


def test_replication_has_nothing_to_learn():
    assert has_learned_colorizer(ToyClassifier()) and not has_learned_colorizer(ToyClassifier(learned=False))
    assert part_of("before.mean") == "backbone" and part_of("head.1.weight") == "head"
