"""A colour module leaves one run and starts another."""

import pytest
import torch

from sweep.core.errors import InputError
from sweep.training.transfer import colorizer_bytes, load_colorizer
from tests.fakes.toy_classifier import ToyClassifier


def test_the_colorizer_and_nothing_else_moves():
    giver, taker = ToyClassifier(seed=1), ToyClassifier(seed=2)
    head = taker.head.weight.clone()
    load_colorizer(taker, colorizer_bytes(giver.to(memory_format=torch.channels_last)))
    assert torch.equal(taker.colorizer.weight, giver.colorizer.weight)
    assert torch.equal(taker.head.weight, head) and not torch.equal(taker.head.weight, giver.head.weight)


def test_what_does_not_fit_is_refused_with_its_place():
    giver = ToyClassifier()
    with pytest.raises(InputError, match="no weights"):
        colorizer_bytes(ToyClassifier(learned=False))
    with pytest.raises(InputError, match="runs/a: holds another colorizer"):
        load_colorizer(ToyClassifier(learned=False), colorizer_bytes(giver), "runs/a")
    with pytest.raises(InputError, match="is no colorizer file"):
        load_colorizer(giver, b"nonsense")
