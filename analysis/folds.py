"""Runs of one sweep config on several splits of the same data -> configurations compared over the splits, whose training sets overlap.

python -m analysis.folds results/ratio-split-0 results/ratio-split-1 results/ratio-split-2 --metric auroc/source

Make the runs with `--set data.folds=5 --set data.fold=K --set name=ratio-split-K` (cross-validation: no two runs test the same image),
or with `--set data.split_seed=K` (hold-out splits drawn anew). The variance over splits is corrected as Nadeau and Bengio (2003)
propose: splits that share training images agree more than new data would.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis import metric_names, selection
from analysis.comparisons import nadeau_bengio
from analysis.derived import labels
from analysis.figures.figure import number, p_text, points
from analysis.frames import Run, load_run
from sweep.core.command_line import Command, one_of, run_as_program
from sweep.core.errors import EXIT_COMPLETE, InputError
from sweep.core.hashing import content_hash
from sweep.core.holm import holm


@dataclass(frozen=True)
class FoldRow:
    """One configuration: its mean over splits, and its difference from the chosen one with corrected t and p (NaN for itself)."""

    label: str
    mean: float
    difference: float
    t: float
    p: float
    p_adjusted: float


@dataclass(frozen=True)
class FoldTable:
    """All configurations that ran on every split, best first, against the one that the rule chooses over all splits."""

    metric: str
    splits: int
    chosen: str
    rows: tuple[FoldRow, ...]


def compare_over_folds(runs: Sequence[Run], metric: str, rule: str = selection.DEFAULT_RULE) -> FoldTable:
    """Compare over at least two runs; InputError when they share no configuration or split alike."""
    if len(runs) < 2:
        raise InputError(
            "RUN", "is one split", "give at least two runs, each with a data.fold or data.split_seed of its own"
        )
    found = [run.means.rename(index=_identity(run)) for run in runs]
    shared = [key for key in found[0].index if all(key in means.index for means in found)]
    names = labels(runs[0].configs, runs[0].studies).rename(index=_identity(runs[0]))
    metric = metric_names.resolve(metric, set.intersection(*(set(run.metrics) for run in runs)), where="--metric")
    if not shared:
        raise InputError(
            "RUN",
            "no configuration ran on every split",
            "run the same sweep config on each, with data.fold or data.split_seed alone changed",
        )
    values = pd.DataFrame({number_: means.loc[shared, metric] for number_, means in enumerate(found)})
    quality = pd.concat([selection.rule_named(rule).score(means.loc[shared]) for means in found], axis=1).mean(axis=1)
    if quality.isna().all():
        fix = "choose by another rule: its metric may need images of both classes"
        raise InputError("--rule", f"{rule} is undefined for every configuration", fix)
    chosen = selection.best_first(quality)[0]
    test, train = _sizes(runs[0])
    others = [key for key in shared if key != chosen]
    tests = {key: nadeau_bengio((values.loc[key] - values.loc[chosen]).to_numpy(), test, train) for key in others}
    adjusted = dict(zip(others, holm([p for _, p in tests.values()]), strict=True))
    means = values.mean(axis=1)
    rows = [
        FoldRow(
            names[key],
            float(means[key]),
            float(means[key] - means[chosen]),
            *tests.get(key, (np.nan, np.nan)),
            float(adjusted.get(key, np.nan)),
        )
        for key in selection.best_first(means * metric_names.sign(metric, runs[0].goals))
    ]
    return FoldTable(metric, len(runs), names[chosen], tuple(rows))


def _identity(run: Run) -> dict[str, str]:
    """signature -> hash of the settings alone: a signature knows the split too."""
    return {event["signature"]: content_hash(event["config"]) for event in run.finishes}


def _sizes(run: Run) -> tuple[int, int]:
    """Images of the source's test and training folds."""
    folds = run.data_card.get("source", {}).get("folds", {})
    sizes = {name: sum(count.values()) if isinstance(count, dict) else count for name, count in folds.items()}
    if not sizes.get("test") or not sizes.get("train"):
        raise InputError(
            run.storage.url, "its data card names no test and training fold", "give run folders that a sweep wrote"
        )
    return sizes["test"], sizes["train"]


def as_text(made: FoldTable) -> str:
    """One table for the terminal."""
    stream = io.StringIO()
    table = Table(
        "configuration",
        metric_names.title(made.metric),
        "against the chosen",
        "corrected",
        "after Holm",
        title_justify="left",
        title=Text(f"{made.splits} splits; chosen: {made.chosen}"),
    )
    for row in made.rows:
        change = (
            ("chosen", "-", "-")
            if row.p != row.p
            else (f"{points(row.difference)} points", p_text(row.p), p_text(row.p_adjusted))
        )
        table.add_row(Text(row.label), number(row.mean), *change)
    Console(file=stream, width=140, force_terminal=sys.stdout.isatty(), markup=False).print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def folds_command(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...",
            help="Run folders of one sweep config, each with a data.fold or data.split_seed of its own.",
            show_default=False,
        ),
    ],
    metric: Annotated[str, typer.Option(help="Recorded metric to compare.")] = "auroc/source",
    rule: Annotated[
        str, typer.Option(**one_of(selection.RULES), help="How a configuration is chosen to compare the others with.")
    ] = selection.DEFAULT_RULE,
) -> int:
    """Compare configurations over several splits of the same data, whose training sets overlap (Nadeau and Bengio, 2003)."""
    sys.stdout.write(as_text(compare_over_folds([load_run(folder) for folder in runs], metric, rule)))
    return EXIT_COMPLETE


main = Command(folds_command, examples=("{} results/ratio-split-0 results/ratio-split-1 --metric auroc/target",))

run_as_program(main, __name__)
