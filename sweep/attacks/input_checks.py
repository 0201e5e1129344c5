"""Checks that images, labels, model and logits can be attacked meaningfully; InputError with the reason otherwise."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sweep.core.errors import InputError, described


def check_images(images: Tensor) -> None:
    """Float images [N, C, H, W] in [0, 1], at least one; InputError otherwise."""
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.numel():
        raise InputError("images", described(images), "give a tensor [N, C, H, W] with at least one image")
    if not images.is_floating_point():
        raise InputError("images", f"type {images.dtype}", "give floats in [0, 1]: divide 8-bit grey values by 255")
    if images.dtype not in (torch.float32, torch.float64):
        raise InputError("images", f"type {images.dtype} rounds away small epsilons", "give float32")
    low, high = images.aminmax()
    if not (low >= 0 and high <= 1):  # also catches NaN
        raise InputError(
            "images", f"values from {low:.4g} to {high:.4g}", "scale to [0, 1]; normalise inside the model"
        )


def checked_labels(labels: Tensor, count: int) -> Tensor:
    """Class numbers int64 [N] or hard multi-label 0/1 float [N, K], NaN where not known; InputError otherwise.

    Class numbers of other integer types and bool are converted, which loses nothing; so are 0/1 labels that are not floats.
    """
    if not isinstance(labels, Tensor) or labels.ndim not in (1, 2) or len(labels) != count:
        fix = "give a tensor of class numbers [N] or of 0/1 labels [N, K]"
        raise InputError("labels", f"{described(labels)} for {count} images", fix)
    if labels.is_complex() or (labels.ndim == 1 and labels.is_floating_point()):
        raise InputError("labels", f"type {labels.dtype}", "give class numbers as integers: labels.long()")
    if labels.ndim == 1:
        return labels.long()
    if not labels.is_floating_point():
        labels = labels.float()
    if not ((labels == 0) | (labels == 1) | labels.isnan()).all():
        fix = "robust accuracy is defined for hard labels only: round or drop uncertain ones"
        raise InputError("labels", "soft labels (values other than 0 and 1)", fix)
    if labels.isnan().all(dim=1).any():
        raise InputError(
            "labels", "an image without any known label", "leave it out: no prediction of it can be right or wrong"
        )
    return labels


def check_model(model: object, images: Tensor) -> None:
    """A model in float32 or float64 of the same type as `images`; InputError otherwise.

    bfloat16 and float16 resolve 1/256 to 1/2048 near 1, coarser than the epsilons, so robust accuracy in them is rounding.
    """
    if not callable(model):
        raise InputError("model", described(model), "give a module or a function that returns logits [N, K]")
    if not isinstance(model, nn.Module):
        return
    kinds = {tensor.dtype for tensor in model.parameters() if tensor.is_floating_point()}
    for kind in sorted(kinds - {images.dtype}, key=str):
        if kind not in (torch.float32, torch.float64):
            raise InputError("model", f"parameters of type {kind}", "attack it in float32: model.float()")
        name = str(kind).removeprefix("torch.")
        raise InputError("images", f"type {images.dtype} for a {name} model", f"convert them: images.to(torch.{name})")


def check_logits(logits: Tensor, labels: Tensor) -> None:
    """Logits [N, K] with K >= 2 that fit the labels, all finite; InputError otherwise."""
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(labels):
        raise InputError("model", f"an output that is {described(logits)}", "return a tensor of logits [N, K]")
    classes = logits.shape[1]
    if classes < 2:
        fix = "attacks need a logit per class: give the head two outputs (0 for the negative class will do)"
        raise InputError("model", "a single logit", fix)
    if not (finite := torch.isfinite(logits).all(dim=1)).all():
        problem = f"logits that are NaN or infinite at {int((~finite).sum())} of {len(logits)} clean images"
        raise InputError("model", problem, "train it anew with a lower learning rate: it has diverged")
    if labels.ndim == 2 and labels.shape[1] != classes:
        raise InputError("labels", f"{labels.shape[1]} labels for {classes} logits", "give one 0/1 label per logit")
    if labels.ndim == 1 and not ((labels >= 0) & (labels < classes)).all():
        raise InputError(
            "labels",
            f"values from {int(labels.min())} to {int(labels.max())} for {classes} logits",
            "number classes from 0 to K-1",
        )
