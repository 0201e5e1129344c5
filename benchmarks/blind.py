"""How well performance at a hospital without labels is predicted: sealed targets, scored after every estimate has been made.

    python -m benchmarks.blind --quick                # two phantom targets, a few minutes
    python -m benchmarks.blind                        # ten phantom targets
    python -m benchmarks.blind --data ../shared/data  # and BUSI -> BrEaST, BrEaST -> BUSI, Kermany -> NIH
    python -m benchmarks.blind --tuning --draw 1      # targets and patients on which the method's constants were set

Prints one JSON line a recipe and target, one a target, and one with the bars of all of them. What was computed is kept in `--keep`, so that
the same command again goes on where it was. Means are over (recipe, target) cells; AUROC and accuracy are of all target images. Constants
of the method were set on the targets of `--tuning` and draws 1 to 3 of the patients; those that are reported otherwise had no part in it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from analysis.few_labels import Pool, Sample, difference, draw, drawing_probabilities
from analysis.target_assessment import Assessment, assess
from analysis.verdict_unlabelled import CHANCE, MARGIN, REFUSE, SEND, TargetFacts, verdict
from benchmarks.blind_cells import PHANTOM, RECIPES, Bench, Cells, Size
from benchmarks.blind_shifts import right, shifts
from sweep.core.seeds import rng
from sweep.evaluation.metrics import auroc
from sweep.shift import calibration
from sweep.shift.estimators import ESTIMATORS
from sweep.shift.evidence import Evidence
from sweep.shift.pooled_performance import HeldOut, ModelEvidence, mean_of
from sweep.shift.predicted_performance import HospitalResult, margin
from sweep.shift.properties import PROPERTIES, energy_distance, standardised
from sweep.shift.pseudo_hospitals import RESTYLED
from sweep.shift.shift_kind import Tables

OURS, PLAIN = "pooled", "restyled_mean"
BARS = {"auroc_error": 0.05, "accuracy_error": 0.05, "coverage": (0.85, 0.95), "regret": 0.02, "wrongly_safe": 0.05}
TUNING = ("b", "fine", "coarse", "dark:screening")
REPORTED = (
    "bright",
    "contrasty",
    "flat",
    "noisy",
    "deep_loss",
    "uneven",
    "harmonic",
    "legacy",
    "portable:screening",
    "unmarked:referral",
)
_REAL = (
    ("busi:BUSI/Dataset_BUSI_with_GT", "brest:BrEaST"),
    ("brest:BrEaST", "busi:BUSI/Dataset_BUSI_with_GT"),
    ("kermany:chest_pneumonia_224/chest_xray", "folder:nih1000_64/NIH1000/train"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; exit code 0 whether bars are met or not: figures are reported, not judged."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two phantom targets, three recipes, few images")
    parser.add_argument("--tuning", action="store_true", help="the targets and shifts on which constants were set")
    parser.add_argument("--data", type=Path, help="folder with the real data sets; adds three pairs")
    parser.add_argument(
        "--pairs", nargs="+", metavar="SOURCE>TARGET", help="these pairs alone, e.g. phantom:a>phantom:b"
    )
    parser.add_argument("--px", type=int, default=64)
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--hospitals", type=int, default=40)
    parser.add_argument(
        "--shifts", type=int, default=0, metavar="N", help="name N simulated shifts of known kind (200 for the bar)"
    )
    parser.add_argument(
        "--replays",
        type=int,
        default=0,
        metavar="N",
        help="replay labelling N times on every target (2000 for the bar)",
    )
    parser.add_argument(
        "--draw", type=int, default=0, metavar="N", help="seed of the simulated patients; constants were set on 1 to 3"
    )
    parser.add_argument("--keep", type=Path, default=Path("benchmarks/results/blind"))
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    size = Size(
        arguments.px, arguments.patients, arguments.epochs, arguments.seeds, arguments.hospitals, draw=arguments.draw
    )
    recipes = RECIPES
    if arguments.quick:
        size, recipes = Size(32, 80, 4, 1, 16, 200, draw=arguments.draw), RECIPES[:3]
    folder = ("quick" if arguments.quick else f"{size.px}px") + (f"-draw{size.draw}" if size.draw else "")
    bench = Bench(arguments.keep / folder, size)
    rows, targets = [], []
    for source, target in _pairs(arguments):
        made = estimates(bench.cells(source, target, recipes))
        labels = bench.sealed(source, target)
        scored, whole = score(made, labels)
        if arguments.replays:
            whole["labelling"] = labelling(made, labels, arguments.replays)
        for row in (*scored, whole):
            _print(row)
        rows += scored
        targets.append(whole)
    _print(bars(rows, targets))
    if arguments.shifts:
        named = []
        for row in shifts(bench, recipes[:3], arguments.shifts, tuning=arguments.tuning):
            _print(row)
            named.append(row)
        _print({"bars": {"named_right": 0.85}, **right(named)})
    return 0


def _pairs(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    if arguments.pairs:
        pairs = [pair.partition(">") for pair in arguments.pairs]
        return [(source, target) for source, _, target in pairs]
    names = TUNING if arguments.tuning or arguments.quick else REPORTED
    pairs = [(f"{PHANTOM}a", f"{PHANTOM}{name}") for name in names[: 2 if arguments.quick else None]]
    if arguments.data:
        pairs += [tuple(_under(arguments.data, side) for side in pair) for pair in _REAL]  # type: ignore[misc]
    return pairs


def _under(folder: Path, name: str) -> str:
    kind, _, place = name.partition(":")
    return f"{kind}:{folder / place}"


class Estimates:
    """Everything that was estimated for one target before its labels were read: by estimator, AUROC and accuracy [R]; and the verdict."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self.assessment = assessed(cells)
        self.by_estimator = dict(_by_estimator(cells, self.assessment))
        self.order = sorted(cells.recipes, key=self._lower_end, reverse=True)
        facts = TargetFacts(
            cells.target,
            "blind",
            tuple(self.assessment.candidates[name] for name in self.order),
            self.assessment.shift,
            cells.logits.shape[2],
            len(cells.hospitals),
            cells.val.shape[0] * cells.val.shape[1],
            contradiction=self.assessment.contradiction,
        )
        self.verdict = verdict(facts)

    def _lower_end(self, recipe: str) -> tuple[float, float]:
        """Equal lower ends, where the predictions are in doubt, in the order of the values."""
        auroc = self.assessment.candidates[recipe].auroc
        return auroc.low, auroc.value


