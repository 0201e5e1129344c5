"""Every hyperparameter of one training run, with default, range and what it does; a sweep config names them by these names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from sweep.core.conditions import Condition, Config, above_zero, is_none_of, is_one_of
from sweep.core.errors import InputError, InputErrors
from sweep.core.hyperparameter import between, rows_of, setting
from sweep.models.hyperparameters import LEARNED


def _steps(config: Config) -> tuple[tuple[str, ...], ...]:
    """The parts that train in each step of a configuration's procedure."""
    from sweep.training.procedures import PROCEDURES

    return PROCEDURES[config["procedure"]]


def _some_step_trains(*parts: str) -> Condition:
    words = f"a step of `procedure` trains {' and '.join(parts)}"
    return Condition(lambda config: any({*parts} <= {*step} for step in _steps(config)), words, ("procedure",))


def _some_step_freezes(part: str) -> Condition:
    words = f"a step of `procedure` freezes the {part}"
    return Condition(lambda config: any(part not in step for step in _steps(config)), words, ("procedure",))


_FREEZES_BACKBONE, _FREEZES_COLORIZER = _some_step_freezes("backbone"), _some_step_freezes("colorizer")
_FREEZES_BATCH_NORM = Condition(
    lambda config: _FREEZES_BACKBONE(config) or (LEARNED(config) and _FREEZES_COLORIZER(config)),
    "a step of `procedure` freezes the backbone or a colorizer with weights",
    ("procedure",),
)
_TWO_STEPS = Condition(lambda config: len(_steps(config)) > 1, "`procedure` has two steps", ("procedure",))
FEATURE_HEADS = (
    "ridge_head",
    "logistic_head",
)  # procedures that fit the head to frozen features, without gradient steps
BY_GRADIENT = is_none_of("procedure", *FEATURE_HEADS)
TRAINS_BACKBONE = _some_step_trains("backbone")
_ADVERSARIAL = above_zero("train_eps")
SINGLE_STEP = ("fgsm", "free")  # training attacks of one gradient step, which a model can overfit


