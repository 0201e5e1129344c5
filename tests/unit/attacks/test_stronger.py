"""The attacks beyond torchattacks' gradient steps: each held against a reference or a known answer."""

import numpy as np
import pytest
import torch
import torchattacks
from torch import nn

from sweep.attacks.attack_options import AttackOptions
from sweep.attacks.craft import craft
from sweep.attacks.epsilon_sweep import epsilon_sweep
from sweep.attacks.fast import has_bfloat16, network_for
from sweep.attacks.fuse_batch_norm import fused
from sweep.attacks.methods.torchattacks_library import library_threat
from sweep.attacks.methods.transfer import transfer_from
from sweep.attacks.threat import Threat
from sweep.core.errors import InputError
from tests.fakes.attack_models import Counted, lit_halves, small_cnn, trained_cnn

GRID = ["1/255", "2/255", "4/255", "8/255"]


@pytest.fixture(scope="module")
def model():
    return trained_cnn()


@pytest.fixture(scope="module")
def data(model):
    images, labels = lit_halves(40, seed=5)
    right = model(images).argmax(1) == labels
    return images[right], labels[right]


@pytest.mark.parametrize(
    "norm, epsilon, steps", [("Linf", 2 / 255, 10), ("Linf", 2 / 255, 40), ("L2", 0.1, 10), ("L2", 0.1, 40)]
)
def test_apgd_breaks_the_same_images_as_torchattacks(model, data, norm, epsilon, steps):
    images, labels = data
    theirs = torchattacks.APGD(model, norm=norm, eps=epsilon, steps=steps, seed=0)(images, labels)
    name = f"apgd{steps}" + ("_l2" if norm == "L2" else "")
    ours = craft(model, images, labels, name, epsilon, generator=torch.Generator().manual_seed(0))
    broken = model(theirs).argmax(1) != labels
    assert 0 < broken.sum() < len(labels)
    assert torch.equal(model(ours).argmax(1) != labels, broken)


def linear(weight):
    """A two-class model whose distance to the border is known: |w.x| / (dual norm of w) for logits (0, w.x)."""
    layer = nn.Linear(144, 2, bias=False)
    with torch.no_grad():
        layer.weight[0], layer.weight[1] = 0, weight
    return nn.Sequential(nn.Flatten(), layer)


@pytest.mark.parametrize("name, order", [("fmn", 1), ("fmn_l2", 2), ("fab", 1)])
def test_minimum_norm_attacks_find_the_known_distance(name, order):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(144, generator=generator)
    weight -= weight.mean()
    images = torch.rand(8, 1, 12, 12, generator=generator) * 0.2 + 0.4
    score = images.flatten(1) @ weight
    exact = score.abs() / weight.norm(p=order)
    result = epsilon_sweep(linear(weight), images, (score > 0).long(), [name], [0.5])
    assert result.clean_accuracy == 1
    np.testing.assert_allclose(result.distance[name], exact, rtol=0.06)
    assert (result.distance[name] >= exact - 1e-6).all()


def test_bisection_comes_close_to_the_known_distance():
    weight = torch.linspace(-1, 1, 144)
    images = torch.rand(8, 1, 12, 12, generator=torch.Generator().manual_seed(1)) * 0.2 + 0.4
    score = images.flatten(1) @ weight
    exact = (score.abs() / weight.abs().sum()).double()
    result = epsilon_sweep(
        linear(weight), images, (score > 0).long(), ["pgd20x1"], [0.0005, 0.2], AttackOptions(refine=12)
    )
    refined = result.refined["pgd20x1"]
    assert (refined <= result.breaking_epsilon["pgd20x1"] + 1e-6).all()
    np.testing.assert_allclose(refined, exact, atol=2e-4)


def test_square_needs_no_gradient(model, data):
    class Flat(nn.Module):
        def forward(self, images):
            return model(images.detach())

    broken, passes = {}, {}
    for name, target in (("open", model), ("flat", Flat())):
        result = epsilon_sweep(target, *data, ["square150"], ["8/255"])
        broken[name], passes[name] = result.breaking_epsilon["square150"], result.passes
    assert torch.equal(broken["open"], broken["flat"]) and passes["open"].gradient == 0
    theirs = torchattacks.Square(model, eps=8 / 255, n_queries=150)(*data)
    left = (model(theirs).argmax(1) == data[1]).double().mean().item()
    assert abs(torch.isinf(broken["open"]).double().mean().item() - left) <= 0.15


