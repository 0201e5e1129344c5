"""records -> the papers' tables with this run's numbers, the printed ones and the constant predictor side by side.

python -m analysis.tables results/ratio --out results/ratio/tables
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from analysis import metric_names, published, selection
from analysis.conditions import Condition, grouped
from analysis.derived import RATIO
from analysis.estimates import Estimates
from analysis.frames import Run, load_run
from analysis.intervals import interval
from analysis.table_formats import FORMATS, Cell, Table
from sweep.core.command_line import Command, one_of, run_as_program
from sweep.core.epsilon import parse_epsilon
from sweep.core.errors import EXIT_COMPLETE, InputError
from sweep.core.metric_table import SOURCE_TO_TARGET, TARGET_TO_SOURCE
from sweep.core.storage import Storage


@dataclass(frozen=True)
class Source:
    """What tables are made from: a run, its intervals, and the configuration that the rule chose in each cell of one condition."""

    run: Run
    estimates: Estimates
    chosen: tuple[str, ...]
    condition: Condition

    def best(self, **settings: object) -> str | None:
        """The chosen configuration of best source validation among those with these settings; an undefined score is the worst.

        Of equal ones it is the one whose signature comes first.
        """
        fitting = [
            key
            for key in self.chosen
            if all(str(self.run.configs.loc[key].get(name)) == str(value) for name, value in settings.items())
        ]
        return self.best_of(fitting)

    def best_of(self, signatures: Sequence[str]) -> str | None:
        """As `best`, among these."""
        return min(signatures, key=lambda key: (-self.quality(key), key), default=None)

    def quality(self, signature: str) -> float:
        """Mean AUROC on source validation, or the first metric where that was not recorded."""
        means = self.run.means
        value = float(means.get("auroc/source_val", means.iloc[:, 0])[signature])
        return value if value == value else -math.inf

    def settings(self, name: str) -> list[object]:
        """The values of a setting among the chosen configurations, in the order they were written."""
        if name not in self.run.configs:
            return []
        values = self.run.configs.loc[list(self.chosen), name].dropna()
        return list(dict.fromkeys(values))

    @property
    def real_images(self) -> set[int]:
        """Sizes of the real training sets."""
        return {self.run.real_images[key] for key in self.chosen if key in self.run.real_images}

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

    def gap_cell(self, real_only: str | None, signature: str | None, printed: float | None = None) -> Cell:
        """Source accuracy of the real-only model minus target accuracy of this one: the papers' gap, with its own interval."""
        sample = self.estimates.gap_against(real_only, signature, "accuracy") if real_only and signature else None
        return Cell(printed=printed) if sample is None else Cell(interval(sample, limits=(-1.0, 1.0)), printed)


PAPERS_SIZE = 100  # real images of the seed study's tables 2 to 5


def _study(source: Source) -> published.RatioStudy | None:
    """The printed numbers that this direction and training size may stand beside; None where the papers have none."""
    if source.condition.direction != SOURCE_TO_TARGET:
        return None
    if source.real_images == {PAPERS_SIZE}:
        return published.HUNDRED
    return published.ALL if source.condition.train_images is None else None


def _ratios(source: Source) -> list[float]:
    return sorted({float(str(value)) for value in source.settings(RATIO)})


def _at_ratio(source: Source, backbone: object, ratio: float) -> str | None:
    values = [value for value in source.settings(RATIO) if float(str(value)) == ratio]
    return source.best(backbone=backbone, **{RATIO: values[0]}) if values else None


def _ratio_rows(source: Source) -> tuple[list[object], list[float]] | None:
    """Backbones, and ratios of this run and of the printed table; None where the ratio does not vary."""
    if len(_ratios(source)) < 2 or not source.settings("backbone"):
        return None
    study = _study(source)
    return source.settings("backbone"), sorted({*_ratios(source), *(study.target if study else ())})


def _which(source: Source) -> str:
    study = _study(source)
    if study is published.HUNDRED:
        return f"{PAPERS_SIZE} real images (seed study, tables 2 to 5)"
    return "all real images (seed study, table 6)" if study is published.ALL else "no printed numbers beside it"


def ratio_table(source: Source) -> Table | None:
    """Accuracy on the target over synthetic images per real one, a column a backbone."""
    varied = _ratio_rows(source)
    if varied is None:
        return None
    backbones, ratios = varied
    study = _study(source)
    rows = []
    for ratio in ratios:
        printed = dict(zip(published.RATIO_COLUMNS, study.target.get(ratio, ()) if study else (), strict=False))
        keys = [(_at_ratio(source, name, ratio), published.backbone_column(str(name))) for name in backbones]
        rows.append((f"{ratio:g}", tuple(source.cell(key, "accuracy/target", printed.get(name)) for key, name in keys)))
    columns = tuple(published.backbone_column(str(name)) for name in backbones)
    title = f"Synthetic images per real one, {_which(source)}"
    return Table("ratio", title, "accuracy on the target", "synthetic per real", columns, tuple(rows))


