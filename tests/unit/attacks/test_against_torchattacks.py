"""The same attack as torchattacks, point by point, with the same settings, start and generator."""

import pytest
import torch
import torchattacks

from sweep.attacks.attack_options import AttackOptions
from sweep.attacks.craft import craft
from sweep.attacks.epsilon_sweep import epsilon_sweep
from tests.fakes.attack_models import lit_halves, small_cnn, trained_cnn

EPSILONS = [level / 255 for level in (0.5, 1, 2, 4, 8)]
SAME = {"fgsm": torchattacks.FGSM, "bim": torchattacks.BIM, "pgd": torchattacks.PGD, "mifgsm": torchattacks.MIFGSM}


@pytest.fixture(scope="module")
def model():
    return trained_cnn()


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("name", SAME)
def test_linf_attacks_end_at_the_same_images(model, name, epsilon):
    images, labels = lit_halves(16)
    torch.manual_seed(7)
    theirs = SAME[name](model, eps=epsilon)(images, labels)
    ours = craft(model, images, labels, name, epsilon, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_l2_pgd_ends_at_the_same_images():
    """On an unsaturated model: there the 1e-10 that torchattacks adds to a batch-averaged gradient does not matter."""
    model, (images, labels) = small_cnn().eval(), lit_halves(16)
    torch.manual_seed(7)
    theirs = torchattacks.PGDL2(model, eps=0.5)(images, labels)
    ours = craft(model, images, labels, "pgd_l2", 0.5, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pairs", ["off", "on"])
@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_robust_accuracy_is_equal_or_lower_in_every_cell(model, mode, pairs):
    images, labels = lit_halves(64, seed=3)
    result = epsilon_sweep(model, images, labels, list(SAME), EPSILONS, AttackOptions(mode=mode, pairs=pairs))
    torch.manual_seed(0)
    for name, attack in SAME.items():
        for epsilon in EPSILONS:
            theirs = (model(attack(model, eps=epsilon)(images, labels)).argmax(1) == labels).double().mean().item()
            assert result.robust_accuracy(name, epsilon) <= theirs + 1e-12, (name, epsilon)
    assert 0 < result.worst_case(EPSILONS[1]) < 1, "the fixture must have something to lose"
