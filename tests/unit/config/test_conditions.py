"""An inactive hyperparameter is dropped from a configuration; an active one stays."""

import pytest

from sweep.config.hyperparameters import HYPERPARAMETERS, complete

LEARNED, TIMM = {"colorizer": "coloru"}, {"backbone": "resnet18"}
TEXTURE = LEARNED | {"glcm_weight": 0.1}

# (hyperparameter with a value, where it is active, where it is not)
CASES = [
    ({"glcm_weight": 0.1}, LEARNED, {"colorizer": "decomposition"}),
    ({"glcm_weight": 0.1}, LEARNED, {"colorizer": "none"}),
    ({"glcm_weight": 0.1}, LEARNED | {"procedure": "deco"}, LEARNED | {"procedure": "head_only"}),
    ({"glcm_levels": 64}, TEXTURE, LEARNED),
    ({"glcm_window": 0}, TEXTURE, LEARNED),
    ({"glcm_normalised": False}, TEXTURE, TEXTURE | {"colorizer": "decomposition"}),
    ({"glcm_distance": 1.0}, TEXTURE, LEARNED),
    ({"glcm_orientations": 4}, TEXTURE, LEARNED),
    ({"colorizer_from": "other_domain"}, LEARNED, {"colorizer": "decomposition"}),
    ({"colorizer_lr_factor": 1.0}, LEARNED | {"procedure": "two_step"}, LEARNED | {"procedure": "colorizer_head"}),
    ({"colorizer_lr_factor": 1.0}, LEARNED, {"colorizer": "decomposition"}),
    ({"head_lr_factor": 2.0}, {"procedure": "deco"}, {"procedure": "head_only"}),
    ({"step1_lr_factor": 2.0}, {"procedure": "head_only"}, {"procedure": "joint"}),
    ({"step1_share": 0.3}, {"procedure": "two_step"}, {"procedure": "colorizer_head"}),
    ({"frozen_bn": "train"}, {"procedure": "two_step"}, {"procedure": "joint"}),
    ({"warmup": 0.2}, {"schedule": "cosine"}, {"schedule": "one_cycle"}),
    ({"train_attack": "fgsm"}, {"train_eps": 0.01}, {"train_eps": 0.0}),
    ({"train_attack_steps": 3}, {"train_eps": 0.01}, {"train_eps": 0.01, "train_attack": "fgsm"}),
    ({"trades_beta": 1.0}, {"train_eps": 0.01, "train_attack": "trades"}, {"train_eps": 0.01, "train_attack": "pgd"}),
    ({"dual_bn": True}, {"train_eps": 0.01}, {"train_eps": 0.0}),
    ({"tc_upsample": "resize_conv"}, {"colorizer": "texture_color"}, LEARNED),
    ({"clahe_tiles": 4}, {"colorizer": "decomposition"}, {"colorizer": "none"}),
    ({"transformer_depth": 2}, {"backbone": "cnn_transformer"}, TIMM),
    ({"backbone_dropout": 0.1}, {"backbone": "cnn_transformer_tiny"}, {"backbone": "small_cnn"}),
    ({"token": "spatial"}, {"backbone": "cnn_transformer_256"}, TIMM),
    ({"input_norm": "grey"}, TIMM, TIMM | LEARNED),
    ({"input_norm": "grey"}, TIMM, {"backbone": "small_cnn"}),
    ({"grey_mean": 0.3}, TIMM | {"input_norm": "grey"}, TIMM),
    ({"grey_std": 0.3}, TIMM | LEARNED, TIMM),
    ({"generator": "wgan"}, {"synthetic_per_real": 1}, {"synthetic_per_real": 0}),
    ({"relabel_confidence": 0.7}, {"synthetic_per_real": 1, "relabel": "pseudo"}, {"synthetic_per_real": 1}),
    (
        {"generator_lipschitz": "gp"},
        {"synthetic_per_real": 1, "generator": "wgan"},
        {"synthetic_per_real": 1, "generator": "ddpm"},
    ),
]


@pytest.mark.parametrize(
    ("setting", "matters", "idle"), CASES, ids=lambda value: " ".join(map(str, next(iter(value.items()))))
)
def test_equal_trainings_are_equal_trials(setting, matters, idle):
    ((name, value),) = setting.items()
    assert HYPERPARAMETERS[name].violation(value) is None and value != HYPERPARAMETERS[name].default
    assert complete(matters | setting) != complete(matters) and complete(matters | setting)[name] == value
    assert complete(idle | setting) == complete(idle)


def test_parents_are_known_and_completing_twice_changes_nothing():
    assert {parent for row in HYPERPARAMETERS.values() for parent in row.active.parents} <= {*HYPERPARAMETERS}
    for _, matters, idle in CASES:
        for config in (matters, idle):
            assert complete(complete(config)) == complete(config)
