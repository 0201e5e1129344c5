"""Low-rank adapters (LoRA, Hu et al. 2022, arXiv 2106.09685): the published weights stay, a product of two thin matrices is trained beside them.

y = W x + alpha / rank * B A x, with B = 0 at the start, so that an adapted network begins as the published one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sweep.core.errors import InputError
from sweep.models.cnn_transformer import CNNTransformer

ATTENTION_LAYERS = ("qkv", "proj", "q", "k", "v", "q_proj", "k_proj", "v_proj", "kv", "query", "key", "value")


class LowRank(nn.Module):
    """A linear layer or convolution with an adapter of `rank`; `base` is the layer as published.

    A convolution's A has the kernel, stride, padding and dilation of the layer and `rank` output channels; its B is 1x1.
    """

    def __init__(self, base: nn.Linear | nn.Conv2d, rank: int, alpha: float) -> None:
        super().__init__()
        self.base, self.scale = base, alpha / rank
        if isinstance(base, nn.Linear):
            self.down: nn.Module = nn.Linear(base.in_features, rank, bias=False)
            self.up: nn.Module = nn.Linear(rank, base.out_features, bias=False)
        else:
            shape = {name: getattr(base, name) for name in ("kernel_size", "stride", "padding", "dilation")}
            self.down = nn.Conv2d(base.in_channels, rank, bias=False, **shape)
            self.up = nn.Conv2d(rank, base.out_channels, 1, bias=False)
        for matrix in (self.down, self.up):
            matrix.to(base.weight.device, base.weight.dtype)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output plus the adapter's."""
        return self.base(x) + self.scale * self.up(self.down(x))

    @property
    def weight(self) -> Tensor:
        """The layer's weight with the adapter's product added: some attention blocks read it instead of calling the layer."""
        down, up = self.down.weight, self.up.weight
        assert isinstance(down, Tensor) and isinstance(up, Tensor)
        if isinstance(self.base, nn.Conv2d):
            return self.base.weight + self.scale * torch.einsum("or,rikl->oikl", up.flatten(1), down)
        return self.base.weight + self.scale * (up @ down)

    @property
    def bias(self) -> Tensor | None:
        """The layer's own bias."""
        return self.base.bias

    @torch.no_grad()
    def merged(self) -> nn.Linear | nn.Conv2d:
        """The base layer with the adapter's product added to its weight: the same function without the adapter."""
        self.base.weight.copy_(self.weight)
        return self.base


def add_adapters(name: str, backbone: nn.Module, rank: int, alpha: float) -> None:
    """Give the attention layers of a transformer adapters and fix all other weights that are published.

    In a timm transformer all of the backbone is published: adapters of its attention layers are what trains. A cnn_transformer's encoder
    alone is published: its 3x3 convolutions get the adapters, and the transformer behind it, which starts at random, trains as ever.
    Sets `backbone.fixed_names`. Raises InputError for a backbone without such layers.
    """
    published = backbone.encoder if isinstance(backbone, CNNTransformer) else backbone
    assert isinstance(published, nn.Module)
    prefix = "encoder." if isinstance(backbone, CNNTransformer) else ""
    found: list[tuple[str, nn.Linear | nn.Conv2d]] = []
    found += _convolutions(published) if prefix else _attention_layers(published)
    if not found:
        fix = "leave lora_rank out, or choose a timm transformer such as vit_small_patch16_224, or a cnn_transformer"
        raise InputError(f"lora_rank of backbone {name}", "it has no attention layers to adapt", fix)
    fixed = [parameter for parameter, _ in published.named_parameters()]
    for path, layer in found:
        _replace(published, path, LowRank(layer, rank, alpha))
    adapted = {path for path, _ in found}
    backbone.fixed_names = frozenset(prefix + _moved(parameter, adapted) for parameter in fixed)  # type: ignore[assignment]
    for path, weight in backbone.named_parameters():
        weight.requires_grad_(path not in backbone.fixed_names)  # type: ignore[operator]


def _attention_layers(module: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """Linear layers that an attention block calls its query, key, value or output projection."""
    for path, layer in module.named_modules():
        parents, _, last = path.rpartition(".")
        inside = "attn" in parents or "attention" in parents
        if isinstance(layer, nn.Linear) and inside and last in ATTENTION_LAYERS:
            yield path, layer


def _convolutions(module: nn.Module) -> Iterator[tuple[str, nn.Conv2d]]:
    for path, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) and layer.groups == 1:
            yield path, layer


def _replace(module: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, layer)


def _moved(parameter: str, adapted: set[str]) -> str:
    """A parameter's name after its layer has become an adapter's base."""
    layer, _, last = parameter.rpartition(".")
    return f"{layer}.base.{last}" if layer in adapted else parameter
