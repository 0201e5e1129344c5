"""How often the analysis is right: coverage, false positives, power, selection bias and front probability on sweeps whose truth is known.

python -m benchmarks.statistics                     # an hour or two of two cores; the same command again carries on
python -m benchmarks.statistics --quick             # a few repeats of every design, minutes
python -m benchmarks.statistics --table             # write the table of docs/statistics.md from the results so far

Every batch of repeats is one line of the results file, so a killed run loses one batch. Designs take turns, all with few repeats first.
Batches computed by another version of the statistics are not mixed in: each line holds a hash of the modules that it measures.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import itertools
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import race_error, simulated_sweeps
from benchmarks.simulated_sweeps import EFFECT, FRONT_RECIPES, RECIPES, VIEWS, Cell

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "statistics.md"
BEGIN, END = "<!-- begin: python -m benchmarks.statistics -->", "<!-- end -->"
BATCH = 20
REPEATS, HEADLINE_REPEATS, RACES, NULL_SWEEPS = 500, 2000, 1000, 500
SEEDS, IMAGES = (2, 3, 5, 10), (40, 100, 250)
HEADLINE = (Cell(3, 100, 0.5, 1), Cell(3, 250, 0.5, 1), Cell(5, 250, 0.5, 1))
SCORES = (
    "analysis/intervals.py",
    "analysis/outcomes.py",
    "analysis/comparisons.py",
    "analysis/seed_variance.py",
    "analysis/selection_bias.py",
    "sweep/core/variances.py",
    "benchmarks/simulated_sweeps.py",
)
FRONT = ("analysis/intervals.py", "analysis/joint_noise.py", "benchmarks/simulated_sweeps.py")
RACING = (
    "sweep/core/variances.py",
    "sweep/search/paired_differences.py",
    "sweep/search/racing.py",
    "sweep/search/evidence.py",
    "benchmarks/race_error.py",
)
MEASURED = {
    "null sweep": SCORES,
    "sweep": SCORES,
    "race": RACING,
    "front": FRONT,
}  # by section: the modules that its figures depend on
Figures = dict[str, float]


@dataclass(frozen=True)
class Part:
    """One design: its section of the table, its name, how a repeat is computed, and how many make it complete."""

    section: str
    name: str
    once: Callable[[int], Figures]
    repeats: int


def parts() -> list[Part]:
    """Every design, the ones that matter most first."""
    grid = (Cell(*of) for of in itertools.product(SEEDS, IMAGES, (0.5, 0.12), (1, VIEWS)))
    cells = [*HEADLINE, *(cell for cell in grid if cell not in HEADLINE)]
    nulls = [Cell(3, 100, 0.5, 1), Cell(3, 250, 0.5, 1)]
    return [
        *(Part("null sweep", cell.name, partial(simulated_sweeps.null_sweep, cell), NULL_SWEEPS) for cell in nulls),
        *(Part("race", shape.name, partial(race_error.one_race, shape), RACES) for shape in race_error.SHAPES),
        *(
            Part(
                "sweep",
                cell.name,
                partial(simulated_sweeps.repeat, cell),
                HEADLINE_REPEATS if cell in HEADLINE else REPEATS,
            )
            for cell in cells
        ),
        *(
            Part("front", f"{seeds} seeds, {images} images", partial(simulated_sweeps.front, seeds, images), REPEATS)
            for seeds, images in itertools.product(SEEDS, IMAGES)
        ),
    ]


def code_hash(section: str) -> str:
    """Hash of the modules that the figures of a section depend on; comments, docstrings and layout do not count."""
    return hashlib.sha256("".join(statements(ROOT / name) for name in MEASURED[section]).encode()).hexdigest()[:12]


def statements(path: Path) -> str:
    """The syntax tree of a module without its docstrings, as text."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def batch(part: Part, number: int) -> Figures:
    """Sums and sums of squares of one batch of repeats."""
    sums: Figures = {}
    for repeat in range(number * BATCH, (number + 1) * BATCH):
        for name, value in part.once(repeat).items():
            if math.isfinite(value):
                for key, amount in ((f"n {name}", 1.0), (f"s {name}", value), (f"q {name}", value * value)):
                    sums[key] = sums.get(key, 0.0) + amount
    return sums


