"""Every command, of the console script and behind `python -m`: help complete and 80 columns wide, mistakes named by their flag."""

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from recipe_finder.__main__ import SECTIONS, main
from sweep.core.command_line import Command, CommandGroup, Forwarded, _continued

ROOT = Path(__file__).parents[2]
ROWS = {name: row for rows in SECTIONS.values() for name, row in rows.items()}
# Started by the product itself, which speaks to them through a pipe: no command line of a user.
OWN_PROCESSES = {"sweep.core.bounded", "sweep.execution.inline_worker", "sweep.doctor.ray_checks"}


def _inside(words, loaded):
    """(words, command) of a command, or of every command of a group."""
    yield words, loaded
    if isinstance(loaded, CommandGroup):
        for rows in loaded.sections.values():
            for name, row in rows.items():
                yield from _inside((*words, name), row.load())


def _is_program(path):
    """Whether `python -m` of the file does something: it asks for __main__ or calls run_as_program."""
    text = path.read_text(encoding="utf-8")
    if "__main__" not in text and "run_as_program(" not in text:
        return False
    for node in ast.parse(text).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'":
            return True
        if isinstance(node, ast.Expr) and ast.unparse(node.value).startswith("run_as_program("):
            return True
    return False


def programs():
    """Dotted names of the modules that `python -m` runs, without those that the product starts itself."""
    found = set()
    for package in ("recipe_finder", "sweep", "analysis", "cluster"):
        for path in (ROOT / package).rglob("*.py"):
            if _is_program(path):
                found.add(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__"))
    assert found >= OWN_PROCESSES
    return sorted(found - OWN_PROCESSES)


def module_of(program):
    """The module that `python -m program` runs."""
    package = (ROOT / Path(*program.split(".")) / "__main__.py").exists()
    return importlib.import_module(f"{program}.__main__" if package else program)


def _of_the_script():
    for name, row in ROWS.items():
        for words, loaded in _inside((name,), row.load()):
            yield pytest.param(main, words, loaded, id=" ".join(words))


def _of_modules():
    for program in sorted(set(programs()) - {"recipe_finder"}):  # which is the script
        loaded = module_of(program).main
        start = (
            loaded if isinstance(loaded, Command | CommandGroup) else Forwarded(lambda words, _, run=loaded: run(words))
        )
        for words, inner in _inside((), start):
            run = loaded if not isinstance(start, Forwarded) else start
            yield pytest.param(run, words, inner, id=" ".join((program, *words)))


EVERY = [*_of_the_script(), *_of_modules()]


def _code(run, words):
    """Exit code, whatever reads the command line: argparse raises SystemExit."""
    try:
        return run.main(list(words), "") if isinstance(run, Forwarded) else run(list(words))
    except SystemExit as end:
        return end.code or 0


def _flat(text):
    return " ".join(text.split())


def _letters(text):
    """Without spaces: lines are also broken at hyphens."""
    return "".join(text.split())


@pytest.mark.parametrize(("run", "words", "command"), EVERY)
def test_help_is_complete_at_80_columns(capsys, monkeypatch, run, words, command):
    monkeypatch.setenv("COLUMNS", "80")
    assert _code(run, [*words, "--help"]) == 0
    page = capsys.readouterr().out
    assert [line for line in page.splitlines() if len(line) > 80] == []
    assert page.startswith("Usage: ") and "Examples:" in page and "Exit codes:" in page
    assert all(name in page for name in words)
    if isinstance(command, Forwarded):
        options = re.findall(
            r"^  (--?\w.*?)(?:  +(.*))?$", page.partition("Options:")[2].partition("Examples:")[0], re.M
        )
        assert options and _flat(page).count("--") >= len(options)
        return
    built, flat, letters = typer.main.get_command(command.app()), _flat(page), _letters(page)
    if isinstance(command, Command):
        assert command.function.__doc__
        for sentence in command.function.__doc__.strip().split("\n\n"):
            assert _letters(sentence) in letters  # brackets are no markup: nothing of the text is lost
    for parameter in built.params:
        assert parameter.help, f"{' '.join(words)}: {parameter.name} is not described"
        if not getattr(parameter, "hidden", False):
            assert _letters(parameter.help) in letters
        if isinstance(parameter.show_default, str):
            assert _letters(f"[default: ({parameter.show_default})") in letters
        elif (
            parameter.param_type_name == "option"
            and parameter.show_default
            and parameter.default not in (None, False, [])
        ):
            assert f"[default: {parameter.default}" in flat


@pytest.mark.parametrize(("run", "words", "command"), EVERY)
def test_a_wrong_flag_is_named_as_a_flag_and_ends_with_two(capsys, run, words, command):
    assert _code(run, [*words, "--no-such-flag"]) == 2
    said = capsys.readouterr().err
    assert "--no-such-flag" in said or "required: --cloud" in said
    assert "Traceback" not in said and "no_such_flag" not in said


def test_the_programs_are_found():
    found = programs()
    assert {
        "sweep.run",
        "sweep.importers",
        "analysis.rank",
        "cluster.submit",
        "cluster.spot_watch",
        "recipe_finder",
    } <= set(found)
    assert "sweep.core.bounded" not in found and "sweep.core.command_line" not in found


@pytest.mark.parametrize(
    "start", [(main, ("import",)), (module_of("sweep.importers").main, ())], ids=["script", "module"]
)
class TestAnImporter:
    def run(self, start, *words):
        return start[0]([*start[1], *words])

    def test_may_stand_behind_its_options(self, start, tmp_path, capsys):
        assert self.run(start, "--patients", "4", "--px", "32", "phantom-a", "--image-px=32", str(tmp_path / "a")) == 0
        assert "domain phantom-a" in capsys.readouterr().out

    def test_may_be_a_simulated_hospital_that_no_row_lists(self, start, tmp_path, capsys):
        assert (
            self.run(
                start, "--unlabelled", "phantom:harmonic", "--patients", "4", "--image-px", "32", str(tmp_path / "c")
            )
            == 0
        )
        assert "without labels" in capsys.readouterr().out

    def test_that_is_unknown_is_named_with_the_near_one(self, start, capsys):
        assert self.run(start, "--px", "32", "bussi", "SRC", "DST") == 2
        said = capsys.readouterr().err
        assert said.startswith("error: importer: 'bussi' is unknown; did you mean bus")


def test_long_examples_go_on_behind_a_backslash():
    command = "recipe-finder rank results/ratio --constraint 'robust_accuracy@2/255 >= 0.4' --format csv > ranking.csv"
    lines = _continued(command, 60)
    assert len(lines) > 1 and max(map(len, lines)) <= 60 and all(line.endswith(" \\") for line in lines[:-1])
    assert _flat(" ".join(line.removesuffix("\\") for line in lines)) == command
    assert _continued("short", 60) == ["short"]


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if isinstance(row.command, str)])
def test_examples_name_commands_that_exist(name):
    loaded = ROWS[name].load()
    assert all("{}" in example or example.startswith("python -m ") for example in loaded.examples)


