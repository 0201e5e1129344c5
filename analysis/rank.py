"""records -> an order in the terminal.

python -m analysis.rank results/ratio --by "auroc/target=2,domain_gap=1" --constraint "robust_accuracy@2/255 >= 0.4" --top 10
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis import metric_names, selection
from analysis.csv_cells import cell
from analysis.estimates import Estimates
from analysis.figures.figure import counted
from analysis.frames import Run, load_run
from analysis.intervals import Interval
from analysis.predicted import predicted_target
from analysis.ranking import Ranked, Ranking, rank
from analysis.trial_names import short_names
from analysis.winner import winner
from sweep.core.command_line import Command, one_of, run_as_program
from sweep.core.errors import EXIT_COMPLETE, InputError


def rank_command(
    run: Annotated[str, typer.Argument(help="Run folder or URL, e.g. results/quickstart.", show_default=False)],
    by: Annotated[
        str | None,
        typer.Option(
            help=f"{', '.join(selection.RULES)}, pareto, a metric, weights 'auroc=2,domain_gap=1' or an order 'auroc > domain_gap'.",
            show_default=selection.USUAL,
        ),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        typer.Option(help="Rank only what meets it, e.g. 'robust_accuracy@2/255 >= 0.4'; may be repeated."),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", help="Rows to show of each condition.")] = 10,
    forms: Annotated[
        bool,
        typer.Option(
            "--forms",
            help="Also list moved thresholds, ensembles and weight soups of seeds and adaptations that were tried, predicted without target labels.",
        ),
    ] = False,
    format_: Annotated[
        str, typer.Option("--format", **one_of(("table", "csv", "json")), help="How to print them.")
    ] = "table",
) -> int:
    """Order the configurations of a sweep, each number with its 95 % interval."""
    loaded = load_run(run)
    estimates = Estimates(loaded)
    ranking = rank(loaded, by or selection.usual_rule(loaded), constraint or (), top, estimates=estimates)
    sys.stdout.write(FORMATS[format_](ranking))
    if format_ == "table" and (best := winner(loaded, ranking, estimates, constraints=constraint or ())):
        sys.stdout.write("".join(f"{sentence}\n" for sentence in best.sentences))
    if format_ == "table" and forms:
        sys.stdout.write(forms_table(loaded))
    return EXIT_COMPLETE


def forms_table(run: Run) -> str:
    """Every way to use each recipe's trained models, by the lower ends of its predicted AUROC and balanced accuracy.

    InputError where the run has no predictions to choose by.
    """
    made = predicted_target(run)
    if made is None:
        fix = "run the sweep with data.pseudo_hospitals above 0, on data of two classes"
        raise InputError("--forms", "no record was evaluated on pseudo-hospitals, so nothing was predicted", fix)
    title = Text("Predicted at the target without its labels, 90 % intervals")
    table = Table(title=title, title_justify="left")
    for heading in ("configuration", "used", "predicted AUROC", "predicted balanced accuracy", "positive from"):
        table.add_column(heading, overflow="fold")
    for row in made.assessment.forms():
        ends = (f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})" for one in (row.auroc, row.balanced))
        table.add_row(row.label, row.form, *ends, f"{row.probability:.3f}")
    stream = io.StringIO()
    Console(file=stream, width=PIPE_COLUMNS, markup=False).print(table)
    return stream.getvalue()


def as_table(ranking: Ranking) -> str:
    """For the terminal: one line a configuration, each number with its interval, one table a condition."""
    stream = io.StringIO()
    terminal = sys.stdout.isatty()
    console = Console(file=stream, force_terminal=terminal, width=None if terminal else PIPE_COLUMNS, markup=False)
    if ranking.planned:
        console.print(unfinished(ranking), highlight=False, soft_wrap=True)
    conditions = list(dict.fromkeys(row.condition for row in ranking.rows)) or [""]
    for condition in conditions:
        narrow = terminal and console.width < _least_width(ranking)
        console.print(_stacked(ranking, condition) if narrow else _table(ranking, condition))
    for row in ranking.rows:
        if row.mark:
            console.print(f"{MARK} {row.label}: {row.mark}", highlight=False, soft_wrap=True)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _least_width(ranking: Ranking) -> int:
    """Columns below which the numbers of a table would be broken: the fixed ones, and an interval for each metric."""
    return 50 + 19 * len(ranking.metrics)


def _stacked(ranking: Ranking, condition: str) -> Table:
    """For a narrow terminal: each configuration with its numbers below each other."""
    rows = [row for row in ranking.rows if row.condition == condition]
    title = Text(_heading(ranking) + (f" - {condition}" if condition else ""))
    footing = Text(_footing(ranking, rows))
    table = Table(title=title, title_justify="left", caption=footing, caption_justify="left", show_lines=True)
    table.add_column("#", justify="right")
    table.add_column("configuration", overflow="fold")
    short = short_names(ranking.signatures)
    for row in rows:
        head = f"{row.label}{f' {MARK}' if row.mark else ''}\ntrial {short[row.signature]}, front {row.front}"
        lines = [
            f"{' '.join(_column(ranking, rows, metric).split())}: {' ('.join(_cell(metric, made).plain.splitlines())})"
            for metric, made in ((metric, row.numbers[metric]) for metric in ranking.metrics)
        ]
        table.add_row(str(row.rank), Text("\n".join([head, *lines])))
    return table


def _table(ranking: Ranking, condition: str) -> Table:
    rows = [row for row in ranking.rows if row.condition == condition]
    title = Text(_heading(ranking) + (f" - {condition}" if condition else ""))
    table = Table(
        title=title, title_justify="left", caption=Text(_footing(ranking, rows)), caption_justify="left", expand=False
    )
    table.add_column("#", justify="right")
    table.add_column("trial")
    table.add_column("configuration", overflow="fold", min_width=24)
    table.add_column("front", justify="right")
    for metric in ranking.metrics:
        table.add_column(Text(_column(ranking, rows, metric)), justify="right")
    short = short_names(ranking.signatures)
    for row in rows:
        table.add_row(
            str(row.rank),
            short[row.signature],
            Text(row.label + (f" {MARK}" if row.mark else "")),
            str(row.front),
            *(_cell(metric, row.numbers[metric]) for metric in ranking.metrics),
        )
    return table


def unfinished(ranking: Ranking) -> str:
    """The first line of every order of a sweep that is not through."""
    return (
        f"UNFINISHED: {ranking.finished} of {ranking.planned} records have finished; the order may still change. "
        "The sweep's command again runs the rest."
    )


def as_csv(ranking: Ranking) -> str:
    """One line a configuration; estimate, low and high of each metric, and all settings."""
    settings = list(dict.fromkeys(name for row in ranking.rows for name in row.config))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    bounds = [f"{metric}{part}" for metric in ranking.metrics for part in ("", ":low", ":high")]
    writer.writerow(["rank", "signature", "front", "score", *settings, *bounds, "mark", "condition"])
    for row in ranking.rows:
        numbers = [value for metric in ranking.metrics for value in _bounds(row.numbers[metric])]
        writer.writerow(
            [
                row.rank,
                row.signature,
                row.front,
                cell(row.score),
                *(cell(row.config.get(name)) for name in settings),
                *numbers,
                cell(row.mark),
                cell(row.condition),
            ]
        )
    return stream.getvalue()


def as_json(ranking: Ranking) -> str:
    """The ranking with what it is by, for programs."""
    rows = [
        {
            "rank": row.rank,
            "signature": row.signature,
            "label": row.label,
            "front": row.front,
            "score": _finite(row.score),
            "config": row.config,
            "mark": row.mark,
            "condition": row.condition,
            "metrics": {metric: _facts(made) for metric, made in row.numbers.items()},
        }
        for row in ranking.rows
    ]
    head = {
        "by": ranking.by,
        "describe": ranking.describe,
        "oracle": ranking.oracle,
        "constants": ranking.constants,
        "ranked": ranking.ranked,
        "excluded": ranking.excluded,
        "stopped": ranking.stopped,
        "finished": ranking.finished,
        "planned": ranking.planned,
        "undefined": ranking.undefined,
    }
    return json.dumps({**head, "rows": rows}, indent=2, default=str, allow_nan=False) + "\n"


PIPE_COLUMNS = 200  # a pipe gets every column in full, whatever the terminal's width
MARK = "\N{DAGGER}"  # a configuration that rests on less than the others
FORMATS = {"table": as_table, "csv": as_csv, "json": as_json}


def _column(ranking: Ranking, rows: Sequence[Ranked], metric: str) -> str:
    constant = ranking.constants.get(metric)
    words, split = metric_names.heading(metric)
    lines = [words, split]
    lines += [f"constant {constant:.3f}"] if constant is not None else []
    lines += ["seeds alone"] if rows and not any(row.numbers[metric].images for row in rows) else []
    return "\n".join(filter(None, lines))


def _heading(ranking: Ranking) -> str:
    return f"Ranked by {ranking.describe}" + (" - oracle: this order looks at the target" if ranking.oracle else "")


def _footing(ranking: Ranking, rows: Sequence[Ranked]) -> str:
    left_out = f"; {ranking.excluded} left out by the constraints" if ranking.excluded else ""
    left_out += f"; {ranking.stopped} stopped early, not ranked" if ranking.stopped else ""
    return f"{len(rows)} of {ranking.ranked} configurations{left_out}{_rests(rows)}{_undefined(ranking)}{_predicted(ranking)}"


def _rests(rows: Sequence[Ranked]) -> str:
    numbers = [made for row in rows for made in row.numbers.values()]
    if not numbers:
        return ""
    counts = sorted({made.seeds for made in numbers if made.seeds})
    seeds = (
        f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else counted(counts[0], "seed") if counts else "no seed"
    )
    if not any(made.images for made in numbers):
        return f"; 95 % intervals over {seeds} alone: no images were kept"
    return f"; 95 % intervals over patients and {seeds}"


def _undefined(ranking: Ranking) -> str:
    names = [metric_names.title(name) for name in ranking.undefined[:3]]
    more = len(ranking.undefined) - len(names)
    return f"; undefined in every record: {', '.join(names)}" + (f" and {more} more" if more else "") if names else ""


def _predicted(ranking: Ranking) -> str:
    """What the verdict on an unlabelled target does further with the numbers that the columns show."""
    return (
        "; predicted columns are each record's own: the report's verdict corrects them by all held-out images"
        if ranking.predicted
        else ""
    )


def _cell(metric: str, made: Interval) -> Text:
    low, high = (metric_names.value_text(metric, value) for value in (made.low, made.high))
    return Text.assemble(metric_names.value_text(metric, made.estimate), "\n", (f"{low} to {high}", "dim"))


def _bounds(made: Interval) -> list[str]:
    return [f"{value:.6f}" if value == value else "" for value in (made.estimate, made.low, made.high)]


def _facts(made: Interval) -> dict:
    return {
        "estimate": _finite(made.estimate),
        "low": _finite(made.low),
        "high": _finite(made.high),
        "images": made.images,
        "seeds": made.seeds,
    }


def _finite(value: float) -> float | None:
    return value if value == value and abs(value) != float("inf") else None


main = Command(
    rank_command,
    examples=(
        "{} results/ratio --top 5",
        "{} results/ratio --by 'auroc/target=2,domain_gap=1'",
        "{} results/ratio --constraint 'robust_accuracy@2/255 >= 0.4' --format csv > ranking.csv",
    ),
)

run_as_program(main, __name__)
