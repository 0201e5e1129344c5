"""Seeds trained as one stacked model equal seeds trained alone; one that diverges or stops leaves the others as they were."""

import numpy as np
import pytest
import torch
from torch import nn

from sweep.core.errors import Diverged
from sweep.evaluation.evaluate import predict
from sweep.training.fit import FitOptions, fit
from sweep.training.hooks import TrainingHooks
from sweep.training.recipe import Recipe
from sweep.training.stack import Stack, clip_each_member
from sweep.training.stacked import NotStackable, StackInterrupted, bytes_of_member, fit_stacked
from tests.fakes.tape import Tape
from tests.fakes.toy_classifier import ToyBatches, ToyClassifier, toy_images

QUICK = {"epochs": 2, "batch_size": 8, "lr": 3e-3, "augment": "ultrasound", "patience": 0, "precision": "fp32"}
IMAGES, LABELS = toy_images(32)
VAL = toy_images(24, seed=9)
SEEDS = (4, 5, 6)
RECIPES = {
    "plain": {},
    "averaged, mixup": {"ema": 0.9, "mixup": 0.4},
    "sgd": {"optimizer": "sgd", "schedule": "one_cycle"},
    "two steps": {"procedure": "two_step"},
    "balanced": {"class_weighting": "balanced"},
}


def models(dropout=0.0):
    """Without a bias before the batch norm: it has no gradient, and Adam turns the rounding of zero into whole steps."""
    found = [ToyClassifier(seed=seed, dropout=dropout) for seed in SEEDS]
    for model in found:
        model.backbone[0].bias = None
    return found


def batches(broken=None):
    found = [ToyBatches(IMAGES, LABELS, seed=seed) for seed in SEEDS]
    if broken is not None:
        found[broken] = NanLabels(found[broken])
    return found


class NanLabels:
    """Batches of several findings of which one turns infinite: its loss stops being finite at the second step."""

    def __init__(self, inner):
        self.inner, self.steps_per_epoch = inner, inner.steps_per_epoch

    def __call__(self, epoch):
        for number, (images, labels) in enumerate(self.inner(epoch)):
            yield images, labels * float("inf") if number == 1 else labels


def stacked(changes=None, nets=None, given=None, **options):
    nets = nets or models()
    hooks = options.pop("hooks", [TrainingHooks()] * len(nets))
    done = fit_stacked(
        nets, given or batches(), options.pop("val", VAL), Recipe(**QUICK | (changes or {})), seeds=SEEDS, hooks=hooks,
        options=FitOptions(recorder=options.pop("recorder", None)), labels=[LABELS] * len(nets), **options,
    )  # fmt: skip
    return nets, done


def alone(changes=None):
    nets, done = models(), []
    for net, one, seed in zip(nets, batches(), SEEDS, strict=True):
        options = FitOptions(train_labels=LABELS)
        done.append(fit(net, one, VAL, Recipe(**QUICK | (changes or {})), seed=seed, options=options))
    return nets, done


def assert_equal_runs(first, second, within=1e-4):
    for (net, one), (other, two) in zip(zip(*first, strict=True), zip(*second, strict=True), strict=True):
        for ours, theirs in zip(one.history, two.history, strict=True):
            for name in ("loss/train", "loss/source_val", "lr"):
                assert ours[name] == pytest.approx(theirs[name], abs=within)
        assert (one.epochs_run, one.images_seen) == (two.epochs_run, two.images_seen)
        assert np.abs(predict(net, VAL[0]) - predict(other, VAL[0])).max() < 10 * within


@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES)
def test_stacked_seeds_equal_seeds_trained_alone(changes):
    run = stacked(changes)
    assert_equal_runs(run, alone(changes))
    assert all(one.steps_ran == "eager, 3 seeds stacked" for one in run[1])


def test_recorded_stacked_steps_are_equal_too():
    tape = Tape()
    run = stacked(recorder=tape)
    assert tape.replays and run[1][0].steps_ran == "captured, 3 seeds stacked"
    assert_equal_runs(run, alone(), within=2e-4)


def test_members_have_dropout_of_their_own():
    stack = Stack([ToyClassifier(seed=1, dropout=0.5) for _ in SEEDS])
    images = torch.rand(1, 8, 1, 16, 16).expand(3, -1, -1, -1, -1)
    logits = stack(images)
    assert not torch.allclose(logits[0], logits[1]) and not torch.allclose(logits[1], logits[2])


