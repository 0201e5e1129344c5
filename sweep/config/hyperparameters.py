"""The names a sweep config may put under grid, search and fixed, each with its type, default and range.

Adding a row later than version 0.1: give `since` (the version that introduces it), and `before` where the default is not what the versions
without the row did. Old run folders then stay alive by themselves: their records keep their signatures (`identity`), what their
configurations lack is filled with what it was (`restored`), and a folder that is resumed keeps its own defaults
(`sweep.planning.defaults`). A changed default of an existing row needs nothing more, because a run folder notes the defaults it began with.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from sweep.config.conditions import relevant
from sweep.core.errors import InputErrors, suggestion
from sweep.core.hashing import canonical_json
from sweep.core.hyperparameter import FIRST, Hyperparameter, Scalar, between, one_of, one_of_numbers, zero_or


def _upsamplers() -> typing.Iterable[str]:
    from sweep.models.colorizers.texture_color import UPSAMPLERS

    return UPSAMPLERS


def _colorizers() -> typing.Iterable[str]:
    from sweep.models.colorizers import COLORIZERS

    return COLORIZERS


def _generators() -> typing.Iterable[str]:
    from sweep.synth.generators import GENERATORS

    return GENERATORS


def _uncertain_policies() -> typing.Iterable[str]:
    from sweep.shards.findings import POLICIES

    return POLICIES


def _generated_px(value: int) -> str | None:
    from sweep.synth.settings import IMAGE_SIZES_PX

    return (
        None
        if value in IMAGE_SIZES_PX
        else f"{value} px cannot be generated; give one of {', '.join(map(str, IMAGE_SIZES_PX))}"
    )


def _backbone(value: str) -> str | None:
    import timm

    from sweep.models.backbones import BACKBONES, known_backbone

    return (
        None
        if known_backbone(value)
        else f"{value!r} is unknown; {suggestion(value, [*BACKBONES, *timm.list_models()])}"
    )


_COLORIZER_FROM = (
    "start the colorizer from another trial: RUN/SIGNATURE, RUN/SIGNATURE/seed-K or a .safetensors file; or other_domain: from the same "
    "configuration and seed trained at the other hospital"
)
_ADAPT = (
    "source-free help at the target: its batch-norm statistics (batch_norm), or its grey levels moved to the source's (histogram); or "
    "histogram_to_target, no longer source-free: the source's moved to those of the target's unlabelled images before training"
)
_INPUT_NORM = (
    "how colours of a fixed colorizer are standardised: as the backbone was published, or by grey_mean and grey_std"
)


def _own_rows() -> dict[str, Hyperparameter]:
    text, whole, number = (str,), (int,), (float,)
    return {
        "direction": Hyperparameter(
            "which hospital is trained on and which is held back",
            text,
            "source_to_target",
            one_of(lambda: ("source_to_target", "target_to_source")),
        ),
        "train_images": Hyperparameter(
            "size of the training set, nested: the smaller one lies in the larger; all of the fold when left out",
            whole,
            None,
            between(8, 10_000_000),
            True,
        ),
        "backbone": Hyperparameter("small_cnn, cnn_transformer or any timm name", text, "small_cnn", _backbone),
        "colorizer": Hyperparameter("grey to three channels", text, "none", one_of(_colorizers)),
        "weights": Hyperparameter(
            "imagenet, a file of weights, or nothing for a random start", text, None, optional=True
        ),
        "dropout": Hyperparameter("before the last layer", number, 0.0, between(0, 0.95)),
        **_network_rows(),
        **_texture_rows(),
        "synthetic_per_real": Hyperparameter("synthetic images per real training image", number, 0.0, between(0, 20)),
        "mixing_policy": Hyperparameter(
            "add synthetic images or replace real ones", text, "add", one_of(lambda: ("add", "replace"))
        ),
        "mixing_budget": Hyperparameter(
            "as many optimiser steps as the real images give (steps), or as the mix gives (epochs)",
            text,
            "steps",
            one_of(lambda: ("steps", "epochs")),
        ),
        "drop_copies": Hyperparameter("leave out synthetic images that copy a training image", (bool,), False),
        "uncertain": Hyperparameter(
            "what an uncertain finding counts as in training, of data with several findings an image; mix when left out",
            text,
            None,
            one_of(_uncertain_policies),
            True,
        ),
        "relabel": Hyperparameter(
            "keep synthetic images as they come (none), or those that the real-only model of the same configuration and seed takes for their class (pseudo)",
            text,
            "none",
            one_of(lambda: ("none", "pseudo")),
        ),
        "relabel_confidence": Hyperparameter(
            "least probability of its class that a kept image has for the real-only model",
            number,
            0.5,
            between(0, 0.999),
        ),
        "colorizer_from": Hyperparameter(_COLORIZER_FROM, text, None, optional=True),
        "adapt": Hyperparameter(
            _ADAPT, text, "none", one_of(lambda: ("none", "batch_norm", "histogram", "histogram_to_target"))
        ),
        "generator": Hyperparameter("who makes the synthetic images", text, "wgan_diffaug", one_of(_generators)),
        "generator_px": Hyperparameter("side of the generated images in pixels", whole, 64, _generated_px),
        "generator_length": Hyperparameter(
            "quick settings, or full ones that follow the publications",
            text,
            "quick",
            one_of(lambda: ("quick", "full")),
        ),
        "generator_steps": Hyperparameter(
            "generator updates; the generator's own default when left out", whole, None, between(1, 10_000_000), True
        ),
        "generator_width": Hyperparameter(
            "channels of the last stage; the generator's own default when left out", whole, None, between(4, 256), True
        ),
        "generator_lr": Hyperparameter(
            "learning rate of the generator, its critic's in proportion; the generator's own default when left out",
            number,
            None,
            between(1e-7, 1.0),
            True,
        ),
        "generator_lipschitz": Hyperparameter(
            "how a critic is kept Lipschitz: spectral norm, clipping, both, a gradient penalty or not at all; the generator's own default when left out",
            text,
            None,
            one_of(lambda: ("sn", "clip", "sn+clip", "gp", "none")),
            True,
        ),
        "generator_patience": Hyperparameter(
            "checks without a lower KID after which a generator stops training and its best state is kept; 0: never",
            whole,
            0,
            between(0, 10_000),
        ),
        "generator_check_every": Hyperparameter(
            "generator updates between two checks; so many that there are 4 to 20 of them when left out",
            whole,
            None,
            between(1, 10_000_000),
            True,
        ),
        "generator_seed": Hyperparameter(
            "seed of the generator, apart from the classifier's", whole, 0, between(0, 2**31)
        ),
    }


def _recipe_rows() -> dict[str, Hyperparameter]:
    """Every setting of the training recipe is a hyperparameter under its own name."""
    from sweep.training.recipe import Recipe

    rows = {}
    hints = typing.get_type_hints(Recipe)
    for field in fields(Recipe):
        kinds, optional = _kinds(hints[field.name])
        if kinds and field.default is not MISSING:
            rows[field.name] = Hyperparameter(
                "setting of the training recipe", kinds, field.default, _recipe_check(field.name), optional
            )
    return rows


def _recipe_check(name: str) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        from sweep.training.recipe import Recipe

        try:
            Recipe(**{name: value})
        except InputErrors as mistakes:
            return f"{mistakes.errors[0].problem}; {mistakes.errors[0].fix}"
        return None

    return check


def _kinds(hint: Any) -> tuple[tuple[type, ...], bool]:
    parts = (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else (hint,)
    )
    kinds: list[type] = []
    for part in parts:
        kind = type(typing.get_args(part)[0]) if typing.get_origin(part) is typing.Literal else part
        if kind in (str, int, float, bool):
            kinds.append(kind)
    return tuple(kinds), type(None) in parts


def _network_rows() -> dict[str, Hyperparameter]:
    """What the parts of a network can be told; `None` keeps the default of the backbone that is named."""
    text, whole, number, yes_no = (str,), (int,), (float,), (bool,)
    return {
        "input_norm": Hyperparameter(_INPUT_NORM, text, "published", one_of(lambda: ("published", "grey"))),
        "grey_mean": Hyperparameter(
            "mean of the grey image in [0, 1] where it is standardised; 0.5028 when left out",
            number,
            None,
            between(0, 1),
            True,
        ),
        "grey_std": Hyperparameter(
            "standard deviation of the grey image where it is standardised; 0.2902 when left out",
            number,
            None,
            between(0.01, 1),
            True,
        ),
        "tc_upsample": Hyperparameter(
            "how texture_color grows: transposed convolution, or nearest neighbour and a convolution",
            text,
            "tconv",
            one_of(_upsamplers),
        ),
        "clahe_tiles": Hyperparameter(
            "tiles along each side of decomposition's local contrast", whole, 8, between(1, 32)
        ),
        "clahe_bins": Hyperparameter("bins of each tile's histogram", whole, 64, between(2, 256)),
        "clahe_clip": Hyperparameter(
            "most of a bin, in even shares; what is above goes to all bins alike", number, 2.0, between(1, 256)
        ),
        "token": Hyperparameter(
            "a token of cnn_transformer: one channel of the map, or one position",
            text,
            None,
            one_of(lambda: ("channel", "spatial")),
            True,
        ),
        "token_norm": Hyperparameter("layer norm of each token before the transformer", yes_no, True),
        "transformer_width": Hyperparameter(
            "width to which tokens are projected; their own when left out", whole, None, between(8, 4096), True
        ),
        "transformer_depth": Hyperparameter("transformer blocks", whole, None, between(1, 24), True),
        "transformer_heads": Hyperparameter(
            "attention heads, a divisor of the width", whole, None, between(1, 64), True
        ),
        "transformer_mlp_ratio": Hyperparameter(
            "hidden units of a block's perceptron, in widths", number, None, between(0.25, 8), True
        ),
        "backbone_dropout": Hyperparameter(
            "dropout inside cnn_transformer; dropout is that before the last layer",
            number,
            None,
            between(0, 0.95),
            True,
        ),
    }


def _texture_rows() -> dict[str, Hyperparameter]:
    whole, number = (int,), (float,)
    return {
        "glcm_levels": Hyperparameter("grey levels of the texture loss", whole, 32, between(2, 256)),
        "glcm_distance": Hyperparameter("pixels between the two of a pair", number, 3.0, between(1, 64)),
        "glcm_window": Hyperparameter(
            "side in pixels of the areas whose texture is compared; 0: the whole image is one",
            whole,
            20,
            zero_or(between(4, 512)),
        ),
        "glcm_orientations": Hyperparameter(
            "directions that are summed over; 4 gives half the loss of 8", whole, 8, one_of_numbers(4, 8)
        ),
        "glcm_normalised": Hyperparameter(
            "features scaled to one range; false: raw, where contrast outweighs the rest", (bool,), True
        ),
    }


HYPERPARAMETERS: dict[str, Hyperparameter] = {**_recipe_rows(), **_own_rows()}


def default_values() -> dict[str, Scalar]:
    """Every hyperparameter's default in this version."""
    return {name: row.default for name, row in HYPERPARAMETERS.items()}


def complete(config: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """`config` with every default filled in and without the hyperparameters that are inactive in it."""
    return relevant(default_values() | dict(config))


def restored(config: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The complete configuration of a record that any version wrote: what it lacks has the value it had at that time."""
    return relevant({name: row.introduced_with for name, row in HYPERPARAMETERS.items()} | dict(config))


def identity(config: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The part of a complete configuration that names it.

    Hyperparameters later than version 0.1 are left out where they have the value they were introduced with: a configuration that an
    earlier version could have run has the signature that the earlier version gave it.
    """
    return {name: value for name, value in config.items() if not _as_introduced(name, value)}


def _as_introduced(name: str, value: Scalar) -> bool:
    row = HYPERPARAMETERS.get(name)
    return row is not None and row.since != FIRST and canonical_json(value) == canonical_json(row.introduced_with)
