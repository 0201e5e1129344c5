"""The six questions and the sweep configs that answer them: what is compared with what, on which metrics, and what was asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sweep.core.hyperparameter import Scalar

AUROC_TARGET, AUROC_SOURCE, AUROC_VAL, GAP = "auroc/target", "auroc/source", "auroc/source_val", "domain_gap"
ROBUST_SOURCE, ROBUST_TARGET = "robust_accuracy/source/worst@1/255", "robust_accuracy/target/worst@1/255"
_FOLD = re.compile(r"-\d+$")
_BASIC = (AUROC_VAL, AUROC_SOURCE, AUROC_TARGET, GAP, "balanced_accuracy/target", "accuracy/target")
_PAIRS = ("breast", "chest")  # of hospitals: BUSI and BrEaST, Kermany and NIH
_RATIOS = (0, 0.25, 0.5, 0.75, 1, 2, 4)


@dataclass(frozen=True)
class Question:
    """One of the six: its key, which is the first word of its configs' names, a heading, and what it asks."""

    key: str
    title: str
    asks: str


@dataclass(frozen=True)
class Part:
    """One sweep config of a question.

    `control` are the settings of the arm that every other arm with the same other settings is compared with, on `compared` metrics; empty where
    nothing is compared. `shown` are the metrics of its table, where `*` stands for any threat and epsilon. `asked` are values that the question
    asks for, by their place in the config; a shipped value that differs is a cut.
    """

    name: str
    control: Mapping[str, Scalar] = field(default_factory=lambda: MappingProxyType({}))
    compared: tuple[str, ...] = (AUROC_TARGET,)
    shown: tuple[str, ...] = _BASIC
    asked: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    importance: tuple[str, ...] = ()
    blind: bool = True

    @property
    def question(self) -> str:
        """Key of the question that it belongs to."""
        return self.name.partition("-")[0]


QUESTIONS = (
    Question(
        "gap",
        "Domain gap",
        "What does a model lose at the other hospital, in both directions, and how good is it at home by 5-fold cross-validation with grouped folds?",
    ),
    Question(
        "ratio",
        "Synthetic images",
        "Is any ratio of synthetic to real images worth more than two points, with which generator, and is the cost better spent on classical augmentation?",
    ),
    Question(
        "colour",
        "Colour modules",
        "Is the published gain of a learned colour module with a frozen network there, from how many images on, and does a module carry over to another hospital?",
    ),
    Question(
        "robustness",
        "Robustness",
        "What do colour module, texture module, texture loss and adversarial training leave under attack and under changes of the acquisition?",
    ),
    Question(
        "blind",
        "Blind comparison",
        "How far off is the target AUROC that is predicted without labels, what does the blind choice cost, and what is refused?",
    ),
    Question("recipe", "The recipe", "In one joint search over everything: which choices mattered, and which did not?"),
)

_FIVE: Mapping[str, object] = {"seeds": 5}
_SEED_STUDY = {**_FIVE, "data.image_px": 128, "fixed.epochs": 50}
_POSTER = {**_FIVE, "data.image_px": 224, "fixed.epochs": 40}
_ASSIMILATION = {**_FIVE, "data.image_px": 224, "fixed.epochs": 300, "data.train_images": None, "threats.images": "all"}
_ATTACKED = (
    AUROC_SOURCE,
    "accuracy/source",
    "robust_accuracy/source/worst@*",
    "robust_accuracy/target/worst@1/255",
    "acquisition_auroc/source/mean",
)

PARTS = {
    part.name: part
    for part in (
        Part("gap-frozen", {"adapt": "none"}),
        Part("gap-frozen-roi"),
        Part("gap-frozen-folds", shown=(AUROC_SOURCE,), asked={"data.folds": 5}, blind=False),
        Part("gap-tuned", {"augment": "ultrasound"}, asked=_SEED_STUDY),
        Part("gap-tuned-roi", asked=_SEED_STUDY),
        Part("gap-tuned-folds", shown=(AUROC_SOURCE,), asked={**_SEED_STUDY, "data.folds": 5}, blind=False),
        Part(
            "ratio-added",
            {"synthetic_per_real": 0},
            asked={**_SEED_STUDY, "grid.synthetic_per_real": _RATIOS, "grid.train_images": (100, None)},
        ),
        Part(
            "ratio-mixed",
            {"synthetic_per_real": 0},
            asked={**_SEED_STUDY, "grid.synthetic_per_real": _RATIOS, "grid.train_images": (100, None)},
        ),
        Part(
            "ratio-classical",
            {"augment": "ultrasound", "epochs": 15},
            asked={**_FIVE, "data.image_px": 128, "grid.train_images": (100, None)},
        ),
        Part(
            "colour-modules",
            {"colorizer": "none"},
            (AUROC_SOURCE, AUROC_TARGET),
            asked={**_POSTER, "grid.train_images": (100, 200, 400, None)},
        ),
        *(
            Part(
                f"colour-transfer-{pair}",
                {"colorizer_from": None},
                (AUROC_SOURCE,),
                (AUROC_SOURCE, "balanced_accuracy/source", "accuracy/source"),
                _POSTER,
                blind=False,
            )
            for pair in _PAIRS
        ),
        *(
            Part(
                f"robustness-{pair}",
                {"colorizer": "none", "train_eps": 0},
                (ROBUST_SOURCE, ROBUST_TARGET, AUROC_SOURCE, AUROC_TARGET),
                _ATTACKED,
                _ASSIMILATION,
            )
            for pair in _PAIRS
        ),
        Part("blind", shown=(AUROC_SOURCE, "predicted_auroc/target"), asked={"data.target_labels": "sealed"}),
        *(
            Part(
                f"recipe-{pair}",
                shown=(*_BASIC[:4], ROBUST_TARGET),
                asked={"searcher.trials": 100, "seeds": 2, "data.train_images": None},
                importance=(AUROC_TARGET, "domain_gap", ROBUST_TARGET),
            )
            for pair in _PAIRS
        ),
    )
}


def part_of(run: str) -> Part | None:
    """The part that a run of this name belongs to; `gap-tuned-folds-3` is fold 3 of gap-tuned-folds. None for other runs."""
    return PARTS.get(run) or PARTS.get(_FOLD.sub("", run))


def is_fold(run: str) -> bool:
    """Whether a run is one fold of a cross-validation."""
    return run not in PARTS and part_of(run) is not None
