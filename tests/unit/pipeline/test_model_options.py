"""Every setting of a sweep config that shapes a network is found in the network, in its export and in the check before a run."""

import json

import pytest
import torch
from torch import nn

from sweep.config.hyperparameters import complete
from sweep.core.errors import InputErrors
from sweep.models.backbones import BACKBONES, TRANSFORMERS, WITHOUT_STATISTICS, build_trunk
from sweep.models.cnn_transformer import Block
from sweep.models.trunk import GREY_MEAN, GREY_STD
from sweep.pipeline.model_options import network_kind, network_of
from sweep.pipeline.training_job import build
from sweep.planning.preflight import check_models
from sweep.store.trial import Trial
from tests.fakes.seed_job import FakeData

TINY = {"backbone": "cnn_transformer_tiny"}


def model(image_px=64, **config):
    return build(complete(config), FakeData(image_px=image_px), seed=0)


def kinds(module, kind):
    return [part for part in module.modules() if isinstance(part, kind)]


def test_texture_color_grows_as_the_sweep_config_says():
    assert len(kinds(model(colorizer="texture_color").colorizer, nn.ConvTranspose2d)) == 2
    assert not kinds(model(colorizer="texture_color", tc_upsample="resize_conv").colorizer, nn.ConvTranspose2d)


def test_local_contrast_is_set_as_the_sweep_config_says():
    changed = model(colorizer="decomposition", clahe_tiles=4, clahe_bins=16, clahe_clip=3.0).colorizer
    assert (changed.tiles, changed.bins, changed.clip) == (4, 16, 3.0)
    default = model(colorizer="decomposition").colorizer
    assert (default.tiles, default.bins, default.clip) == (8, 64, 2.0)


def test_the_transformer_is_set_as_the_sweep_config_says():
    net = model(
        **TINY,
        transformer_width=48,
        transformer_depth=3,
        transformer_heads=6,
        transformer_mlp_ratio=4.0,
        backbone_dropout=0.35,
        token="spatial",
    ).backbone
    assert net.token == "spatial" and net.d_model == 48 and len(net.blocks) == 3 and net.blocks[0].heads == 6
    assert net.blocks[0].mlp[0].out_features == 192
    assert {part.p for part in kinds(net, nn.Dropout)} == {0.35} and {block.dropout for block in kinds(net, Block)} == {
        0.35
    }


def test_a_backbone_keeps_its_own_defaults_where_the_sweep_config_is_silent():
    net = model(**TINY).backbone
    assert (net.token, net.d_model, len(net.blocks), net.blocks[0].heads, net.drop.p) == ("channel", 128, 2, 8, 0.1)
    assert isinstance(net.norm_in, nn.LayerNorm) and isinstance(
        model(**TINY, token_norm=False).backbone.norm_in, nn.Identity
    )


def test_dropout_before_the_last_layer_is_apart_from_that_inside():
    net = model(**TINY, dropout=0.4)
    assert net.head[0].p == 0.4 and net.backbone.drop.p == 0.1


