"""Every configuration by two objectives, with the front of all objectives; brushed and re-scaled on the page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from analysis import metric_names
from analysis.estimates import Estimates
from analysis.figures import svg
from analysis.figures.figure import DataTable, Figure, Legend, Panel, number
from analysis.frames import Run
from analysis.intervals import Resampled
from analysis.joint_noise import front_probability, noise_covariances, seed_correlation, true_scores
from analysis.ranking import goodness
from sweep.core.pareto import dominated_by_any, hypervolume
from sweep.core.seeds import rng

MOST_POINTS = 1000
CANDIDATES = 40  # configurations whose probability to be on the front is computed
DRAWS = 400
MOST_DIMENSIONS = 4  # of the exact hypervolume
MOST_BARS, MOST_LETTERS = 10, 46
WIDTH, HEIGHT = 640, 420


@dataclass(frozen=True)
class ParetoPoint:
    """One configuration: values of all metrics offered as axes, its kind (colour), its place and the posterior probability to be truly on the front."""

    signature: str
    label: str
    kind: int
    values: tuple[float, ...]
    on_front: bool
    probability: float | None


@dataclass(frozen=True)
class ParetoFacts:
    """The points, the metrics that can be axes (objectives first), and what the colours stand for."""

    metrics: tuple[str, ...]
    goals: tuple[str, ...]
    objectives: tuple[str, ...]
    kind_name: str
    kinds: tuple[str, ...]
    points: tuple[ParetoPoint, ...]
    left_out: int
    covered: float  # hypervolume of the front as a share of the box from the worst to the best value of each objective


def pareto_facts(
    run: Run, estimates: Estimates, objectives: tuple[str, ...], axes: tuple[str, ...], labels: dict[str, str]
) -> ParetoFacts | None:
    """Facts for the configurations nearest the front; None with fewer than two objectives or configurations."""
    if len(objectives) < 2 or len(run.means) < 2:
        return None
    values = goodness(run, objectives)
    known = ~np.isnan(values).any(axis=1)
    front = ~dominated_by_any(values)
    order = _nearest_first(values, front, known)
    chance = _probabilities(run, estimates, objectives, [run.means.index[i] for i in order[:CANDIDATES]])
    metrics = tuple(dict.fromkeys((*objectives, *axes)))
    kind_name, kinds = _kinds(run)
    table = run.means[list(metrics)].to_numpy()
    points = tuple(
        ParetoPoint(
            key := run.means.index[i],
            labels[key],
            kinds.index(str(run.configs.loc[key].get(kind_name))) if kinds else 0,
            tuple(float(v) for v in table[i]),
            bool(front[i]),
            chance.get(key),
        )
        for i in order[:MOST_POINTS]
    )
    goals = tuple("maximize" if metric_names.sign(metric, run.goals) > 0 else "minimize" for metric in metrics)
    return ParetoFacts(
        metrics, goals, objectives, kind_name, kinds, points, int(known.sum()) - len(points), _covered(values[known])
    )


def _covered(values: np.ndarray) -> float:
    low, spread = values.min(axis=0), np.ptp(values, axis=0)
    moving = spread > 0
    if not moving.any() or moving.sum() > MOST_DIMENSIONS:
        return float("nan")
    return hypervolume((values[:, moving] - low[moving]) / spread[moving], np.zeros(int(moving.sum())))


def _nearest_first(values: np.ndarray, front: np.ndarray, known: np.ndarray) -> np.ndarray:
    spread = np.nanmax(values, axis=0) - np.nanmin(values, axis=0)
    score = ((values - np.nanmin(values, axis=0)) / np.where(spread > 0, spread, 1)).sum(axis=1) + 10 * front
    return np.array([i for i in np.argsort(-np.nan_to_num(score, nan=-np.inf), kind="stable") if known[i]], dtype=int)


def _kinds(run: Run) -> tuple[str, tuple[str, ...]]:
    # Colour by the first asked setting with few values: backbone where it varies.
    asked = [name for name in run.configs if any(name in study for study in run.studies.values())] or list(run.configs)
    for name in asked:
        values = tuple(sorted(run.configs[name].astype(str).unique()))
        if 1 < len(values) <= svg.SERIES:
            return name, values
    return "", ()


def _probabilities(
    run: Run, estimates: Estimates, objectives: tuple[str, ...], candidates: list[str]
) -> dict[str, float]:
    # Resampled patients are shared by configurations that were tested on the same images: what moves all of them moves no comparison.
    kept: dict[str, list[Resampled]] = {}
    for key in candidates:
        found = [estimates.resampled(key, metric) for metric in objectives]
        samples = [sample for sample in found if sample is not None]
        if len(samples) == len(objectives):
            kept[key] = samples
    if len(kept) < 2:
        return {}
    recipes = list(kept.values())
    signs = np.array([metric_names.sign(metric, run.goals) for metric in objectives])
    observed = np.array([[sample.point.mean() for sample in samples] for samples in recipes])
    noise = noise_covariances(recipes, seed_correlation(recipes))
    names = "\n".join(sorted(kept))
    draws = true_scores(observed, noise, rng(estimates.seed, "front", names), DRAWS)
    return dict(zip(kept, front_probability(draws * signs).tolist(), strict=True))


def draw_pareto(facts: ParetoFacts) -> Figure:
    """A scatter over the first two objectives; points carry what the page needs to brush and to change axes."""
    x_index, y_index = _axes(facts)
    caption = (
        "Each mark is one configuration (mean over seeds). Filled marks are on the front of "
        f"{_listed([metric_names.title(m) for m in facts.objectives])}: no other configuration is at least as good in all of them and better in one. "
        "Drag a rectangle to select, or focus a mark and press Enter; Escape clears."
    )
    if facts.covered == facts.covered:
        caption += f" The front covers {100 * facts.covered:.0f} % of the box between the worst and the best of each objective (hypervolume)."
    setting = facts.kind_name.replace("_", " ")
    legend = tuple(Legend(f"{setting} {text}", f"dot s{i}", shape=i) for i, text in enumerate(facts.kinds))
    notes = (f"{facts.left_out} configurations far from the front are not drawn.",) if facts.left_out else ()
    return Figure(
        "pareto",
        "What trades off against what?",
        caption,
        _panels(facts, x_index, y_index),
        _table(facts),
        legend,
        nav="Trade-off",
        notes=notes,
    )


def _panels(facts: ParetoFacts, x: int, y: int) -> tuple[Panel, ...]:
    likely = [(p, p.probability) for p in facts.points if p.probability]
    likely = sorted(likely, key=lambda pair: -pair[1])[:MOST_BARS]
    scatter = Panel("", _draw(facts, x, y))
    return (scatter, Panel("Probability to be truly on the front", _bars(likely))) if likely else (scatter,)


def _bars(points: list[tuple[ParetoPoint, float]]) -> Markup:
    step, width = 40, 340
    scale = svg.Scale(0, 1, 0, width - 50)
    parts = []
    for place, (point, probability) in enumerate(points):
        y, end = place * step, scale(probability)
        parts += [
            svg.el("text", _shortened(point.label), x=0, y=y + 13, class_="label"),
            svg.el("rect", x=0, y=y + 19, width=scale.end, height=9, rx=4.5, class_="track"),
            svg.el("rect", x=0, y=y + 19, width=max(end, 9.0), height=9, rx=4.5, class_=f"bar s{point.kind}"),
            svg.el("text", f"{100 * probability:.0f} %", x=width, y=y + 27, text_anchor="end", class_="tick"),
        ]
    return svg.figure_svg(
        width, step * len(points), "Probability of each configuration to be truly on the front", parts
    )


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _axes(facts: ParetoFacts) -> tuple[int, int]:
    # The objective to be minimized reads best on the x axis.
    names = list(facts.metrics)
    small = [names.index(m) for m in facts.objectives if facts.goals[names.index(m)] == "minimize"]
    large = [names.index(m) for m in facts.objectives if facts.goals[names.index(m)] == "maximize"]
    if small and large:
        return small[0], large[0]
    return names.index(facts.objectives[1]), names.index(facts.objectives[0])


def _draw(facts: ParetoFacts, x: int, y: int) -> Markup:
    xs, ys = [p.values[x] for p in facts.points], [p.values[y] for p in facts.points]
    plot = svg.Plot.over(svg.nice_range(xs), svg.nice_range(ys), width=WIDTH, height=HEIGHT, left=66, bottom=44)
    marks = [_mark(plot, facts, point, i, x, y) for i, point in enumerate(facts.points)]
    axes = svg.group(
        [plot.axes(metric_names.title(facts.metrics[x]), metric_names.title(facts.metrics[y]))], class_="axes"
    )
    parts = [
        axes,
        svg.el("path", d=_staircase(facts, plot, x, y), class_="front-line"),
        svg.group(marks, class_="marks"),
        svg.el("rect", class_="brush", width=0, height=0),
    ]
    return svg.figure_svg(
        WIDTH,
        HEIGHT,
        "Configurations by two objectives; use the table for the numbers",
        parts,
        id="pareto-plot",
        data_x=x,
        data_y=y,
        data_area=f"{plot.x.start} {plot.x.end} {plot.y.start} {plot.y.end}",
        role="group",
    )


def _mark(plot: svg.Plot, facts: ParetoFacts, point: ParetoPoint, index: int, x: int, y: int) -> Markup:
    # Drawn at the origin and moved: the page only changes the transform when the axes change.
    place = f"translate({plot.x(point.values[x]):.1f} {plot.y(point.values[y]):.1f})"
    style = f"mark s{point.kind}" + (" front" if point.on_front else "")
    tip = f"{point.label}: " + ", ".join(
        f"{metric_names.title(m)} {number(v)}" for m, v in zip(facts.metrics[:3], point.values, strict=False)
    )
    tip += (
        f"; truly on the front with probability {100 * point.probability:.0f} %"
        if point.probability is not None
        else ""
    )
    return svg.el(
        "path",
        d=svg.marker(point.kind, 0, 0, 4.4),
        transform=place,
        class_=style,
        data_i=index,
        tabindex="0" if index == 0 else "-1",
        role="button",
        aria_pressed="false",
        data_tip="",
        aria_label=tip,
    )


def _staircase(facts: ParetoFacts, plot: svg.Plot, x: int, y: int) -> str:
    signs = [1 if facts.goals[i] == "maximize" else -1 for i in (x, y)]
    both = np.array([[p.values[x] * signs[0], p.values[y] * signs[1]] for p in facts.points])
    best = both[~dominated_by_any(both)]
    best = best[np.argsort(best[:, 0])]
    steps: list[tuple[float, float]] = []
    for number_, (here_x, here_y) in enumerate(best):
        if number_:
            steps.append((best[number_ - 1][0], here_y))
        steps.append((here_x, here_y))
    return svg.path([(plot.x(a * signs[0]), plot.y(b * signs[1])) for a, b in steps]) if steps else ""


def _table(facts: ParetoFacts) -> DataTable:
    rows = tuple(
        (
            point.label,
            *(number(v) for v in point.values),
            "yes" if point.on_front else "no",
            "\N{EN DASH}" if point.probability is None else f"{100 * point.probability:.0f} %",
        )
        for point in facts.points[:CANDIDATES]
    )
    return DataTable(
        ("configuration", *(metric_names.title(m) for m in facts.metrics), "on the front", "probability"), rows
    )


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
