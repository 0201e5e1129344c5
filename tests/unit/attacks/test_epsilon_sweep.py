"""What the engine promises: counts, budgets, refusals, and a model and a generator left as they were found."""

import pytest
import torch
from torch import nn

from sweep.attacks.attack_options import AttackOptions
from sweep.attacks.craft import craft
from sweep.attacks.epsilon_sweep import epsilon_sweep
from sweep.attacks.threats import resolve_threat
from sweep.core.activity import heard_by
from sweep.core.epsilon import epsilon_name, parse_epsilon
from sweep.core.errors import InputError
from tests.fakes.attack_models import Counted, lit_halves, small_cnn, trained_cnn

GRID = ["0.5/255", "1/255", "2/255", "4/255", "8/255"]


@pytest.fixture(scope="module")
def model():
    return trained_cnn()


@pytest.fixture(scope="module")
def data():
    return lit_halves(40, seed=5)


class Constant(nn.Module):
    """Always class 0, by a margin no attack can move."""

    def forward(self, images):
        logits = torch.zeros(len(images), 2, dtype=images.dtype)
        logits[:, 0] = 5
        return logits + 0 * images.sum()


def test_breaking_epsilon_says_the_same_as_robust_accuracy(model, data):
    result = epsilon_sweep(model, *data, ["fgsm", "pgd"], GRID)
    for name in result.threats:
        breaking = result.breaking_epsilon[name]
        assert breaking.shape == (40,)
        assert set(breaking.tolist()) <= {0.0, float("inf"), *(parse_epsilon(e) for e in GRID)}
        for epsilon in GRID:
            assert result.robust_accuracy(name, epsilon) == (breaking > parse_epsilon(epsilon)).double().mean()
            assert result.worst_case(epsilon) <= result.robust_accuracy(name, epsilon)


def test_clean_mistakes_break_at_zero_and_are_never_attacked(model, data):
    images, _labels = data
    wrong = 1 - model(images).argmax(1)
    result = epsilon_sweep(model, images, wrong, ["bim"], GRID)
    assert result.breaking_epsilon["bim"].eq(0).all()
    assert result.clean_accuracy == 0
    assert (result.passes.gradient, result.passes.forward) == (40, 0)


@pytest.mark.parametrize("options", [{}, {"mode": "fast"}, {"pairs": "on"}])
def test_progress_names_the_images_the_threat_and_the_attacks_made(model, data, options):
    heard = []
    with heard_by(heard.append, every_s=0):
        epsilon_sweep(model, *data, ["fgsm", "pgd", "noise"], GRID, AttackOptions(batch_size=12, **options))
    said = [one["doing"] for one in heard]
    assert {what.partition(" with ")[0] for what in said} == {"attacking images 1 to 24", "attacking images 25 to 40"}
    assert {name for what in said for name in what.partition(" with ")[2].split(", ")} == {"fgsm", "pgd", "noise"}
    first = [one["step"] for one in heard if "1 to 24" in one["doing"]]
    assert first == sorted(first) and first[-1] > first[0] == 0 and {one["steps"] for one in heard} == {15}


def test_epsilon_zero_is_the_clean_result(model, data):
    images, labels = data
    for mode in ("exact", "fast"):
        only = epsilon_sweep(model, images, labels, ["pgd", "fmn"], [0], AttackOptions(mode=mode))
        assert only.robust_accuracy("fmn", 0) == only.clean_accuracy
    result = epsilon_sweep(model, images, labels, ["pgd"], [0, "8/255"])
    clean = (model(images).argmax(1) == labels).double().mean().item()
    assert result.robust_accuracy("pgd", 0) == result.worst_case(0) == result.clean_accuracy == clean
    assert torch.equal(craft(model, images, labels, "pgd", 0), images)


