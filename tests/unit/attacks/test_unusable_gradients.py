"""Gradients that are missing, NaN, infinite or out of float32's range: attacked all the same, or refused, never silent."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from sweep.attacks.attack_options import AttackOptions
from sweep.attacks.craft import craft
from sweep.attacks.epsilon_sweep import epsilon_sweep
from sweep.attacks.gallery import gallery
from sweep.attacks.masking import MaskingBattery, alarms_of, check_masking
from sweep.attacks.network import gradient_of
from sweep.attacks.threats import resolve_threat
from sweep.core.errors import InputError
from tests.fakes.attack_models import Before, Lambda, lit_halves, trained_cnn

WHITE_BOX = (
    "fgsm", "bim", "pgd", "mifgsm", "pgd_l2", "apgd", "fmn", "pgd5x1_margin", "mifgsm5_l2", "apgd20_l2", "fmn_l2", "fab",
    "torchattacks:PGD", "torchattacks:PGDL2", "torchattacks:DeepFool",
)  # fmt: skip
RADIUS = {"linf": 8 / 255, "l2": 0.4}


@pytest.fixture(scope="module")
def model():
    return trained_cnn()


@pytest.fixture(scope="module")
def data():
    return lit_halves(16, seed=11)


class _CornerGradient(torch.autograd.Function):
    """The identity, whose derivative at the top-left pixel is `value`."""

    @staticmethod
    def forward(ctx, images, value):
        ctx.value = value
        return images.clone()

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.clone()
        gradient[:, :, 0, 0] = ctx.value
        return gradient, None


class _Scaled(torch.autograd.Function):
    """The identity, with its derivative times `factor`."""

    @staticmethod
    def forward(ctx, images, factor):
        ctx.factor = factor
        return images.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.factor, None


def _run(model, data, name):
    return epsilon_sweep(model, *data, [name], [RADIUS[resolve_threat(name).norm]])


@pytest.mark.parametrize("name", [*WHITE_BOX, "square20", "noise"])
def test_inference_mode_and_no_grad_change_nothing(model, data, name):
    plain = _run(model, data, name)
    with torch.no_grad():
        without_graph = _run(model, data, name)
    with torch.inference_mode():
        inside = _run(model, (data[0].clone(), data[1].clone()), name)  # clones made here are inference tensors
    assert name == "noise" or plain.worst_case(plain.epsilons[-1]) < plain.clean_accuracy
    for other in (without_graph, inside):
        assert torch.equal(other.distance[name], plain.distance[name])


def test_every_entry_point_leaves_inference_mode(model, data):
    battery = MaskingBattery(steps=5, queries=5)
    expected = craft(model, *data, "pgd", 4 / 255), check_masking(model, *data, battery=battery)
    with torch.inference_mode():
        images, labels = data[0].clone(), data[1].clone()
        assert torch.equal(craft(model, images, labels, "pgd", 4 / 255), expected[0])
        assert check_masking(model, images, labels, battery=battery) == expected[1]
        entry = gallery(model, images[:1], labels[:1], "fgsm", 4 / 255)[0]
        assert entry.adversarial.tolist() != entry.image.tolist()
        assert torch.is_inference_mode_enabled()


def test_a_model_made_of_inference_tensors_is_refused_with_a_fix_that_works(data):
    trained = trained_cnn()
    with torch.inference_mode():
        model = made_here(trained)
    with pytest.raises(InputError, match="inference_mode.*deepcopy"):
        _run(model, data, "fgsm")
    assert _run(copy.deepcopy(model), data, "fgsm").clean_accuracy > 0.5
    with torch.inference_mode():
        weight = torch.ones(144, 2)
    with pytest.raises(InputError, match="inference_mode"):  # not a parameter, so seen only when it is used
        gradient_of(lambda images: images.flatten(1) @ weight, *data, nn.functional.cross_entropy)


def made_here(model):
    """`model` with parameters that are created where this is called."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            module._parameters[name] = nn.Parameter(parameter.detach().clone(), requires_grad=False)
    return model


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", WHITE_BOX)
def test_a_non_finite_entry_counts_as_zero_and_raises_an_alarm(model, data, name, value):
    result, expected = (
        _run(Before(model, lambda x, v=v: _CornerGradient.apply(x, v)), data, name) for v in (value, 0.0)
    )
    assert torch.equal(result.distance[name], expected.distance[name])
    assert expected.worst_case(expected.epsilons[-1]) < expected.clean_accuracy
    assert "non-finite gradients" in {alarm.name for alarm in alarms_of(result)}
    assert "non-finite gradients" not in {alarm.name for alarm in alarms_of(expected)}


@pytest.mark.parametrize("factor", [1e24, 1e-24])
@pytest.mark.parametrize("name", ["pgd_l2", "apgd20_l2", "mifgsm5_l2", "mifgsm", "bim", "fgsm"])
def test_very_large_and_very_small_gradients_lead_the_same_way(model, data, name, factor):
    """Sums of their squares overflow or underflow float32; the direction must not."""
    scaled, plain = _run(Before(model, lambda x: _Scaled.apply(x, factor)), data, name), _run(model, data, name)
    assert scaled.worst_case(plain.epsilons[-1]) == plain.worst_case(plain.epsilons[-1]) < plain.clean_accuracy


