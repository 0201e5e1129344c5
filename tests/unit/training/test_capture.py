"""Recorded steps equal direct ones, resume exactly, and are not used where they would differ.

The tape repeats operations as a CUDA graph does, on the CPU; the tests marked `gpu` use CUDA graphs.
"""

import numpy as np
import pytest
import torch

from sweep.core.capture import CudaGraphs
from sweep.evaluation.evaluate import predict
from sweep.losses.glcm import GLCMLoss
from sweep.training.ema import AveragedWeights
from sweep.training.fit import fit
from sweep.training.midway import Interrupted
from sweep.training.recipe import Recipe
from sweep.training.validation import Validation
from tests.fakes.fit_arguments import fit_arguments
from tests.fakes.tape import Tape
from tests.fakes.toy_classifier import ToyBatches, ToyClassifier, toy_images

QUICK = {"epochs": 3, "batch_size": 8, "lr": 3e-3, "augment": "ultrasound", "patience": 0, "precision": "fp32"}
RECIPES = {
    "plain": {},
    "averaged": {"ema": 0.9},
    "sgd, one cycle": {"optimizer": "sgd", "schedule": "one_cycle"},
    "adam, focal, smoothed": {"optimizer": "adam", "focal_gamma": 2.0, "label_smoothing": 0.1},
    "two steps": {"procedure": "two_step"},
    "balanced": {"class_weighting": "balanced"},
    "attacked": {"train_eps": 0.02, "train_attack": "pgd", "train_attack_steps": 2},
    "attacked, dual norms": {"train_eps": 0.02, "train_attack": "fgsm", "dual_bn": True},
    "trades": {"train_eps": 0.02, "train_attack": "trades", "train_attack_steps": 2},
}


def run(changes=None, recorder=None, model=None, texture_loss=None, seed=0, **options):
    model = model or ToyClassifier()
    images, labels = toy_images(32)
    result = fit(
        model,
        ToyBatches(images, labels),
        toy_images(24, seed=9),
        Recipe(**QUICK | (changes or {})),
        seed=seed,
        **fit_arguments(recorder=recorder, train_labels=labels, texture_loss=texture_loss, **options),
    )
    return model, result


def apart(first, second):
    pairs = ((value, second.state_dict()[name]) for name, value in first.state_dict().items())
    return max(float((a - b).abs().max()) for a, b in pairs)


def logits_apart(first, second):
    """Not of weights: the bias before a batch norm has no gradient, and Adam turns its rounding into whole steps."""
    images = toy_images(24, seed=9)[0]
    return float(np.abs(predict(first, images) - predict(second, images)).max())


@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES)
def test_replayed_steps_train_as_direct_ones(changes):
    direct_model, direct = run(changes)
    tape = Tape()
    model, replayed = run(changes, tape)
    assert replayed.steps_ran == "captured" and direct.steps_ran == "eager" and tape.replays > 12
    # The learning rate is a float32 tensor here and a Python number there; an attack's sign of a gradient near zero may turn.
    within = 2e-3 if (changes or {}).get("train_eps") else 1e-3
    for ours, theirs in zip(replayed.history, direct.history, strict=True):
        assert ours["loss/train"] == pytest.approx(theirs["loss/train"], rel=within)
        assert ours["loss/source_val"] == pytest.approx(theirs["loss/source_val"], rel=within)
    assert logits_apart(direct_model, model) < 5 * within


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9}, {"procedure": "two_step"}, {"optimizer": "sgd"}], ids=str)
@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_resumed_recorded_run_equals_an_undisturbed_one_bit_for_bit(changes, stop_after):
    states = []
    whole_model, whole = run(changes, Tape(), save_state=states.append)
    model, resumed = run(changes, Tape(), model=ToyClassifier(seed=77), state=states[stop_after - 1])
    assert resumed.history == whole.history and apart(whole_model, model) == 0


def test_a_recorded_run_stopped_within_an_epoch_goes_on_bit_for_bit():
    whole_model, whole = run(recorder=Tape())
    steps = []

    def interrupted():
        steps.append(1)
        return len(steps) == 6

    with pytest.raises(Interrupted) as stop:
        run(recorder=Tape(), interrupted=interrupted)
    model, resumed = run(recorder=Tape(), model=ToyClassifier(seed=5), state=stop.value.state)
    assert resumed.history == whole.history and apart(whole_model, model) == 0


def test_a_recorded_state_is_resumed_without_recording_and_the_other_way_round():
    for first, second in ((Tape(), None), (None, Tape())):
        states = []
        whole_model, whole = run(recorder=first, save_state=states.append)
        model, resumed = run(recorder=second, state=states[0])
        assert resumed.history[-1]["loss/train"] == pytest.approx(whole.history[-1]["loss/train"], rel=1e-4)
        assert logits_apart(whole_model, model) < 2e-3