class TestPasses:
    """Counts on models whose answers are known beforehand, so that no noise can move them."""

    def test_nobody_breaks(self):
        images = lit_halves(10)[0]
        model = Counted(Constant())
        result = epsilon_sweep(model, images, torch.zeros(10, dtype=torch.long), ["fgsm", "bim", "pgd", "mifgsm"], GRID)
        # zero gradient: every iterate of the threats without random start is the clean image, asked once for all of them
        assert result.passes_by_threat["pgd"].gradient == 10 * 5 * 10
        assert result.passes_by_threat["pgd"].forward == 10 * 5
        assert result.passes.gradient == 10 + 10 * 5 * 10
        assert model.samples == result.passes.gradient + result.passes.forward

    def test_one_step_threat_takes_one_clean_gradient_for_all_epsilons(self, model, data):
        result = epsilon_sweep(model, *data, ["fgsm"], GRID)
        assert result.passes.gradient == 40
        assert result.passes.forward <= 40 * 5

    def test_a_break_is_the_last_pass(self):
        """Every image breaks at the first step of the first epsilon: two looks, whatever follows in the grid."""
        fragile = nn.Sequential(nn.Flatten(), nn.Linear(144, 2, bias=False))
        with torch.no_grad():
            fragile[1].weight[0], fragile[1].weight[1] = -100.0, 100.0
        images = torch.full((6, 1, 12, 12), 0.5)
        images[::2] += 1e-5
        images[1::2] -= 1e-5
        centred = Counted(nn.Sequential(Shift(-0.5), fragile))
        labels = torch.arange(6) % 2 ^ 1
        result = epsilon_sweep(centred, images, labels, ["bim"], GRID)
        assert result.clean_accuracy == 1
        assert result.robust_accuracy("bim", "0.5/255") == 0
        assert (result.passes.gradient, result.passes.forward) == (12, 0)
        assert centred.samples == 12

    def test_first_steps_are_shared_between_threats(self, model, data):
        alone = epsilon_sweep(model, *data, ["bim"], GRID).passes
        both = epsilon_sweep(model, *data, ["bim", "fgsm"], GRID)
        assert both.passes.gradient == alone.gradient
        assert both.passes_by_threat["fgsm"].forward < 40 * 5
        assert epsilon_sweep(model, *data, ["fgsm"], GRID).breaking_epsilon["fgsm"].equal(both.breaking_epsilon["fgsm"])

    def test_counts_are_what_the_model_saw(self, model, data):
        counted = Counted(model)
        passes = epsilon_sweep(counted, *data, ["fgsm", "bim", "pgd", "mifgsm", "noise"], GRID).passes
        assert counted.samples == passes.forward + passes.gradient + passes.verdict
        assert passes.gradient < 40 * 5 * 31

    @pytest.mark.parametrize("train_eps", [4 / 255, pytest.param(0.0, marks=pytest.mark.slow)])
    def test_a_folded_copy_changes_no_result(self, data, train_eps):
        """Asked through a function, which cannot be copied and folded, the same model gives the same breaks in as many steps."""
        model, names = trained_cnn(train_eps=train_eps), ["fgsm", "bim", "pgd", "mifgsm", "apgd"]
        copied, plain = (epsilon_sweep(asked, *data, names, GRID) for asked in (model, lambda images: model(images)))
        assert all(torch.equal(copied.breaking_epsilon[name], plain.breaking_epsilon[name]) for name in names)
        assert (copied.passes.gradient, copied.passes.forward) == (plain.passes.gradient, plain.passes.forward)
        broken = sum(int((plain.breaking_epsilon[name] < torch.inf).sum()) for name in names)
        assert plain.passes.verdict == 0 < copied.passes.verdict < 12 + 2 * broken + 40

    def test_fast_mode_tries_the_border_only(self, model, data):
        names = ["fgsm", "bim", "pgd", "mifgsm"]
        exact, fast = (epsilon_sweep(model, *data, names, GRID, AttackOptions(mode=mode)) for mode in ("exact", "fast"))
        assert fast.passes.gradient < 0.7 * exact.passes.gradient
        assert all(fast.robust_accuracy(n, e) <= exact.robust_accuracy(n, e) for n in names for e in GRID)

    def test_near_misses_get_other_starts_and_others_do_not(self):
        """Two logits with a wall at the clean image: a margin left of 10 % is near, one of 50 % is not."""
        images, labels = lit_halves(6)[0], torch.zeros(6, dtype=torch.long)
        for left_over, runs in ((0.1, 3), (0.5, 1)):
            model = Wall(images, left_over)
            passes = epsilon_sweep(model, images, labels, ["pgd"], ["8/255"]).passes
            assert passes.gradient == 6 * 10 * runs

    def test_what_nobody_breaks_is_tried_at_the_largest_epsilon_alone(self):
        images = lit_halves(10)[0]
        result = epsilon_sweep(
            Constant(), images, torch.zeros(10, dtype=torch.long), ["pgd"], GRID, AttackOptions(mode="fast")
        )
        assert (
            result.passes_by_threat["pgd"].gradient <= 10 * 10 * 3
        )  # the middle first: no gradient says where to look

    def test_worst_only_agrees_with_all_threats_and_costs_less(self, model, data):
        names = ["fgsm", "bim", "mifgsm"]
        every = epsilon_sweep(model, *data, names, GRID)
        worst = epsilon_sweep(model, *data, names, GRID, AttackOptions(worst_only=True))
        assert [worst.worst_case(e) for e in GRID] == [every.worst_case(e) for e in GRID]
        assert worst.passes.gradient < every.passes.gradient
        with pytest.raises(InputError, match="worst_case"):
            worst.robust_accuracy("fgsm", "1/255")