def test_square_does_not_depend_on_the_batch(model, data):
    whole = epsilon_sweep(model, *data, ["square40"], GRID)
    small = epsilon_sweep(model, *data, ["square40"], GRID, AttackOptions(batch_size=len(data[1]) // 2 + 1))
    assert torch.equal(whole.breaking_epsilon["square40"], small.breaking_epsilon["square40"])


def test_transfer_asks_the_target_once_per_image_and_epsilon(model, data):
    target = Counted(model)
    result = epsilon_sweep(target, *data, [transfer_from(trained_cnn(seed=9), "vanilla", steps=7)], ["8/255"])
    count = len(data[1])
    assert target.samples == 2 * count + result.passes.verdict  # clean, then once
    assert (result.passes.forward, result.passes.gradient) == (3 * count, 7 * count)  # with the surrogate's work
    assert result.robust_accuracy("vanilla", "8/255") < 1


class TestLibraryRows:
    def test_any_class_by_name(self, model, data):
        names = ["torchattacks:DIFGSM", "torchattacks:CW", "torchattacks:GN"]
        result = epsilon_sweep(model, *data, names, GRID)
        assert result.norms == {names[0]: "linf", names[1]: "l2", names[2]: "linf"}
        assert result.robust_accuracy(names[0], "8/255") < 1
        assert result.passes_by_threat[names[0]].gradient > 0

    def test_random_states_of_the_caller_survive(self, model, data):
        torch.manual_seed(1)
        np.random.seed(1)
        expected = torch.rand(1), np.random.rand()
        torch.manual_seed(1)
        np.random.seed(1)
        epsilon_sweep(model, *data, ["fab"], ["1/255"])
        assert (torch.rand(1), np.random.rand()) == expected

    def test_options_and_what_cannot_work(self, model, data):
        short = library_threat("APGD", name="apgd-l2", steps=3, norm="L2")
        assert short.norm == "l2"
        assert epsilon_sweep(model, *data, [short], [0.5]).robust_accuracy("apgd-l2", 0.5) < 1
        with pytest.raises(InputError, match="takes no"):
            library_threat("FGSM", radius=1)
        with pytest.raises(InputError, match="did you mean DIFGSM"):
            library_threat("DIFGMS")
        with pytest.raises(InputError, match="needs 4 classes or more"):
            epsilon_sweep(model, *data, ["torchattacks:AutoAttack"], ["1/255"])

    def test_a_budget_broken_inside_the_library_is_not_believed(self, model, data):
        """Gaussian noise of a fixed strength knows no epsilon: breaks count where their size says."""
        result = epsilon_sweep(model, *data, [library_threat("GN", std=0.5)], ["1/255"])
        assert result.robust_accuracy("torchattacks:GN", "1/255") == 1


class TestTheRefereeTrustsNoAttack:
    @staticmethod
    def cheat(points):
        def search(referee, rows, epsilon, threat, draws):
            referee.forward(rows, points(referee.images[rows]))
            return referee.images[rows]

        return Threat("cheat", search)

    @pytest.mark.parametrize("kind", ["far", "outside", "nan"])
    def test_points_beyond_budget_or_range_do_not_count(self, model, data, kind):
        points = {"far": lambda x: 1 - x, "outside": lambda x: x * 50 - 24, "nan": lambda x: x * torch.nan}[kind]
        result = epsilon_sweep(model, *data, [self.cheat(points)], GRID)
        assert result.robust_accuracy("cheat", "8/255") == 1


@pytest.mark.parametrize("loss", ["apgd10", "apgd10_margin", "pgd10_margin"])
def test_two_classes_and_multi_label_are_defined(loss):
    model = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    images = torch.rand(12, 1, 12, 12, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    labels = (model(images) > 0).long()
    result = epsilon_sweep(model, images, labels, [loss], ["0.001/255", "80/255"])
    assert result.robust_accuracy(loss, "80/255") < result.robust_accuracy(loss, "0.001/255")


def test_folding_keeps_the_function_and_drops_the_norms():
    model = small_cnn().train()
    model(torch.rand(8, 1, 12, 12))
    model.eval()
    sample = torch.rand(4, 1, 12, 12)
    merged = fused(model, sample)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in merged.modules())
    torch.testing.assert_close(merged(sample), model(sample), atol=1e-5, rtol=1e-4)


def test_a_convolution_used_twice_is_not_folded():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.head = nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1), nn.Linear(144, 2)

        def forward(self, images):
            return self.head((self.norm(self.conv(images)) + self.conv(images)).flatten(1))

    model = Twice().eval()
    sample = torch.rand(2, 1, 12, 12)
    assert fused(model, sample) is None


def test_what_is_not_the_same_function_is_not_taken():
    """Noise of its own makes two looks differ, so no copy can be told to be faithful."""

    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = trained_cnn()

        def forward(self, images):
            return self.inner(images + 0.1 * torch.randn_like(images))

    assert fused(Noisy().eval(), torch.rand(4, 1, 12, 12)) is None


def test_bfloat16_is_left_alone_where_it_is_slower():
    sample = torch.rand(2, 1, 12, 12)
    depthwise = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3, groups=6), nn.Flatten(), nn.Linear(384, 2)).eval()
    assert not network_for(depthwise, sample, fast=True).bfloat16
    assert network_for(small_cnn().eval(), sample, fast=True).bfloat16 == has_bfloat16(sample.device)