@dataclass
class Results:
    """The lines of a results file that this code wrote: (section, name) -> batch number -> sums."""

    path: Path
    code: dict[str, str]  # by section
    held: dict[tuple[str, str], dict[int, Figures]]

    @classmethod
    def read(cls, path: Path) -> Results:
        """The file as it stands; a half-written last line is dropped."""
        made = cls(path, {section: code_hash(section) for section in MEASURED}, {})
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if row["code"] == made.code.get(row["section"]):
                made.held.setdefault((row["section"], row["name"]), {})[row["batch"]] = row["sums"]
        return made

    def add(self, part: Part, number: int, sums: Figures) -> None:
        """Keep a batch, on disk at once."""
        self.held.setdefault((part.section, part.name), {})[number] = sums
        row = {
            "code": self.code[part.section],
            "section": part.section,
            "name": part.name,
            "batch": number,
            "sums": sums,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def repeats(self, part: Part) -> int:
        """How many repeats of a design are there."""
        return BATCH * len(self.held.get((part.section, part.name), {}))

    def figure(self, part: Part, name: str) -> tuple[float, float]:
        """(mean, standard error); NaN where nothing was measured."""
        batches = self.held.get((part.section, part.name), {}).values()
        count, total, squares = (sum(one.get(f"{key} {name}", 0.0) for one in batches) for key in "nsq")
        if not count:
            return math.nan, math.nan
        mean = total / count
        return mean, math.sqrt(max(0.0, squares / count - mean * mean) / count)

    def bound(self, part: Part, name: str) -> float | None:
        """Exact one-sided 95 % bound of a share that was 0 or 1 in every repeat, where the standard error says nothing; None elsewhere."""
        batches = self.held.get((part.section, part.name), {}).values()
        count, total, squares = (sum(one.get(f"{key} {name}", 0.0) for one in batches) for key in "nsq")
        if name not in SHARES or not count or total != squares or total not in (0, count):
            return None
        return 0.05 ** (1 / count) if total else 1 - 0.05 ** (1 / count)


def due(results: Results, wanted: list[Part], most: int | None) -> Iterator[tuple[Part, int]]:
    """Batches to compute: every design gets one, then every design as many again, until each is complete."""
    step = 1
    while True:
        left = False
        for part in wanted:
            goal = min(part.repeats, most or part.repeats)
            done = results.held.get((part.section, part.name), {})
            numbers = [n for n in range(min(step, math.ceil(goal / BATCH))) if n not in done]
            left = left or step < math.ceil(goal / BATCH)
            for number in numbers:
                yield part, number
        if not left:
            return
        step *= 2


def run(results: Results, wanted: list[Part], most: int | None, workers: int, seconds: float) -> None:
    """Compute what is due within so many seconds."""
    started = time.monotonic()
    with ProcessPoolExecutor(workers) as pool:
        queue = due(results, wanted, most)
        while chunk := list(itertools.islice(queue, workers)):
            futures = [(part, number, pool.submit(batch, part, number)) for part, number in chunk]
            for part, number, future in futures:
                results.add(part, number, future.result())
                sys.stdout.write(f"{time.monotonic() - started:6.0f} s  {part.section}: {part.name}, batch {number}\n")
                sys.stdout.flush()
            if time.monotonic() - started > seconds:
                return


COLUMNS = {
    "sweep": (
        ("coverage", "coverage", 100),
        ("false positives", "false positive", 100),
        ("pooled t", "false positive of a pooled t", 100),
        (f"power at {100 * EFFECT:.0f} points", "power", 100),
        ("pooled t", "power of a pooled t", 100),
        ("bias of the best of " + str(RECIPES), "winner's bias", 100),
        ("corrected", "corrected bias", 100),
        ("its coverage", "corrected coverage", 100),
    ),
    "front": (
        ("true %", "front true", 100),
        ("stated %", "front stated, together", 100),
        ("noise apart", "front stated, apart", 100),
        ("resampled", "front stated, resampled", 100),
        ("Brier x 1,000", "front Brier, together", 1000),
        ("noise apart", "front Brier, apart", 1000),
        ("resampled", "front Brier, resampled", 1000),
    ),
    "null sweep": (
        ("bias as observed", "winner's bias", 100),
        ("its coverage", "winner's coverage", 100),
        ("bias corrected", "corrected bias", 100),
        ("its coverage", "corrected coverage", 100),
    ),
    "race": tuple(
        (f"{words}, {rule}", f"{key}, {rule}", factor)
        for rule in race_error.RULES
        for words, key, factor in (("best ever dropped %", "best dropped", 100), ("seeds spent", "seeds", 1))
    ),
}
SHARES = {
    "coverage",
    "false positive",
    "false positive of a pooled t",
    "power",
    "power of a pooled t",
    "winner's coverage",
    "corrected coverage",
    *(f"best dropped, {rule}" for rule in race_error.RULES),
}  # figures that are yes or no in every repeat
TITLES = {
    "null sweep": "50 equal recipes, the best on the target is named (bias in points of AUROC, coverage of 95 % intervals in %)",
    "race": f"Races of {race_error.RECIPES} recipes, {race_error.LEAST} to {race_error.MOST} seeds, alpha 5 %, at most {race_error.RECIPES * race_error.MOST} seeds",
    "sweep": f"Sweeps of {RECIPES + 1} recipes (shares in %, bias in points of AUROC)",
    "front": f"Share of {FRONT_RECIPES} recipes on the front of AUROC on the target and domain gap",
}


def table(results: Results) -> str:
    """All results as Markdown, beside each figure its standard error, or a 95 % bound where all repeats agree."""
    lines = []
    for section, title in TITLES.items():
        shown = [part for part in parts() if part.section == section and results.repeats(part)]
        if not shown:
            continue
        columns = COLUMNS[section]
        lines += [f"**{title}**", "", f"| design | {' | '.join(head for head, _, _ in columns)} | repeats |"]
        lines += ["|---" * (len(columns) + 2) + "|"]
        for part in shown:
            cells = [
                _cell(*results.figure(part, name), results.bound(part, name), factor) for _, name, factor in columns
            ]
            lines.append(f"| {part.name} | {' | '.join(cells)} | {results.repeats(part)} |")
        lines.append("")
    return "\n".join(lines)


def _cell(mean: float, error: float, bound: float | None, factor: float) -> str:
    if math.isnan(mean):
        return "-"
    if bound is not None:
        return f"{factor * mean:.1f} ({'above' if mean else 'below'} {factor * bound:.1f})"
    return f"{factor * mean:.1f} \N{PLUS-MINUS SIGN} {factor * error:.1f}"


def write_page(results: Results, page: Path) -> None:
    """Put the table between the marks of the page."""
    text = page.read_text()
    if BEGIN not in text or END not in text.split(BEGIN, 1)[1]:
        raise SystemExit(f"{page}: has no block between {BEGIN!r} and {END!r}; restore both lines")
    before, after = text.split(BEGIN, 1)
    page.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after.split(END, 1)[1]}")


def main() -> None:
    """Compute what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--results", type=Path, default=ROOT / "results" / "statistics.jsonl", help="file to keep batches in"
    )
    parser.add_argument("--quick", action="store_true", help=f"{BATCH} repeats of every design")
    parser.add_argument("--table", action="store_true", help="compute nothing, write the table of docs/statistics.md")
    parser.add_argument(
        "--section", choices=TITLES, action="append", help="only this part of the table; may be given again"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start no batch after so many minutes")
    options = parser.parse_args()
    results = Results.read(options.results)
    if not options.table:
        wanted = [part for part in parts() if not options.section or part.section in options.section]
        run(results, wanted, BATCH if options.quick else None, options.workers, 60 * options.minutes)
    if options.quick:
        sys.stdout.write(table(results) + "\n")
    else:
        write_page(results, PAGE)


if __name__ == "__main__":
    main()