class Wall(nn.Module):
    """Class 0 by one at the clean images and by `left_over` anywhere else."""

    def __init__(self, images, left_over):
        super().__init__()
        self.images, self.left_over = images, left_over

    def forward(self, images):
        moved = (images != self.images[: len(images)]).flatten(1).any(dim=1).double()
        margin = 1 - (1 - self.left_over) * moved + 0 * images.sum(dim=(1, 2, 3))
        return torch.stack([margin, torch.zeros_like(margin)], dim=1)


class Shift(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, images):
        return images + self.by


class TestTheModelIsLeftAsFound:
    @pytest.mark.parametrize("mode", ["exact", "fast"])
    def test_training_modes_flags_statistics_and_gradients(self, data, mode):
        model = small_cnn().train()
        model[0].eval()
        model[0].weight.requires_grad_(False)
        state = {name: value.clone() for name, value in model.state_dict().items()}
        epsilon_sweep(model, *data, ["pgd"], ["1/255"], AttackOptions(mode=mode))
        assert model.training and not model[0].training and model[1].training
        assert not model[0].weight.requires_grad and model[3].weight.requires_grad
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_after_an_error_too(self, data):
        model = small_cnn().train()
        with pytest.raises(InputError):
            epsilon_sweep(model, data[0], data[1] + 5, ["pgd"], ["1/255"])
        assert model.training and model[0].weight.requires_grad

    def test_callers_generator(self, model, data):
        torch.manual_seed(3)
        expected = torch.rand(3)
        torch.manual_seed(3)
        epsilon_sweep(model, *data, ["pgd", "noise"], ["1/255"])
        assert torch.equal(torch.rand(3), expected)

    def test_same_seed_same_result(self, model, data):
        first, again, other = (epsilon_sweep(model, *data, ["pgd"], GRID, AttackOptions(seed=s)) for s in (1, 1, 2))
        assert torch.equal(first.distance["pgd"], again.distance["pgd"])
        assert not torch.equal(first.distance["pgd"], other.distance["pgd"])


