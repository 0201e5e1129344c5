"""Promises of the analysis room: what it imports, and what every rule, figure, table, command and format does."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import compare as compare_command
from analysis import folds, hparams, interchange, rank, report, selection, serve, table_formats, tables, watch
from analysis.estimates import Estimates
from analysis.frames import load_run
from analysis.outcomes import MEASURES
from analysis.page import FIGURES, build_page
from analysis.warnings import CHECKS, ResultWarning
from tests.fakes.run_folder import FakeSweep, write_fake_run
from tests.fakes.run_pictures import write_properties_table

ROOM = Path(__file__).parents[2] / "analysis"
MODULES = sorted(
    ".".join(path.relative_to(ROOM.parent).with_suffix("").parts)
    for path in ROOM.rglob("*.py")
    if path.name != "__init__.py"
)
COMMANDS = {
    "rank": (rank.main, []),
    "report": (report.main, []),
    "serve": (serve.main, []),
    "watch": (watch.main, ["--once"]),
    "tables": (tables.main, []),
    "hparams": (hparams.main, []),
    "folds": (folds.main, []),
    "compare": (compare_command.main, ["nowhere"]),
    "interchange": (interchange.main, ["--to", "csv", "--out", "never-written.csv"]),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    sweep = FakeSweep(ratios=(0, 1), nuisance=2, seeds=2, images=24, hospitals=6, acquisition=("blur", "gain"))
    folder = write_fake_run(tmp_path_factory.mktemp("contract") / "run", sweep)
    write_properties_table(Path(folder))
    return load_run(folder)


@pytest.fixture(scope="module")
def page(run):
    return build_page(run, draws=200)


@pytest.mark.parametrize("module", MODULES)
class TestEveryModule:
    def test_opens_with_what_it_is(self, module):
        assert importlib.import_module(module).__doc__


def test_no_ring_of_imports():
    graph = {}
    for module in MODULES:
        path = ROOM.parent / Path(*module.split(".")).with_suffix(".py")
        nodes = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom) and node.module
        ]
        found = {node.module for node in nodes} | {
            f"{node.module}.{alias.name}" for node in nodes for alias in node.names
        }
        graph[module] = found & set(MODULES)
    done: set[str] = set()
    while ready := [module for module in graph if module not in done and graph[module] <= done]:
        done |= set(ready)
    assert set(graph) == done, f"ring among {sorted(set(graph) - done)}"


def test_neither_torch_nor_ray_is_loaded():
    code = f"import sys\nfor name in {MODULES!r}: __import__(name)\nassert not {{'torch', 'ray'}} & set(sys.modules), 'loaded'"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOM.parent, timeout=120, check=False).returncode == 0


@pytest.mark.parametrize("name", COMMANDS)
class TestEveryCommand:
    def test_bad_input_is_one_message_and_exit_code_two(self, name, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        command, extra = COMMANDS[name]
        assert command(["nowhere", *extra]) == 2
        said = capsys.readouterr()
        assert said.err.startswith("error: nowhere: ") and said.err.count("\n") == 1 and said.out == ""
        assert list(tmp_path.iterdir()) == [], "nothing half-written"

    def test_help_names_the_run(self, name, capsys):
        assert COMMANDS[name][0](["--help"]) == 0 and "RUN" in capsys.readouterr().out.upper()


@pytest.mark.parametrize("rule", selection.RULES)
class TestEveryRule:
    def test_chooses_one_configuration_a_cell(self, rule, run):
        chosen = selection.select(run, rule)
        assert len(chosen) == 8 and chosen.is_unique and set(chosen) <= set(run.means.index)

    def test_says_oracle_if_and_only_if_it_looks_at_the_target(self, rule, run):
        made = selection.RULES[rule]
        read = [name for name in run.means if ("target" in name or "gap" in name) and not name.startswith("predicted_")]
        blind = run.means.drop(columns=read)
        looks = False
        try:
            made.score(blind)
        except Exception:
            looks = True
        assert made.oracle == looks == ("oracle" in made.describe)


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_equals_its_recorded_metric(name, run):
    key = run.means.index[0]
    point = Estimates(run, draws=200).resampled(key, f"{name}/target").point
    assert point == pytest.approx(run.records.loc[key, f"{name}/target"].to_numpy())


def test_every_figure_is_drawn_named_and_has_its_numbers(page):
    # Predicted against true performance needs a target whose labels were unsealed, AUROC by class three classes: tests of their own.
    drawn_here = [make for make in FIGURES if make.__name__ not in ("_unsealed", "_by_class")]
    assert len(page.figures) == len(drawn_here) + 1  # and the ratio curves
    assert len({figure.key for figure in page.figures}) == len(page.figures)
    for figure in page.figures:
        assert figure.title.endswith("?") and figure.caption.endswith(".")
        assert figure.table.rows and all(len(row) == len(figure.table.columns) for row in figure.table.rows)
        for panel in figure.panels:
            assert 'aria-label="' in panel.svg and not re.search(r"\b(nan|None)\b", panel.svg)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_check_gives_cautions_that_a_person_can_act_on(check, run):
    for warning in check(run):
        assert (
            isinstance(warning, ResultWarning)
            and warning.severity in ("serious", "note")
            and warning.headline
            and warning.detail
        )


@pytest.mark.parametrize("form", table_formats.FORMATS)
def test_every_table_in_every_format_shows_every_row(form, run):
    made = tables.make_tables(run, draws=200)
    ratios = {f"ratio_{round(100 * ratio)}_synthetic" for ratio in (0.25, 0.5, 0.75, 1)}  # tables 2 to 5 need theirs
    keys = {table.key for table in made}
    assert ratios < set(tables.TABLES) and keys - ratios == set(tables.TABLES) - ratios and keys & ratios
    for table in made:
        text = table_formats.FORMATS[form](table)
        assert text.endswith("\n") and all(label.split(",")[0] in text.replace("\\_", "_") for label, _ in table.rows)


DATABASES = {"optuna", "mlflow"}  # many seconds to create; tests/unit/analysis/test_interchange.py reads them back


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.slow) if kind in DATABASES else kind for kind in interchange.WRITERS],
)
def test_every_interchange_writes_one_file(kind, run, tmp_path):
    interchange.WRITERS[kind](run, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
