"""Facts about an unlabelled target -> what to do there: send a recipe, recalibrate it first, label images first, or send none.

A pure function: every sentence follows from `TargetFacts` alone, so that each situation can be tested with its exact words.
`analysis.verdict_unlabelled_facts` takes the facts from a run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.figures.figure import MINUS, counted, number
from analysis.verdict_recipe import ONE_CLASS
from sweep.shift.predicted_performance import Prediction
from sweep.shift.shift_kind import ACQUISITION, MIXTURE, NONE, PREVALENCE, UNLIKE, Shift

SEND, RECALIBRATE, LABEL, REFUSE = "send", "recalibrate", "label", "refuse"
CHANCE = 0.5  # AUROC and balanced accuracy of the constant predictor
MARGIN = 0.03  # above chance, within which a recipe is no better than the constant predictor
SOUP = "weight soup"  # the form with the mean weights of a recipe's seeds
_FEWEST_LABELS, _MOST_LABELS, _LABEL_STEP = 20, 200, 10
_NORMAL_90 = 1.645
_MOST_DIGITS = 4  # behind the decimal point, of two shares that would read the same with fewer


@dataclass(frozen=True)
class AtThreshold:
    """What a recipe is expected to do when the positive class is called from `probability` on; `called` is the share of target images."""

    probability: float
    called: float
    balanced: Prediction
    sensitivity: Prediction
    specificity: Prediction


@dataclass(frozen=True)
class Form:
    """An adaptation tried on a recipe's trained models, or the soup of their weights: its expected AUROC and balanced accuracy, and the AUROC of the
    recipe as configured on the same hospitals."""

    name: str
    auroc: Prediction
    beside: Prediction
    balanced: Prediction


@dataclass(frozen=True)
class Candidate:
    """One recipe: its expected AUROC, its own threshold and the one moved to the target's expected class shares.

    `refused` says why its performance cannot be predicted, None where it can. `ensemble` is the AUROC of its `seeds` as one model that
    averages their probabilities, None where there is one seed or no prediction. `tried` are adaptations tried on its trained models and the soup
    of their weights. `corrected` is the threshold that corrects its calibrated probabilities for the target's expected class shares.
    """

    label: str
    auroc: Prediction
    own: AtThreshold
    moved: AtThreshold | None = None
    refused: str | None = None
    seeds: int = 1
    ensemble: Prediction | None = None
    tried: tuple[Form, ...] = ()
    corrected: AtThreshold | None = None

    @property
    def recalibrated(self) -> AtThreshold | None:
        """The better of the two other thresholds, by the lower end of its balanced accuracy; one that can be used, if there is one."""
        others = [at for at in (self.moved, self.corrected) if at is not None]
        return max(others, key=lambda at: (_usable(at), at.balanced.low)) if others else None


@dataclass(frozen=True)
class Contradiction:
    """Share of images on which two models of the run answer differently: at the target, and what 19 of 20 pseudo-hospitals stay below.

    `moved`: with each model's threshold moved so that it calls the share of positives, not at its own threshold.
    Models that agree where their errors are known and contradict each other at the target have learned something that does not hold there,
    which no change of acquisition shows: another definition of the classes, other findings, another age.
    """

    target: float
    hospitals: float
    moved: bool = False

    @property
    def unusual(self) -> bool:
        """Whether predictions from the pseudo-hospitals are in doubt."""
        return self.target > self.hospitals


@dataclass(frozen=True)
class TargetFacts:
    """All that the sentences are made of. `candidates` are in the order of the selection rule, the first one chosen."""

    target: str
    rule: str
    candidates: tuple[Candidate, ...]
    shift: Shift | None
    images: int  # unlabelled images of the target
    hospitals: int  # pseudo-hospitals
    records: int  # trained models that the predictions rest on
    classes: tuple[str, str] = ("negative", "positive")
    run: str = "RUN"
    contradiction: Contradiction | None = None


@dataclass(frozen=True)
class TargetVerdict:
    """One decision and its sentences: what to do, the shift, what that rests on, what would change it; `label` names the recipe."""

    decision: str
    recommendation: str
    shift: str
    rests_on: str
    change: str
    label: str = ""
    labels: int = 0  # images to label where the decision is to label first


def verdict(facts: TargetFacts) -> TargetVerdict:
    """The decision for the target and its sentences."""
    decision, words, label, labels = _decided(facts)
    return TargetVerdict(
        decision, " ".join(words), _shift(facts), _rests_on(facts), _change(facts, decision, labels), label, labels
    )


Decision = tuple[str, list[str], str, int]


def _decided(facts: TargetFacts) -> Decision:
    where = facts.target
    if not facts.candidates or not facts.hospitals:
        reason = "no model was evaluated on pseudo-hospitals, so nothing can be predicted for it"
        return REFUSE, [f"Do not send any recipe to {where}: {reason}."], "", 0
    if facts.shift is not None and facts.shift.kind == UNLIKE:
        reason = "its images are unlike those of every pseudo-hospital, so no prediction holds for it"
        return REFUSE, [f"Do not send any recipe to {where}: {reason}."], "", 0
    trusted = [one for one in facts.candidates if one.refused is None and not math.isnan(one.auroc.value)]
    if not trusted:
        first = facts.candidates[0]
        reason = first.refused or "the AUROC of no recipe can be predicted"
        return REFUSE, [f"Do not send any recipe to {where}: {reason}."], "", 0
    best = trusted[0]
    skipped = _skipped(facts, best)
    if all(one.auroc.value <= CHANCE + MARGIN for one in trusted):
        top = max(trusted, key=lambda one: one.auroc.value)
        reason = f"no recipe is expected to beat the constant predictor; the best, {top.label}, has a predicted AUROC of {_with_range(top.auroc)}"
        return REFUSE, [f"Do not send any recipe to {where}: {reason}."], "", 0
    if facts.contradiction is not None and facts.contradiction.unusual:
        there, usual = _told_apart(facts.contradiction.target, facts.contradiction.hospitals)
        where_called = ", with thresholds that fit the class mix," if facts.contradiction.moved else ""
        reason = f"two models of the run{where_called} answer differently on {there} of the images there, on 19 of 20 pseudo-hospitals on at most {usual}"
        return _label_first(
            facts, best, f"{reason}, so its predicted AUROC of {_with_range(best.auroc)} may not hold", skipped
        )
    if not _above(best.auroc):
        return _label_first(facts, best, f"its predicted AUROC of {_with_range(best.auroc)} may be chance", skipped)
    if _usable(best.own):
        return SEND, [_send(facts, best), *_together(best), *_adapted(best), *skipped], best.label, 0
    other = best.recalibrated
    if other is not None and _usable(other):
        said = [_recalibrate(facts, best, other), *_together(best), *_adapted(best), *skipped]
        return RECALIBRATE, said, best.label, 0
    at = other if other is not None and other.balanced.value > best.own.balanced.value else best.own
    reason = f"its predicted balanced accuracy of {_with_range(at.balanced)} may be that of the constant predictor"
    return _label_first(facts, best, reason, skipped)


def _label_first(facts: TargetFacts, best: Candidate, reason: str, skipped: list[str]) -> Decision:
    count = labels_needed(best.auroc, facts.images)
    words = (
        f"Label {counted(count, 'image')} of {facts.target} before sending any recipe: {best.label} comes first by {facts.rule}, but {reason}. "
        f"Run `recipe-finder label {facts.run} --images {count} --out to_label.csv` to see which."
    )
    return LABEL, [words, *skipped], best.label, count


def labels_needed(auroc: Prediction, images: int) -> int:
    """Labelled images from which on a recipe of the predicted AUROC would be told from chance, in steps of ten; at most all there are.

    From the standard error of an AUROC near one half with classes of equal size, sqrt(1 / (3 n)) for n images.
    """
    gap = max(auroc.value - CHANCE, 0.05)
    needed = (_NORMAL_90 / gap) ** 2 / 3
    rounded = _LABEL_STEP * math.ceil(needed / _LABEL_STEP)
    return int(min(max(rounded, _FEWEST_LABELS), _MOST_LABELS, images))


def _skipped(facts: TargetFacts, best: Candidate) -> list[str]:
    before = [one for one in facts.candidates[: facts.candidates.index(best)] if one.refused is not None]
    return [f"Before it comes {one.label}, which is passed over: {one.refused}." for one in before[:2]]


def _usable(at: AtThreshold) -> bool:
    """Better than the constant predictor with its whole interval, and not a constant predictor itself."""
    return 1 - ONE_CLASS < at.called < ONE_CLASS and _above(at.balanced)


def _above(made: Prediction) -> bool:
    return made.low > CHANCE + MARGIN


def _send(facts: TargetFacts, one: Candidate) -> str:
    return (
        f"Send {one.label} to {facts.target} and call {facts.classes[1]} from a probability of {number(one.own.probability)} on: "
        f"{_expected(one.own)}, with an AUROC of {_range(one.auroc)}."
    )


def _recalibrate(facts: TargetFacts, one: Candidate, moved: AtThreshold) -> str:
    return (
        f"Recalibrate {one.label} before sending it to {facts.target}: at its own threshold it would call {_percent(one.own.called)} of the images "
        f"there {facts.classes[1]}. From a probability of {number(moved.probability)} on, which calls {_percent(moved.called)} of them "
        f"{facts.classes[1]}, {_expected(moved)}, with an AUROC of {_range(one.auroc)}."
    )


def _together(one: Candidate) -> list[str]:
    """Whether its seeds are better sent as one model, by the lower end of what is predicted of both."""
    if one.ensemble is None:
        return []
    if one.ensemble.low > one.auroc.low:
        return [
            f"Its {one.seeds} seeds as an ensemble (`recipe-finder export --seeds all`) are expected to do better than one of them: AUROC "
            f"{_with_range(one.ensemble)} against {_with_range(one.auroc)}."
        ]
    return [f"An ensemble of its {one.seeds} seeds is not expected to do better: AUROC {_with_range(one.ensemble)}."]


def _adapted(one: Candidate) -> list[str]:
    """Whether another form that was tried on it is expected to do better, by the lower ends on the same pseudo-hospitals."""
    if not one.tried:
        return []
    best = max(one.tried, key=lambda form: form.auroc.low - form.beside.low)
    if best.auroc.low > best.beside.low:
        how = (
            f"With the mean weights of its {one.seeds} seeds (`recipe-finder export --seeds all --combine soup`)"
            if best.name == SOUP
            else f"With `adapt: {best.name}`, which was tried on its trained models,"
        )
        return [
            f"{how} it is expected to do better: AUROC {_with_range(best.auroc)} against {_with_range(best.beside)} on the same pseudo-hospitals."
        ]
    names = ", ".join(form.name for form in one.tried)
    what = "Nothing else" if any(form.name == SOUP for form in one.tried) else "No adaptation"
    return [f"{what} tried on it ({names}) is expected to do better: AUROC {_with_range(best.auroc)} with {best.name}."]


def _expected(at: AtThreshold) -> str:
    return f"expect a sensitivity of {_range(at.sensitivity)} and a specificity of {_range(at.specificity)}"


def _shift(facts: TargetFacts) -> str:
    shift = facts.shift
    if shift is None:
        return ""
    home, there = _percent(shift.home_prevalence), _percent(shift.prevalence)
    between = f"{_percent(shift.prevalence_low)} to {_percent(shift.prevalence_high)}"
    share = f"{there} of its images are estimated to be {facts.classes[1]} ({between}; {home} at the source)"
    moved = ", ".join(f"{name} {f'{value:+.1f}'.replace('-', MINUS)} SD" for name, value in shift.drifted)
    drift = f" ({moved})" if moved else ""
    inside = shift.prevalence_low <= shift.home_prevalence <= shift.prevalence_high
    mix = "no evidence of another class mix" if inside else "too small a difference to be called another class mix"
    return {
        NONE: f"No shift is seen: images of {facts.target} look like the source's, and {share}.",
        ACQUISITION: f"The images were acquired differently{drift}; {share}, which is {mix}.",
        PREVALENCE: f"The images look like the source's, but the class mix differs: {share}.",
        MIXTURE: f"The images were acquired differently{drift}, and the class mix differs: {share}.",
        UNLIKE: f"The images resemble neither the source nor any pseudo-hospital{drift}.",
    }[shift.kind]


def _rests_on(facts: TargetFacts) -> str:
    if not facts.hospitals:
        return ""
    return (
        f"Predicted without a label of {facts.target}: from {counted(facts.images, 'unlabelled image')} of it and the true metrics of "
        f"{counted(facts.records, 'trained model')} on {counted(facts.hospitals, 'pseudo-hospital')} (90 % intervals)."
    )


def _change(facts: TargetFacts, decision: str, labels: int) -> str:
    command = f"`recipe-finder label {facts.run} --images {labels or 60} --out to_label.csv`"
    if not facts.hospitals:
        return "Set `data.pseudo_hospitals` above 0 and run the sweep again: finished training is not repeated."
    return {
        SEND: f"Labels would narrow the intervals; {command} names the images that tell most.",
        RECALIBRATE: f"A few labels would confirm the threshold; {command} names the images that tell most.",
        LABEL: "With those labels the recipes are compared on the target itself.",
        REFUSE: f"Source images that look more like the target's, or labels: {command} names the images that tell most.",
    }[decision]


def _with_range(made: Prediction) -> str:
    return f"{number(made.value)} ({_range(made)})"


def _range(made: Prediction) -> str:
    return f"{number(made.low)} to {number(made.high)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _told_apart(first: float, second: float) -> tuple[str, str]:
    """Both in percent, with decimals where they would read the same without."""
    digits = 0
    while digits < _MOST_DIGITS and f"{100 * first:.{digits}f}" == f"{100 * second:.{digits}f}":
        digits += 1
    return f"{100 * first:.{digits}f} %", f"{100 * second:.{digits}f} %"
