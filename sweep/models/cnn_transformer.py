"""CNN-Transformer: a convolutional encoder whose channels (or positions) are the tokens of a small transformer.

As in the breast-ultrasound study that this follows: at 128 px the encoder gives 1024 channels of 32x32, so the sequence
is 1024 tokens, each a flattened map of width 1024. Depth, heads and rates are not public; the defaults are ours, and so
is the layer norm of each token before the transformer (`token_norm`), which no description of that study names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sweep.core.errors import InputError
from sweep.models.small_cnn import ResidualConv, conv_norm_act

MAX_SIDE = 32  # larger maps are averaged down to it, so that a channel token is never wider than 1024
STRIDE = 4  # of both encoders


def dilated_resnet50() -> nn.Sequential:
    """ResNet-50 up to layer3 with the strides of layer2 and layer3 dilated: [N, 3, H, W] -> [N, 1024, H/4, W/4].

    Names are those of the published network, so its weights fit (layer4 and fc are cut).
    """
    from torchvision.models import resnet50

    net = resnet50(weights=None, replace_stride_with_dilation=[True, True, False])
    encoder = nn.Sequential()
    for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"):
        encoder.add_module(name, getattr(net, name))
    return encoder


def tiny_encoder(channels: int = 128) -> nn.Sequential:
    """Two strided convolutions for a laptop and for tests: [N, 3, H, W] -> [N, channels, H/4, W/4]."""
    stem, down = conv_norm_act(3, 32, kernel=5, stride=2), conv_norm_act(32, channels, stride=2)
    return nn.Sequential(stem, down, ResidualConv(channels))


class Block(nn.Module):
    """Pre-norm transformer block on [N, T, D]."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        hidden = int(width * mlp_ratio)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.drop(self._attention(self.norm1(tokens)))
        return tokens + self.drop(self.mlp(self.norm2(tokens)))

    def _attention(self, tokens_NTD: Tensor) -> Tensor:
        query, key, value = self.qkv(tokens_NTD).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        rate = self.dropout if self.training else 0.0
        mixed_NHTd = functional.scaled_dot_product_attention(query, key, value, dropout_p=rate)
        return self.out(mixed_NHTd.transpose(1, 2).flatten(2))


class CNNTransformer(nn.Module):
    """Pictures [N, 3, H, W] -> the class token's features [N, d_model].

    `token` is `channel` (one token a map, the published form) or `spatial` (one token a position); `d_model` None keeps
    the token as it is, a number projects it. `token_norm` False leaves tokens at the scale of their maps. `image_px`
    fixes the sequence, as in any transformer.
    """

    def __init__(
        self, encoder: nn.Module, channels: int, *, image_px: int, token: str = "channel", d_model: int | None = None,
        depth: int = 4, heads: int = 8, mlp_ratio: float = 2.0, dropout: float = 0.2, token_norm: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if token not in ("channel", "spatial"):
            raise InputError("token", f"unknown value {token!r}", "write channel or spatial")
        self.token, self.side = token, _side(image_px)
        count, width = (channels, self.side**2) if token == "channel" else (self.side**2, channels)
        self.d_model = d_model = d_model or width
        if d_model % heads:
            raise InputError("transformer_heads", f"{heads} heads do not divide width {d_model}", "change either")
        self.encoder = encoder
        self.project = nn.Identity() if d_model == width else nn.Linear(width, d_model)
        # Raw maps differ in scale by orders of magnitude between channels, and positions start at 0.02.
        self.norm_in = nn.LayerNorm(width) if token_norm else nn.Identity()
        self.norm_out = nn.LayerNorm(d_model)
        self.class_token = nn.Parameter(torch.zeros(1, 1, d_model))
        self.positions = nn.Parameter(torch.randn(1, count + 1, d_model) * 0.02)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(d_model, heads, mlp_ratio, dropout) for _ in range(depth)))

    def tokens(self, pictures: Tensor) -> Tensor:
        """The sequence before projection: [N, channels, side^2], or [N, side^2, channels] for spatial tokens."""
        maps = self.encoder(pictures)
        if maps.shape[-2:] != (self.side, self.side):
            maps = functional.adaptive_avg_pool2d(maps, self.side)
        sequence = maps.flatten(2)
        return sequence if self.token == "channel" else sequence.transpose(1, 2)

    def forward(self, pictures: Tensor) -> Tensor:
        tokens = self.project(self.norm_in(self.tokens(pictures)))
        tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
        return self.norm_out(self.blocks(self.drop(tokens + self.positions)))[:, 0]


def _side(image_px: int) -> int:
    """Side of the map behind a token: the encoder's, at most 32, a multiple of four so that 8 heads divide side^2."""
    return max(4, min(MAX_SIDE, image_px // STRIDE // 4 * 4))
