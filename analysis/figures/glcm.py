"""The weight of the texture loss against accuracy and robustness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup
from scipy import stats

from analysis import metric_names
from analysis.figures import svg
from analysis.figures.figure import DataTable, Figure, Legend, Panel, number, p_text
from analysis.frames import Run

WEIGHT = "glcm_weight"
FEWEST = 5
MOST_POINTS = 400  # drawn and tabled; the correlation is over all


@dataclass(frozen=True)
class GlcmFacts:
    """One metric over the weight: a point a configuration, and Spearman's rank correlation with its p-value."""

    metric: str
    kinds: tuple[str, ...]
    weight: tuple[float, ...]
    value: tuple[float, ...]
    kind: tuple[int, ...]
    labels: tuple[str, ...]
    correlation: float
    p: float


def glcm_facts(run: Run, metrics: tuple[str, ...]) -> tuple[GlcmFacts, ...]:
    """Facts for each metric; empty where the weight does not vary over at least five configurations."""
    if WEIGHT not in run.configs:
        return ()
    weight = run.configs[WEIGHT].astype(float).dropna()
    if len(weight) < FEWEST or weight.nunique() < 3:
        return ()
    names = run.labels
    colorizer = run.configs.loc[weight.index].get("colorizer", weight * 0).astype(str)
    kinds = tuple(sorted(colorizer.unique()))[: svg.SERIES]
    return tuple(
        _facts(run.means.loc[weight.index, metric], metric, weight, colorizer, kinds, names)
        for metric in metrics
        if metric in run.means and run.means.loc[weight.index, metric].notna().sum() >= FEWEST
    )


def _facts(
    values: pd.Series,
    metric: str,
    weight: pd.Series,
    colorizer: pd.Series,
    kinds: tuple[str, ...],
    names: dict[str, str],
) -> GlcmFacts:
    known = values.dropna().index
    test = stats.spearmanr(weight[known], values[known])
    known = known[:: max(1, -(-len(known) // MOST_POINTS))]  # evenly thinned
    kind = tuple(kinds.index(colorizer[key]) if colorizer[key] in kinds else 0 for key in known)
    return GlcmFacts(
        metric,
        kinds,
        tuple(float(v) for v in weight[known]),
        tuple(float(v) for v in values[known]),
        kind,
        tuple(names[key] for key in known),
        float(np.nan_to_num(test.statistic)),
        float(test.pvalue),
    )


def draw_glcm(facts: tuple[GlcmFacts, ...]) -> Figure:
    """One panel a metric, marks by colorizer."""
    caption = (
        "Each mark is one configuration with a colorizer. The weight is the share of the texture loss in the whole loss. "
        "Correlations are over configurations that also differ in other settings: a hint, not an effect."
    )
    panels = tuple(
        Panel(
            f"{metric_names.short(one.metric)}: rank correlation {number(one.correlation, 2)}, {p_text(one.p)}",
            _draw(one),
        )
        for one in facts
    )
    rows = tuple(
        (metric_names.title(one.metric), label, number(w, 2), number(v))
        for one in facts
        for label, w, v in zip(one.labels, one.weight, one.value, strict=True)
    )
    legend = tuple(Legend(kind, f"dot s{i}", shape=i) for i, kind in enumerate(facts[0].kinds))
    return Figure(
        "glcm",
        "Does the texture loss help?",
        caption,
        panels,
        DataTable(("metric", "configuration", "weight", "value"), rows),
        legend,
    )


def _draw(facts: GlcmFacts) -> Markup:
    plot = svg.Plot.over(svg.nice_range(facts.weight, floor=0.0), svg.nice_range(facts.value), width=480, height=270)
    parts = [plot.axes("weight of the GLCM loss", metric_names.short(facts.metric))]
    for label, kind, (x, y), w, v in zip(
        facts.labels, facts.kind, plot.points(facts.weight, facts.value), facts.weight, facts.value, strict=True
    ):
        tip = f"{label}, weight {number(w, 2)}: {number(v)}"
        parts.append(svg.el("path", d=svg.marker(kind, x, y), class_=f"dot mark s{kind}", data_tip=tip))
    return svg.figure_svg(
        plot.width, plot.height, f"{metric_names.title(facts.metric)} over the weight of the GLCM loss", parts
    )