def test_a_member_that_diverges_leaves_the_others_as_they_were():
    several = [np.stack([LABELS, 1 - LABELS], 1).astype(np.float32)] * 3
    given = [ToyBatches(IMAGES, several[0], seed=seed) for seed in SEEDS]
    val = (VAL[0], np.stack([VAL[1], 1 - VAL[1]], 1).astype(np.float32))
    whole_nets, whole = stacked(given=given, val=val)
    nets, done = stacked(given=[given[0], NanLabels(given[1]), given[2]], val=val)
    assert isinstance(done[1], Diverged) and (done[1].stage, done[1].step) == ("train", 2)
    for place in (0, 2):
        assert done[place].history == whole[place].history
        assert np.array_equal(predict(nets[place], VAL[0]), predict(whole_nets[place], VAL[0]))


def test_a_member_that_stops_early_keeps_its_best_weights_and_the_others_go_on():
    changes = {"epochs": 6, "patience": 1, "lr": 2e-2}
    run, single = stacked(changes), alone(changes)
    lengths = [one.epochs_run for one in run[1]]
    assert lengths == [one.epochs_run for one in single[1]] and len(set(lengths)) > 1
    assert [one.best_epoch for one in run[1]] == [one.best_epoch for one in single[1]]


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9}, {"optimizer": "sgd"}], ids=str)
def test_a_stopped_stack_goes_on_stacked_bit_for_bit_and_alone_within_rounding(changes):
    whole = stacked(changes)
    asked = []

    def interrupted():
        asked.append(1)
        return len(asked) == 6

    with pytest.raises(StackInterrupted) as stop:
        stacked(changes, hooks=[TrainingHooks(interrupted=interrupted)] * 3)
    nets, done = stacked(changes, states=stop.value.states)
    assert [one.history for one in done] == [one.history for one in whole[1]]
    assert all(np.array_equal(predict(a, VAL[0]), predict(b, VAL[0])) for a, b in zip(nets, whole[0], strict=True))
    net = models()[0]
    state = FitOptions(state=stop.value.states[1])
    single = fit(net, batches()[1], VAL, Recipe(**QUICK | changes), seed=SEEDS[1], options=state)
    assert single.history[-1]["loss/train"] == pytest.approx(whole[1][1].history[-1]["loss/train"], abs=1e-4)


def test_states_of_an_epoch_are_saved_for_each_member_and_reports_come_in_order():
    states, said = {place: [] for place in range(3)}, []
    hooks = [
        TrainingHooks(
            save_state=states[place].append,
            on_epoch=lambda metrics, place=place: said.append((place, metrics["epoch"])),
        )
        for place in range(3)
    ]
    whole = stacked(hooks=hooks)
    assert said == [(0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2)]
    _, done = stacked(states=[states[place][0] for place in range(3)])
    assert [one.history for one in done] == [one.history for one in whole[1]]


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"glcm_weight": 0.2}, "texture"), ({"train_eps": 0.01}, "adversarial"), ({"compile": True}, "compile")],
)
def test_what_cannot_be_stacked_says_why(changes, why):
    with pytest.raises(NotStackable, match=why):
        stacked(changes)


def test_a_model_whose_forward_pass_does_not_stack_is_found_before_anything_is_trained():
    class Counts(ToyClassifier):
        def forward(self, images):
            return super().forward(images) * (2.0 if float(images.mean()) > 2 else 1.0)

    with pytest.raises(NotStackable, match="vmap refuses"):
        stacked(nets=[Counts(seed=seed) for seed in SEEDS])


def test_each_member_is_clipped_by_its_own_norm():
    weights = [torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 4, 2, requires_grad=True)]
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    expected = []
    for place in range(2):
        single = [nn.Parameter(weight.detach()[place].clone()) for weight in weights]
        for weight, one in zip(single, weights, strict=True):
            weight.grad = one.grad[place].clone()
        nn.utils.clip_grad_norm_(single, 0.5)
        expected.append([weight.grad for weight in single])
    clip_each_member(weights, 0.5)
    for place in range(2):
        for weight, wanted in zip(weights, expected[place], strict=True):
            assert torch.allclose(weight.grad[place], wanted, atol=1e-6)


def test_the_estimated_memory_grows_with_batch_and_picture():
    model = ToyClassifier()
    small, wide, large = (bytes_of_member(model, *size) for size in ((8, 16), (16, 16), (8, 32)))
    assert small < wide < large and small > 5 * 4 * sum(weight.numel() for weight in model.parameters())
