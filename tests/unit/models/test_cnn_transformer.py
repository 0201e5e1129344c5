"""The CNN-Transformer against its description, and published weights on their way into a backbone."""

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from sweep.models import hub, timm_trunks
from sweep.models.backbones import build_trunk
from sweep.models.classifier import ClassifierSpec, build_classifier
from sweep.models.cnn_transformer import Block, CNNTransformer, dilated_resnet50, tiny_encoder
from sweep.models.trunk import Trunk


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def small(**settings):
    return CNNTransformer(tiny_encoder(16), 16, image_px=64, **settings).eval()


def test_settings_that_no_sweep_config_names():
    model = small()  # a token is a map of 16x16, so its width is 256
    assert (model.token, model.d_model, len(model.blocks)) == ("channel", 256, 4)
    assert model.class_token.shape == (1, 1, 256) and model.positions.shape == (1, 17, 256)
    for block in model.blocks:
        assert (block.heads, block.dropout, block.mlp[0].out_features) == (8, 0.2, 512)
        assert [part.p for part in block.modules() if isinstance(part, nn.Dropout)] == [0.2, 0.2]


def test_a_block_is_normed_before_attention_and_before_the_perceptron():
    block, tokens = Block(32, 4, 2.0, 0.2).eval(), torch.randn(2, 5, 32)
    attention = nn.MultiheadAttention(32, 4, batch_first=True)
    attention.load_state_dict(
        {
            "in_proj_weight": block.qkv.weight,
            "in_proj_bias": block.qkv.bias,
            "out_proj.weight": block.out.weight,
            "out_proj.bias": block.out.bias,
        }
    )
    for norm in (block.norm1, block.norm2):
        nn.init.normal_(norm.weight)
    normed = block.norm1(tokens)
    middle = tokens + attention(normed, normed, normed, need_weights=False)[0]
    first, _, _, last = block.mlp
    expected = middle + last(nn.functional.gelu(first(block.norm2(middle))))
    torch.testing.assert_close(block(tokens), expected)


@pytest.mark.parametrize("token_norm", [True, False])
def test_class_token_first_then_positions_then_the_class_token_s_features(token_norm):
    model, pictures = small(token_norm=token_norm, d_model=32, depth=1), torch.rand(2, 3, 64, 64)
    maps = model.encoder(pictures).flatten(2)
    tokens = model.project(nn.functional.layer_norm(maps, (256,)) if token_norm else maps)
    sequence = torch.cat([model.class_token.expand(2, 1, 32), tokens], 1) + model.positions
    torch.testing.assert_close(model(pictures), model.norm_out(model.blocks[0](sequence))[:, 0])


def test_dropout_acts_on_tokens_attention_and_perceptron_while_training():
    model = small(d_model=32, depth=1)
    assert torch.equal(model(torch.ones(1, 3, 64, 64)), model(torch.ones(1, 3, 64, 64)))
    block, tokens = model.blocks[0].train(), torch.randn(1, 200, 32)
    changed = block(tokens) != block(tokens)
    assert changed.float().mean() > 0.5


def test_the_encoder_is_resnet50_with_two_strides_dilated():
    encoder, whole = (
        dilated_resnet50().eval(),
        torchvision.models.resnet50(weights=None, replace_stride_with_dilation=[True, True, False]).eval(),
    )
    whole.load_state_dict(encoder.state_dict(), strict=False)
    pictures = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = whole.layer3(whole.layer2(whole.layer1(whole.maxpool(whole.relu(whole.bn1(whole.conv1(pictures)))))))
        torch.testing.assert_close(encoder(pictures), expected)
    assert expected.shape == (1, 1024, 8, 8)
    strides = {part.stride for part in encoder.layer2.modules() if isinstance(part, nn.Conv2d)} | {
        part.stride for part in encoder.layer3.modules() if isinstance(part, nn.Conv2d)
    }
    assert strides == {(1, 1)}


def as_published():
    """A whole ResNet-50 as a hub has it; of the layers that are cut off a grain, which nobody reads."""
    state = {f"{name}": value for name, value in dilated_resnet50().state_dict().items()}
    return {**state, "layer4.0.conv1.weight": torch.zeros(1), "fc.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_a_file_of_resnet50_fills_the_encoder_and_leaves_the_transformer_random(tmp_path, kind):
    state, path = as_published(), tmp_path / f"resnet50.{kind}"
    save_file(state, path) if kind == "safetensors" else torch.save(state, path)
    model = build_classifier(
        ClassifierSpec(backbone="cnn_transformer", num_classes=2, image_px=32), weights=str(path), seed=1
    )
    assert all(torch.equal(value, state[name]) for name, value in model.backbone.encoder.state_dict().items())
    report = model.weights_report
    assert set(report.unused) == {"layer4.0.conv1.weight", "fc.weight", "fc.bias"} and report.loaded == len(state) - 3
    assert set(report.left_random) == {
        name for name, _ in model.named_parameters() if not name.startswith("backbone.encoder.")
    }


class TestImageNetByName:
    """`weights: imagenet` with the hub's answer made here; nothing is fetched."""

    @pytest.fixture(autouse=True)
    def _no_hub(self, monkeypatch):
        monkeypatch.setattr(hub, "_has_address", lambda url: False)

    def test_cnn_transformer_takes_resnet50_up_to_its_third_layer(self, monkeypatch):
        asked, published = [], timm.create_model("resnet50", num_classes=0)

        def trunk(name, image_px, pretrained, **options):
            asked.append((name, pretrained))
            return Trunk(published, published)

        monkeypatch.setattr(timm_trunks, "timm_trunk", trunk)
        encoder = build_trunk("cnn_transformer", image_px=32, pretrained=True).body
        assert asked == [("resnet50", True)]
        assert all(torch.equal(value, published.state_dict()[name]) for name, value in encoder.state_dict().items())

    @pytest.mark.parametrize("name", ["resnet10t", "resnet10t_layer2"])
    def test_timm_networks_take_theirs(self, name, tmp_path):
        published = timm.create_model("resnet10t", num_classes=1000)
        torch.save(published.state_dict(), tmp_path / "resnet10t.pth")
        trunk = build_trunk(
            name, image_px=64, pretrained=True, pretrained_cfg_overlay={"file": str(tmp_path / "resnet10t.pth")}
        )
        state = trunk.body.state_dict()
        assert state and all(torch.equal(value, published.state_dict()[key]) for key, value in state.items())

    def test_torchvision_networks_take_theirs_without_the_classifier(self, monkeypatch):
        published = torchvision.models.squeezenet1_1(weights=None)
        monkeypatch.setattr(
            "torchvision.models._api.WeightsEnum.get_state_dict", lambda self, *_, **__: published.state_dict()
        )
        trunk = build_trunk("torchvision:squeezenet1_1", image_px=64, pretrained=True)
        assert all(torch.equal(value, published.state_dict()[key]) for key, value in trunk.body.state_dict().items())

    def test_the_report_says_that_only_the_head_is_random(self, monkeypatch):
        monkeypatch.setattr(
            "torchvision.models._api.WeightsEnum.get_state_dict",
            lambda self, *_, **__: torchvision.models.squeezenet1_1(weights=None).state_dict(),
        )
        report = build_classifier(
            ClassifierSpec(backbone="torchvision:squeezenet1_1", num_classes=2, image_px=64), weights="imagenet", seed=0
        ).weights_report
        assert report.left_random == ("head.1.weight", "head.1.bias") and report.source == "imagenet"