def ratio_gap_table(source: Source) -> Table | None:
    """Accuracy lost over synthetic images per real one: by the papers' definition, and of the same model."""
    varied = _ratio_rows(source)
    if varied is None or not {"accuracy/source", "domain_gap/accuracy"} <= set(source.run.metrics):
        return None
    backbones, ratios = varied
    study, rows = _study(source), []
    for ratio in ratios:
        printed = dict(zip(published.RATIO_COLUMNS, study.gap(ratio) if study else (), strict=False))
        cells = []
        for name in backbones:
            key, real_only = _at_ratio(source, name, ratio), _at_ratio(source, name, 0.0)
            cells.append(source.gap_cell(real_only, key, printed.get(published.backbone_column(str(name)))))
            cells.append(source.cell(key, "domain_gap/accuracy"))
        rows.append((f"{ratio:g}", tuple(cells)))
    names = [published.backbone_column(str(name)) for name in backbones]
    columns = tuple(text for name in names for text in (name, f"{name}, same model"))
    measure = "source accuracy of the real-only model minus target accuracy (same model: source and target accuracy of one model), in points,"
    return Table("ratio_gap", f"Domain gap, {_which(source)}", measure, "synthetic per real", columns, tuple(rows))


def seed_table(ratio: float, source: Source) -> Table | None:
    """One of the seed study's tables 2 to 5: 100 real images alone and with synthetic ones at this ratio, a row a backbone.

    Their numbering is not known to this project; each holds one of the four ratios.
    """
    if _study(source) is not published.HUNDRED or _ratio_rows(source) is None or 0.0 not in _ratios(source):
        return None
    if ratio not in _ratios(source):
        return None
    study, rows = published.HUNDRED, []
    for name in source.settings("backbone"):
        column = published.backbone_column(str(name))
        real, mixed = _at_ratio(source, name, 0.0), _at_ratio(source, name, ratio)
        at = published.RATIO_COLUMNS.index(column) if column in published.RATIO_COLUMNS else None
        home, alone, both, lost, left = (
            None if at is None else row[at]
            for row in (study.source, study.target[0.0], study.target[ratio], study.gap(0.0), study.gap(ratio))
        )
        cells = (
            source.cell(real, "accuracy/source", home),
            source.cell(real, "accuracy/target", alone),
            source.cell(mixed, "accuracy/target", both),
            source.gap_cell(real, real, lost),
            source.gap_cell(real, mixed, left),
        )
        rows.append((column, cells))
    columns = (
        "source, real only",
        "target, real only",
        "target, with synthetic",
        "gap, real only",
        "gap, with synthetic",
    )
    title = f"{PAPERS_SIZE} real and {round(PAPERS_SIZE * ratio)} synthetic images (seed study, one of tables 2 to 5)"
    return Table(f"ratio_{PAPERS_SIZE * ratio:.0f}_synthetic", title, "accuracy", "backbone", columns, tuple(rows))


def gap_table(source: Source) -> Table | None:
    """Source accuracy, target accuracy and their difference, a row a backbone, real images only where the ratio varies."""
    if not {"accuracy/source", "accuracy/target", "domain_gap/accuracy"} <= set(source.run.metrics):
        return None
    rows = []
    zeros = [value for value in source.settings(RATIO) if float(str(value)) == 0]
    only: dict[str, object] = {RATIO: zeros[0]} if zeros else {}
    for name in source.settings("backbone"):
        column = published.backbone_column(str(name))
        key = source.best(backbone=name, **only)
        metrics = zip(
            ("accuracy/source", "accuracy/target", "domain_gap/accuracy"), _printed_gap(source, column), strict=True
        )
        rows.append((column, tuple(source.cell(key, metric, value) for metric, value in metrics)))
    if not rows:
        return None
    title = "Domain gap of models trained on real images (seed study, table 1)"
    return Table("gap", title, "accuracy", "backbone", ("source", "target", "difference"), tuple(rows))


