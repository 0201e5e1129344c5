"""Every model built to mask its gradient raises an alarm, no plain one does."""

import pytest
import torch

from sweep.attacks.colorizer_bypass import around_colorizer
from sweep.attacks.epsilon_sweep import epsilon_sweep
from sweep.attacks.masking import MaskingBattery, alarms_of, check_masking
from tests.fakes.attack_models import lit_halves, masking_models, plain_models, trained_cnn

EXPECTED = {
    "staircase input": {"zero gradients", "black box beats white box", "large epsilon does not break it"},
    "saturated logits": {"zero gradients"},
    "shattered input": {"black box beats white box"},
    "random input": {"random predictions"},
    "sharp softmax": {"probabilities instead of logits", "zero gradients"},
    "colorizer with a false gradient": {"colorizer hides the gradient", "black box beats white box"},
}


PLAIN = (
    "cnn",
    "cnn of another seed",
    "longer trained",
    "adversarially trained",
    "hardly trained",
    "honest colorizer",
)


@pytest.fixture(scope="module")
def masked():
    return masking_models()


@pytest.fixture(scope="module")
def plain():
    return plain_models()


@pytest.fixture(scope="module")
def data():
    return lit_halves(32, seed=3)


def test_every_model_is_tried(masked, plain):
    assert (set(masked), set(plain)) == (set(EXPECTED), set(PLAIN))


@pytest.mark.extended
@pytest.mark.parametrize("name", EXPECTED)
def test_masking_models_are_flagged_for_the_right_reason(masked, data, name):
    torch.manual_seed(0)
    found = {alarm.name for alarm in check_masking(masked[name], *data, battery=MaskingBattery(steps=10, queries=100))}
    assert found >= EXPECTED[name]


@pytest.mark.parametrize("name", PLAIN)
def test_plain_models_are_not_flagged(plain, data, name):
    assert (
        check_masking(plain[name], *data, surrogate=trained_cnn(seed=9), battery=MaskingBattery(steps=10, queries=100))
        == []
    )


def test_a_transfer_attack_reveals_a_false_gradient(masked, data):
    model = masked["colorizer with a false gradient"]
    alarms = check_masking(model, *data, surrogate=trained_cnn(seed=9), battery=MaskingBattery(steps=5, queries=1))
    assert "black box beats white box" in {alarm.name for alarm in alarms}


def test_one_step_that_beats_many_raises_an_alarm_in_any_sweep(data):
    """A step of the whole range overshoots: bim with a fixed step then does worse than fgsm."""
    result = epsilon_sweep(trained_cnn(), *data, ["fgsm", "pgd2"], ["8/255"])
    result.breaking_epsilon["pgd2"][:] = torch.inf
    without_effect, beaten = alarms_of(result)
    assert without_effect.name == "attack without effect" and "pgd2 breaks no image" in str(without_effect)
    assert beaten.name == "one step beats many" and "8/255" in str(beaten)


def test_the_straight_through_copy_of_a_colorizer_predicts_the_same(plain, data):
    model = plain["honest colorizer"]
    assert torch.allclose(around_colorizer(model)(data[0]), model(data[0]), atol=1e-5)
    assert around_colorizer(trained_cnn()) is None


def test_an_attack_that_was_only_too_short_is_no_alarm(data, monkeypatch):
    """Images missed in the larger ball count when they stand under four times the steps too."""
    from sweep.attacks import masking

    def shortened(honest):
        def sweep(model, images, labels, threats, epsilons, *options):
            result = honest(model, images, labels, threats, epsilons, *options)
            for name, breaking in result.breaking_epsilon.items():
                if (name == "pgd10x1" and epsilons == [32 / 255]) or (stubborn and name == "pgd40"):
                    breaking[:] = torch.inf
            return result

        return sweep

    monkeypatch.setattr(masking, "epsilon_sweep", shortened(masking.epsilon_sweep))
    for stubborn in (False, True):
        names = {
            alarm.name for alarm in check_masking(trained_cnn(), *data, battery=MaskingBattery(steps=10, queries=10))
        }
        assert ("accuracy rises with epsilon" in names) == stubborn