def estimates(cells: Cells) -> Estimates:
    """Estimate from the cells alone."""
    return Estimates(cells)


def evidence(cells: Cells) -> dict[str, list[ModelEvidence]]:
    """recipe -> what may be known of each of its seeds."""
    tables = standardised(cells.source_properties, cells.target_properties, *cells.hospital_properties)
    distances = np.array([energy_distance(tables[1], one) for one in tables[2:]])
    return {
        name: [
            ModelEvidence(
                cells.val[r, s],
                cells.labels,
                cells.logits[r, s],
                [
                    HospitalResult(family, logits[r, s], labels)
                    for family, logits, labels in zip(
                        cells.families, cells.hospitals, cells.hospital_labels, strict=True
                    )
                ],
                distances,
                held_out=_held_out(cells, r, s),
            )
            for s in range(cells.val.shape[1])
        ]
        for r, name in enumerate(cells.recipes)
    }


def _held_out(cells: Cells, recipe: int, seed: int) -> HeldOut:
    val, test = (margin(part[recipe, seed]) for part in (cells.val, cells.test))
    everyone = np.concatenate([val, test]), np.concatenate([cells.labels, cells.test_labels])
    return HeldOut(*everyone, val[cells.shown], cells.labels[cells.shown])


def assessed(cells: Cells) -> Assessment:
    """The library's assessment of the cells."""
    found = evidence(cells)
    nearest = float(next(iter(found.values()))[0].distances.min())
    tables = Tables(cells.source_properties, cells.target_properties, PROPERTIES, nearest)
    return assess(found, {name: name for name in cells.recipes}, tables)


