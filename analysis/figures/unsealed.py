"""Predicted against true at a target whose labels were opened: the last part of the report."""

from __future__ import annotations

from markupsafe import Markup

from analysis import metric_names
from analysis.figures import svg
from analysis.figures.figure import DataTable, Figure, Legend, Panel, counted, number
from analysis.unsealed import POOLED, Unsealed, UnsealedRecipe, sentences

SHOWN = ("auroc", "balanced_accuracy")
_ROW, _WIDTH, _TOP = 38, 460, 26
_CHANCE = 0.5


def draw_unsealed(found: Unsealed, records: int) -> Figure:
    """A panel a metric, a row a configuration: the predicted interval and the true value. `records` are those that the run has now."""
    caption = (
        f"Everything above was made without a label of the target. Here {counted(found.images, 'label')} of it are opened: for each "
        "configuration the 90 % interval that was predicted, and what it truly reaches there. The line is the constant predictor."
    )
    rows = tuple(
        (
            row.label,
            *(
                text
                for metric in found.coverage
                for text in (_interval(row.estimated[metric]), number(row.true[metric]))
            ),
        )
        for row in found.recipes
    )
    columns = (f"{metric_names.title(metric)}, {what}" for metric in found.coverage for what in ("predicted", "true"))
    panels = tuple(Panel(metric_names.title(metric), _draw(found.recipes, metric)) for metric in SHOWN)
    legend = (
        Legend("predicted, 90 % interval", "dot s0", shape=0, line="whisker s0"),
        Legend("true", "dot s7", shape=2),
    )
    stale = (
        (f"Opened when {counted(found.records, 'record')} were finished; the run has {records} now. `recipe-finder unseal RUN --report` scores them all.",)
        if records != found.records
        else ()
    )  # fmt: skip
    return Figure(
        "unsealed",
        "Was the prediction right?",
        caption,
        panels,
        DataTable(("configuration", *columns), rows),
        legend,
        nav="Prediction and truth",
        notes=(*stale, _errors(found), *sentences(found)),
    )


def _errors(found: Unsealed) -> str:
    """Mean error of the AUROC by estimator, the one that the report is made of first."""
    errors = {name: scores["auroc"]["error"] for name, scores in found.estimators.items() if "auroc" in scores}
    others = sorted((name for name in errors if name != POOLED), key=errors.__getitem__)
    parts = [f"{name} {number(errors[name])}" for name in others]
    return f"Mean error of the predicted AUROC over {counted(found.records, 'record')}: {number(errors[POOLED])}; of other estimators: {', '.join(parts)}."


def _interval(made: dict[str, float]) -> str:
    return f"{number(made['value'])} ({number(made['low'])} to {number(made['high'])})"


def _draw(recipes: tuple[UnsealedRecipe, ...], metric: str) -> Markup:
    values = [row.estimated[metric][end] for row in recipes for end in ("low", "high")]
    low, high = svg.nice_range([*values, *(row.true[metric] for row in recipes), _CHANCE], floor=0.0, ceiling=1.0)
    scale = svg.Scale(low, high, 14, _WIDTH - 14)
    height = _TOP + _ROW * len(recipes) + 22
    bottom = height - 20
    parts = [
        *(svg.el("line", x1=scale(v), x2=scale(v), y1=4, y2=bottom, class_="grid") for v in svg.ticks(low, high)),
        *(
            svg.el("text", svg.tick_text(v), x=scale(v), y=height - 5, text_anchor="middle", class_="tick")
            for v in svg.ticks(low, high)
        ),
        svg.el("line", x1=scale(_CHANCE), x2=scale(_CHANCE), y1=4, y2=bottom, class_="axis"),
    ]
    for place, row in enumerate(recipes):
        y = _TOP + _ROW * place + 8
        made = row.estimated[metric]
        words = f"{row.label}: predicted {_interval(made)}, true {number(row.true[metric])}"
        parts += [
            svg.el("text", row.label, x=16, y=y - 13, class_="label"),
            svg.el("line", x1=scale(made["low"]), x2=scale(made["high"]), y1=y, y2=y, class_="whisker s0"),
            svg.el("path", svg.el("title", words), d=svg.marker(0, scale(made["value"]), y), class_="dot s0"),
            svg.el("path", svg.el("title", words), d=svg.marker(2, scale(row.true[metric]), y, 5.5), class_="dot s7"),
        ]
    return svg.figure_svg(_WIDTH, height, f"{metric_names.title(metric)}: predicted and true", parts)
