"""Hyperparameters of the generators of synthetic images, and of which of their images are used."""

from __future__ import annotations

from collections.abc import Iterable

from sweep.core.conditions import above_zero, is_none_of, is_one_of
from sweep.core.hyperparameter import Between, Hyperparameter, OneOf, between, one_of
from sweep.synth.settings import ALL_VIEWS, CHOICES, COPY_VIEWS, IMAGE_SIZES_PX, RANGES, SHIFTED

GENERATOR = "generator"  # the part whose settings they are: the defaults of a row of GENERATORS
PER_CLASS = "per_class"  # a network for each class
_SYNTHETIC = above_zero("synthetic_per_real")


def _generators() -> Iterable[str]:
    from sweep.synth.generators import GENERATORS

    return GENERATORS


def _range(name: str) -> Between:
    return between(*RANGES[name])


ROWS = (
    Hyperparameter(
        "generator",
        "generator of the synthetic images",
        (str,),
        "wgan_diffaug",
        OneOf(_generators),
        active=_SYNTHETIC,
    ),
    Hyperparameter(
        "generator_px",
        "side of the generated images in pixels",
        (int,),
        64,
        OneOf(lambda: IMAGE_SIZES_PX),
        active=_SYNTHETIC,
    ),
    Hyperparameter(
        "generator_length",
        "quick settings, or full ones that follow the publications",
        (str,),
        "quick",
        OneOf(lambda: CHOICES["length"]),
        active=_SYNTHETIC,
        argument=f"{GENERATOR}.length",
    ),
    Hyperparameter(
        "generator_steps",
        "generator updates; the generator's own default when left out",
        (int,),
        None,
        _range("steps"),
        optional=True,
        active=_SYNTHETIC,
        argument=f"{GENERATOR}.steps",
    ),
    Hyperparameter(
        "generator_width",
        "channels of the last stage; the generator's own default when left out",
        (int,),
        None,
        _range("width"),
        optional=True,
        active=_SYNTHETIC,
        argument=f"{GENERATOR}.width",
    ),
    Hyperparameter(
        "generator_lr",
        "learning rate of the generator, that of its critic in proportion; the generator's own default when left out",
        (float,),
        None,
        _range("lr"),
        optional=True,
        active=_SYNTHETIC,
        argument=f"{GENERATOR}.lr",
    ),
    Hyperparameter(
        "generator_lipschitz",
        "how a critic is kept Lipschitz: spectral norm, clipping, both, a gradient penalty (gp), zero-centred ones (r1r2) or not at all; the generator's own default when left out",
        (str,),
        None,
        OneOf(lambda: CHOICES["lipschitz"]),
        optional=True,
        active=is_none_of("generator", "ddpm", "flow", "aae"),  # which have no critic of images
        argument=f"{GENERATOR}.lipschitz",
    ),
    Hyperparameter(
        "generator_networks",
        "one network for each class (per_class), or one for all classes that is told the class (shared), whose images vary far less on BUSI",
        (str,),
        PER_CLASS,
        one_of(PER_CLASS, "shared"),
        active=is_one_of("generator", "cgan", "fastgan", "r3gan"),
        since="0.2",
        before="shared",
    ),
    Hyperparameter(
        "generator_patience",
        "checks without a lower KID after which a generator stops training and its best state is kept; 0: never",
        (int,),
        0,
        _range("patience"),
        active=_SYNTHETIC,
        argument=f"{GENERATOR}.patience",
    ),
    Hyperparameter(
        "generator_check_every",
        "generator updates between two checks; so many that there are 4 to 20 of them when left out",
        (int,),
        None,
        between(1, RANGES["check_every"][1]),
        optional=True,
        active=_SYNTHETIC,
    ),
    Hyperparameter(
        "generator_seed",
        "seed of the generator, apart from the classifier's",
        (int,),
        0,
        between(0, 2**31),
        active=_SYNTHETIC,
    ),
    Hyperparameter(
        "drop_copies",
        "leave out synthetic images that copy a training image",
        (bool,),
        False,
        active=_SYNTHETIC,
    ),
    Hyperparameter(
        "copy_views",
        "how a copy that is left out may have been changed: mirrored and shifted, or also flipped, turned, enlarged and blended a little (all)",
        (str,),
        ALL_VIEWS,
        one_of(*COPY_VIEWS),
        active=is_one_of("drop_copies", True),
        since="0.2",
        before=SHIFTED,
    ),
    Hyperparameter(
        "relabel",
        "keep synthetic images as generated (none), or those that the real-only model of the same configuration and seed assigns to their class (pseudo)",
        (str,),
        "none",
        one_of("none", "pseudo"),
        active=_SYNTHETIC,
    ),
    Hyperparameter(
        "relabel_confidence",
        "least probability of its class that the real-only model gives to a kept image",
        (float,),
        0.5,
        between(0, 0.999),
        active=is_one_of("relabel", "pseudo"),
    ),
)