@pytest.mark.parametrize("name", ["fgsm", "pgd", "pgd_l2", "apgd", "fmn_l2"])
def test_a_model_that_cuts_the_graph_raises_an_alarm(model, data, name):
    cut = Before(model, lambda x: x.detach())
    (alarm,) = alarms_of(_run(cut, data, name))
    assert alarm.name == "zero gradients" and f"{name}: every input gradient is zero" in alarm.evidence


def test_an_attack_that_changes_nothing_where_others_break_images_raises_an_alarm(model, data):
    def idle(referee, rows, epsilon, threat, draws):
        referee.forward(rows, referee.images[rows])
        return referee.images[rows]

    for family in ("gradient", "black_box"):
        row = replace(resolve_threat("fgsm"), name="idle", search=idle, family=family)
        result = epsilon_sweep(model, *data, ["pgd", row], ["8/255"])
        alarms = {alarm.name: alarm.evidence for alarm in alarms_of(result)}
        assert "idle changes no pixel of any image" in alarms["attack without effect"]
        assert "attack without effect" not in {a.name for a in alarms_of(epsilon_sweep(model, *data, [row], ["8/255"]))}


def test_carlini_wagner_that_returns_clean_images_beside_a_minimum_norm_attack_that_breaks_all(model, data):
    images, labels = lit_halves(16, seed=11, strength=0.3)
    model = nn.Sequential(Lambda(lambda x: x), model)
    cw = "torchattacks:CW"
    result = epsilon_sweep(model, images, labels, ["fmn_l2", cw], [3.0])
    assert result.robust_accuracy("fmn_l2", 3.0) == 0
    if result.robust_accuracy(cw, 3.0) == result.clean_accuracy:
        assert "attack without effect" in {alarm.name for alarm in alarms_of(result)}


def test_sequential_attacks_on_what_is_left_are_not_compared(model, data):
    """With worst_only a threat sees only what the others left, so having broken nothing is no sign of anything."""
    result = epsilon_sweep(model, *data, ["fgsm", "pgd", "noise"], ["8/255"], AttackOptions(worst_only=True))
    assert alarms_of(result) == []


@pytest.mark.parametrize("kind", [torch.int8, torch.int16, torch.int32, torch.uint8, torch.bool])
def test_class_numbers_of_any_integer_type_mean_the_same(model, data, kind):
    images, labels = data
    expected = _run(model, data, "pgd")
    assert torch.equal(_run(model, (images, labels.to(kind)), "pgd").distance["pgd"], expected.distance["pgd"])
    findings = nn.functional.one_hot(labels, 2)
    several = [_run(model, (images, one), "pgd").distance["pgd"] for one in (findings.float(), findings.to(kind))]
    assert torch.equal(*several)


def test_types_that_do_not_fit_the_model_are_refused_with_the_fix(model, data):
    images, labels = data
    with pytest.raises(InputError, match=r"float64 for a float32 model.*images.to\(torch.float32\)"):
        _run(model, (images.double(), labels), "pgd")
    with pytest.raises(InputError, match="bfloat16.*model.float"):
        _run(copy.deepcopy(model).bfloat16(), data, "pgd")
    with pytest.raises(InputError, match="labels.long"):
        _run(model, (images, labels.float()), "pgd")
    assert _run(copy.deepcopy(model).double(), (images.double(), labels), "pgd").clean_accuracy > 0.5


@pytest.mark.parametrize(
    ("attacked", "words"),
    [
        (Lambda(lambda x: x.flatten(1)[:, :2] * torch.nan), "NaN or infinite at 16 of 16 clean images"),
        (lambda x: x.flatten(1)[:, :2] / 0, "NaN or infinite"),
        (lambda x: x.flatten(1)[:, :2].detach().numpy(), r"numpy.float32 of shape \(16, 2\); return a tensor"),
        (lambda x: (x.flatten(1)[:, :2],), "a value of type tuple; return a tensor"),
        (None, "a value of type NoneType; give a module or a function"),
    ],
)
def test_outputs_that_are_no_logits_are_refused(data, attacked, words):
    """NaN logits are below every threshold: each image would count as broken, or as never classified."""
    for call in (
        lambda: epsilon_sweep(attacked, *data, ["pgd", "noise"], [0.1]),
        lambda: craft(attacked, *data, "pgd", 0.1),
    ):
        with pytest.raises(InputError, match=words):
            call()


def test_threats_and_epsilons_that_are_none_are_refused(model, data):
    for threats, epsilons, words in (
        ([None], [0.1], "None is no name"),
        (["fgsm"], None, "None is no list of numbers"),
    ):
        with pytest.raises(InputError, match=words):
            epsilon_sweep(model, *data, threats, epsilons)
    assert (
        epsilon_sweep(model, *data, "fgsm", "8/255").epsilons
        == epsilon_sweep(model, *data, ["fgsm"], [8 / 255]).epsilons
    )
    with pytest.raises(InputError, match="at least one image"):
        epsilon_sweep(model, data[0][:, :0], data[1], ["fgsm"], [0.1])
