"""Target AUROC over synthetic images per real one, against the real-only model of the same cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from analysis import derived, metric_names
from analysis.comparisons import Compared, compare_family
from analysis.derived import RATIO
from analysis.estimates import Estimates
from analysis.figures import svg
from analysis.figures.figure import DataTable, Figure, Legend, Panel, difference_text, number, p_text, with_interval
from analysis.frames import Run
from analysis.intervals import Interval
from analysis.selection import RULES, best_first, select

METRIC = "auroc/target"
MOST_PANELS = 12


@dataclass(frozen=True)
class RatioPoint:
    """One ratio's chosen configuration, its interval and its paired difference from real only (None for real only itself)."""

    ratio: float
    signature: str
    made: Interval
    against: Compared | None


@dataclass(frozen=True)
class RatioCurve:
    """One cell of the grid, all its ratios in order; `control` is the real-only interval."""

    cell: str
    points: tuple[RatioPoint, ...]
    control: Interval | None


def ratio_curves(run: Run, estimates: Estimates, rule: str, metric: str = METRIC) -> tuple[RatioCurve, ...]:
    """One curve a cell with at least two ratios; differences are corrected over the whole family."""
    if (
        RATIO not in run.configs
        or run.configs[RATIO].nunique() < 2
        or metric not in set(run.metrics) - set(run.undefined)
    ):
        return ()
    cells = _cells(run, rule)
    family = []
    for chosen in cells.values():
        control = chosen.get(0.0)
        for ratio, key in chosen.items():
            sample = estimates.paired(key, control, metric) if control and ratio else None
            if control is not None and sample is not None and np.isfinite(sample.point).all():
                family.append((key, control, sample))
    compared = {one.a: one for one in compare_family(family)}
    return tuple(_curve(cell, chosen, compared, estimates, metric) for cell, chosen in cells.items())


def _cells(run: Run, rule: str) -> dict[str, dict[float, str]]:
    # cell (without the ratio) -> ratio -> the signature that the rule chose there.
    chosen = [key for key in select(run, rule) if run.configs.loc[key].get(RATIO) == run.configs.loc[key].get(RATIO)]
    best: dict[str, dict[float, str]] = {}
    quality = RULES[rule].score(run.means)
    varying = derived.varying_settings(run.configs)
    configs = {event["signature"]: event["config"] for event in run.finishes}
    ranked = best_first(quality[chosen])
    for key in (key for key in ranked if not derived.is_real_only(configs[key])):
        study, config = run.studies.get(key, {}), run.configs.loc[key]
        names = [name for name in (study or varying) if name != RATIO and name in varying]
        cell = ", ".join(filter(None, (derived.setting_text(name, config.get(name)) for name in names))) or run.name
        ratios = best.setdefault(cell, {})
        ratios.setdefault(float(config[RATIO]), key)
        for control in (control for control in ranked if derived.is_real_only(configs[control])):
            if derived.agrees_with_real_only(names, configs[key], configs[control]):
                ratios.setdefault(0.0, control)
    return {cell: dict(sorted(ratios.items())) for cell, ratios in best.items() if len(ratios) > 1}


def _curve(
    cell: str, chosen: dict[float, str], compared: dict[str, Compared], estimates: Estimates, metric: str
) -> RatioCurve:
    points = tuple(
        RatioPoint(ratio, key, estimates.of(key, metric), compared.get(key) if ratio else None)
        for ratio, key in chosen.items()
    )
    control = next((point.made for point in points if point.ratio == 0), None)
    return RatioCurve(cell, points, control)


