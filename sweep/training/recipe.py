"""Every setting of one training run, with default and unit; a sweep config names them by these names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

from sweep.core.errors import InputError, InputErrors, suggestion


@dataclass(frozen=True)
class Recipe:
    """Settings of the training loop; every one is a plain scalar, so a configuration can name it.

    The defaults are this project's own, for a few hundred images and one short run: cosine, 20 epochs in all, patience 10. The papers'
    schedules stand in the sweep configs that follow them (search_spaces/colorizer.yaml: one-cycle, 20 + 20 epochs, patience 5).
    """

    epochs: int = 20  # passes over the training images, all steps of a procedure together
    batch_size: int = 32  # images a step, over all workers
    lr: float = 1e-4  # peak learning rate of the backbone
    weight_decay: float = 1e-4  # decoupled for adamw; never on biases and norm scales
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    schedule: Literal["cosine", "one_cycle", "none"] = "cosine"
    warmup: float = 0.05  # share of the steps over which the cosine schedule rises
    grad_clip: float = 1.0  # largest norm of all gradients together; 0 turns clipping off

    procedure: Literal["joint", "two_step", "head_only", "colorizer_head", "deco"] = "joint"
    step1_share: float = 0.5  # of the epochs, for procedures of two steps
    step1_lr_factor: float = 10.0  # times lr while the backbone is frozen
    colorizer_lr_factor: float = 3.0  # times lr while the backbone trains too
    head_lr_factor: float = 1.0  # times lr while the backbone trains too
    frozen_bn: Literal["eval", "train"] = "eval"  # batch norm of frozen parts: keep its statistics or go on measuring

    glcm_weight: float = 0.0  # share of the texture loss, 1 - alpha of Domain Assimilation
    label_smoothing: float = 0.0
    class_weighting: Literal["none", "balanced"] = "none"
    balanced_sampling: bool = False  # asked of the batches: each class equally often
    focal_gamma: float = 0.0  # 0 is plain cross-entropy
    mixup: float = 0.0  # alpha of the Beta distribution; 0 turns it off
    augment: Literal["none", "flip", "ultrasound", "xray"] = "ultrasound"  # xray: no flip, no speckle, no depth gain

    patience: int = 10  # epochs without a better source validation before stopping; 0 never stops
    ema: float = 0.0  # decay a step of averaged weights; 0 turns them off
    precision: Literal["auto", "bf16", "fp32"] = "auto"  # auto: bf16 where the hardware multiplies it
    compile: bool = False  # torch.compile of the training step

    train_eps: float = 0.0  # L-infinity budget of adversarial training on the [0, 1] image; 0 turns it off
    train_attack: Literal["pgd", "fgsm", "free", "trades"] = "pgd"
    train_attack_steps: int = 7  # gradient steps of pgd and trades, replays of free
    trades_beta: float = 6.0  # weight of the divergence between clean and attacked predictions
    dual_bn: bool = False  # attacked images have batch norms of their own while training

    def __post_init__(self) -> None:
        mistakes = [*self._outside_choices(), *self._outside_ranges(), *self._conflicts()]
        if mistakes:
            raise InputErrors("recipe", mistakes)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Recipe:
        """The recipe inside a flat configuration; names that are not settings of the loop are left alone."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in config.items() if name in known})

    def _outside_choices(self) -> list[InputError]:
        return [
            InputError(
                f"recipe.{name}", f"{getattr(self, name)!r} is unknown", suggestion(str(getattr(self, name)), choices)
            )
            for name, choices in _CHOICES.items()
            if getattr(self, name) not in choices
        ]

    def _outside_ranges(self) -> list[InputError]:
        return [
            InputError(
                f"recipe.{name}", f"{getattr(self, name)!r} is out of range", f"give a number from {low} to {high}"
            )
            for name, (low, high) in _RANGES.items()
            if not _within(getattr(self, name), low, high)
        ]

    def _conflicts(self) -> list[InputError]:
        if self.dual_bn and self.train_attack in ("free", "trades"):
            fix = "use train_attack pgd or fgsm, or dual_bn false"
            return [InputError("recipe.dual_bn", f"has no meaning with train_attack {self.train_attack}", fix)]
        return []


_RANGES: Mapping[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "batch_size": (1, 65_536),
    "lr": (0, 100),
    "weight_decay": (0, 10),
    "warmup": (0, 0.9),
    "grad_clip": (0, 1e9),
    "step1_share": (0, 1),
    "step1_lr_factor": (0, 1e6),
    "colorizer_lr_factor": (0, 1e6),
    "head_lr_factor": (0, 1e6),
    "glcm_weight": (0, 1),
    "label_smoothing": (0, 0.99),
    "focal_gamma": (0, 10),
    "mixup": (0, 10),
    "patience": (0, 100_000),
    "ema": (0, 0.99999),
    "train_eps": (0, 1),
    "train_attack_steps": (1, 1000),
    "trades_beta": (0, 1000),
}


def _literals() -> dict[str, tuple[Any, ...]]:
    hints = get_type_hints(Recipe)
    return {name: get_args(hint) for name, hint in hints.items() if get_args(hint)}


def _within(value: Any, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


_CHOICES: Mapping[str, tuple[Any, ...]] = _literals()
