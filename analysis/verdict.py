"""What to use and how sure that is, in two sentences that carry their interval and their n."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import metric_names
from analysis.comparisons import Compared, PowerNote, compare_family, equivalence_margin, power_note
from analysis.estimates import Estimates
from analysis.figures.figure import counted, difference_text, number, p_text, points, with_interval
from analysis.figures.ratio import RatioCurve
from analysis.frames import Run
from analysis.intervals import Interval
from analysis.ranking import Ranking, constants, objectives

METRIC = "auroc/target"


@dataclass(frozen=True)
class Tile:
    """One number of the first screen: its name, value, interval and what it stands beside."""

    title: str
    value: str
    interval: str
    beside: str = ""


@dataclass(frozen=True)
class Verdict:
    """The recommendation, the answer to the sweep's question, their numbers, and what more data would buy."""

    label: str
    recommendation: str
    answer: str
    tiles: tuple[Tile, ...]
    power: str


def verdict(run: Run, ranking: Ranking, estimates: Estimates, curves: tuple[RatioCurve, ...]) -> Verdict:
    """The verdict on a ranking's first row; `curves` hold the ratio comparisons where the sweep asked for them."""
    best = ranking.rows[0]
    metric = METRIC if METRIC in run.metrics else ranking.metrics[0]
    made = estimates.of(best.signature, metric)
    rule = (
        "chosen on the target itself (oracle, so the number is optimistic)"
        if ranking.oracle
        else f"chosen by {ranking.describe}"
    )
    recommendation = f"Use {best.label}: {rule}, it reaches {_where(metric, with_interval(made))} {_rests_on(made)}."
    answer, power = _ratio_answer(curves, estimates) if curves else _rival_answer(ranking, estimates, metric)
    return Verdict(best.label, recommendation, answer, _tiles(run, best.signature, estimates, metric), power)


def _where(metric: str, value: str) -> str:
    parts = metric_names.parse(metric)
    place = {"target": " on the target", "source": " on the source", "source_val": " on source validation"}.get(
        parts.split, ""
    )
    return f"{metric_names.TITLES.get(parts.family, parts.family)} {value}{place}"


def _rests_on(made: Interval) -> str:
    seeds = counted(made.seeds, "seed")
    if not made.images:
        return f"over {seeds}; images were not kept, so this is seed noise alone"
    patients = f" of {made.groups} patients" if made.groups < made.images else ""
    return f"(95 % interval; {made.images} images{patients}, {seeds})"


def _ratio_answer(curves: tuple[RatioCurve, ...], estimates: Estimates) -> tuple[str, str]:
    compared = [point for curve in curves for point in curve.points if point.against]
    if not compared:
        return (
            "Whether synthetic images help cannot be said: no real-only configuration was tested on the same images.",
            "",
        )
    samples = [estimates.paired(point.against.a, point.against.b, METRIC) for point in compared]
    power = _power_text(power_note(sorted(samples, key=lambda sample: sample.mean.std())[len(samples) // 2]))
    seen = [point for point in compared if point.against.distinguishable]
    if not seen:
        margin = equivalence_margin(samples)
        return (
            f"No ratio of synthetic images is distinguishable from real only in {counted(len(compared), 'comparison')}; "
            f"every difference lies within \N{PLUS-MINUS SIGN}{100 * margin:.1f} points (equivalence tests at 5 %)."
        ), power
    best = max(seen, key=lambda point: abs(point.against.interval.estimate))
    word = "help" if best.against.interval.estimate > 0 else "hurt"
    where = next(curve.cell for curve in curves if best in curve.points)
    return (
        f"Synthetic images {word} in {len(seen)} of {counted(len(compared), 'comparison')}: most with {best.ratio:g} per real image ({where}), "
        f"{difference_text(best.against.interval)} against real only, {p_text(best.against.p_adjusted)} after Holm's correction."
    ), power


def _rival_answer(ranking: Ranking, estimates: Estimates, metric: str) -> tuple[str, str]:
    first, rivals = ranking.rows[0], ranking.rows[1:6]
    pairs = [
        (first.signature, rival.signature, estimates.paired(first.signature, rival.signature, metric))
        for rival in rivals
    ]
    pairs = [pair for pair in pairs if pair[2] is not None]
    if not pairs:
        return "It has no rival that was tested on the same images.", ""
    compared = compare_family(pairs)
    names = {row.signature: row.label for row in rivals}
    power = _power_text(power_note(pairs[0][2]))
    return _rival_text(compared, names, metric), power


def _rival_text(compared: tuple[Compared, ...], names: dict[str, str], metric: str) -> str:
    title, next_one = metric_names.title(metric), compared[0]
    gap = difference_text(next_one.interval)
    seen = sum(one.distinguishable for one in compared)
    if len(compared) == 1:
        word = "is distinguishable" if seen else "is not distinguishable"
        return f"It {word} from the runner-up, {names[next_one.b]}, in {title}: the difference is {gap}, {p_text(next_one.p_adjusted)}."
    if not seen:
        return (
            f"It is not distinguishable from the next {len(compared)} in {title}; "
            f"from the runner-up, {names[next_one.b]}, it differs by {gap}."
        )
    return (
        f"It differs from {seen} of the next {len(compared)} in {title} after Holm's correction; "
        f"from the runner-up, {names[next_one.b]}, by {gap}, {p_text(next_one.p_adjusted)}."
    )


def _power_text(note: PowerNote) -> str:
    effect = f"{100 * note.effect:.0f} points"
    if note.detectable <= note.effect:
        return f"This sweep would see a difference of {effect} four times in five."
    ways = [f"{note.images:,} test images".replace(",", "\N{NARROW NO-BREAK SPACE}")] if note.images else []
    ways += [f"{note.seeds} seeds"] if note.seeds else []
    fix = f"{' or '.join(ways)} would" if ways else "neither more images nor more seeds alone would"
    return f"Differences below {points(note.detectable).lstrip('+')} points are not seen reliably here; to see {effect} four times in five, {fix} do."


def _tiles(run: Run, signature: str, estimates: Estimates, metric: str) -> tuple[Tile, ...]:
    names = [
        metric,
        *(
            m
            for m in (*objectives(run), "balanced_accuracy/target", "accuracy/target")
            if m != metric and m in run.metrics
        ),
    ]
    return tuple(_tile(run, signature, estimates, name) for name in dict.fromkeys(names))[:5]


def _tile(run: Run, signature: str, estimates: Estimates, name: str) -> Tile:
    made = estimates.of(signature, name)
    constant = constants(run, [name]).get(name)
    beside = "" if constant is None else f"constant predictor {number(constant)}"
    return Tile(metric_names.title(name), number(made.estimate), f"{number(made.low)} to {number(made.high)}", beside)