def draw_ratio_curves(curves: tuple[RatioCurve, ...], metric: str = METRIC) -> Figure:
    """Small multiples on one pair of scales: line, band, and the real-only level as control."""
    shown = curves[:MOST_PANELS]
    bounds = [value for curve in shown for point in curve.points for value in (point.made.low, point.made.high)]
    y = svg.nice_range(bounds, floor=0.0, ceiling=1.0)
    ratios = sorted({point.ratio for curve in shown for point in curve.points})
    panels = tuple(Panel(curve.cell, _draw(curve, ratios, y, metric)) for curve in shown)
    caption = (
        "Each point is the configuration that the selection rule chose at that ratio, with its 95 % interval over patients and seeds. "
        "The dashed line and its pale band are real images only. A ringed point differs from real only after correction for all comparisons shown."
    )
    notes = (f"{len(curves) - len(shown)} more cells are in the table only.",) if len(curves) > len(shown) else ()
    legend = (
        Legend("chosen configuration, 95 % interval", "dot s0", shape=0, line="line s0"),
        Legend("real images only", "control"),
    )
    return Figure(
        "ratio", "Do synthetic images help?", caption, panels, _table(curves, metric), legend, nav="Ratio", notes=notes
    )


def _draw(curve: RatioCurve, ratios: list[float], y: tuple[float, float], metric: str) -> Markup:
    air = (ratios[-1] - ratios[0]) * 0.05 or 0.5
    plot = svg.Plot.over((ratios[0] - air, ratios[-1] + air), y, height=220)
    parts = [
        plot.axes(
            "synthetic images per real image",
            metric_names.short(metric),
            x_ticks=[(r, svg.tick_text(r)) for r in ratios],
        )
    ]
    if curve.control:
        edges = (plot.x.start, plot.x.end)
        parts.append(
            svg.el(
                "path",
                d=svg.band(
                    [(x, plot.y(curve.control.low)) for x in edges], [(x, plot.y(curve.control.high)) for x in edges]
                ),
                class_="control-band",
            )
        )
        parts.append(
            svg.el(
                "line",
                x1=edges[0],
                x2=edges[1],
                y1=plot.y(curve.control.estimate),
                y2=plot.y(curve.control.estimate),
                class_="control",
            )
        )
    xs = [point.ratio for point in curve.points]
    line = plot.points(xs, [point.made.estimate for point in curve.points])
    parts.append(
        svg.el(
            "path",
            d=svg.band(
                plot.points(xs, [p.made.low for p in curve.points]),
                plot.points(xs, [p.made.high for p in curve.points]),
            ),
            class_="band s0",
        )
    )
    parts.append(svg.el("path", d=svg.path(line), class_="line s0"))
    parts += [_mark(point, *place) for point, place in zip(curve.points, line, strict=True)]
    return svg.figure_svg(
        plot.width,
        plot.height,
        f"{curve.cell}: {metric_names.title(metric)} over synthetic images per real image",
        parts,
    )


def _mark(point: RatioPoint, x: float, y: float) -> Markup:
    ring = (
        [svg.el("circle", cx=x, cy=y, r=8, class_="ring s0")] if point.against and point.against.distinguishable else []
    )
    tip = f"{number(point.ratio, 2)} per real: {with_interval(point.made)}"
    if point.against:
        tip += (
            f"; against real only {difference_text(point.against.interval)}, {p_text(point.against.p_adjusted)} (Holm)"
        )
    return svg.group(
        [*ring, svg.el("circle", cx=x, cy=y, r=4, class_="dot s0")],
        class_="mark",
        tabindex="0",
        data_tip="",
        role="img",
        aria_label=tip,
    )


def _table(curves: tuple[RatioCurve, ...], metric: str) -> DataTable:
    rows = tuple(
        (
            curve.cell,
            svg.tick_text(point.ratio),
            with_interval(point.made),
            difference_text(point.against.interval) if point.against else "\N{EN DASH}",
            p_text(point.against.p_adjusted) if point.against else "\N{EN DASH}",
        )
        for curve in curves
        for point in curve.points
    )
    return DataTable(
        ("cell", "synthetic per real", metric_names.title(metric), "against real only", "Holm-adjusted"), rows
    )
