"""The wheel as a user gets it: built from a copy of the tree, unpacked, and used from an empty folder outside of any checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("recipe_finder", "sweep", "analysis", "cluster", "search_spaces")
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def _run(arguments, folder, **environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The unpacked wheel, as it would lie in site-packages."""
    tree, place = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("site")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.lock"):
        shutil.copy(ROOT / name, tree)
    built = _run(["-c", BUILD, place], tree)
    assert built.returncode == 0, built.stderr
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    return place


@pytest.fixture
def command(site, tmp_path):
    """Runs the console script of the unpacked wheel in an empty folder."""
    code = "import sys; sys.argv[0] = 'recipe-finder'; from recipe_finder.__main__ import main; sys.exit(main())"
    return lambda *words: _run(["-c", code, *words], tmp_path, PYTHONPATH=str(site))


def test_it_holds_the_data_and_nothing_of_the_tests(site):
    shipped = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    for name in (
        "search_spaces/quickstart.yaml",
        "cluster/slurm.sbatch",
        "cluster/Dockerfile",
        "analysis/dashboard/report.css",
    ):
        assert name in shipped
    assert {f"{name}/py.typed" for name in PACKAGES[:-1]} <= shipped
    assert not [name for name in shipped if name.startswith(("tests/", "benchmarks/", "docs/"))]
    assert any(name.endswith("licenses/LICENSE") for name in shipped)
    assert "recipe-finder = recipe_finder.__main__:main" in next(site.glob("*.dist-info/entry_points.txt")).read_text()


def test_commands_outside_a_checkout(command, tmp_path):
    assert command("--version").stdout.startswith("recipe-finder 0.")
    assert "ratio " in command("configs").stdout
    assert command("space", "ratio").stdout == "ratio: ratio, no mistakes\n"
    planned = command("plan", "ratio", "--smoke")
    assert planned.returncode == 0 and "2 configurations" in planned.stdout, planned.stderr


def test_a_sweep_ends_with_a_report(command, tmp_path):
    done = command("run", "quickstart", "--smoke", "--engine", "inline", "--set", "grid.synthetic_per_real=[0]")
    assert done.returncode == 0, done.stderr
    report = tmp_path / "results" / "quickstart-smoke" / "report.html"
    assert done.stdout.splitlines()[-1] == f"report: {report}" and report.is_file()


def test_lower_bounds_have_reasons():
    lines = (ROOT / "pyproject.toml").read_text().split("dependencies = [", 1)[1].split("[tool.uv]", 1)[0].splitlines()
    named = [
        line
        for line in lines
        if line.lstrip().startswith('"') and "recipe-finder[" not in line and "share/" not in line
    ]
    assert len(named) > 25 and not [line for line in named if "#" not in line]
