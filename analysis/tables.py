"""records -> the papers' tables with this run's numbers, the printed ones and the constant predictor side by side.

python -m analysis.tables results/ratio --out results/ratio/tables
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from analysis import metric_names, published, selection
from analysis.derived import RATIO
from analysis.estimates import Estimates
from analysis.frames import Run, load_run
from analysis.intervals import Interval
from sweep.core.command_line import Command, one_of
from sweep.core.errors import EXIT_COMPLETE, InputError
from sweep.core.storage import Storage


@dataclass(frozen=True)
class Cell:
    """This run's number in per cent with its interval, the printed one, and the constant predictor's; None where absent."""

    ours: Interval | None = None
    printed: float | None = None
    constant: float | None = None


@dataclass(frozen=True)
class Table:
    """A table of a paper: its name, what its numbers are, columns, and labelled rows of cells."""

    key: str
    title: str
    measure: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class Source:
    """What tables are made from: a run, its intervals, and the configuration that the rule chose in each cell."""

    run: Run
    estimates: Estimates
    chosen: tuple[str, ...]

    def best(self, **settings: object) -> str | None:
        """The chosen configuration of best source validation among those with these settings."""
        fitting = [
            key
            for key in self.chosen
            if all(str(self.run.configs.loc[key].get(name)) == str(value) for name, value in settings.items())
        ]
        quality = self.run.means.get("auroc/source_val", self.run.means.iloc[:, 0])
        return max(fitting, key=lambda key: quality[key], default=None)

    def cell(self, signature: str | None, metric: str, printed: float | None = None) -> Cell:
        """One number beside the printed one."""
        if signature is None or metric not in self.run.metrics:
            return Cell(printed=printed)
        parts = metric_names.parse(metric)
        name = f"constant_accuracy/{parts.split}"
        constant = (
            float(self.run.means.loc[signature, name])
            if "accuracy" in parts.family and name in self.run.means
            else None
        )
        return Cell(self.estimates.of(signature, metric), printed, constant)


def ratio_table(
    source: Source,
    key: str = "ratio",
    title: str = "Synthetic images per real one, of 100",
    of_paper: Mapping[float, Sequence[float]] = published.RATIO,
) -> Table | None:
    """Accuracy on the target over synthetic images per real one, a column a backbone."""
    configs = source.run.configs
    if RATIO not in configs or configs[RATIO].nunique() < 2 or "backbone" not in configs:
        return None
    names = list(dict.fromkeys(configs["backbone"]))
    rows = []
    for ratio in sorted(set(configs[RATIO].astype(float)) | set(of_paper)):
        values = configs.loc[configs[RATIO].astype(float) == ratio, RATIO]
        printed = dict(zip(published.RATIO_COLUMNS, of_paper.get(ratio, ()), strict=False))
        cells = (
            source.cell(
                source.best(backbone=name, **{RATIO: values.iloc[0]}) if len(values) else None,
                "accuracy/target",
                printed.get(published.backbone_column(name)),
            )
            for name in names
        )
        rows.append((f"{ratio:g}", tuple(cells)))
    columns = tuple(published.backbone_column(name) for name in names)
    return Table(key, title, "accuracy on the target", "synthetic per real", columns, tuple(rows))


def full_table(source: Source) -> Table | None:
    """As `ratio_table`, beside the numbers printed for all real images."""
    return ratio_table(source, "full", "Synthetic images per real one, of all", published.FULL_RATIO)


def gap_table(source: Source) -> Table | None:
    """Source accuracy, target accuracy and their difference, a row a backbone, real images only where the ratio varies."""
    if (
        not {"accuracy/source", "accuracy/target", "domain_gap/accuracy"} <= set(source.run.metrics)
        or "backbone" not in source.run.configs
    ):
        return None
    rows = []
    real = source.run.configs.get(RATIO)
    only = (
        {RATIO: real[real.astype(float) == 0].iloc[0]} if real is not None and (real.astype(float) == 0).any() else {}
    )
    reversed_way = source.run.data_card.get("source", {}).get("domain") == "poland"
    of_paper = published.FULL_REVERSED if reversed_way else published.FULL
    for name in dict.fromkeys(source.run.configs["backbone"]):
        key, printed = source.best(backbone=name, **only), of_paper.get(published.backbone_column(name), (None, None))
        gap = printed[0] - printed[1] if printed[0] is not None else None
        metrics = zip(("accuracy/source", "accuracy/target", "domain_gap/accuracy"), (*printed, gap), strict=True)
        rows.append(
            (published.backbone_column(name), tuple(source.cell(key, metric, value) for metric, value in metrics))
        )
    return Table(
        "gap",
        "Domain gap of models trained on real images",
        "accuracy",
        "backbone",
        ("source", "target", "difference"),
        tuple(rows),
    )


def colorizer_table(source: Source) -> Table | None:
    """AUROC on the source over colorizer and what is trained, a column a backbone."""
    configs = source.run.configs
    if "colorizer" not in configs or configs["colorizer"].nunique() < 2 or "backbone" not in configs:
        return None
    names = list(dict.fromkeys(configs["backbone"]))
    procedures = list(dict.fromkeys(configs["procedure"])) if "procedure" in configs else [None]
    rows = []
    for procedure in procedures:
        trained = published.TRAINED.get(str(procedure), "everything")
        for colorizer in dict.fromkeys(configs["colorizer"]):
            printed = dict(
                zip(
                    published.COLORIZER_COLUMNS,
                    (mean for mean, _ in published.COLORIZER.get((colorizer, trained), ())),
                    strict=False,
                )
            )
            fixed = {"colorizer": colorizer} | ({"procedure": procedure} if procedure else {})
            cells = (
                source.cell(
                    source.best(backbone=name, **fixed), "auroc/source", printed.get(published.backbone_column(name))
                )
                for name in names
            )
            rows.append((f"{colorizer}, {trained} trained", tuple(cells)))
    columns = tuple(published.backbone_column(name) for name in names)
    return Table("colorizer", "Colorizers", "AUROC on the source test fold", "colorizer", columns, tuple(rows))


def epsilon_table(source: Source, split: str = "target") -> Table | None:
    """Accuracy under attack over epsilon, a row a threat: with and without a colorizer, with and without adversarial training."""
    names = [
        (metric_names.parse(name), name)
        for name in source.run.metrics
        if name.startswith(f"{metric_names.ROBUST}/{split}/")
    ]
    if not names:
        return None
    names = [(parts, name) for parts, name in names if metric_names.epsilon(parts.eps) > 0]
    levels = {metric_names.epsilon(parts.eps): parts.eps for parts, _ in names}
    rows = []
    for coloured, trained, keys in _arms(source):
        best = max(keys, key=lambda key: source.run.means.get("auroc/source_val", source.run.means.iloc[:, 0])[key])
        for threat in dict.fromkeys(parts.threat for parts, _ in names):
            printed = () if trained else published.EPSILON.get((coloured, published.threat_family(threat)), ())
            cells = [source.cell(best, f"accuracy/{split}", printed[0] if printed else None)]
            cells += [
                source.cell(best, f"{metric_names.ROBUST}/{split}/{threat}@{text}", _printed(printed, eps))
                for eps, text in sorted(levels.items())
            ]
            rows.append(
                (
                    f"{'with' if coloured else 'without'} colorizer{', adversarially trained' if trained else ''}, {threat}",
                    tuple(cells),
                )
            )
    place = metric_names.SPLITS[split]
    key = "epsilon" if split == "target" else f"epsilon_{split}"
    return Table(
        key,
        "Accuracy under attack",
        f"accuracy on the {place}",
        "model, threat",
        ("0", *(levels[eps] for eps in sorted(levels))),
        tuple(rows),
    )


def epsilon_source_table(source: Source) -> Table | None:
    """As `epsilon_table`, on the hospital trained on, which is where Domain Assimilation was tested."""
    return epsilon_table(source, "source")


def _arms(source: Source) -> list[tuple[bool, bool, list[str]]]:
    arms: dict[tuple[bool, bool], list[str]] = {}
    for key in source.chosen:
        config = source.run.configs.loc[key]
        arms.setdefault(
            (config.get("colorizer", "none") != "none", float(config.get("train_eps") or 0) > 0), []
        ).append(key)
    return [(*arm, arms[arm]) for arm in sorted(arms)]


def _printed(values: Sequence[float], eps: float) -> float | None:
    level = eps * 255
    return values[round(level)] if abs(level - round(level)) < 1e-6 and round(level) < len(values) else None


TABLES: dict[str, Callable[[Source], Table | None]] = {
    "ratio": ratio_table,
    "full": full_table,
    "gap": gap_table,
    "colorizer": colorizer_table,
    "epsilon": epsilon_table,
    "epsilon_source": epsilon_source_table,
}


def make_tables(run: Run, rule: str = selection.DEFAULT_RULE, *, draws: int = 2000) -> tuple[Table, ...]:
    """All tables that the run's settings allow."""
    source = Source(run, Estimates(run, draws=draws), tuple(selection.select(run, rule)))
    return tuple(table for make in TABLES.values() if (table := make(source)) is not None)


