"""A generator's settings: defaults, the user's changes, and all mistakes in one message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweep.core.errors import InputError, InputErrors, described, suggestion

Settings = dict[str, Any]

SHIFTED, ALL_VIEWS = "shifted", "all"
COPY_VIEWS = (SHIFTED, ALL_VIEWS)  # how a copy may have been changed and is still found (`copies`)

# Settings later than version 0.1, with the value that describes what earlier versions did: with it they are no part of an artifact's
# name, so generators that an earlier version trained are found.
LATER: dict[str, Any] = {}

IMAGE_SIZES_PX = (32, 64, 128, 256)

CHOICES = {
    "length": ("quick", "full"),
    "loss": ("wasserstein", "hinge", "relativistic"),
    "lipschitz": ("sn", "clip", "sn+clip", "gp", "r1r2", "none"),
    "precision": ("auto", "fp32", "bf16"),
    "augment": ("", "translation", "translation+cutout", "brightness_contrast+translation+cutout"),
    "flip": (True, False),
}
RANGES = {  # lowest and highest value; an int low asks for whole numbers
    "steps": (1, 10_000_000),
    "batch_size": (2, 4096),
    "width": (4, 256),
    "latent": (1, 4096),
    "critic_steps": (1, 100),
    "check_every": (0, 10_000_000),
    "patience": (0, 10_000),
    "denoising_steps": (1, 1000),
    "lr": (1e-7, 1.0),
    "critic_lr": (1e-7, 1.0),
    "beta1": (0.0, 0.9999),
    "beta2": (0.0, 0.9999999),
    "ema": (0.0, 0.99999),
    "dropout": (0.0, 0.9),
    "clip": (1e-6, 10.0),
    "penalty": (0.0, 1e4),
    "reconstruction": (0.0, 100.0),
    "match": (0.0, 100.0),
}


def resolve(where: str, defaults: Mapping[str, Any], changes: Mapping[str, Any]) -> Settings:
    """`defaults` with `changes` on top, every value checked.

    Raises InputErrors that lists each unknown name and each impossible value with its fix.
    """
    mistakes = [m for key, value in changes.items() if (m := _mistake(f"{where}.{key}", key, value, defaults))]
    if mistakes:
        raise InputErrors(where, mistakes)
    return {**defaults, **changes}


def check_images(images: Any, where: str) -> int:
    """The side in pixels of uint8 images [N, px, px]; InputError when a generator cannot be trained on them."""
    check_square(images, where, 1)
    if images.shape[1] not in IMAGE_SIZES_PX:
        sizes = ", ".join(map(str, IMAGE_SIZES_PX))
        raise InputError(where, f"images of {images.shape[1]} px", f"set image_px to one of {sizes}")
    if len(images) < 2 or (images == images[0]).all():
        raise InputError(where, f"{len(images)} images without any variation", "give at least two different images")
    return int(images.shape[1])


def check_square(images: Any, where: str, multiple: int) -> None:
    """InputError unless `images` are uint8 [N, px, px] with a side that `multiple` divides."""
    kind, shape = str(getattr(images, "dtype", None)), tuple(getattr(images, "shape", ()))
    if kind != "uint8" or len(shape) != 3 or shape[1] != shape[2] or shape[1] % multiple or not shape[1]:
        size = f" whose side is a multiple of {multiple} px: resize them" if multiple > 1 else ""
        raise InputError(where, f"images are {described(images)}", f"give square grey uint8 images [N, px, px]{size}")


def uses_bf16(precision: str, device: str) -> bool:
    """Whether the networks run in bfloat16: asked for, or `auto` on hardware that multiplies it natively."""
    if precision != "auto":
        return precision == "bf16"
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    abilities = torch.cpu.get_capabilities()
    return bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))


def _mistake(place: str, key: str, value: Any, defaults: Mapping[str, Any]) -> InputError | None:
    if key not in defaults:
        return InputError(place, "unknown setting", suggestion(key, defaults))
    if key in CHOICES and value not in CHOICES[key]:
        return InputError(place, f"{value!r}", "one of " + ", ".join(repr(choice) for choice in CHOICES[key]))
    if key in RANGES:
        low, high = RANGES[key]
        kind = int if isinstance(low, int) else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
            noun = "a whole number" if isinstance(low, int) else "a number"
            return InputError(place, f"{value!r}", f"{noun} from {low} to {high}")
    return None
