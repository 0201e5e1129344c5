"""The classifier's own duties: normalisation inside, parts that freeze, refusals."""

import pytest
import torch
from torch import nn

from sweep.core.errors import InputError
from sweep.models.backbones import known_backbone
from sweep.models.classifier import ClassifierSpec, build_classifier
from sweep.models.cnn_transformer import CNNTransformer, dilated_resnet50, tiny_encoder


def _model(**changes):
    given = {"backbone": "small_cnn", "num_classes": 2, "image_px": 64} | changes
    weights, seed = given.pop("weights", None), given.pop("seed", 0)
    return build_classifier(ClassifierSpec(**given), weights, seed=seed)


def _learning(model):
    parts = ("colorizer", "backbone", "head")
    return {part for part in parts if any(p.requires_grad for p in getattr(model, part).parameters())}


def test_replicated_grey_is_standardised_after_the_colorizer():
    model = _model(backbone="test_vit").eval()  # timm's published statistics of this network
    grey = torch.rand(1, 1, 64, 64)
    mean, std = model.after.mean, model.after.std
    torch.testing.assert_close(model(grey), model.head(model.backbone((grey.expand(-1, 3, -1, -1) - mean) / std)))
    assert torch.equal(model.colorize(grey), grey.expand(-1, 3, -1, -1))


def test_a_learned_colorizer_sees_standardised_grey_and_feeds_the_backbone_directly():
    model = _model(colorizer="matching").eval()
    grey = torch.rand(1, 1, 64, 64)
    colors = model.colorizer((grey - 0.5028) / 0.2902)
    torch.testing.assert_close(model(grey), model.head(model.backbone(colors)))
    torch.testing.assert_close(model.classify_colors(model.colorize(grey)), model(grey))


def test_statistics_can_be_given():
    model = _model(mean=0.2, std=[0.1, 0.2, 0.4])
    torch.testing.assert_close(model.after(torch.full((1, 3, 1, 1), 0.4)).flatten(), torch.tensor([2.0, 1.0, 0.5]))
    with pytest.raises(InputError, match="one value each"):
        _model(colorizer="matching", mean=[0.1, 0.2, 0.3])


def test_the_head_does_not_depend_on_the_colorizer():
    plain, colored = _model(), _model(colorizer="texture_color")
    assert torch.equal(plain.head[1].weight, colored.head[1].weight)
    assert all(map(torch.equal, plain.backbone.parameters(), colored.backbone.parameters()))


def test_building_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    _model(colorizer="matching")
    assert torch.equal(before, torch.random.get_rng_state())


def test_two_step_procedure_freezes_parts_and_their_batch_statistics():
    model = _model(colorizer="texture_color").train().freeze("backbone")
    assert _learning(model) == {"colorizer", "head"}
    before = [b.clone() for b in model.backbone.buffers()]
    model(torch.rand(4, 1, 64, 64))
    assert all(map(torch.equal, before, model.backbone.buffers()))
    assert model.colorizer.texture[1].training
    model.trainable(("colorizer", "backbone", "head"))
    assert _learning(model) == {"colorizer", "backbone", "head"}
    model(torch.rand(4, 1, 64, 64))
    assert not all(map(torch.equal, before, model.backbone.buffers()))


def test_deco_order_freezes_the_colorizer_in_the_second_step():
    model = _model(colorizer="coloru").trainable(("backbone", "head"))
    assert _learning(model) == {"backbone", "head"}


def test_frozen_batch_norm_may_follow_the_batches():
    model = _model().train().freeze("backbone", frozen_bn="train")
    assert all(m.training for m in model.backbone.modules())


def test_frozen_parts_stay_in_eval_after_train_is_called_again():
    model = _model().freeze("backbone")
    model.eval().train()
    norms = [m for m in model.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(m.training for m in norms)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone": "resnet81"}, "unknown name 'resnet81'; did you mean resnet18"),
        ({"backbone": "densenet121", "image_px": 8}, "cannot take pictures of 8 px"),
        ({"backbone_options": {"depth": 3}}, "does not take"),
        ({"colorizer": "colour"}, "colorizer: unknown name 'colour'"),
        ({"backbone": "cnn_transformer_tiny", "backbone_options": {"heads": 7}}, "7 heads do not divide width 128"),
        ({"backbone": "cnn_transformer_tiny", "backbone_options": {"token": "word"}}, "write channel or spatial"),
    ],
)
def test_mistakes_are_input_errors(changes, words):
    with pytest.raises(InputError, match=words):
        _model(**changes)


