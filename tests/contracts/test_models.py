"""What every colorizer and every own backbone must keep, run over the tables so that a new row is tested at once."""

import pytest
import torch

from sweep.models.backbones import BACKBONES, build_trunk, known_backbone
from sweep.models.classifier import ClassifierSpec, build_classifier
from sweep.models.colorizers import COLORIZERS, build_colorizer

LIGHT_BACKBONES = [name for name in BACKBONES if not name.startswith("cnn_transformer") or name.endswith("_tiny")]


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("name", COLORIZERS)
class TestEveryColorizer:
    @pytest.mark.parametrize("size", [(96, 96), (128, 128), (97, 99), (98, 130)])
    def test_one_channel_in_three_out_same_size(self, name, size):
        with torch.no_grad():
            assert build_colorizer(name).eval()(torch.rand(1, 1, *size)).shape == (1, 3, *size)

    def test_at_512_px_colours_change_where_the_image_does(self, name):
        model, grey = build_colorizer(name).eval(), torch.rand(1, 1, 512, 512)
        changed = grey.clone()
        changed[..., 400:416, 96:112] = 1 - changed[..., 400:416, 96:112]
        with torch.no_grad():
            before, after = model(grey), model(changed)
        assert before.shape == (1, 3, 512, 512) and before.isfinite().all()
        change = (after - before).abs().amax(dim=(0, 1))
        row, column = divmod(int(change.argmax()), 512)
        assert change.max() > 0 and abs(row - 408) < 32 and abs(column - 104) < 32

    def test_gradient_reaches_the_image(self, name):
        grey = torch.rand(2, 1, 64, 64, requires_grad=True)
        (build_colorizer(name)(grey) * torch.randn(2, 3, 64, 64)).sum().backward()
        assert (grey.grad != 0).float().mean() > 0.99

    def test_gradient_reaches_every_parameter(self, name):
        if not COLORIZERS[name].learned:
            pytest.skip("nothing to learn")
        model = build_colorizer(name)
        (model(torch.rand(2, 1, 64, 64)) * torch.randn(2, 3, 64, 64)).sum().backward()
        assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []

    def test_a_fixed_one_has_no_parameters(self, name):
        assert COLORIZERS[name].learned == bool(list(build_colorizer(name).parameters()))

    def test_output_is_not_bounded_by_the_module(self, name):
        if not COLORIZERS[name].learned:
            pytest.skip("fixed colours of an image in [0, 1] stay in [0, 1]")
        model = build_colorizer(name).eval()
        with torch.no_grad():
            small, large = (model(scale * torch.rand(1, 1, 64, 64)).abs().max() for scale in (10, 1000))
        assert large > 20 * small

    def test_state_comes_back_whole(self, name):
        first, second = build_colorizer(name).eval(), build_colorizer(name).eval()
        second.load_state_dict(first.state_dict())
        grey = torch.rand(1, 1, 64, 64)
        assert torch.equal(first(grey), second(grey))


@pytest.mark.parametrize("name", LIGHT_BACKBONES)
class TestEveryOwnBackbone:
    def test_is_known_by_name(self, name):
        assert known_backbone(name)

    @pytest.mark.parametrize("image_px", [64, 97, 128])
    def test_classifies_grey_images_of_any_size(self, name, image_px):
        model = build_classifier(ClassifierSpec(backbone=name, num_classes=3, image_px=image_px), seed=0).eval()
        with torch.no_grad():
            assert model(torch.rand(2, 1, image_px, image_px)).shape == (2, 3)

    def test_same_seed_same_weights(self, name):
        first, second = (
            build_classifier(ClassifierSpec(backbone=name, num_classes=2, image_px=64), seed=5) for _ in range(2)
        )
        assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))

    def test_other_seed_other_weights(self, name):
        first, second = (
            build_classifier(ClassifierSpec(backbone=name, num_classes=2, image_px=64), seed=s) for s in (5, 6)
        )
        assert not all(map(torch.equal, first.parameters(), second.parameters()))

    def test_every_parameter_learns(self, name):
        model = build_classifier(ClassifierSpec(backbone=name, num_classes=2, image_px=64), seed=0)
        model(torch.rand(4, 1, 64, 64)).logsumexp(1).sum().backward()
        assert [n for n, p in model.named_parameters() if p.grad is None] == []

    def test_one_image_alone_gives_its_batch_s_logits(self, name):
        model = build_classifier(ClassifierSpec(backbone=name, num_classes=2, image_px=64), seed=0).eval()
        images = torch.rand(3, 1, 64, 64)
        with torch.no_grad():
            torch.testing.assert_close(model(images)[1:2], model(images[1:2]), atol=1e-5, rtol=1e-5)


# Published families that studies name; built without weights, so nothing is downloaded.
TIMM_NAMES = [
    "resnet18",
    "resnet50",
    "resnet101",
    "resnet152",
    "densenet121",
    "vit_base_patch16_224",
    "convnext_tiny",
    "mobilenetv2_100",
    "vit_tiny_patch16_224",
    "resnet18_layer3",
]


@pytest.mark.extended
@pytest.mark.parametrize("name", TIMM_NAMES)
class TestEveryTimmBackbone:
    @pytest.mark.parametrize("image_px", [128, pytest.param(160, marks=pytest.mark.slow)])
    def test_gives_one_logit_a_class_at_any_size_it_can_take(self, name, image_px):
        with torch.device("meta"):  # shapes without arithmetic
            model = build_classifier(ClassifierSpec(backbone=name, num_classes=5, image_px=image_px), seed=0).eval()
            assert model(torch.zeros(3, 1, image_px, image_px)).shape == (3, 5)

    def test_without_weights_everything_is_said_to_be_random(self, name):
        with torch.device("meta"):
            model = build_classifier(ClassifierSpec(backbone=name, num_classes=2, image_px=128), seed=0)
        assert model.weights_report.loaded == 0
        assert set(model.weights_report.left_random) == {key for key, _ in model.named_parameters()}


@pytest.mark.parametrize(
    "name",
    [
        "mobilenetv2_100",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("densenet121", "vit_base_patch16_224", "convnext_tiny")
        ),
    ],
)
def test_a_file_of_its_own_weights_fills_a_timm_backbone(name, tmp_path):
    from safetensors.torch import save_file

    trunk = build_trunk(name, image_px=128)
    path = tmp_path / "weights.safetensors"
    save_file(trunk.body.state_dict(), path)
    model = build_classifier(
        ClassifierSpec(backbone=name, num_classes=2, image_px=128), weights=str(path), seed=1
    ).eval()
    assert all(torch.equal(value, trunk.body.state_dict()[key]) for key, value in model.backbone.state_dict().items())
    assert model.weights_report.left_random == ("head.1.weight", "head.1.bias")
    with torch.no_grad():
        assert model(torch.rand(1, 1, 128, 128)).isfinite().all()


@pytest.mark.parametrize("name", ["densenet121", "mobilenetv2_100"])
def test_convolutional_timm_backbones_take_odd_sizes(name):
    with torch.device("meta"):
        model = build_classifier(ClassifierSpec(backbone=name, num_classes=2, image_px=131), seed=0).eval()
        assert model(torch.zeros(1, 1, 131, 131)).shape == (1, 2)


def test_heavy_rows_are_known():
    assert all(known_backbone(name) for name in BACKBONES)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(BACKBONES) - set(LIGHT_BACKBONES)))
def test_heavy_backbones_give_the_features_they_promise(name):
    trunk = build_trunk(name, image_px=128)
    with torch.no_grad():
        assert trunk.module.eval()(torch.rand(1, 3, 128, 128)).shape == (1, trunk.features)