def _by_estimator(cells: Cells, assessment: Assessment) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """estimator -> AUROC and accuracy [R], means over seeds; NaN where it gives none."""
    models = evidence(cells)
    seen = {
        name: [Evidence(one.source_logits, one.source_labels, one.target_logits) for one in seeds]
        for name, seeds in models.items()
    }
    for key, estimator in ESTIMATORS.items():
        if estimator.needs_seeds or key == "nuclear_norm":
            continue
        found = [[estimator(one) for one in seeds] for seeds in seen.values()]
        yield (
            key,
            {
                metric: np.array([np.mean([one.get(metric, np.nan) for one in seeds]) for seeds in found])
                for metric in ("auroc", "accuracy")
            },
        )
    yield "source_val", _means(models, lambda one: [(one.source_logits, one.source_labels)])
    yield PLAIN, _means(models, lambda one: [(h.logits, h.labels) for h in one.hospitals if h.family == RESTYLED])
    yield (
        OURS,
        {
            metric: np.array(
                [
                    mean_of([assessment.own.models[p] for p in places], metric).value
                    for places in assessment.places.values()
                ]
            )
            for metric in ("auroc", "accuracy")
        },
    )


def _means(models: dict[str, list[ModelEvidence]], sets: object) -> dict[str, np.ndarray]:
    rows = [[_true(*pair) for one in seeds for pair in sets(one)] for seeds in models.values()]  # type: ignore[operator]
    return {
        metric: np.array([np.mean([row[metric] for row in part]) for part in rows]) for metric in ("auroc", "accuracy")
    }


