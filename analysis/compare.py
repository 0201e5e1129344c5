"""Two trials of a run, or the chosen trials of two runs -> what differs in their settings and in their results.

python -m analysis.compare results/ratio:a1b2c3 results/ratio:d4e5f6
python -m analysis.compare results/ratio results/ratio-more-images --html compare.html
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis import metric_names, selection
from analysis.compare_html import Column, as_html, metric_row
from analysis.comparisons import Compared, compare_family
from analysis.conditions import CONDITIONS
from analysis.derived import number
from analysis.estimates import Estimates, paired_samples
from analysis.figures.figure import counted, difference_text, p_text, with_interval
from analysis.frames import Run, load_run
from analysis.intervals import Interval, Resampled
from analysis.page import data_sides
from analysis.ranking import rank, shown_metrics
from analysis.superiority import beside_chance, chance_text, false_superiority
from analysis.trial_names import find_signature
from analysis.winner import METRIC, Winner, winner
from sweep.core.command_line import Command, one_of, run_as_program
from sweep.core.errors import EXIT_COMPLETE, InputError
from sweep.core.storage import Storage

WIDE = 140  # columns that the table of all numbers needs


@dataclass(frozen=True)
class Side:
    """One configuration of one run, and how it came to be compared."""

    run: Run
    estimates: Estimates
    signature: str
    chosen_by: str
    chosen: Winner | None = None  # of a configuration that a rule chose


@dataclass(frozen=True)
class MetricDifference:
    """A metric on both sides, and their paired difference (None where the images or seeds differ)."""

    metric: str
    a: Interval
    b: Interval
    difference: Compared | None


@dataclass(frozen=True)
class Comparison:
    """Settings that differ (name, a, b), metrics with their differences b minus a, and what must be known before reading them."""

    a: str
    b: str
    settings: tuple[tuple[str, str, str], ...]
    metrics: tuple[MetricDifference, ...]
    cautions: tuple[str, ...] = ()
    honesty: tuple[str, ...] = ()  # false superiority, and scores corrected for having been chosen


def find_side(address: str, rule: str = selection.DEFAULT_RULE) -> Side:
    """RUN:TRIAL (start of a signature, row number or best) or RUN, whose configuration is then chosen by `rule`."""
    folder, colon, start = address.rpartition(":")
    if not colon or "/" in start:
        folder, start = address, ""
    run = load_run(folder)
    if not start:
        estimates = Estimates(run)
        ranking = rank(run, rule, top=2, estimates=estimates)
        return Side(run, estimates, ranking.rows[0].signature, rule, winner(run, ranking, estimates))
    return Side(run, Estimates(run), find_signature(run, start), "named")


def compare(a: Side, b: Side) -> Comparison:
    """Settings and metrics of both; the p-values are adjusted over the metrics shown."""
    shared = [metric for metric in shown_metrics(a.run) if metric in b.run.metrics]
    samples = {metric: sample for metric in shared if (sample := _paired(a, b, metric)) is not None}
    tested = dict(zip(samples, compare_family([("b", "a", sample) for sample in samples.values()]), strict=True))
    metrics = tuple(
        MetricDifference(
            metric, a.estimates.of(a.signature, metric), b.estimates.of(b.signature, metric), tested.get(metric)
        )
        for metric in shared
    )
    settings = _settings(a.run.configs.loc[a.signature], b.run.configs.loc[b.signature])
    return Comparison(_name(a), _name(b), settings, metrics, tuple(_cautions(a, b, settings, metrics)), _honesty(a, b))


def _cautions(
    a: Side, b: Side, settings: tuple[tuple[str, str, str], ...], metrics: tuple[MetricDifference, ...]
) -> Iterator[str]:
    for name, side in (("A", a), ("B", b)):
        if side.run.unfinished:
            yield (
                f"{name} is of an unfinished run: {len(side.run.records)} of {side.run.planned_records} records have finished."
            )
    for name, _, _ in settings:
        if name in CONDITIONS:
            yield (
                f"A and B were trained under different conditions ({name.replace('_', ' ')}): they are no rival recipes."
            )
    tested = [row.difference for row in metrics if row.difference]
    seeds = {one.seeds for one in tested}
    counts = sorted({row.a.seeds for row in metrics} | {row.b.seeds for row in metrics})
    if tested and counts and max(counts) > min(map(len, seeds)):
        common = counted(min(map(len, seeds)), "seed")
        yield (
            f"Differences are over the {common} that both ran, the columns A and B over all of their own: they need not subtract."
        )
    if tested and min(map(len, seeds)) == 1:
        yield (
            "With one common seed a difference of settings cannot be told from a difference of training runs: it shows no cause."
        )


def _honesty(a: Side, b: Side) -> tuple[str, ...]:
    lines = []
    sample = _paired(a, b, METRIC) if METRIC in a.run.metrics and METRIC in b.run.metrics else None
    if sample is not None and np.isfinite(sample.point).all():
        scores = pd.concat(
            [side.run.means[METRIC] for side in {side.run.storage.url: side for side in (a, b)}.values()]
        )
        ahead, behind = ("B", "A") if sample.point.mean() >= 0 else ("A", "B")
        turned = sample if ahead == "B" else replace(sample, point=-sample.point)
        chance = chance_text(false_superiority(turned, scores.to_numpy()))
        lines.append(
            f"Probability that {ahead} is not truly better than {behind} on the target (false superiority): {chance}{beside_chance(sample)}."
        )
    for name, side in (("A", a), ("B", b)):
        lines += [f"{name}: {sentence}" for sentence in (side.chosen.sentences if side.chosen else ())]
    return tuple(lines)


def _paired(a: Side, b: Side, metric: str) -> Resampled | None:
    sample = paired_samples(b.estimates.resampled(b.signature, metric), a.estimates.resampled(a.signature, metric))
    same_run = a.estimates.run.storage.url == b.estimates.run.storage.url
    if sample is not None and same_run and a.signature == b.signature:
        return replace(sample, prior=None)  # a configuration does not differ from itself by the luck of its seeds
    if sample is not None and same_run and (prior := a.estimates.difference_prior(metric)):
        return replace(sample, prior=prior)
    return sample


def _settings(a: pd.Series, b: pd.Series) -> tuple[tuple[str, str, str], ...]:
    names = dict.fromkeys([*a.index, *b.index])
    pairs = ((name, _value(a, name), _value(b, name)) for name in names)
    return tuple((name, *_told_apart(x, y)) for name, x, y in pairs if x != y)


def _value(config: pd.Series, name: str) -> object:
    value = config.get(name)
    return None if value is None or value != value else value


def _told_apart(a: object, b: object) -> tuple[str, str]:
    """Both values in few digits, or in all of them where few would look alike."""
    short = tuple("-" if value is None else number(value) for value in (a, b))
    return (short[0], short[1]) if short[0] != short[1] else (repr(a), repr(b))


def _name(side: Side) -> str:
    return f"{side.run.name}:{side.signature[:6]}" + (
        "" if side.chosen_by == "named" else f" (chosen by {side.chosen_by})"
    )


def as_text(made: Comparison, width: int = WIDE) -> str:
    """Two small tables for a terminal of `width` columns, and what must be known before reading them; narrow ones have one line a number."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=sys.stdout.isatty(), markup=False)
    names = Text(f"A {made.a}\nB {made.b}")
    settings = Table("setting", "A", "B", title=names, title_justify="left")
    for setting in made.settings:
        settings.add_row(*map(Text, setting))
    console.print(settings if made.settings else f"{names.plain}\nNo setting differs.", highlight=False)
    console.print(_metrics(made) if width >= WIDE else _stacked_metrics(made))
    for caution in made.cautions:
        console.print(caution, highlight=False, soft_wrap=True)
    for line in made.honesty:
        console.print(line, highlight=False, soft_wrap=True)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _metrics(made: Comparison) -> Table:
    table = Table("metric", "A", "B", "B minus A", "after Holm", "common seeds")
    for row in made.metrics:
        table.add_row(metric_names.title(row.metric), with_interval(row.a), with_interval(row.b), *_change(row))
    return table


