"""Attacks of the training step stay in their budget, hurt, and make the trained model sturdier."""

import io

import pytest
import torch

from sweep.training.adversarial import divergence, perturb
from sweep.training.fit import fit
from sweep.training.recipe import Recipe
from tests.fakes.fit_arguments import fit_arguments
from tests.fakes.toy_classifier import ToyBatches, ToyClassifier, toy_images

EPS = 0.1
QUICK = {
    "epochs": 3, "batch_size": 8, "lr": 1e-2, "augment": "none", "patience": 0, "precision": "fp32",
    "train_eps": EPS, "train_attack_steps": 3,
}  # fmt: skip


def train(recipe, seed=0, **options):
    model = ToyClassifier(dropout=0.0)
    return model, fit(
        model, ToyBatches(*toy_images(32)), toy_images(16, seed=9), recipe, seed=seed, **fit_arguments(**options)
    )


def weights_equal(first, second):
    return all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_a_perturbation_stays_in_its_ball_and_raises_the_loss():
    model, (images, labels) = ToyClassifier().eval(), toy_images(16)
    inputs, truth = torch.from_numpy(images).unsqueeze(1) / 255, torch.from_numpy(labels)
    loss = lambda x: torch.nn.functional.cross_entropy(model(x), truth)
    attacked = perturb(inputs, loss, inputs.clone(), eps=EPS, stride=EPS / 2, steps=4)
    assert (attacked - inputs).abs().max() <= EPS + 1e-6 and attacked.min() >= 0 and attacked.max() <= 1
    assert loss(attacked) > loss(inputs)
    assert all(weight.grad is None for weight in model.parameters())


def test_adversarial_training_keeps_more_right_answers_under_attack():
    def robust_accuracy(model):
        images, labels = toy_images(64, seed=5)
        inputs, truth = torch.from_numpy(images).unsqueeze(1) / 255, torch.from_numpy(labels)
        loss = lambda x: torch.nn.functional.cross_entropy(model(x), truth, reduction="sum")
        attacked = perturb(inputs, loss, inputs.clone(), eps=EPS, stride=EPS / 4, steps=10)
        return (model(attacked).argmax(1) == truth).float().mean().item()

    settings = QUICK | {"epochs": 25, "lr": 5e-3}
    plain, _ = train(Recipe(**settings | {"train_eps": 0.0}))
    hardened, _ = train(Recipe(**settings))
    assert robust_accuracy(hardened) > robust_accuracy(plain) + 0.1


def test_free_training_takes_as_many_updates_as_the_others():
    _, plain = train(Recipe(**QUICK | {"train_eps": 0.0}))
    _, free = train(Recipe(**QUICK | {"train_attack_steps": 2}, train_attack="free"))
    assert plain.images_seen == 2 * free.images_seen


def test_dual_norms_leave_the_model_its_clean_statistics():
    states = []
    recipe = Recipe(**QUICK, dual_bn=True)
    model, result = train(recipe, save_state=states.append)
    assert set(model.state_dict()) == set(ToyClassifier().state_dict())
    resumed_model, resumed = train(recipe, state=states[0])
    assert resumed.history == result.history and weights_equal(model, resumed_model)
    single, _ = train(Recipe(**QUICK))
    assert not torch.equal(single.backbone[1].running_mean, model.backbone[1].running_mean)
    extras = torch.load(io.BytesIO(states[-1]), weights_only=True)["extras"]["dual_norms"]
    assert not torch.equal(extras["backbone.1.running_mean"], extras["backbone.1.running_mean"] * 0)


@pytest.mark.parametrize("multi_label", [False, True])
def test_divergence_is_zero_for_equal_predictions_and_positive_else(multi_label):
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    assert divergence(logits, logits, multi_label).item() == pytest.approx(0, abs=1e-6)
    assert divergence(logits, -logits, multi_label) > 0.01
    reference = (
        torch.distributions.Bernoulli(logits=-logits)
        if multi_label
        else torch.distributions.Categorical(logits=-logits)
    )
    own = type(reference)(logits=logits)
    expected = torch.distributions.kl_divergence(reference, own).sum() / 5
    assert divergence(logits, -logits, multi_label).item() == pytest.approx(expected.item(), rel=1e-4)