def _true(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    z = logits[:, 1] - logits[:, 0]
    called, positive = z > 0, labels == 1
    recalls = [float(np.mean(called[positive == kind] == kind)) for kind in (False, True)]
    return {
        "auroc": auroc(z, positive),
        "accuracy": float(np.mean(called == positive)),
        "balanced_accuracy": float(np.mean(recalls)),
    }


def score(made: Estimates, labels: np.ndarray) -> tuple[list[dict], dict]:
    """Rows of every recipe and one of the target, with the labels opened."""
    cells, assessment = made.cells, made.assessment
    truth = [
        {key: float(np.mean([_true(z, labels)[key] for z in cells.logits[r]])) for key in ("auroc", "accuracy", "balanced_accuracy")}
        for r in range(len(cells.recipes))
    ]  # fmt: skip
    rows = []
    for r, name in enumerate(cells.recipes):
        places = assessment.places[name]
        row = {"cell": f"{cells.source} -> {cells.target}", "recipe": name, "truth": truth[r], "estimates": {}}
        for metric in ("auroc", "accuracy"):
            row["estimates"][metric] = {key: float(found[metric][r]) for key, found in made.by_estimator.items()}
        for metric in ("auroc", "accuracy", "balanced_accuracy"):
            whole = mean_of([assessment.own.models[place] for place in places], metric)
            row.setdefault("covered", {})[metric] = bool(whole.low <= truth[r][metric] <= whole.high)
            row.setdefault("width", {})[metric] = whole.high - whole.low
        rows.append(row)
    true_auroc = np.array([one["auroc"] for one in truth])
    chosen = {
        "blind": made.order[0],
        "source_val": cells.recipes[int(np.argmax(made.by_estimator["source_val"]["auroc"]))],
    }
    regret = {rule: float(true_auroc.max() - true_auroc[cells.recipes.index(name)]) for rule, name in chosen.items()}
    said = made.verdict
    sent = truth[cells.recipes.index(said.label)] if said.decision == SEND else None
    return rows, {
        "target": cells.target,
        "source": cells.source,
        "decision": said.decision,
        "recommendation": said.recommendation,
        "shift": assessment.shift.kind if assessment.shift else None,
        "prevalence": [assessment.prevalence.value, float(np.mean(labels == 1))],
        "regret": regret,
        "wrongly_safe": bool(sent is not None and sent["balanced_accuracy"] <= CHANCE + MARGIN),
        "all_near_chance": bool((true_auroc <= CHANCE + MARGIN).all()),
        "refused": said.decision == REFUSE,
    }


def labelling(made: Estimates, labels: np.ndarray, replays: int) -> dict:
    """Width and coverage of the accuracy difference of the first two recipes: 60 random labels against 36 active ones, replayed."""
    cells = made.cells
    first = [cells.recipes.index(name) for name in made.order[:3]]
    margins = np.array([(cells.logits[r][:, :, 1] - cells.logits[r][:, :, 0]).mean(axis=0) for r in first])
    positive = np.mean([_calibrated(cells, r) for r in first], axis=0)
    pool = Pool(np.arange(len(labels)).astype(str), margins, positive)
    everything = Sample(np.arange(len(labels)), labels, np.ones(len(labels)))
    truth = difference(pool, everything, "accuracy", (0, 1)).value
    found = {}
    for name, images, active in (("random_60", 60, False), ("active_36", 36, True)):
        probability = drawing_probabilities(pool, images, active=active)
        draws = rng(0, "replayed labels", name)
        drawn = [draw(pool, probability, draws) for _ in range(replays)]
        rows = [
            difference(pool, Sample(chosen, labels[chosen], probability[chosen]), "accuracy", (0, 1), aided=active)
            for chosen in drawn
        ]
        held = float(np.mean([row.low - 1e-12 <= truth <= row.high + 1e-12 for row in rows]))
        found[name] = {"width": float(np.median([row.width for row in rows])), "coverage": held}
    return found


def _calibrated(cells: Cells, recipe: int) -> np.ndarray:
    fitted = [
        calibration.fit(cells.val[recipe, s], cells.labels)(cells.logits[recipe, s])[:, 1]
        for s in range(cells.val.shape[1])
    ]
    return np.asarray(np.mean(fitted, axis=0))


def bars(rows: list[dict], targets: list[dict]) -> dict:
    """The figures that the issue's bars are about, each beside the bar."""
    errors = {
        metric: {
            key: float(np.nanmean([abs(row["estimates"][metric][key] - row["truth"][metric]) for row in rows]))
            for key in rows[0]["estimates"][metric]
            if any(np.isfinite(row["estimates"][metric][key]) for row in rows)
        }
        for metric in ("auroc", "accuracy")
    }
    ranks = {
        key: float(
            spearmanr([row["estimates"]["auroc"][key] for row in rows], [row["truth"]["auroc"] for row in rows])[0]
        )
        for key in errors["auroc"]
    }
    near = [one for one in targets if one["all_near_chance"]]
    return {
        "bars": BARS,
        "cells": len(rows),
        "targets": len(targets),
        "mean_error": errors,
        "rank_correlation": ranks,
        "coverage": {key: float(np.mean([row["covered"][key] for row in rows])) for key in rows[0]["covered"]},
        "width": {key: float(np.mean([row["width"][key] for row in rows])) for key in rows[0]["width"]},
        "regret": {key: float(np.mean([one["regret"][key] for one in targets])) for key in targets[0]["regret"]},
        "wrongly_safe": float(np.mean([one["wrongly_safe"] for one in targets])),
        "refused_near_chance": [sum(one["refused"] for one in near), len(near)],
        "decisions": [one["decision"] for one in targets],
    }


def _print(row: dict) -> None:
    sys.stdout.write(json.dumps(row, sort_keys=True, allow_nan=True) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
