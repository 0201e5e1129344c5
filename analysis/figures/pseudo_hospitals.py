"""Where the unlabelled target lies among the pseudo-hospitals: how far each looks from it, and what the recipe truly reached there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.figures import svg
from analysis.figures.figure import DataTable, Figure, Legend, Panel, number
from analysis.predicted import PredictedTarget
from sweep.shift.pooled_performance import true_metrics
from sweep.shift.predicted_performance import Prediction, margin
from sweep.shift.pseudo_hospitals import FAMILIES

WIDTH, HEIGHT = 700, 330


@dataclass(frozen=True)
class HospitalPoint:
    """One pseudo-hospital: its name, family, transforms, distance of its images to the target's, true AUROC and weight in the prediction."""

    name: str
    family: str
    recipe: str
    distance: float
    auroc: float
    weight: float


@dataclass(frozen=True)
class PseudoHospitalFacts:
    """The points of one configuration, means over its seeds, and what was predicted for the target."""

    label: str
    points: tuple[HospitalPoint, ...]
    predicted: Prediction


def pseudo_hospital_facts(made: PredictedTarget, signature: str) -> PseudoHospitalFacts | None:
    """The facts of a configuration; None where it was not evaluated on pseudo-hospitals."""
    if signature not in made.evidence:
        return None
    models, places = made.evidence[signature], made.assessment.places[signature]
    weights = np.mean([made.assessment.own.models[place].weights for place in places], axis=0)
    reached = np.mean(
        [[true_metrics(margin(h.logits), h.labels, 0.0)["auroc"] for h in one.hospitals] for one in models], axis=0
    )
    points = tuple(
        HospitalPoint(one.name, one.family, ", ".join(one.recipe), one.target_distance, float(value), float(weight))
        for one, value, weight in zip(made.hospitals, reached, weights, strict=True)
    )
    candidate = made.assessment.candidates[signature]
    return PseudoHospitalFacts(candidate.label, points, candidate.auroc)


def draw_pseudo_hospitals(facts: PseudoHospitalFacts) -> Figure:
    """Distance against true AUROC, one mark a pseudo-hospital; the target stands at distance 0 with its predicted interval."""
    caption = (
        f"Each mark is one pseudo-hospital: labelled source images changed towards the target or as scanners change images, and the AUROC that "
        f"{facts.label} truly reached there. The nearer its images look to the target's (energy distance of brightness, contrast, sharpness, "
        "speckle, black area and depth gain), the more it counts. The bar at the left is the target: no label of it was read, its place is predicted."
    )
    families = [name for name in FAMILIES if any(one.family == name for one in facts.points)]
    legend = tuple(Legend(name, f"dot s{FAMILIES.index(name)}", shape=FAMILIES.index(name)) for name in families)
    rows = sorted(facts.points, key=lambda one: one.distance)
    table = DataTable(
        ("pseudo-hospital", "family", "transforms", "distance", "AUROC", "weight"),
        (
            ("the target (predicted)", "", "", number(0.0, 2), _interval(facts.predicted), ""),
            *((one.name, one.family, one.recipe, number(one.distance, 2), number(one.auroc), number(one.weight)) for one in rows),
        ),
    )  # fmt: skip
    return Figure(
        "pseudo-hospitals",
        "What does the prediction for the target rest on?",
        caption,
        (Panel("", _draw(facts)),),
        table,
        legend,
        wide=True,
        nav="Prediction",
    )


def _interval(made: Prediction) -> str:
    return f"{number(made.value)} ({number(made.low)} to {number(made.high)})"


def _draw(facts: PseudoHospitalFacts) -> svg.Markup:
    # Distances spread over orders of magnitude: a logarithm of 1 + distance keeps 0 on the axis.
    places = [math.log1p(one.distance) for one in facts.points]
    values = [one.auroc for one in facts.points] + [facts.predicted.low, facts.predicted.high]
    plot = svg.Plot.over(
        (-0.03 * max(places), 1.05 * max(places) or 1.0),
        svg.nice_range(values, ceiling=1.0),
        width=WIDTH,
        height=HEIGHT,
    )
    ends = [value for value in (0, 1, 3, 10, 30, 100, 300) if math.log1p(value) <= plot.x.high]
    marks = [
        svg.el(
            "path",
            svg.el("title", f"{one.name}, {one.family} ({one.recipe}): AUROC {number(one.auroc)}, distance {number(one.distance, 2)}"),
            d=svg.marker(FAMILIES.index(one.family) if one.family in FAMILIES else 0, plot.x(place), plot.y(one.auroc)),
            class_=f"dot s{FAMILIES.index(one.family) if one.family in FAMILIES else 0}",
        )
        for one, place in zip(facts.points, places, strict=True)
    ]  # fmt: skip
    x, made = plot.x(0.0), facts.predicted
    target = [
        svg.el("line", x1=x, x2=x, y1=plot.y(made.low), y2=plot.y(made.high), class_="whisker s7", stroke_width=4),
        svg.el("path", d=svg.marker(2, x, plot.y(made.value), 6), class_="dot s7"),
        svg.el("text", "target", x=x + 10, y=plot.y(made.value), dy="0.35em", class_="tick"),
    ]
    axes = plot.axes(
        "distance of the images to the target's",
        "AUROC",
        x_ticks=[(math.log1p(value), svg.tick_text(float(value))) for value in ends],
    )
    words = f"AUROC on {len(facts.points)} pseudo-hospitals by distance; predicted for the target {_interval(made)}"
    return svg.figure_svg(WIDTH, HEIGHT, words, [axes, *marks, *target])
