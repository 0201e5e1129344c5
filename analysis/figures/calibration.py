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
_LEAST_TILE = 34  # pixels of a tile, so that a count fits
_ROOM_FOR_SHARES = 44  # pixels of a tile that holds its share of the row too
_LETTER = 7.0  # mean width of a letter of a label
_SLANT, _SINE, _COSINE = 40, 0.64, 0.77  # degrees of slanted column heads


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
    """Tiles with counts; names of classes that are wider than a tile are slanted above it."""
    count, size = len(facts.classes), max(200, _LEAST_TILE * len(facts.classes))
    step, longest = size / count, max(map(len, facts.classes)) * _LETTER
    slanted = longest > step - 6
    left = max(84.0, longest + 14)
    top = 26 + (longest * _SINE if slanted else 0)
    width = max(300.0, left + size + (longest * _COSINE - step / 2 if slanted else 0))
    parts = []
    for row, values in enumerate(facts.confusion):
        middle = top + (row + 0.5) * step
        parts.append(
            svg.el("text", facts.classes[row], x=left - 8, y=middle, dy="0.35em", text_anchor="end", class_="label")
        )
        parts.append(_column_head(facts.classes[row], left + (row + 0.5) * step, top - 9, slanted))
        total = sum(values) or 1.0
        for column, value in enumerate(values):
            box = _Tile(left + column * step, top + row * step, step, row == column)
            parts += _confusion_tile(value, value / total, box)
    return svg.figure_svg(width, top + size + 14, f"Confusion matrix on {metric_names.SPLITS[facts.split]}", parts)


def _column_head(name: str, x: float, y: float, slanted: bool) -> Markup:
    if not slanted:
        return svg.el("text", name, x=x, y=y, text_anchor="middle", class_="label")
    turn = f"rotate({-_SLANT} {x:.1f} {y:.1f})"
    return svg.el("text", name, x=x, y=y, text_anchor="start", transform=turn, class_="label")


@dataclass(frozen=True)
class _Tile:
    """Upper left corner and side of a tile in pixels, and whether it stands on the diagonal."""

    x: float
    y: float
    side: float
    right: bool


def _confusion_tile(value: float, share: float, box: _Tile) -> list[Markup]:
    """A tile with its count and, where there is room, its share of the row."""
    middle, centre, room = box.x + box.side / 2, box.y + box.side / 2, box.side >= _ROOM_FOR_SHARES
    side, colour = box.side - 3, "s0" if box.right else "s1"
    parts = [
        svg.el(
            "rect", x=box.x, y=box.y, width=side, height=side, rx=5, class_=f"tile {colour}",
            style=f"--o:{tile_opacity(share):.2f}",
        ),
        svg.el("text", f"{value:.0f}", x=middle, y=centre + (-2 if room else 4), text_anchor="middle", class_="count"),
    ]  # fmt: skip
    if room:
        percent = f"{100 * share:.0f} %"
        parts.append(svg.el("text", percent, x=middle, y=centre + 15, text_anchor="middle", class_="count percent"))
    return parts


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
