"""The names a question file may put under grid, search and fixed, each with its type, default and range."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from sweep.core.errors import InputErrors, suggestion

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Hyperparameter:
    """One row: what it sets, the types it takes, its default and a check that returns a complaint or None."""

    describe: str
    kinds: tuple[type, ...]
    default: Scalar
    check: Callable[[Any], str | None] = lambda value: None
    optional: bool = False

    def complaint(self, value: Any) -> str | None:
        """Why `value` cannot be used, with the cure; None when it can."""
        if value is None:
            return None if self.optional else "has no value; give one"
        if isinstance(value, bool) and bool not in self.kinds or not isinstance(value, self._accepted):
            return f"{value!r} is {_noun(value)}; give {' or '.join(_NOUNS[kind] for kind in self.kinds)}"
        return self.check(value)

    @property
    def _accepted(self) -> tuple[type, ...]:
        return (*self.kinds, int) if float in self.kinds else self.kinds


_NOUNS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _noun(value: Any) -> str:
    return _NOUNS.get(type(value), f"a {type(value).__name__}")


def between(low: float, high: float) -> Callable[[Any], str | None]:
    """A check that the value lies in [low, high]."""
    return lambda value: None if low <= value <= high else f"{value} is out of range; give a number from {low} to {high}"


def one_of(table: Callable[[], typing.Iterable[str]]) -> Callable[[Any], str | None]:
    """A check that the value is a row of a table, which is looked up only when asked."""

    def check(value: str) -> str | None:
        names = list(table())
        return None if value in names else f"{value!r} is unknown; {suggestion(value, names)}"

    check.table = table  # for the JSON Schema
    return check


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

    return None if value in IMAGE_SIZES_PX else f"{value} px cannot be generated; give one of {', '.join(map(str, IMAGE_SIZES_PX))}"


def _backbone(value: str) -> str | None:
    import timm

    from sweep.models.backbones import BACKBONES, known_backbone

    return None if known_backbone(value) else f"{value!r} is unknown; {suggestion(value, [*BACKBONES, *timm.list_models()])}"


def _own_rows() -> dict[str, Hyperparameter]:
    text, whole, number = (str,), (int,), (float,)
    return {
        "direction": Hyperparameter("which hospital is trained on and which is held back", text, "source_to_target", one_of(lambda: ("source_to_target", "target_to_source"))),
        "train_images": Hyperparameter("size of the training set, nested: the smaller one lies in the larger; all of the fold when left out", whole, None, between(8, 10_000_000), True),
        "backbone": Hyperparameter("small_cnn, cnn_transformer or any timm name", text, "small_cnn", _backbone),
        "colorizer": Hyperparameter("grey to three channels", text, "none", one_of(_colorizers)),
        "weights": Hyperparameter("imagenet, a file of weights, or nothing for a random start", text, None, optional=True),
        "dropout": Hyperparameter("before the last layer", number, 0.0, between(0, 0.95)),
        "synthetic_per_real": Hyperparameter("synthetic images per real training image", number, 0.0, between(0, 20)),
        "mixing_policy": Hyperparameter("add synthetic images or replace real ones", text, "add", one_of(lambda: ("add", "replace"))),
        "mixing_budget": Hyperparameter("as many optimiser steps as the real images give (steps), or as the mix gives (epochs)", text, "steps", one_of(lambda: ("steps", "epochs"))),
        "drop_copies": Hyperparameter("leave out synthetic images that copy a training image", (bool,), False),
        "uncertain": Hyperparameter("what an uncertain finding counts as in training, of data with several findings an image; mix when left out", text, None, one_of(_uncertain_policies), True),
        "relabel": Hyperparameter("keep synthetic images as they come (none), or those that the real-only model of the same configuration and seed takes for their class (pseudo)", text, "none", one_of(lambda: ("none", "pseudo"))),
        "relabel_confidence": Hyperparameter("least probability of its class that a kept image has for the real-only model", number, 0.5, between(0, 0.999)),
        "colorizer_from": Hyperparameter("start the colorizer from another trial: RUN/SIGNATURE, or other_domain: from the same configuration and seed trained at the other hospital", text, None, optional=True),
        "adapt": Hyperparameter("source-free help at the target: its batch-norm statistics, or its grey levels moved to the source's", text, "none", one_of(lambda: ("none", "batch_norm", "histogram"))),
        "generator": Hyperparameter("who makes the synthetic images", text, "wgan_diffaug", one_of(_generators)),
        "generator_px": Hyperparameter("side of the generated images in pixels", whole, 64, _generated_px),
        "generator_length": Hyperparameter("quick settings, or full ones that follow the publications", text, "quick", one_of(lambda: ("quick", "full"))),
        "generator_steps": Hyperparameter("generator updates; the generator's own default when left out", whole, None, between(1, 10_000_000), True),
        "generator_width": Hyperparameter("channels of the last stage; the generator's own default when left out", whole, None, between(4, 256), True),
        "generator_lr": Hyperparameter("learning rate of the generator, its critic's in proportion; the generator's own default when left out", number, None, between(1e-7, 1.0), True),
        "generator_lipschitz": Hyperparameter("how a critic is kept Lipschitz: spectral norm, clipping, both, a gradient penalty or not at all; the generator's own default when left out", text, None, one_of(lambda: ("sn", "clip", "sn+clip", "gp", "none")), True),
        "generator_patience": Hyperparameter("checks without a lower KID after which a generator stops training and its best state is kept; 0: never", whole, 0, between(0, 10_000)),
        "generator_check_every": Hyperparameter("generator updates between two checks; so many that there are 4 to 20 of them when left out", whole, None, between(1, 10_000_000), True),
        "generator_seed": Hyperparameter("seed of the generator, apart from the classifier's", whole, 0, between(0, 2**31)),
    }


def _recipe_rows() -> dict[str, Hyperparameter]:
    """Every setting of the training recipe is a hyperparameter under its own name."""
    from sweep.training.recipe import Recipe

    rows = {}
    hints = typing.get_type_hints(Recipe)
    for field in fields(Recipe):
        kinds, optional = _kinds(hints[field.name])
        if kinds and field.default is not MISSING:
            rows[field.name] = Hyperparameter("setting of the training recipe", kinds, field.default, _recipe_check(field.name), optional)
    return rows


def _recipe_check(name: str) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        from sweep.training.recipe import Recipe

        try:
            Recipe(**{name: value})
        except InputErrors as mistakes:
            return f"{mistakes.errors[0].problem}; {mistakes.errors[0].cure}"
        return None

    return check


def _kinds(hint: Any) -> tuple[tuple[type, ...], bool]:
    parts = typing.get_args(hint) if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union else (hint,)
    kinds: list[type] = []
    for part in parts:
        kind = type(typing.get_args(part)[0]) if typing.get_origin(part) is typing.Literal else part
        if kind in (str, int, float, bool):
            kinds.append(kind)
    return tuple(kinds), type(None) in parts


HYPERPARAMETERS: Mapping[str, Hyperparameter] = {**_recipe_rows(), **_own_rows()}

# Settings that decide nothing when their condition does not hold; leaving them out makes equal trials equal.
_ONLY_WITH: Mapping[str, Callable[[Mapping[str, Scalar]], bool]] = {
    **{
        name: lambda config: config["synthetic_per_real"] > 0
        for name in (
            "generator", "generator_px", "generator_length", "generator_steps", "generator_width", "generator_lr", "generator_patience", "generator_check_every",
            "generator_seed", "mixing_policy", "mixing_budget", "drop_copies", "relabel",
        )
    },
    "uncertain": lambda config: config["uncertain"] is not None,
    "generator_lipschitz": lambda config: config["synthetic_per_real"] > 0 and config["generator"] != "ddpm",  # which has no critic
    "relabel_confidence": lambda config: config["synthetic_per_real"] > 0 and config["relabel"] == "pseudo",
    **{name: lambda config: config["colorizer"] != "none" for name in ("glcm_weight", "colorizer_from", "colorizer_lr_factor")},
}


def complete(config: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """`config` with every default filled in and without the settings that cannot matter in it."""
    full = {name: row.default for name, row in HYPERPARAMETERS.items()} | dict(config)
    return {name: value for name, value in full.items() if name not in _ONLY_WITH or _ONLY_WITH[name](full)}
