"""Sweeps that several test files look at, each run once."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from recipe_finder.__main__ import main
from tests.fakes.blocked_imports import without
from tests.fakes.sweep_config import write_config
from tests.integration import sweep_process


@dataclass(frozen=True)
class Swept:
    """A finished sweep: its home and run folder, its sweep config, what the command printed, and the environment it ran in."""

    home: Path
    run: Path
    sweep_config: Path
    done: subprocess.CompletedProcess
    variables: dict[str, str]

    def again(self, *arguments: str) -> int:
        """The exit code of the same command once more, in this process, with `arguments` added."""
        words = ["run", self.sweep_config, "--storage", self.run, "--engine", "inline", *arguments]
        return main([str(word) for word in words])

    def command(self, module: str, *arguments: object, timeout_s: float = 240) -> subprocess.CompletedProcess:
        """`python -m module` in the sweep's home and environment, a process of its own."""
        words = [sweep_process.PYTHON, "-m", module, *map(str, arguments)]
        return subprocess.run(
            words, cwd=self.home, env=self.variables, capture_output=True, text=True, timeout=timeout_s, check=False
        )


@pytest.fixture(scope="session")
def inline_sweep(tmp_path_factory) -> Swept:
    """The tiny sweep on the inline engine, on a machine that has neither Ray nor Optuna nor torchattacks."""
    home = tmp_path_factory.mktemp("inline")
    variables = without(("ray", "optuna", "torchattacks"), sweep_process.environment(home), home / "blocked")
    arguments = write_config(home), "--storage", home / "run", "--engine", "inline"
    done = sweep_process.run(home, *arguments, timeout_s=400, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return Swept(home, home / "run", home / "tiny.yaml", done, variables)
