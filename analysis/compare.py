"""Two trials of a run, or the chosen trials of two runs -> what differs in their settings and in their results.

python -m analysis.compare results/ratio:a1b2c3 results/ratio:d4e5f6
python -m analysis.compare results/ratio results/ratio-more-images
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, replace
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from analysis import metric_names, selection
from analysis.comparisons import Compared, compare_family
from analysis.derived import number
from analysis.estimates import Estimates
from analysis.figures.figure import difference_text, p_text, with_interval
from analysis.frames import Run, load_run
from analysis.intervals import Interval, Resampled, paired
from analysis.ranking import rank, shown_metrics
from analysis.superiority import chance_text, false_superiority
from analysis.trial_names import find_signature
from analysis.winner import METRIC, Winner, winner
from sweep.core.command_line import Command, one_of
from sweep.core.errors import EXIT_COMPLETE


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
    """Settings that differ (name, a, b) and metrics with their differences b minus a."""

    a: str
    b: str
    settings: tuple[tuple[str, str, str], ...]
    metrics: tuple[MetricDifference, ...]
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
    return Comparison(
        _name(a),
        _name(b),
        _settings(a.run.configs.loc[a.signature], b.run.configs.loc[b.signature]),
        metrics,
        _honesty(a, b),
    )


def _honesty(a: Side, b: Side) -> tuple[str, ...]:
    lines = []
    sample = _paired(a, b, METRIC) if METRIC in a.run.metrics and METRIC in b.run.metrics else None
    if sample is not None:
        scores = pd.concat(
            [side.run.means[METRIC] for side in {side.run.storage.url: side for side in (a, b)}.values()]
        )
        ahead, behind = ("B", "A") if sample.point.mean() >= 0 else ("A", "B")
        turned = sample if ahead == "B" else replace(sample, point=-sample.point)
        chance = chance_text(false_superiority(turned, scores.to_numpy()))
        lines.append(
            f"Probability that {ahead} is not truly better than {behind} on the target (false superiority): {chance}."
        )
    for name, side in (("A", a), ("B", b)):
        lines += [f"{name}: {sentence}" for sentence in (side.chosen.sentences if side.chosen else ())]
    return tuple(lines)


def _paired(a: Side, b: Side, metric: str) -> Resampled | None:
    first, second = a.estimates.resampled(a.signature, metric), b.estimates.resampled(b.signature, metric)
    if first is None or second is None or not set(first.seeds) & set(second.seeds) or not _same_images(a, b, metric):
        return None
    if a.estimates.run.storage.url == b.estimates.run.storage.url and (prior := a.estimates.difference_prior(metric)):
        return replace(paired(second, first), prior=prior)
    return paired(second, first)


def _same_images(a: Side, b: Side, metric: str) -> bool:
    # Gaps rest on both test folds; the other metrics on their own split.
    names = ("auroc/source", "auroc/target") if metric.startswith("domain_gap") else (metric,)
    pairs = [(a.estimates.outcomes(a.signature, name), b.estimates.outcomes(b.signature, name)) for name in names]
    return all(x is not None and y is not None and x.images.tolist() == y.images.tolist() for x, y in pairs)


def _settings(a: pd.Series, b: pd.Series) -> tuple[tuple[str, str, str], ...]:
    names = dict.fromkeys([*a.index, *b.index])
    pairs = ((name, _value(a, name), _value(b, name)) for name in names)
    return tuple((name, x, y) for name, x, y in pairs if x != y)


def _value(config: pd.Series, name: str) -> str:
    value = config.get(name)
    return "-" if value is None or value != value else number(value)


def _name(side: Side) -> str:
    return f"{side.run.name}:{side.signature[:6]}" + (
        "" if side.chosen_by == "named" else f" (chosen by {side.chosen_by})"
    )


def as_text(made: Comparison) -> str:
    """Two small tables for the terminal."""
    stream = io.StringIO()
    console = Console(file=stream, width=140, force_terminal=sys.stdout.isatty())
    settings = Table("setting", "A", "B", title=f"A {made.a}\nB {made.b}", title_justify="left")
    for row in made.settings:
        settings.add_row(*row)
    console.print(settings if made.settings else f"A {made.a}\nB {made.b}\nNo setting differs.")
    metrics = Table("metric", "A", "B", "B minus A", "after Holm")
    for row in made.metrics:
        change = (
            (difference_text(row.difference.interval), p_text(row.difference.p_adjusted))
            if row.difference
            else ("other images or seeds", "-")
        )
        metrics.add_row(metric_names.title(row.metric), with_interval(row.a), with_interval(row.b), *change)
    console.print(metrics)
    for line in made.honesty:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def compare_command(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="RUN, or RUN:TRIAL (start of a signature, row number or best).", show_default=False
        ),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="What it is compared with, named alike.", show_default=False)],
    rule: Annotated[
        str, typer.Option(**one_of(selection.RULES), help="How a configuration is chosen where no trial is named.")
    ] = selection.DEFAULT_RULE,
) -> int:
    """Print what differs between two trials, in their settings and in their results, with a paired test."""
    sys.stdout.write(as_text(compare(find_side(a, rule), find_side(b, rule))))
    return EXIT_COMPLETE


main = Command(
    compare_command,
    examples=(
        "{} results/ratio:1 results/ratio:2",
        "{} results/ratio:a1b2c3 results/ratio:best",
        "{} results/ratio results/other",
    ),
)

if __name__ == "__main__":
    sys.exit(main())
