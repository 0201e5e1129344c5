"""Optimisers that leave PyTorch's compiler alone: the same numbers, and no import of it."""

import subprocess
import sys

import pytest
import torch

from sweep.core.torch_internals import _BOOKKEEPING, eager

KINDS = {
    "adamw": (torch.optim.AdamW, {"lr": 0.1, "fused": True}),
    "adam": (torch.optim.Adam, {"lr": 0.1}),
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
}
TRAIN = """
import sys, torch
from sweep.core.torch_internals import eager
weight = torch.nn.Parameter(torch.ones(3))
for kind in (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD):
    optimizer = eager(kind)([weight], lr=0.1)
    weight.sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""


def trained(kind, options, steps=3):
    weights = [torch.nn.Parameter(torch.linspace(-1, 1, 5)), torch.nn.Parameter(torch.ones(2, 2))]
    optimizer = kind(weights, **options)
    for step in range(steps):
        optimizer.zero_grad()
        (sum((weight**3).sum() for weight in weights) * (step + 1)).backward()
        optimizer.step()
    return [weight.detach() for weight in weights], optimizer


@pytest.mark.parametrize("name", KINDS)
def test_steps_are_bit_equal_and_states_are_exchanged(name):
    kind, options = KINDS[name]
    usual, usual_optimizer = trained(kind, options)
    ours, optimizer = trained(eager(kind), options)
    assert all(torch.equal(a, b) for a, b in zip(usual, ours, strict=True))
    assert isinstance(optimizer, kind) and eager(kind) is eager(kind)
    usual_optimizer.load_state_dict(optimizer.state_dict())


def test_no_gradient_is_recorded_through_a_step():
    weights, _ = trained(eager(torch.optim.SGD), {"lr": 0.1})
    assert not any(weight.requires_grad for weight in weights)


def test_hooks_of_a_step_are_called():
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer, called = eager(torch.optim.Adam)([weight], lr=0.1), []
    optimizer.register_step_post_hook(lambda *_: called.append(1))
    weight.sum().backward()
    optimizer.step()
    assert called == [1]


def test_what_is_wrapped_is_still_wrapped():
    """The names that are relied upon; where one of them changes, steps fall back to PyTorch's own and import its compiler again."""
    assert all(hasattr(getattr(torch.optim.Optimizer, name), "__wrapped__") for name in _BOOKKEEPING)
    assert all(eager(kind) is not kind for kind, _ in KINDS.values())


def test_the_compiler_is_not_imported():
    assert subprocess.run([sys.executable, "-c", TRAIN], check=False).returncode == 0