def _stacked_metrics(made: Comparison) -> Table:
    table = Table("metric", show_lines=True)
    for row in made.metrics:
        change, p, seeds = _change(row)
        apart = change if row.difference is None else f"{change}, {p} after Holm, common seeds {seeds}"
        lines = (f"A {with_interval(row.a)}", f"B {with_interval(row.b)}", f"B minus A {apart}")
        table.add_row("\n".join((metric_names.title(row.metric), *(f"  {line}" for line in lines))))
    return table


def _terminal_width() -> int:
    """Columns of the terminal; a pipe gets every column in full."""
    return min(WIDE, Console().width) if sys.stdout.isatty() else WIDE


def _change(row: MetricDifference) -> tuple[str, str, str]:
    if row.difference is None:
        return "other images or seeds", "-", "-"
    p = p_text(row.difference.p_adjusted) if row.difference.seed_noise_known else "image noise alone"
    return difference_text(row.difference.interval), p, str(len(row.difference.seeds))


def write_html(made: Comparison, a: Side, b: Side, out: str) -> str:
    """Write both side by side as one page to `out`, a path or a URL, which is returned."""
    place, name = Storage.of_file(out)
    if not name or place.child(name).is_folder:
        raise InputError("--html", f"{out} is a folder", "give a file name such as compare.html")
    columns = [
        Column(letter, words, side.chosen.sentences if side.chosen else (), data_sides(side.run))
        for letter, words, side in (("A", made.a, a), ("B", made.b, b))
    ]
    rows = [metric_row(row.metric, row.a, row.b, row.difference) for row in made.metrics]
    together = [*made.cautions, *(line for line in made.honesty if not line.startswith(("A: ", "B: ")))]
    place.write(name, as_html(columns, rows, made.settings, together).encode())
    return out


def compare_command(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="RUN, or RUN:TRIAL (start of a signature, row number or best).", show_default=False
        ),
    ],
    b: Annotated[
        str, typer.Argument(metavar="B", help="What it is compared with: RUN or RUN:TRIAL.", show_default=False)
    ],
    rule: Annotated[
        str, typer.Option(**one_of(selection.RULES), help="How a configuration is chosen where no trial is named.")
    ] = selection.DEFAULT_RULE,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the two side by side to this page too.")
    ] = None,
) -> int:
    """Print what differs between two trials, in their settings and in their results, with a paired test."""
    sides = find_side(a, rule), find_side(b, rule)
    made = compare(*sides)
    sys.stdout.write(as_text(made, _terminal_width()))
    if html:
        sys.stdout.write(f"{write_html(made, *sides, html)}\n")
    return EXIT_COMPLETE


main = Command(
    compare_command,
    examples=(
        "{} results/ratio:1 results/ratio:2",
        "{} results/ratio:a1b2c3 results/ratio:best",
        "{} results/ratio results/other --html compare.html",
    ),
)

run_as_program(main, __name__)
