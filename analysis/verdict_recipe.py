"""One configuration as the verdict judges it, and the sentences about the classes that it calls and misses."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.figures.figure import counted, number, with_interval
from analysis.intervals import Interval

LEAST_RECALL = 0.5  # a class that is missed more often than not makes a recipe unusable at its threshold
ONE_CLASS = 0.97  # of the images: called one class (nearly) always


@dataclass(frozen=True)
class Threshold:
    """The probability from which an image is called positive so that as many are as among the source's; what that would give."""

    probability: float
    share: float  # of images called positive
    balanced: Interval


@dataclass(frozen=True)
class Recipe:
    """One configuration as judged on the target; None where a metric was not recorded or is undefined."""

    label: str
    auroc: Interval | None = None
    balanced: Interval | None = None
    accuracy: Interval | None = None
    sensitivity: Interval | None = None
    specificity: Interval | None = None
    called_positive: float | None = None  # share of target images, with two classes
    recalls: tuple[tuple[str, Interval], ...] = ()  # of each class on the target, with three or more
    most_called: tuple[str, float] | None = (
        None  # with three or more classes: the one called most often, and its share of target images
    )
    weakest: tuple[str, Interval] | None = None  # with several findings: the one of the lowest AUROC
    one_class_seeds: int = 0  # seeds that call (nearly) every target image one class
    front: int = 1
    failed_seeds: int = 0
    threshold: Threshold | None = None


def seeds_of(chosen: Recipe) -> int:
    """Seeds that its numbers are means of."""
    made = next((one for one in (chosen.auroc, chosen.balanced, chosen.accuracy) if one is not None), None)
    return made.seeds if made else 0


def misses_a_class(chosen: Recipe) -> bool:
    """Whether some class of the target is missed more often than not."""
    known = (chosen.sensitivity, chosen.specificity, *(made for _, made in chosen.recalls))
    recalls = [made.estimate for made in known if made is not None]
    return bool(recalls) and min(recalls) < LEAST_RECALL


def misses(chosen: Recipe, classes: tuple[str, str]) -> str:
    """Which class is missed most; `classes` are the negative and the positive one of two."""
    if chosen.recalls:
        name, made = lowest_recall(chosen)
        return f"it misses {percent(1 - made.estimate)} of the {name} images"
    negative, positive = classes
    sensitivity, specificity = chosen.sensitivity, chosen.specificity
    if specificity is not None and (sensitivity is None or specificity.estimate < sensitivity.estimate):
        return f"it calls {percent(1 - specificity.estimate)} of the {negative} images {positive}"
    return f"it calls {percent(1 - sensitivity.estimate)} of the {positive} images {negative}" if sensitivity else ""


def lowest_recall(chosen: Recipe) -> tuple[str, Interval]:
    """The class of the lowest recall, of three or more."""
    return min(chosen.recalls, key=lambda pair: pair[1].estimate)


def always(chosen: Recipe, classes: tuple[str, str], constant: float | None) -> str:
    """Which class is called (nearly) always and what accuracy that really has; empty where several are called.

    `constant` is the accuracy of the constant predictor.
    """
    name, share = chosen.most_called or ("", 0.0)
    if chosen.called_positive is not None:
        share = max(chosen.called_positive, 1 - chosen.called_positive)
        name = classes[1] if chosen.called_positive >= ONE_CLASS else classes[0]
    if share < ONE_CLASS:
        seeds = f"{chosen.one_class_seeds} of its {counted(seeds_of(chosen), 'seed')}"
        return f"calls (nearly) all images on the target one class in {seeds}" if chosen.one_class_seeds else ""
    how = "all" if share == 1 else percent(share) + " of the"
    words = f"calls {how} images on the target {name}"
    if chosen.accuracy is not None:
        words += f", with an accuracy of {number(chosen.accuracy.estimate)}"
        words += f" where the constant predictor has {number(constant)}" if constant is not None else ""
    return words


def numbers(chosen: Recipe) -> str:
    """'AUROC 0.800 [0.750, 0.850] and ... on the target'; empty where nothing is known."""
    named = (
        ("AUROC", chosen.auroc),
        ("balanced accuracy", chosen.balanced),
        ("sensitivity", chosen.sensitivity),
        ("specificity", chosen.specificity),
    )
    parts = [f"{name} {with_interval(made)}" for name, made in named if made is not None]
    if chosen.recalls:
        name, made = lowest_recall(chosen)
        parts.append(f"a recall of {name} of {with_interval(made)} (the lowest of {len(chosen.recalls)} classes)")
    if chosen.weakest is not None:
        name, made = chosen.weakest
        parts.append(f"AUROC {with_interval(made)} for {name}, the lowest of the findings")
    if not parts and chosen.accuracy is not None:
        parts = [f"accuracy {with_interval(chosen.accuracy)}"]
    return f"{listed(tuple(parts))} on the target" if parts else ""


def percent(share: float) -> str:
    """A whole percentage."""
    return f"{100 * share:.0f} %"


def listed(words: tuple[str, ...]) -> str:
    """Words with commas, and "and" before the last."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
