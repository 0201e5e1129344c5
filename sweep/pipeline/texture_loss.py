"""Configuration -> its texture (GLCM) loss, and settings that do not fit the run's image size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sweep.config.hyperparameters import rows_filling
from sweep.core.errors import InputError
from sweep.core.hyperparameter import arguments
from sweep.losses.hyperparameters import TEXTURE
from sweep.training.recipe import Recipe


def texture_loss(config: Mapping[str, Any]) -> Callable | None:
    """The texture loss of a configuration, None where its weight is 0; targets of images that recur unchanged are cached."""
    recipe = Recipe.from_config(config)
    if not recipe.glcm_weight:
        return None
    from sweep.losses.glcm import GLCMLoss, KeptTargets

    loss = GLCMLoss(**_arguments(config))
    unchanged = recipe.augment in ("none", "flip") and not recipe.mixup and not recipe.train_eps
    return KeptTargets(loss) if unchanged else loss


def texture_misfits(configs: Iterable[Mapping[str, Any]], image_px: int) -> list[InputError]:
    """An error for each window of the texture loss that is larger than the images or contains no pixel pair at its distance."""
    found = []
    for config in configs:
        if not config.get("glcm_weight"):
            continue
        window, distance = config["glcm_window"], config["glcm_distance"]
        if window > image_px:
            found.append(
                InputError(
                    "glcm_window",
                    f"{window} px does not fit images of {image_px} px",
                    f"give at most {image_px}, or 0 for the whole image",
                )
            )
        elif (window or image_px) <= distance:
            found.append(
                InputError(
                    "glcm_distance",
                    f"areas of {window or image_px} px have no pairs at distance {distance:g}",
                    "give a smaller distance or a larger glcm_window",
                )
            )
    return list({(error.where, error.problem): error for error in found}.values())


def _arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the loss; a window of 0 px is the whole image, which the loss calls None."""
    found = arguments(rows_filling(TEXTURE), TEXTURE, config)
    return {**found, "window": found["window"] or None} if "window" in found else found
