"""Settings that decide nothing in some configurations; left out there, so that equal trainings are equal trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Config = Mapping[str, Any]
Condition = Callable[[Config], bool]


def _every(*conditions: Condition) -> Condition:
    return lambda config: all(condition(config) for condition in conditions)


def _is(name: str, *values: Any) -> Condition:
    return lambda config: config[name] in values


def _is_not(name: str, *values: Any) -> Condition:
    return lambda config: config[name] not in values


def _more_than_zero(name: str) -> Condition:
    return lambda config: config[name] > 0


def _learned(config: Config) -> bool:
    """Whether the colour module has weights."""
    from sweep.models.colorizers import COLORIZERS

    return COLORIZERS[config["colorizer"]].learned


def _own_statistics(config: Config) -> bool:
    """Whether colours could be standardised in two ways: a learned module's are not, and some backbones have no published values."""
    from sweep.models.backbones import WITHOUT_STATISTICS

    return not _learned(config) and config["backbone"] not in WITHOUT_STATISTICS


def _grey_statistics(config: Config) -> bool:
    """Whether the network standardises grey by one mean and one deviation."""
    return not _own_statistics(config) or config["input_norm"] == "grey"


def _transformer(config: Config) -> bool:
    from sweep.models.backbones import TRANSFORMERS

    return config["backbone"] in TRANSFORMERS


def _some_step(together: tuple[str, ...] = (), frozen: tuple[str, ...] = ()) -> Condition:
    """Whether a step of the procedure trains all of `together` while `frozen` rest."""

    def condition(config: Config) -> bool:
        from sweep.training.procedures import PROCEDURES

        return any({*together} <= {*parts} and not {*frozen} & {*parts} for parts in PROCEDURES[config["procedure"]])

    return condition


def _two_steps(config: Config) -> bool:
    from sweep.training.procedures import PROCEDURES

    return len(PROCEDURES[config["procedure"]]) > 1


def _something_rests(config: Config) -> bool:
    """Whether a part with batch norms is frozen in some step: the backbone, or a learned colour module."""
    return _some_step(frozen=("backbone",))(config) or (_learned(config) and _some_step(frozen=("colorizer",))(config))


_COLOURS_TRAIN = _every(_learned, _some_step(together=("colorizer",)))
_TEXTURE = _every(_COLOURS_TRAIN, _more_than_zero("glcm_weight"))
_SYNTHETIC = _more_than_zero("synthetic_per_real")
_ATTACKED = _more_than_zero("train_eps")

ONLY_WITH: Mapping[str, Condition] = {
    **{
        name: _SYNTHETIC
        for name in (
            "generator",
            "generator_px",
            "generator_length",
            "generator_steps",
            "generator_width",
            "generator_lr",
            "generator_patience",
            "generator_check_every",
            "generator_seed",
            "mixing_policy",
            "mixing_budget",
            "drop_copies",
            "relabel",
        )
    },
    "generator_lipschitz": _every(_SYNTHETIC, _is_not("generator", "ddpm")),  # which has no critic
    "relabel_confidence": _every(_SYNTHETIC, _is("relabel", "pseudo")),
    "uncertain": _is_not("uncertain", None),
    "colorizer_from": _learned,
    "colorizer_lr_factor": _every(_learned, _some_step(together=("colorizer", "backbone"))),
    "head_lr_factor": _some_step(together=("head", "backbone")),
    "step1_lr_factor": _some_step(frozen=("backbone",)),
    "step1_share": _two_steps,
    "frozen_bn": _something_rests,
    "warmup": _is("schedule", "cosine"),
    "glcm_weight": _COLOURS_TRAIN,
    **{
        name: _TEXTURE
        for name in ("glcm_levels", "glcm_distance", "glcm_window", "glcm_orientations", "glcm_normalised")
    },
    "tc_upsample": _is("colorizer", "texture_color"),
    **{name: _is("colorizer", "decomposition") for name in ("clahe_tiles", "clahe_bins", "clahe_clip")},
    **{
        name: _transformer
        for name in (
            "token",
            "token_norm",
            "transformer_width",
            "transformer_depth",
            "transformer_heads",
            "transformer_mlp_ratio",
            "backbone_dropout",
        )
    },
    "input_norm": _own_statistics,
    **{name: _grey_statistics for name in ("grey_mean", "grey_std")},
    "train_attack": _ATTACKED,
    "train_attack_steps": _every(_ATTACKED, _is_not("train_attack", "fgsm")),
    "trades_beta": _every(_ATTACKED, _is("train_attack", "trades")),
    "dual_bn": _ATTACKED,
}


def relevant(config: Config) -> dict[str, Any]:
    """The settings that decide something in a complete configuration."""
    return {name: value for name, value in config.items() if name not in ONLY_WITH or ONLY_WITH[name](config)}
