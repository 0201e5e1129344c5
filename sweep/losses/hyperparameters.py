"""Hyperparameters of the texture loss; its weight is one of the training loop's (`glcm_weight`)."""

from __future__ import annotations

from sweep.core.conditions import above_zero
from sweep.core.hyperparameter import Hyperparameter, between, one_of, zero_or

TEXTURE = "texture"  # the part whose constructor takes them: sweep.losses.glcm.GLCMLoss
_WEIGHTED = above_zero("glcm_weight")

ROWS = (
    Hyperparameter(
        "glcm_levels",
        "grey levels of the texture loss",
        (int,),
        32,
        between(2, 256),
        active=_WEIGHTED,
        argument=f"{TEXTURE}.levels",
    ),
    Hyperparameter(
        "glcm_distance",
        "distance in pixels between the two pixels of a co-occurrence",
        (float,),
        3.0,
        between(1, 64),
        active=_WEIGHTED,
        argument=f"{TEXTURE}.distance",
    ),
    Hyperparameter(
        "glcm_window",
        "side in pixels of the windows whose texture is compared; 0: one window, the whole image",
        (int,),
        20,
        zero_or(4, 512),
        active=_WEIGHTED,
        argument=f"{TEXTURE}.window",
    ),
    Hyperparameter(
        "glcm_orientations",
        "orientations that are summed over; 4 gives half the loss of 8",
        (int,),
        8,
        one_of(4, 8),
        active=_WEIGHTED,
        argument=f"{TEXTURE}.orientations",
    ),
    Hyperparameter(
        "glcm_normalised",
        "texture features scaled to one range; false: raw, where contrast outweighs the others",
        (bool,),
        True,
        active=_WEIGHTED,
        argument=f"{TEXTURE}.normalised",
    ),
)