def _printed_gap(source: Source, column: str) -> tuple[float | None, ...]:
    # The study trained at both hospitals: which of its rows belongs here, the names of the hospitals and the direction say together.
    sides = source.run.data_card
    away = source.condition.direction != SOURCE_TO_TARGET
    started_in_poland = sides.get("source", {}).get("domain") == "poland"
    way = TARGET_TO_SOURCE if away != started_in_poland else SOURCE_TO_TARGET
    whole = source.condition.train_images is None and source.real_images != {PAPERS_SIZE}
    return published.GAP[way] if column == published.GAP_BACKBONE and whole else (None, None, None)


def colorizer_table(source: Source) -> Table | None:
    """AUROC on the source over colorizer and what is trained, a column a backbone."""
    names, colorizers = source.settings("backbone"), source.settings("colorizer")
    if len(colorizers) < 2 or not names:
        return None
    procedures = source.settings("procedure") or [None]
    rows = []
    for procedure in procedures:
        trained = published.TRAINED.get(str(procedure), "everything")
        for colorizer in colorizers:
            printed = dict(
                zip(
                    published.COLORIZER_COLUMNS,
                    (mean for mean, _ in published.COLORIZER.get((str(colorizer), trained), ())),
                    strict=False,
                )
            )
            fixed = {"colorizer": colorizer} | ({"procedure": procedure} if procedure else {})
            cells = (
                source.cell(
                    source.best(backbone=name, **fixed),
                    "auroc/source",
                    printed.get(published.backbone_column(str(name))),
                )
                for name in names
            )
            rows.append((f"{colorizer}, {trained} trained", tuple(cells)))
    columns = tuple(published.backbone_column(str(name)) for name in names)
    return Table("colorizer", "Colorizers", "AUROC on the source test fold", "colorizer", columns, tuple(rows))


def epsilon_table(source: Source, split: str = "target") -> Table | None:
    """Accuracy under attack over epsilon, a row a threat: with and without a colorizer, with and without adversarial training."""
    parsed = [
        metric_names.parse(name) for name in source.run.metrics if name.startswith(f"{metric_names.ROBUST}/{split}/")
    ]
    attacked = [(parts.threat or "", parts.eps) for parts in parsed if parts.eps and parse_epsilon(parts.eps) > 0]
    if not attacked:
        return None
    levels = {parse_epsilon(eps): eps for _, eps in attacked}
    rows = []
    for coloured, trained, keys in _arms(source):
        best = source.best_of(keys)
        for threat in dict.fromkeys(threat for threat, _ in attacked):
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
    "ratio_gap": ratio_gap_table,
    **{f"ratio_{100 * r:.0f}_synthetic": partial(seed_table, r) for r in published.HUNDRED.target if r > 0},
    "gap": gap_table,
    "colorizer": colorizer_table,
    "epsilon": epsilon_table,
    "epsilon_source": epsilon_source_table,
}


def make_tables(run: Run, rule: str = selection.DEFAULT_RULE, *, draws: int = 2000) -> tuple[Table, ...]:
    """All tables that the run's settings allow, each direction and training size by itself."""
    estimates, chosen = Estimates(run, draws=draws), set(selection.select(run, rule))
    groups = grouped(run)
    return tuple(
        _named(table, condition, len(groups) > 1)
        for condition, members in groups.items()
        for make in TABLES.values()
        if (table := make(Source(run, estimates, tuple(key for key in members if key in chosen), condition)))
        is not None
    )


def _named(table: Table, condition: Condition, several: bool) -> Table:
    """The table with its condition in key and title, where the run has several."""
    if not several:
        return table
    ending = re.sub(r"[^a-z0-9]+", "_", condition.text.lower())
    return replace(table, key=f"{table.key}_{ending}", title=f"{table.title}, {condition.text}")


def write_tables(run_folder: str | Path, out: str | Path, rule: str = selection.DEFAULT_RULE) -> list[str]:
    """Write every table in every format to `out`; returns their addresses. InputError when no table fits the run."""
    selection.rule_named(rule)
    run = load_run(run_folder)
    tables = make_tables(run, rule)
    if not tables:
        raise InputError(
            run_folder,
            "holds none of the papers' comparisons",
            f"vary one of these in the grid: backbone with {RATIO}, colorizer; or attack",
        )
    if run.unfinished:
        tables = tuple(replace(table, title=f"UNFINISHED ({_progress(run)}): {table.title}") for table in tables)
    place = Storage(out)
    files = {f"{table.key}.{ending}": form(table) for table in tables for ending, form in FORMATS.items()}
    for name, text in files.items():
        place.write(name, text.encode())
    return [place.address(name) for name in files]


def _progress(run: Run) -> str:
    return f"{len(run.records)} of {run.planned_records} records have finished"


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

run_as_program(main, __name__)