def test_unknown_parts_and_modes_are_refused():
    with pytest.raises(InputError, match="unknown part 'neck'"):
        _model().freeze("neck")
    with pytest.raises(InputError, match="frozen_bn"):
        _model().freeze("backbone", frozen_bn="on")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("resnet50", True), ("resnet50.a1_in1k", True), ("resnet50.no_such_tag", False), ("resnet18_layer3", True),
        ("resnet18_layer5", False), ("vit_base_patch16_224", True), ("vit_base_patch16_224_layer2", False),
        ("small_cnn", True), ("torchvision:squeezenet1_1", True), ("alexnet9", False),
    ],
)  # fmt: skip
def test_names_are_known_without_building(name, known):
    assert known_backbone(name) is known


def test_small_cnn_is_small():
    assert 1e5 < sum(p.numel() for p in _model().parameters()) < 4e5


class TestCNNTransformer:
    def test_faithful_shape_is_1024_tokens_of_1024(self):
        with torch.device("meta"):
            encoder = dilated_resnet50()
            model = CNNTransformer(encoder, 1024, image_px=128)
            assert encoder(torch.rand(1, 3, 128, 128)).shape == (1, 1024, 32, 32)
            assert model.tokens(torch.rand(1, 3, 128, 128)).shape == (1, 1024, 1024)
            assert model.positions.shape == (1, 1025, 1024)
            assert model(torch.rand(2, 3, 128, 128)).shape == (2, 1024)

    def test_a_channel_token_is_the_flattened_map_of_that_channel(self):
        model = CNNTransformer(tiny_encoder(16), 16, image_px=64, d_model=32).eval()
        pictures = torch.rand(2, 3, 64, 64)
        maps = model.encoder(pictures)
        assert torch.equal(model.tokens(pictures)[1, 5], maps[1, 5].flatten())

    def test_a_spatial_token_is_the_channels_of_one_position(self):
        model = CNNTransformer(tiny_encoder(16), 16, image_px=64, token="spatial", d_model=32).eval()
        pictures = torch.rand(2, 3, 64, 64)
        maps = model.encoder(pictures)
        assert torch.equal(model.tokens(pictures)[1, 16 + 3], maps[1, :, 1, 3])

    def test_larger_pictures_keep_tokens_at_1024(self):
        model = CNNTransformer(tiny_encoder(16), 16, image_px=224, d_model=32)
        assert model.tokens(torch.rand(1, 3, 224, 224)).shape == (1, 16, 1024)

    def test_projection_is_absent_at_the_token_s_own_width(self):
        assert isinstance(CNNTransformer(tiny_encoder(16), 16, image_px=32).project, nn.Identity)

    def test_blocks_start_differently(self):
        model = CNNTransformer(tiny_encoder(16), 16, image_px=32, d_model=32)
        assert not torch.equal(model.blocks[0].qkv.weight, model.blocks[1].qkv.weight)


def test_images_of_another_shape_or_type_are_refused_with_the_fix():
    model, grey = _model(), torch.rand(2, 1, 64, 64)
    with pytest.raises(InputError, match=r"float64 for a model in float32.*images.to\(torch.float32\)"):
        model(grey.double())
    with pytest.raises(InputError, match=r"float32 for a model in bfloat16.*images.to\(torch.bfloat16\)"):
        _model().bfloat16()(grey)
    with pytest.raises(InputError, match=r"uint8 for a model in float32.*/ 255"):
        model((grey * 255).byte())
    with pytest.raises(InputError, match=r"\[N, 1, H, W\]"):
        model(grey.expand(-1, 3, -1, -1))
    with torch.autocast("cpu", torch.bfloat16):
        assert model(grey).shape == (2, 2)
