"""records of a run whose target was sealed -> estimated against true, for every configuration and estimator.

python -m analysis.unseal results/blind
python -m analysis.unseal results/blind --json > scores.json
python -m analysis.unseal results/blind --report

This alone reads the labels of a sealed target. Estimates and ranking stay those that were made without labels; with `--report` the scores,
and no label, are kept in the run folder as `unsealed.json`, and the report ends with them. A run whose target labels were read from the start
is scored by them.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from analysis import metric_names
from analysis.figures.figure import counted, number
from analysis.frames import Run, load_run
from analysis.predicted import PredictedTarget, predicted_target
from analysis.report import write_report
from analysis.unsealed import METRICS, Unsealed, as_json, keep, sentences, unsealed
from sweep.core.command_line import Command
from sweep.core.errors import EXIT_COMPLETE, InputError
from sweep.core.metric_table import TARGET
from sweep.data.sealed_labels import read_sealed_labels


def unseal_command(
    run: Annotated[str, typer.Argument(help="Run folder or URL, e.g. results/blind.", show_default=False)],
    json_: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    labels: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Shard folder with the target's labels, where the sweep's own has none."),
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help="Keep the scores in the run folder and write its report again, with them at its end."
        ),
    ] = False,
) -> int:
    """Read a sealed target's labels and print estimated against true: error, coverage, rank correlation and selection regret."""
    loaded = load_run(run)
    found = score_run(loaded, labels)
    sys.stdout.write(as_json(found) if json_ else as_text(found))
    if report:
        keep(loaded, found)
        path = write_report(run, loaded.storage.address("report.html"))
        (sys.stderr if json_ else sys.stdout).write(f"report: {path}\n")
    return EXIT_COMPLETE


def score_run(run: Run, folder: str | None = None) -> Unsealed:
    """Every estimate of the run against the target's labels; InputError where there are no estimates or no labels."""
    made = predicted_target(run)
    if made is None:
        fix = "run the sweep with data.pseudo_hospitals above 0, on data of two classes"
        raise InputError(run.storage.url, "no record was evaluated on pseudo-hospitals, so nothing was estimated", fix)
    return unsealed(run, made, _labels(run, made, folder))


def _labels(run: Run, made: PredictedTarget, folder: str | None) -> dict[str, int]:
    """image_id -> label: as recorded where the run read all labels, else from the shard folder."""
    signature = next(iter(made.evidence))
    rows = run.predictions(signature)
    rows = rows[rows["split"] == TARGET].drop_duplicates("image_id")
    known = dict(zip(rows["image_id"].astype(str), rows["label"].astype(int), strict=True))
    if folder is None and min(known.values()) >= 0:
        return known
    table = read_sealed_labels(run.storage, folder)
    return dict(zip(table["image_id"].astype(str), table["label"].astype(int), strict=True))


def as_text(found: Unsealed) -> str:
    """Two tables and the regrets."""
    stream = io.StringIO()
    console = Console(file=stream, width=160, markup=False)
    console.print(_recipes(found))
    console.print(_estimators(found))
    for sentence in sentences(found):
        console.print(sentence, soft_wrap=True, highlight=False)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _recipes(found: Unsealed) -> Table:
    table = Table(
        title=f"Estimated against true on {counted(found.images, 'image')} of the target", title_justify="left"
    )
    table.add_column("configuration", overflow="fold")
    for metric in METRICS:
        table.add_column(f"{metric_names.title(metric)}\nestimated", justify="right")
        table.add_column("\ntrue", justify="right")
    for row in found.recipes:
        cells = []
        for metric in METRICS:
            made = row.estimated[metric]
            cells += [
                f"{number(made['value'])}\n{number(made['low'])}-{number(made['high'])}",
                number(row.true[metric]),
            ]
        table.add_row(row.label, *cells)
    return table


def _estimators(found: Unsealed) -> Table:
    table = Table(title="Mean error and rank correlation over the records, by estimator", title_justify="left")
    for column in ("estimator", "AUROC error", "AUROC rank correlation", "accuracy error", "accuracy rank correlation"):
        table.add_column(column, justify="left" if column == "estimator" else "right")
    for name, scores in found.estimators.items():
        parts = [scores.get(metric, {}) for metric in ("auroc", "accuracy")]
        table.add_row(name, *(number(part.get(key)) for part in parts for key in ("error", "rank_correlation")))
    return table


main = Command(unseal_command, examples=("{} results/blind", "{} results/blind --json", "{} results/blind --report"))

if __name__ == "__main__":
    sys.exit(main())
