"""The library, the ledger, the analysis and the inline engine load where Ray, Optuna and torchattacks are not installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.blocked_imports import without

ROOT = Path(__file__).parents[2]
# What speaks to one of them by its purpose.
ADAPTERS = ("sweep.execution.ray", "sweep.search.optuna_searcher", "sweep.search.axes", "analysis.interchange")
_IMPORT_ALL = """\
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    if "numba" in sys.modules and ".native" not in name:  # their kernels are compiled by it; imported at first use
        sys.exit(f"{name} imports numba, which takes seconds, before it is used")
"""


def modules(package):
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if not name.endswith("__main__") and not any(name == one or name.startswith(one + ".") for one in ADAPTERS):
            yield name


def run(code, *arguments, folder):
    variables = without(("ray", "optuna", "torchattacks"), {**os.environ, "PYTHONPATH": str(ROOT)}, folder)
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=variables, cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.timeout(240)
def test_every_module_but_the_adapters_loads_without_them(tmp_path):
    names = sorted([*modules("sweep"), *modules("analysis")], key=lambda name: ".native" in name)
    assert "sweep.execution.inline" in names and "sweep.store.ledger" in names and "analysis.report" in names
    done = run(_IMPORT_ALL, *names, folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_block_is_one(tmp_path):
    done = run("import ray", folder=tmp_path)
    assert done.returncode == 1 and "No module named 'ray'" in done.stderr
