"""A run whose target labels were read by nothing, and its ranking -> the facts of the verdict on that target, and the first screen."""

from __future__ import annotations

from analysis.figures.figure import number
from analysis.frames import Run
from analysis.predicted import PredictedTarget, predicted_target
from analysis.ranking import Ranking
from analysis.verdict_tiles import Tile, Verdict
from analysis.verdict_unlabelled import RECALIBRATE, SEND, AtThreshold, Candidate, TargetFacts, verdict
from sweep.shift.predicted_performance import Prediction


def verdict_on_target(run: Run, ranking: Ranking) -> Verdict:
    """What to do at the unlabelled target, with the predicted numbers of the recipe that it is about."""
    made = predicted_target(run)
    facts = facts_of(run, ranking, made)
    said = verdict(facts)
    one = next((one for one in facts.candidates if one.label == said.label), None) or next(iter(facts.candidates), None)
    tiles = _tiles(one, said.decision) if one is not None else ()
    label = one.label if one is not None else ""
    rests = " ".join(filter(None, (said.rests_on, said.change)))
    return Verdict(label, said.recommendation, said.shift, tiles, rests, said.decision in (SEND, RECALIBRATE))


def facts_of(run: Run, ranking: Ranking, made: PredictedTarget | None) -> TargetFacts:
    """The facts: candidates in the ranking's order within its first condition."""
    target = str(run.data_card.get("target", {}).get("name", "the target"))
    classes = (run.classes[0], run.classes[1]) if len(run.classes) == 2 else ("negative", "positive")
    if made is None:
        return TargetFacts(target, ranking.describe, (), None, 0, 0, 0, classes, run.storage.url)
    candidates = made.assessment.candidates
    ordered = [row.signature for row in ranking.rows if row.signature in candidates]
    return TargetFacts(
        target,
        ranking.describe,
        tuple(candidates[key] for key in dict.fromkeys([*ordered, *candidates])),
        made.assessment.shift,
        made.images,
        len(made.hospitals),
        made.records,
        classes,
        run.storage.url,
        made.assessment.contradiction,
    )


def table_note(run: Run, ranking: Ranking) -> str:
    """How the predicted numbers of a ranking's table differ from those of the verdict; empty where none is shown."""
    made = predicted_target(run) if ranking.predicted else None
    if made is None:
        return ""
    row = next((row for row in ranking.rows if row.signature in made.assessment.candidates), None)
    if row is None:
        return ""
    auroc = made.assessment.candidates[row.signature].auroc
    value = f"{number(auroc.value)} ({number(auroc.low)} to {number(auroc.high)}, 90 %)"
    return (
        "Predicted columns are each record's own, from the images that its pseudo-hospitals show. The verdict pools all models and "
        f"corrects by all held-out source images: AUROC {value} for row {row.rank}."
    )


def _tiles(one: Candidate, decision: str) -> tuple[Tile, ...]:
    at = one.recalibrated if decision == RECALIBRATE and one.recalibrated is not None else one.own
    threshold = f"at probability {number(at.probability)}"
    return (
        _tile("Predicted AUROC", one.auroc, "constant predictor 0.500"),
        _tile("Predicted sensitivity", at.sensitivity, threshold),
        _tile("Predicted specificity", at.specificity, threshold),
        _tile("Predicted balanced accuracy", at.balanced, "constant predictor 0.500"),
        _called(at),
    )


def _tile(title: str, made: Prediction, beside: str) -> Tile:
    return Tile(title, number(made.value), f"{number(made.low)} to {number(made.high)} (90 %)", beside)


def _called(at: AtThreshold) -> Tile:
    return Tile("Called positive", number(at.called), "share of the target's images", "")