def test_listing_imports_no_command():
    code = (
        "import sys; from recipe_finder.__main__ import main; main(['--help']); "
        "heavy = {'torch', 'ray', 'pandas', 'pydantic', 'optuna', 'timm'} & set(sys.modules); sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "run a sweep" in done.stdout, done.stderr


def test_a_sweep_config_is_checked_without_importing_torch_or_scipy():
    """A refusal is there in a second, and Ray's processes start while torch is imported."""
    code = (
        "import sys; from pathlib import Path; import sweep.run; from sweep.config.load import load_config; "
        "load_config(Path('search_spaces/quickstart.yaml'), {'fixed.generator': 'wgan', 'threats.attacks': '[pgd20]'}, False); "
        "heavy = {'torch', 'ray', 'pandas', 'scipy', 'optuna', 'timm'} & set(sys.modules); sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_shipped_configs_are_listed_with_their_questions(capsys):
    assert main(["configs"]) == 0
    listed = capsys.readouterr().out
    assert "ratio " in listed and "Does adding synthetic images help at the other hospital" in listed


def test_launcher_files_are_copied_and_never_written_over(tmp_path, capsys):
    assert main(["cluster", "files", str(tmp_path / "mine")]) == 0
    assert {"ray-cluster.aws.yaml", "ray-job.kuberay.yaml", "slurm.sbatch", "Dockerfile", "spot_watch.py"} <= {
        path.name for path in (tmp_path / "mine").iterdir()
    }
    assert main(["cluster", "check", *map(str, (tmp_path / "mine").glob("ray-*.yaml"))]) == 0
    launcher = (tmp_path / "mine" / "ray-cluster.aws.yaml").read_text()
    for sent in ("requirements.lock", "spot_watch.py"):
        assert f"/home/ray/{sent}: {tmp_path}/mine/{sent}\n" in launcher and (tmp_path / "mine" / sent).is_file()
    assert main(["cluster", "files", str(tmp_path / "mine")]) == 2 and "holds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "place", "offered"),
    [("recipe-finder rep", 1, ["report", "replay"]), ("recipe-finder rank --to", 2, ["--top"])],
)
def test_the_shell_completes_commands_and_flags(typed, place, offered):
    code = "import sys; sys.argv = ['recipe-finder']; from recipe_finder.__main__ import main; sys.exit(main())"
    asked = {"_RECIPE_FINDER_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(place)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0 and done.stdout.split() == offered, done.stderr
