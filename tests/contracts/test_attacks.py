"""What every threat promises, whatever its method: one test class over all names."""

import pytest
import torch
import torchattacks

from sweep.attacks.attack_options import AttackOptions
from sweep.attacks.craft import craft
from sweep.attacks.epsilon_sweep import epsilon_sweep
from sweep.attacks.norms import distance
from sweep.attacks.threat import misfit
from sweep.attacks.threats import THREATS, resolve_threat
from sweep.core.errors import InputError
from tests.fakes.attack_models import Counted, lit_halves, lit_thirds, trained_cnn, trained_on_thirds

SOUND = {
    "fab",
    "pgd20",
    "mifgsm20",
    "apgd20_margin",
    "pgd5_l2",
    "apgd20_l2",
    "fmn_l2",
    "noise_l2",
    "torchattacks:EOTPGD",
}
# square's default of 5000 queries is too long for a test; square40 is the same attack
NAMES = sorted({*THREATS, *SOUND, "square40"} - {"square"})
RADIUS = {"linf": 4 / 255, "l2": 0.2}
NOT_ATTACKS = {"MultiAttack", "LGV", "VANILA"}
WEAK = {"GN", "Jitter", "OnePixel", "Pixle", "SPSA", "SparseFool"}  # break nothing of these models, or not for sure
REFUSED = {
    "APGDT": "needs 4 classes or more",
    "AutoAttack": "needs 4 classes or more",
    "JSMA": "needs 10 classes or more",
    "PIFGSM": "takes images of 3 channels",
    "PIFGSMPP": "takes images of 3 channels",
    "TIFGSM": "takes images of 3 channels",
}
LIBRARY = [
    pytest.param(name, marks=() if name in REFUSED else pytest.mark.extended)
    for name in sorted(set(torchattacks.__all__) - NOT_ATTACKS)
]


@pytest.fixture(scope="module")
def model():
    return trained_cnn()


@pytest.fixture(scope="module")
def data():
    return lit_halves(16, seed=11)


@pytest.fixture(scope="module")
def thirds():
    """A model of three classes and images of each, all of them right."""
    model, (images, labels) = trained_on_thirds(), lit_thirds(12, seed=9)
    assert (model(images).argmax(1) == labels).all()
    return model, images, labels


@pytest.mark.parametrize("name", NAMES)
class TestEveryThreat:
    def test_stays_within_budget_and_range(self, model, data, name):
        threat = resolve_threat(name)
        radius = RADIUS[threat.norm]
        points = craft(model, *data, name, radius)
        assert points.shape == data[0].shape
        assert (distance(threat.norm, points - data[0]) <= radius + 1e-5).all()
        assert points.min() >= 0 and points.max() <= 1

    def test_breaks_more_as_the_ball_grows(self, model, data, name):
        radius = RADIUS[resolve_threat(name).norm]
        result = epsilon_sweep(model, *data, [name], [radius / 8, radius, radius * 4])
        accuracy = [result.clean_accuracy, *(result.robust_accuracy(name, e) for e in result.epsilons)]
        assert accuracy == sorted(accuracy, reverse=True)
        assert name.startswith("noise") or accuracy[-1] < accuracy[0]

    def test_same_seed_same_result_and_nothing_left_behind(self, model, data, name):
        radius = RADIUS[resolve_threat(name).norm]
        torch.manual_seed(0)
        expected = torch.rand(1)
        torch.manual_seed(0)
        first = epsilon_sweep(model, *data, [name], [radius])
        assert torch.equal(torch.rand(1), expected)
        again = epsilon_sweep(model, *data, [name], [radius])
        assert torch.equal(first.distance[name], again.distance[name])
        assert not model.training and all(p.requires_grad and p.grad is None for p in model.parameters())

    def test_every_pass_is_counted(self, model, data, name):
        counted = Counted(model)
        passes = epsilon_sweep(counted, *data, [name], [RADIUS[resolve_threat(name).norm]]).passes
        assert counted.samples == passes.forward + passes.gradient + passes.verdict

    @pytest.mark.parametrize("mode", ["exact", "fast"])
    def test_several_findings_of_which_some_are_unknown(self, model, data, name, mode):
        images, labels = data
        findings = torch.nn.functional.one_hot(labels, 2).float()
        findings[::3, 0] = torch.nan
        threat, radius = resolve_threat(name), RADIUS[resolve_threat(name).norm]
        if not threat.multi_label:
            with pytest.raises(InputError, match="single labels only"):
                epsilon_sweep(model, images, findings, [name], [radius], AttackOptions(mode=mode))
            return
        result = epsilon_sweep(model, images, findings, [name], [radius, radius * 4], AttackOptions(mode=mode))
        with torch.no_grad():
            wrong = ((model(images) > 0) != (findings > 0)) & ~findings.isnan()
        assert torch.equal(result.clean_right, ~wrong.any(dim=1))
        accuracy = [result.clean_accuracy, *(result.robust_accuracy(name, e) for e in result.epsilons)]
        assert accuracy == sorted(accuracy, reverse=True) and accuracy[0] > 0
        assert name.startswith("noise") or accuracy[-1] < accuracy[0]

    @pytest.mark.parametrize("mode", ["exact", "fast"])
    def test_three_classes(self, thirds, name, mode):
        model, images, labels = thirds
        radius = 3 * RADIUS[resolve_threat(name).norm]
        labels = torch.where(torch.arange(len(labels)) == 5, (labels + 1) % 3, labels)  # one clean mistake
        result = epsilon_sweep(model, images, labels, [name], [radius / 9, radius], AttackOptions(mode=mode))
        assert result.clean_right.sum() == len(labels) - 1 and result.breaking_epsilon[name][5] == 0
        accuracy = [result.clean_accuracy, *(result.robust_accuracy(name, e) for e in result.epsilons)]
        assert accuracy == sorted(accuracy, reverse=True)
        assert name.startswith("noise") or accuracy[-1] < accuracy[0]


@pytest.mark.parametrize("name", LIBRARY)
def test_every_library_attack_takes_three_classes_or_names_what_does(thirds, name):
    model, images, labels = thirds
    threat = resolve_threat(f"torchattacks:{name}")
    radius = 3 * RADIUS[threat.norm]
    if name in REFUSED:
        with pytest.raises(InputError, match=REFUSED[name]) as refused:
            epsilon_sweep(model, images, labels, [threat], [radius])
        assert "of the table" in refused.value.fix
        return
    result = epsilon_sweep(model, images, labels, [threat], [radius])
    assert result.clean_accuracy == 1 and (name in WEAK or result.worst_case(radius) < 0.5)
    assert misfit(threat, 3, multi_label=True).fix.startswith("use an attack of the table")