def as_csv(table: Table) -> str:
    """One line a cell, for programs: numbers are shares, not per cent."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["row", "column", "estimate", "low", "high", "images", "seeds", "printed", "constant"])
    for label, cells in table.rows:
        for column, cell in zip(table.columns, cells, strict=True):
            ours = (
                [f"{v:.6f}" for v in (cell.ours.estimate, cell.ours.low, cell.ours.high)]
                + [cell.ours.images, cell.ours.seeds]
                if cell.ours
                else [""] * 5
            )
            writer.writerow(
                [
                    label,
                    column,
                    *ours,
                    *(
                        "" if v is None else v
                        for v in (None if cell.printed is None else cell.printed / 100, cell.constant)
                    ),
                ]
            )
    return stream.getvalue()


def as_markdown(table: Table) -> str:
    """A table to read: estimate [interval], printed number in round brackets."""

    def line(parts: Iterable[str]) -> str:
        return "| " + " | ".join(part.replace("|", "\\|") for part in parts) + " |\n"

    body = "".join(line([label, *(_text(cell) for cell in cells)]) for label, cells in table.rows)
    rule = line(["---", *("--:" for _ in table.columns)])
    return f"**{table.title}**: {_legend(table)}\n\n{line([table.corner, *table.columns])}{rule}{body}"


def as_latex(table: Table) -> str:
    """A booktabs table for a paper."""
    rows = "".join(
        f"{_latex(label)} & {' & '.join(_latex(_text(cell)) for cell in cells)} \\\\\n" for label, cells in table.rows
    )
    head = " & ".join(_latex(name) for name in (table.corner, *table.columns))
    return (
        f"\\begin{{table}}\n\\centering\n\\caption{{{_latex(table.title + ': ' + _legend(table))}}}\n\\begin{{tabular}}{{l{'r' * len(table.columns)}}}\n"
        f"\\toprule\n{head} \\\\\n\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )


FORMATS = {"csv": as_csv, "md": as_markdown, "tex": as_latex}


def _legend(table: Table) -> str:
    constants = sorted(
        {round(100 * cell.constant, 1) for _, cells in table.rows for cell in cells if cell.constant is not None}
    )
    beside = f" The constant predictor scores {' or '.join(f'{value:g}' for value in constants)}." if constants else ""
    return f"{table.measure} in per cent with its 95 % interval; in round brackets the number printed in the paper, on its own data.{beside}"


def _text(cell: Cell) -> str:
    ours = (
        f"{100 * cell.ours.estimate:.1f} [{100 * cell.ours.low:.1f}, {100 * cell.ours.high:.1f}]" if cell.ours else ""
    )
    return " ".join(filter(None, [ours, f"({cell.printed:.1f})" if cell.printed is not None else ""])) or "-"


def _latex(text: str) -> str:
    marks = {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "_": r"\_",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
    return "".join(marks.get(letter, letter) for letter in text)


def write_tables(run_folder: str | Path, out: str | Path, rule: str = selection.DEFAULT_RULE) -> list[str]:
    """Write every table in every format to `out`; returns their addresses. InputError when no table fits the run."""
    selection.rule_named(rule)
    tables = make_tables(load_run(run_folder), rule)
    if not tables:
        raise InputError(
            run_folder,
            "holds none of the papers' comparisons",
            f"vary one of these in the grid: backbone with {RATIO}, colorizer; or attack",
        )
    place = Storage(out)
    files = {f"{table.key}.{ending}": form(table) for table in tables for ending, form in FORMATS.items()}
    for name, text in files.items():
        place.write(name, text.encode())
    return [place.address(name) for name in files]


def tables_command(
    run: Annotated[str, typer.Argument(help="Run folder or URL, e.g. results/quickstart.", show_default=False)],
    out: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Folder or URL to write to.", show_default="RUN/tables")
    ] = None,
    rule: Annotated[
        str, typer.Option(**one_of(selection.RULES), help="How a configuration is chosen in each cell of a table.")
    ] = selection.DEFAULT_RULE,
) -> int:
    """Write the papers' tables from a run as CSV, Markdown and LaTeX, beside the published numbers, and print their paths."""
    paths = write_tables(run, out or Storage(run).address("tables"), rule)
    sys.stdout.write("".join(f"{path}\n" for path in paths))
    return EXIT_COMPLETE


main = Command(tables_command, examples=("{} results/ratio", "{} results/ratio --out paper/tables"))

if __name__ == "__main__":
    sys.exit(main())
