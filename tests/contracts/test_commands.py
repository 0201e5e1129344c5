"""Every command of the console script: help complete, the same module behind `python -m`, nothing imported to list them."""

import os
import subprocess
import sys

import pytest
import typer

from recipe_finder.__main__ import SECTIONS, main
from sweep.core.command_line import Command, CommandGroup, Forwarded

ROWS = {name: row for rows in SECTIONS.values() for name, row in rows.items()}


def _commands():
    """(words of the console script, command) of every command, those inside groups too."""
    stack = [((name,), row) for name, row in ROWS.items()]
    while stack:
        words, row = stack.pop()
        loaded = row.load()
        if isinstance(loaded, CommandGroup):
            stack += [((*words, name), inner) for rows in loaded.sections.values() for name, inner in rows.items()]
        else:
            yield pytest.param(words, loaded, id=" ".join(words))


COMMANDS = list(_commands())


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_help_is_complete(capsys, words, command):
    assert main([*words, "--help"]) == 0
    page = capsys.readouterr().out
    assert "Examples:" in page and "Exit codes:" in page and " ".join(words) in page
    if isinstance(command, Forwarded):
        return
    assert isinstance(command, Command) and command.function.__doc__
    for parameter in typer.main.get_command(command.app()).params:
        assert parameter.help, f"{' '.join(words)}: {parameter.name} is not described"
        if (
            parameter.param_type_name == "option"
            and parameter.show_default
            and parameter.default not in (None, False, [])
        ):
            assert f"[default: {parameter.default}" in " ".join(page.split()) or isinstance(parameter.show_default, str)


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_a_wrong_flag_is_named_and_ends_with_two(capsys, words, command):
    assert main([*words, "--no-such-flag"]) == 2
    said = capsys.readouterr().err
    assert "--no-such-flag" in said or "required: --cloud" in said
    assert "Traceback" not in said


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
