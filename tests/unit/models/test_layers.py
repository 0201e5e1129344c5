"""Numbers of layers, for learning rates that fall towards the image."""

import pytest
import torch

from sweep.models.backbones import build_trunk
from sweep.models.layers import layer_numbers


def module(name, **options):
    with torch.device("meta"):
        return build_trunk(name, image_px=32, **options).module


@pytest.mark.parametrize(
    "name",
    [
        "small_cnn",
        "cnn_transformer_tiny",
        "resnet18",
        "resnet18_layer3",
        "mobilenetv2_100",
        "convnext_tiny",
        "vit_tiny_patch16_224",
    ],
)
def test_every_weight_has_a_layer_and_layers_are_consecutive(name):
    backbone = module(name)
    numbers = layer_numbers(backbone)
    assert {*numbers} == {parameter for parameter, _ in backbone.named_parameters()}
    assert {*numbers.values()} == {*range(max(numbers.values()) + 1)} and max(numbers.values()) >= 2


def test_a_vit_has_its_embedding_first_and_one_layer_a_block():
    numbers = layer_numbers(module("vit_tiny_patch16_224", depth=3, embed_dim=24, num_heads=3))
    assert numbers["cls_token"] == numbers["patch_embed.proj.weight"] == 0
    assert [numbers[f"blocks.{k}.attn.qkv.weight"] for k in range(3)] == [1, 2, 3]


def test_indexed_blocks_of_our_own_networks():
    numbers = layer_numbers(module("small_cnn"))
    assert numbers["features.0.0.weight"] == 0 < numbers["features.1.0.weight"] < numbers["features.2.branch.0.weight"]
    cut = layer_numbers(module("resnet18_layer3"))
    assert (
        cut["body.conv1.weight"] == 0 and cut["body.layer1.0.conv1.weight"] == 1 and cut["body.layer3.1.bn2.bias"] == 6
    )