REFUSED = {
    "range": (lambda x, y: (x * 255, y), "scale to"),
    "nan": (lambda x, y: (x.masked_fill(x > 0.5, torch.nan), y), "scale to"),
    "8-bit": (lambda x, y: ((x * 255).byte(), y), "divide 8-bit"),
    "half": (lambda x, y: (x.half(), y), "float32"),
    "shape": (lambda x, y: (x[0], y), r"\[N, C, H, W\]"),
    "none": (lambda x, y: (x[:0], y[:0]), "at least one"),
    "count": (lambda x, y: (x, y[:3]), "class numbers"),
    "float classes": (lambda x, y: (x, y.float()), "integers"),
    "soft": (lambda x, y: (x, torch.full((40, 2), 0.5)), "hard labels"),
    "class": (lambda x, y: (x, y + 1), "0 to K-1"),
    "columns": (lambda x, y: (x, torch.ones(40, 3)), "per logit"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_reason(model, data, case):
    spoil, reason = REFUSED[case]
    with pytest.raises(InputError, match=reason):
        epsilon_sweep(model, *spoil(*data), ["fgsm"], GRID)


def test_single_logit_models_are_refused(data):
    for model in (small_cnn(classes=1), nn.Sequential(small_cnn(classes=1), nn.Flatten(0))):
        with pytest.raises(InputError, match="logit"):
            epsilon_sweep(model, *data, ["pgd"], GRID)


BAD = [
    ([], GRID),
    (["fgsm"], []),
    (["fgsm"], [-1]),
    (["fgsn"], GRID),
    (["fgsm"], ["a/b"]),
    (["pgd0"], GRID),
    (["transfer"], GRID),
]
BAD += [([name], GRID) for name in ("square40_l2", "fgsm20", "bim_l2", "pgd_margin_l2", "pgd20x0")]


@pytest.mark.parametrize("threats, epsilons", BAD)
def test_bad_threats_and_epsilons_are_refused(model, data, threats, epsilons):
    with pytest.raises(InputError):
        epsilon_sweep(model, *data, threats, epsilons)


def test_asking_for_what_was_not_run(model, data):
    result = epsilon_sweep(model, *data, ["fgsm"], GRID)
    for threat, epsilon in (("pgd", "1/255"), ("fgsm", "3/255")):
        with pytest.raises(InputError, match="was not run"):
            result.robust_accuracy(threat, epsilon)


def test_multi_label_images_stand_while_every_label_is_right():
    model = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    images = torch.rand(20, 1, 12, 12, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    labels = (model(images) > 0).float()
    labels[0, 0] = 1 - labels[0, 0]
    result = epsilon_sweep(model, images, labels, ["fgsm", "pgd20_margin"], ["0.01/255", "1/255", "60/255"])
    assert result.clean_accuracy == 0.95
    assert result.breaking_epsilon["pgd20_margin"][0] == 0
    assert result.robust_accuracy("pgd20_margin", "60/255") < 0.5 < result.robust_accuracy("pgd20_margin", "0.01/255")


def test_epsilon_text():
    assert parse_epsilon("2/255") == 2 / 255 == parse_epsilon(2 / 255)
    assert parse_epsilon("0.5/255") == 0.5 / 255 and parse_epsilon("0.01") == 0.01
    assert [epsilon_name(e) for e in ("2/255", 2 / 255, 0.5 / 255, 0, 0.3)] == [
        "2/255",
        "2/255",
        "0.5/255",
        "0",
        "76.5/255",
    ]


def test_names_carry_settings():
    pgd, sound = resolve_threat("pgd"), resolve_threat("pgd50x5_margin_l2")
    assert (pgd.alpha, pgd.steps, pgd.restarts, pgd.random_start) == (2 / 255, 10, 1, True)
    assert (sound.alpha, sound.alpha_per_eps, sound.steps, sound.restarts) == (None, 0.25, 50, 5)
    assert (sound.loss, sound.norm, sound.name) == ("margin", "l2", "pgd50x5_margin_l2")
    assert resolve_threat("pgd5").alpha_per_eps == 0.5