@dataclass(frozen=True)
class Recipe:
    """Settings of the training loop; each field is a row of the hyperparameters, so a configuration can name it.

    The defaults are this project's own, for a few hundred images and one short run: cosine, 20 epochs in all, patience 10. The papers'
    schedules stand in the sweep configs that follow them (search_spaces/colorizer.yaml: one-cycle, 20 + 20 epochs, patience 5).
    """

    epochs: int = setting(
        20,
        "passes over the training images, all steps of a procedure together",
        between(1, 100_000),
        active=BY_GRADIENT,
    )
    batch_size: int = setting(
        32, "images of an optimiser step, over all workers", between(1, 65_536), active=BY_GRADIENT
    )
    lr: float = setting(1e-4, "peak learning rate of the backbone", between(0, 100), active=BY_GRADIENT)
    weight_decay: float = setting(
        1e-4,
        "weight decay, decoupled for adamw; never on biases and norm scales",
        between(0, 10),
        active=BY_GRADIENT,
    )
    optimizer: Literal["adamw", "adam", "sgd"] = setting("adamw", "optimiser", active=BY_GRADIENT)
    schedule: Literal["cosine", "one_cycle", "none"] = setting(
        "cosine", "course of the learning rate over the steps", active=BY_GRADIENT
    )
    warmup: float = setting(
        0.05,
        "share of the steps over which the cosine schedule rises",
        between(0, 0.9),
        active=is_one_of("schedule", "cosine"),
    )
    grad_clip: float = setting(
        1.0, "largest norm of all gradients together; 0: no clipping", between(0, 1e9), active=BY_GRADIENT
    )

    procedure: Literal[
        "joint", "two_step", "head_only", "colorizer_head", "deco", "lp_ft", "ridge_head", "logistic_head"
    ] = setting(
        "joint",
        "which parts train in which steps: all together, or as a publication does (lp_ft: the head first, then everything); ridge_head and logistic_head fit the head to the features of the frozen network in closed form or by logistic regression, the penalty chosen on source validation",
    )
    layer_decay: float = setting(
        1.0,
        "layer-wise decay: the learning rate of each layer of the backbone is this factor times that of the layer above it; 1: none",
        between(0.1, 1),
        active=TRAINS_BACKBONE,
        since="0.2",
    )
    step1_share: float = setting(0.5, "share of the epochs that step 1 takes", between(0, 1), active=_TWO_STEPS)
    step1_lr_factor: float = setting(
        10.0, "factor on lr while the backbone is frozen", between(0, 1e6), active=BY_GRADIENT & _FREEZES_BACKBONE
    )
    colorizer_lr_factor: float = setting(
        3.0,
        "factor on lr for the colorizer while the backbone trains too",
        between(0, 1e6),
        active=LEARNED & _some_step_trains("colorizer", "backbone"),
    )
    head_lr_factor: float = setting(
        1.0,
        "factor on lr for the head while the backbone trains too",
        between(0, 1e6),
        active=_some_step_trains("head", "backbone"),
    )
    frozen_bn: Literal["eval", "train"] = setting(
        "eval",
        "batch norm of frozen parts: keep its statistics (eval) or go on updating them (train)",
        active=BY_GRADIENT & _FREEZES_BATCH_NORM,
    )

    glcm_weight: float = setting(
        0.0,
        "share of the texture loss in the objective, 1 - alpha of Domain Assimilation",
        between(0, 1),
        active=LEARNED & _some_step_trains("colorizer"),
    )
    label_smoothing: float = setting(
        0.0, "probability spread over the wrong classes", between(0, 0.99), active=BY_GRADIENT
    )
    class_weighting: Literal["none", "balanced"] = setting("none", "weight of each class in the loss")
    balanced_sampling: bool = setting(False, "draw each class equally often", active=BY_GRADIENT)
    focal_gamma: float = setting(
        0.0, "exponent of the focal loss; 0: plain cross-entropy", between(0, 10), active=BY_GRADIENT
    )
    mixup: float = setting(
        0.0, "alpha of the Beta distribution of mixup; 0: no mixup", between(0, 10), active=BY_GRADIENT
    )
    augment: Literal["none", "flip", "ultrasound", "xray", "geometric", "trivial", "randconv", "fourier"] = setting(
        "ultrasound",
        "random changes of the training images; xray: no flip, no speckle, no depth gain; geometric: flip and larger affine moves alone; trivial: TrivialAugment, one change of random strength; randconv: random filters; fourier: amplitude spectra mixed between images of a batch",
        active=BY_GRADIENT,
    )

    patience: int = setting(
        10,
        "epochs without a better source validation after which training stops; 0: never",
        between(0, 100_000),
        active=BY_GRADIENT,
    )
    ema: float = setting(
        0.0, "decay of averaged weights for each step; 0: no averaging", between(0, 0.99999), active=BY_GRADIENT
    )
    precision: Literal["auto", "bf16", "fp32"] = setting(
        "auto", "arithmetic of training; auto: bf16 where the hardware multiplies it"
    )
    compile: bool = setting(False, "torch.compile of the training step", active=BY_GRADIENT)

    train_eps: float = setting(
        0.0,
        "L-infinity budget of adversarial training on the [0, 1] image; 0: none",
        between(0, 1),
        active=BY_GRADIENT,
    )
    train_attack: Literal["pgd", "fgsm", "free", "trades"] = setting(
        "pgd", "attack of adversarial training", active=_ADVERSARIAL
    )
    train_attack_steps: int = setting(
        7,
        "gradient steps of pgd and trades, replays of free",
        between(1, 1000),
        active=is_none_of("train_attack", "fgsm"),
    )
    fgsm_start: Literal["noise", "uniform"] = setting(
        "noise",
        "start of fgsm: noise of twice the budget and no projection (N-FGSM), or a uniform point of the ball (Wong et al.)",
        active=_ADVERSARIAL & is_one_of("train_attack", "fgsm"),
        since="0.2",
        before="uniform",
    )
    grad_align: float = setting(
        0.0,
        "weight of the gradient alignment penalty of fgsm (GradAlign): input gradients at an image and at a random point of its ball are to point the same way; prevents catastrophic overfitting at about twice the cost; 0: none",
        between(0, 100),
        active=_ADVERSARIAL & is_one_of("train_attack", "fgsm"),
        since="0.2",
    )
    stop_overfitting: bool = setting(
        False,
        "end a phase of single-step adversarial training at the epoch that overfits its attack, with the best weights before it; detected and recorded either way",
        active=_ADVERSARIAL & is_one_of("train_attack", *SINGLE_STEP),
        since="0.2",
    )
    trades_beta: float = setting(
        6.0,
        "weight of the divergence between clean and attacked predictions",
        between(0, 1000),
        active=is_one_of("train_attack", "trades"),
    )
    dual_bn: bool = setting(False, "separate batch norms for attacked images during training", active=_ADVERSARIAL)

    def __post_init__(self) -> None:
        mistakes = [*self._violations(), *self._conflicts()]
        if mistakes:
            raise InputErrors("recipe", mistakes)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Recipe:
        """The recipe inside a flat configuration; names that are not settings of the loop are ignored."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in config.items() if name in known})

    def _violations(self) -> list[InputError]:
        found = ((row.name, row.violation(getattr(self, row.name))) for row in RECIPE_ROWS)
        parts = ((name, *violation.partition("; ")[::2]) for name, violation in found if violation)
        return [InputError(f"recipe.{name}", problem, fix) for name, problem, fix in parts]

    def _conflicts(self) -> list[InputError]:
        if self.dual_bn and self.train_attack in ("free", "trades"):
            fix = "use train_attack pgd or fgsm, or dual_bn false"
            return [InputError("recipe.dual_bn", f"has no meaning with train_attack {self.train_attack}", fix)]
        return []


RECIPE_ROWS = rows_of(Recipe)