@pytest.mark.parametrize(
    ("config", "mean", "std"),
    [
        ({}, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ({"input_norm": "grey"}, (0.5028,), (0.2902,)),
        ({"input_norm": "grey", "grey_mean": 0.3, "grey_std": 0.1}, (0.3,), (0.1,)),
    ],
)
def test_replicated_grey_is_standardised_as_published_or_as_grey(config, mean, std):
    after = model(backbone="resnet10t", **config).after
    assert after.mean.flatten().tolist() == pytest.approx(mean) and after.std.flatten().tolist() == pytest.approx(std)
    grey = torch.rand(1, 1, 4, 4).expand(-1, 3, -1, -1)
    torch.testing.assert_close(
        after(grey), (grey - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1)
    )


def test_a_learned_colorizer_meets_grey_standardised_as_the_sweep_config_says():
    net = model(backbone="resnet10t", colorizer="matching", grey_mean=0.25, grey_std=0.5)
    assert (net.before.mean.item(), net.before.std.item()) == (0.25, 0.5) and isinstance(net.after, nn.Identity)


def test_tables_name_what_there_is():
    assert set(TRANSFORMERS) == {name for name in BACKBONES if "transformer" in name}
    for name in WITHOUT_STATISTICS:
        trunk = build_trunk(name, image_px=64)
        assert (trunk.mean, trunk.std) == (GREY_MEAN, GREY_STD)


def test_what_shapes_a_network_survives_json_as_an_export_needs():
    config = complete(
        {
            **TINY,
            "colorizer": "texture_color",
            "tc_upsample": "resize_conv",
            "transformer_depth": 1,
            "grey_mean": 0.4,
            "dropout": 0.2,
        }
    )
    network = json.loads(json.dumps(network_of(config)))
    assert network["colorizer_options"] == {"tc_upsample": "resize_conv"}
    assert network["backbone_options"] == {"token_norm": True, "depth": 1}
    assert (network["mean"], network["dropout"]) == (0.4, 0.2)


@pytest.mark.parametrize(
    ("setting", "value", "same"),
    [
        ("transformer_depth", 1, False),
        ("token_norm", False, False),
        ("backbone", "cnn_transformer", False),
        ("colorizer", "deconv", False),
        ("weights", "imagenet", False),
        ("dropout", 0.5, True),
        ("grey_mean", 0.3, True),
        ("backbone_dropout", 0.3, True),
        ("lr", 0.1, True),
    ],
)
def test_networks_of_other_layers_or_other_weights_are_of_another_kind(setting, value, same):
    base = {**TINY, "colorizer": "none"}
    assert (network_kind(complete(base)) == network_kind(complete({**base, setting: value}))) == same


def test_networks_that_cannot_be_built_are_all_named_before_anything_runs():
    configs = [{**TINY, "transformer_heads": heads} for heads in (4, 7, 5)]
    with pytest.raises(InputErrors) as refused:
        check_models("sweep_config", [Trial(complete(config), "h", (0,)) for config in configs], FakeData(image_px=64))
    assert len(refused.value.errors) == 2 and "7 heads do not divide width 128" in str(refused.value)


@pytest.mark.parametrize(
    ("datasets", "augments", "said"),
    [
        (
            ("chexpert", "chestxray14"),
            ["ultrasound"],
            "augment ultrasound mirrors the chest radiographs of chexpert, chestxray14",
        ),
        (("kermany", "folder"), ["flip", "xray"], "augment flip mirrors the chest radiographs of kermany"),
        (("chexpert", "chestxray14"), ["xray", "none"], None),
        (("busi", "brest"), ["ultrasound"], None),
    ],
)
def test_chest_radiographs_that_are_mirrored_are_said_before_anything_runs(datasets, augments, said):
    trials = [Trial(complete({"augment": augment}), "h", (0,)) for augment in augments]
    notes = check_models("sweep_config", trials, FakeData(datasets=datasets))
    assert [note.split(", which")[0] for note in notes] == ([said] if said else [])
    assert all(note.endswith("set augment: xray") for note in notes)


def test_recipes_and_texture_areas_that_cannot_be_are_named_before_anything_runs():
    configs = [
        {"colorizer": "matching", "glcm_weight": 0.1, "glcm_window": 40},
        {"colorizer": "matching", "glcm_weight": 0.1, "glcm_window": 8, "glcm_distance": 9},
        {"train_eps": 0.1, "train_attack": "trades", "dual_bn": True},
        {"glcm_weight": 0.1, "glcm_window": 512},  # inactive without a learned colorizer
    ]
    with pytest.raises(InputErrors) as refused:
        check_models("sweep_config", [Trial(complete(config), "h", (0,)) for config in configs], FakeData(image_px=32))
    message = str(refused.value)
    assert len(refused.value.errors) == 3
    assert (
        "glcm_window: 40 px does not fit images of 32 px" in message
        and "no pairs at distance 9" in message
        and "dual_bn" in message
    )
