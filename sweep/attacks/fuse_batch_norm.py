"""Batch norms of an eval-mode network fused into the convolutions before them: same function, fewer passes over memory.

Which convolution feeds which norm is recorded in one forward pass, so that any model (colorizers, timm backbones) can be
fused without being traced; the fused copy is then compared with the original, and dropped when they differ.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sweep.attacks.network import Passes


def fused(model: nn.Module, sample: Tensor, *, within: float = 1e-3, passes: Passes | None = None) -> nn.Module | None:
    """A copy of `model` in eval mode with batch norms fused; None where there is nothing to fuse.

    `sample` [n, C, H, W] is passed through both, whose logits may differ by the share `within` of the largest one; else None.
    That work is counted in `passes`.
    """
    if not any(_is_norm(module) for module in model.modules()):
        return None
    plain = copy.deepcopy(model).eval()
    passes = Passes() if passes is None else passes
    passes.verdict += len(sample)
    pairs = _conv_norm_pairs(plain, sample)
    if not pairs:
        return None
    passes.verdict += 2 * len(sample)
    merged = copy.deepcopy(plain)
    for conv_name, norm_name in pairs:
        convolution, norm = merged.get_submodule(conv_name), merged.get_submodule(norm_name)
        assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        _replace(merged, conv_name, fuse_conv_bn_eval(convolution, norm))
        _replace(merged, norm_name, _rest_of(norm))
    with torch.no_grad():
        before, after = plain(sample), merged(sample)
    return merged if (before - after).abs().max() <= within * before.abs().max().clamp(min=1e-6) else None


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.BatchNorm2d) and module.track_running_stats


def _conv_norm_pairs(model: nn.Module, sample: Tensor) -> list[tuple[str, str]]:
    """Names of (convolution, norm) where the norm's input is the tensor that the convolution returned."""
    made_by: dict[int, str] = {}
    pairs: list[tuple[str, str]] = []
    outputs: list[Tensor] = []  # kept alive: an id is only unique among living tensors
    calls: dict[str, int] = {}

    def count(name: str) -> None:
        calls[name] = calls.get(name, 0) + 1

    def convolution(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
            count(name)
            made_by[id(output)] = name
            outputs.append(output)

        return hook

    def norm(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple) -> None:
            count(name)
            if id(inputs[0]) in made_by:
                pairs.append((made_by[id(inputs[0])], name))

        return hook

    handles = []
    for name, module in model.named_modules():
        if type(module) is nn.Conv2d:
            handles.append(module.register_forward_hook(convolution(name)))
        elif _is_norm(module):
            handles.append(module.register_forward_pre_hook(norm(name)))
    try:
        with torch.no_grad():
            model(sample)
    finally:
        for handle in handles:
            handle.remove()
    # a module used twice would be fused for one of its uses only
    return [pair for pair in pairs if calls[pair[0]] == 1 and calls[pair[1]] == 1]


def _rest_of(norm: nn.BatchNorm2d) -> nn.Module:
    """The other parts of a norm layer: timm's BatchNormAct2d also has dropout and activation."""
    return nn.Sequential(
        *(getattr(norm, part) for part in ("drop", "act") if isinstance(getattr(norm, part, None), nn.Module))
    )


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)
