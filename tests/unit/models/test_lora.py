"""Low-rank adapters: what trains, what they compute by hand, and backbones that cannot have them."""

import pytest
import torch
from torch import nn

from sweep.core.errors import InputError
from sweep.models.classifier import ClassifierSpec, build_classifier
from sweep.models.lora import LowRank
from sweep.training import parts


def spec(backbone, **options):
    return ClassifierSpec(backbone=backbone, num_classes=2, image_px=32, **options)


VIT = {"backbone_options": {"depth": 2, "embed_dim": 32, "num_heads": 2}}


def adapted(rank=4):
    return build_classifier(spec("vit_tiny_patch16_224", lora_rank=rank, **VIT), seed=0)


def test_a_linear_adapter_by_hand():
    base = nn.Linear(3, 2)
    layer = LowRank(base, rank=1, alpha=2.0)
    x = torch.tensor([[1.0, 2.0, 3.0]])
    assert torch.equal(layer(x), base(x))  # B is zero at the start
    layer.down.weight.data = torch.tensor([[1.0, 0.0, 1.0]])
    layer.up.weight.data = torch.tensor([[0.5], [1.0]])
    assert torch.allclose(layer(x), base(x) + torch.tensor([[4.0, 8.0]]))  # alpha / rank * B (1 + 3)
    wanted = layer(x).detach()
    assert torch.allclose(nn.functional.linear(x, layer.weight, layer.bias), wanted)
    assert torch.allclose(layer.merged()(x), wanted)


def test_a_convolution_s_adapter_merges_to_the_same_function():
    torch.manual_seed(0)
    layer = LowRank(nn.Conv2d(2, 5, 3, stride=2, padding=2, dilation=2, bias=False), rank=2, alpha=3.0)
    nn.init.normal_(layer.up.weight)
    x = torch.randn(1, 2, 9, 9)
    wanted = layer(x).detach()
    assert torch.allclose(layer.merged()(x), wanted, atol=1e-5)


def test_only_adapters_and_head_of_a_vit_train():
    model = adapted()
    parts.train_only(model, parts.PARTS)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {name for name, _ in parts.named_parameters(model, parts.PARTS)} == trained
    inside = {name for name in trained if name.startswith("backbone.")}
    assert len(inside) == 2 * 2 * 2 and all(name.endswith(("down.weight", "up.weight")) for name in inside)
    assert {name.split(".")[4] for name in inside} == {"qkv", "proj"} and trained - inside == {
        "head.1.weight",
        "head.1.bias",
    }
    share = sum(model.get_parameter(name).numel() for name in inside) / sum(
        w.numel() for w in model.backbone.parameters()
    )
    assert share < 0.1
    assert {name for name, w in model.freeze("head").named_parameters() if w.requires_grad} == inside


def test_it_begins_as_the_network_without_adapters_and_every_adapter_learns():
    plain = build_classifier(spec("vit_tiny_patch16_224", **VIT), seed=0).eval()
    model, images = adapted().eval(), torch.rand(2, 1, 32, 32)
    assert torch.allclose(model(images), plain(images), atol=1e-6)
    optimizer = torch.optim.SGD([w for w in model.parameters() if w.requires_grad], 0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(2):  # A moves once B is no longer zero
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), torch.tensor([0, 1])).backward()
        optimizer.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.slow
def test_the_encoder_of_a_cnn_transformer_is_adapted_and_its_transformer_trains_whole():
    model = build_classifier(spec("cnn_transformer_256", lora_rank=2), seed=0)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    encoder = {name for name in trained if name.startswith("backbone.encoder.")}
    assert encoder and all(name.endswith(("down.weight", "up.weight")) for name in encoder)
    assert "backbone.blocks.0.qkv.weight" in trained
    parts.set_modes(model, "eval")
    assert not model.backbone.encoder.bn1.training and not model.train().backbone.encoder.bn1.training
    assert model.eval()(torch.rand(1, 1, 32, 32)).shape == (1, 2)


def test_a_backbone_without_attention_is_refused():
    with pytest.raises(InputError, match="no attention layers"):
        build_classifier(spec("small_cnn", lora_rank=4), seed=0)
