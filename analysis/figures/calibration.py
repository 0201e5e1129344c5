"""What one configuration confuses, and whether its probabilities mean what they say, on each domain."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup
from scipy import special

from analysis import metric_names
from analysis.estimates import Estimates
from analysis.figures import svg
from analysis.figures.figure import DataTable, Figure, Panel, number
from analysis.outcomes import Outcomes

BINS = 8


@dataclass(frozen=True)
class DomainFacts:
    """One split: confusion counts (mean over seeds, rows are truth) and the reliability of the predicted class's probability."""

    split: str
    classes: tuple[str, ...]
    confusion: tuple[tuple[float, ...], ...]
    confidence: tuple[float, ...]
    right: tuple[float, ...]
    share: tuple[float, ...]
    error: float


def domain_facts(outcomes: Outcomes, split: str, classes: tuple[str, ...]) -> DomainFacts:
    """Confusion and calibration from logits; bins hold equally many predictions.

    Several findings an image are pooled: every known answer counts as one, absent or present.
    """
    if outcomes.multi_label:
        return domain_facts(_pooled(outcomes), split, ("absent", "present"))
    logits = outcomes.values[outcomes.seen]
    labels = np.broadcast_to(outcomes.labels, outcomes.seen.shape)[outcomes.seen]
    chances = special.softmax(logits, axis=1)
    said = chances.argmax(axis=1)
    count = chances.shape[1]
    confusion = np.zeros((count, count))
    np.add.at(confusion, (labels, said), 1 / len(outcomes.seeds))
    sure, hit = chances.max(axis=1), said == labels
    order = np.argsort(sure, kind="stable")
    bins = [part for part in np.array_split(order, BINS) if len(part)]
    names = tuple(classes[k] if k < len(classes) else f"class {k}" for k in range(count))
    confidence, right, share = (
        tuple(float(value) for value in values)
        for values in (
            (sure[part].mean() for part in bins),
            (hit[part].mean() for part in bins),
            (len(part) / len(order) for part in bins),
        )
    )
    error = float(sum(s * abs(c - r) for s, c, r in zip(share, confidence, right, strict=True)))
    return DomainFacts(
        split, names, tuple(tuple(float(v) for v in row) for row in confusion), confidence, right, share, error
    )


def _pooled(outcomes: Outcomes) -> Outcomes:
    parts = [outcomes.finding(number)[0] for number in range(outcomes.labels.shape[1])]
    return replace(
        outcomes,
        images=np.concatenate([part.images for part in parts]),
        groups=np.concatenate([part.groups for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        values=np.concatenate([part.values for part in parts], axis=1),
        seen=np.concatenate([part.seen for part in parts], axis=1),
    )


def calibration_facts(estimates: Estimates, signature: str, classes: tuple[str, ...]) -> tuple[DomainFacts, ...]:
    """Facts of source test and target; empty when predictions were not kept."""
    found = ((split, estimates.outcomes(signature, f"auroc/{split}")) for split in ("source", "target"))
    return tuple(domain_facts(outcomes, split, classes) for split, outcomes in found if outcomes is not None)


def draw_calibration(label: str, domains: tuple[DomainFacts, ...]) -> Figure:
    """A confusion matrix and a reliability curve for each domain."""
    panels = []
    for facts in domains:
        name = metric_names.SPLITS[facts.split]
        panels.append(Panel(f"Confusion, {name}", _draw_confusion(facts)))
        panels.append(Panel(f"Reliability, {name}: calibration error {number(facts.error)}", _draw_reliability(facts)))
    caption = (
        f"{label}, all seeds. Rows are the truth, columns what the model said; counts are means over seeds. On the diagonal of the right-hand charts a "
        "prediction given with 80 % is right 80 % of the time; below it the model is too sure of itself."
    )
    rows = tuple(
        (metric_names.SPLITS[f.split], f"{number(c, 2)}", f"{number(r, 2)}", f"{100 * s:.0f} %")
        for f in domains
        for c, r, s in zip(f.confidence, f.right, f.share, strict=True)
    )
    return Figure(
        "calibration",
        "Which mistakes, and how sure of them?",
        caption,
        tuple(panels),
        DataTable(("domain", "confidence", "right", "of predictions"), rows),
    )


def tile_opacity(share: float) -> float:
    """Opacity of a tile's colour: never so strong that the text on it falls below a contrast of 4.5 : 1 in either theme."""
    return 0.08 + 0.4 * share


def _draw_confusion(facts: DomainFacts) -> Markup:
    count, left, top, size = len(facts.classes), 84, 26, 200
    step = size / count
    parts = []
    for row, values in enumerate(facts.confusion):
        total = sum(values) or 1.0
        parts.append(
            svg.el(
                "text",
                facts.classes[row],
                x=left - 8,
                y=top + (row + 0.5) * step,
                dy="0.35em",
                text_anchor="end",
                class_="label",
            )
        )
        parts.append(
            svg.el(
                "text", facts.classes[row], x=left + (row + 0.5) * step, y=top - 9, text_anchor="middle", class_="label"
            )
        )
        for column, value in enumerate(values):
            x, y, share = left + column * step, top + row * step, value / total
            parts.append(
                svg.el(
                    "rect",
                    x=x,
                    y=y,
                    width=step - 3,
                    height=step - 3,
                    rx=5,
                    class_=f"tile {'s0' if row == column else 's1'}",
                    style=f"--o:{tile_opacity(share):.2f}",
                )
            )
            parts.append(
                svg.el(
                    "text",
                    f"{value:.0f}",
                    x=x + step / 2,
                    y=y + step / 2 - 2,
                    text_anchor="middle",
                    class_="count",
                )
            )
            parts.append(
                svg.el(
                    "text",
                    f"{100 * share:.0f} %",
                    x=x + step / 2,
                    y=y + step / 2 + 15,
                    text_anchor="middle",
                    class_="count percent",
                )
            )
    return svg.figure_svg(300, 240, f"Confusion matrix on {metric_names.SPLITS[facts.split]}", parts)


def _draw_reliability(facts: DomainFacts) -> Markup:
    low = 1 / len(facts.classes)
    plot = svg.Plot.over((min(low, *facts.confidence) - 0.02, 1.0), (0.0, 1.0), width=300, height=240)
    edge = max(plot.x.low, 0.0)
    parts = [
        plot.axes("probability given", "share right"),
        svg.el("line", x1=plot.x(edge), y1=plot.y(edge), x2=plot.x(1.0), y2=plot.y(1.0), class_="control"),
        svg.el("path", d=svg.path(plot.points(facts.confidence, facts.right)), class_="line s0"),
    ]
    for confidence, right, share in zip(facts.confidence, facts.right, facts.share, strict=True):
        tip = f"given {number(confidence, 2)}, right {number(right, 2)} ({100 * share:.0f} % of predictions)"
        parts.append(
            svg.el(
                "circle",
                cx=plot.x(confidence),
                cy=plot.y(right),
                r=4,
                class_="dot mark s0",
                tabindex="0",
                role="img",
                data_tip="",
                aria_label=tip,
            )
        )
    return svg.figure_svg(plot.width, plot.height, f"Reliability on {metric_names.SPLITS[facts.split]}", parts)