@pytest.mark.parametrize(
    "left_out",
    ["aten::_fused_adamw_", "aten::native_batch_norm", "aten::convolution_backward", "aten::random_", "aten::uniform_"],
)
def test_a_recording_that_leaves_something_out_is_found_and_not_used(left_out):
    tape = Tape(broken=lambda name: name.startswith(left_out))
    if left_out in (
        "aten::random_",
        "aten::uniform_",
    ):  # drawn once and frozen: each step would see the same augmentation
        tape.broken = lambda name: name.split(".")[0] in ("aten::rand", "aten::bernoulli_", "aten::randn", left_out)
    direct_model, direct = run()
    with pytest.warns(RuntimeWarning, match=r"training steps run without a CUDA graph: .*check"):
        model, result = run(recorder=tape)
    assert result.steps_ran.startswith("eager: ")
    assert result.history[-1]["loss/train"] == pytest.approx(direct.history[-1]["loss/train"], rel=1e-4)
    assert logits_apart(direct_model, model) < 2e-3


def test_a_learning_rate_that_the_recording_froze_is_found(monkeypatch):
    monkeypatch.setattr("sweep.training.fit.make_recordable", lambda optimizer, device: None)
    with pytest.warns(RuntimeWarning, match="weights moved otherwise|loss"):
        _, result = run(recorder=Tape())
    assert result.steps_ran.startswith("eager: ")


def test_a_step_that_reads_a_value_on_the_host_runs_directly_and_says_why_once():
    def texture(colorized, grey):
        return colorized.mean() * float(grey.mean())

    with pytest.warns(RuntimeWarning) as said:
        _, result = run({"glcm_weight": 0.3}, Tape(), texture_loss=texture)
    assert (
        result.steps_ran
        == "eager: capture failed (operation not permitted when stream is capturing: aten::_local_scalar_dense)"
    )
    assert len(said) == 1
    _, direct = run({"glcm_weight": 0.3}, texture_loss=texture)
    assert [m["loss/train"] for m in result.history] == pytest.approx(
        [m["loss/train"] for m in direct.history], rel=1e-5
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"mixup": 0.4}, "mixup"), ({"train_eps": 0.02, "train_attack": "free", "train_attack_steps": 2}, "free")],
)
def test_what_cannot_be_recorded_says_why(changes, why):
    _, result = run(changes, Tape())
    assert result.steps_ran.startswith("eager: ") and why in result.steps_ran


@pytest.mark.parametrize("backend", ["scatter", "dense"])
def test_the_texture_loss_is_recorded_with_the_step(backend):
    changes = {"glcm_weight": 0.3, "epochs": 2}
    losses = [GLCMLoss(8, distance=1, window=8, backend=backend) for _ in range(2)]
    _, direct = run(changes, texture_loss=losses[0])
    _, recorded = run(changes, Tape(), texture_loss=losses[1])
    assert recorded.steps_ran == "captured"
    for ours, theirs in zip(recorded.history, direct.history, strict=True):
        assert ours["loss/train"] == pytest.approx(theirs["loss/train"], rel=1e-3)


def test_capture_can_be_turned_off():
    assert run(recorder=Tape(), capture=False)[1].steps_ran == "eager"


def test_the_average_counts_its_steps_on_the_device_as_on_the_host():
    model = ToyClassifier()
    host, device = AveragedWeights(model, 0.5), AveragedWeights(model, 0.5, on_device=True)
    for _ in range(12):
        with torch.no_grad():
            for weight in model.parameters():
                weight += 1
        host.update(model)
        device.update(model)
    assert device.state()["steps"] == host.state()["steps"] == 12
    for name, value in host.shadow.items():
        assert torch.allclose(value.float(), device.shadow[name].float(), atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES)
def test_cuda_graphs_train_as_direct_steps(changes, gpu):
    _, direct = run(changes, device=gpu, capture=False)
    _, captured = run(changes, device=gpu)
    assert captured.steps_ran == "captured"
    for ours, theirs in zip(captured.history, direct.history, strict=True):
        assert ours["loss/train"] == pytest.approx(theirs["loss/train"], rel=1e-3)


@pytest.mark.gpu
def test_a_captured_run_resumes_bit_for_bit(gpu):
    states = []
    whole_model, whole = run(recorder=CudaGraphs(torch.device(gpu)), device=gpu, save_state=states.append)
    model, resumed = run(device=gpu, model=ToyClassifier(seed=3), state=states[0])
    assert resumed.history == whole.history and apart(whole_model, model) == 0


def test_validation_is_recorded_for_each_batch_size_and_equal():
    images, labels = toy_images(70, seed=9)
    tape, direct = Tape(), []
    model = ToyClassifier().eval()
    for recorder in (None, tape):
        validate = Validation(
            model, (images, labels), device=torch.device("cpu"), precision="fp32", batch_size=32, recorder=recorder
        )
        direct.append([validate(0), validate(1)])
    assert direct[0] == direct[1] and tape.recordings == 2
    assert np.isfinite(list(direct[0][0].values())).all()


@pytest.mark.parametrize("stop", [None, 2])
def test_states_that_are_still_being_written_are_waited_for(stop):
    """At the usual end and when the run is interrupted: whoever looks at the stored state afterwards finds the last one."""
    calls = []
    options = {"save_state": lambda state: calls.append("saved"), "settle_state": lambda: calls.append("settled")}
    if stop is None:
        run(**options)
    else:
        with pytest.raises(Interrupted):
            run(interrupted=lambda: True, **options)
    assert calls[-1] == "settled" and calls.count("settled") == 1
