"""Rows whose cases are tests of this repository: each repetition runs them in a process of its own and counts what passed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.reliability.rows import Row, RunCase

_ROOT = Path(__file__).parents[2]


def passing(*names: str, least: int = 1) -> RunCase:
    """Run these tests; at least so many must pass and none may fail."""

    def run(number: int, folder: Path) -> None:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *names]
        done = subprocess.run(
            [*command, f"--basetemp={folder / 'tests'}"], cwd=_ROOT, capture_output=True, text=True, check=False
        )
        last = "\n".join(done.stdout.strip().splitlines()[-15:])
        assert done.returncode == 0, last
        passed = re.findall(r"(\d+) passed", done.stdout) or [str(done.stdout.count("."))]
        assert int(passed[-1]) >= least, f"{passed[-1]} tests passed, {least} were expected: {last}"

    return run


_MISTAKES = (
    "tests/unit/config/test_config_mistakes.py",
    "tests/unit/config/test_load_config.py",
    "tests/unit/importers/test_bad_files.py",
    "tests/unit/importers/test_decode.py",
    "tests/unit/shards",
    "tests/unit/core/test_storage.py",
    "tests/unit/cluster",
)
_INTERRUPTION, _LIMITS = "tests/integration/test_interruption.py", "tests/integration/test_limits.py"

ROWS = (
    Row("R9", "bad inputs (one case: the tests of at least 250 of them)", 1, 1, 600, passing(*_MISTAKES, least=250)),
    Row(
        "R14-stop",
        "SIGTERM and Ctrl-C, Ray and inline: no process left, exit 130, how to resume",
        1,
        0,
        600,
        passing(f"{_INTERRUPTION}::test_a_stopped_sweep_leaves_no_process_and_says_how_to_resume"),
    ),
    Row(
        "R13-engines",
        "begun on one engine, killed, ended on the other; killed after each kind of event: bit-equal",
        1,
        0,
        900,
        passing("tests/integration/test_engines.py"),
    ),
    Row(
        "R16",
        "what can never fit is refused before anything starts",
        1,
        0,
        300,
        passing(f"{_LIMITS}::test_what_this_machine_will_never_have_is_refused_at_once"),
    ),
    Row(
        "R16-idle",
        "an autoscaled cluster grows, loses a node and shrinks to its head when the sweep is over",
        1,
        0,
        500,
        passing("tests/integration/test_autoscaling.py"),
    ),
    Row(
        "hang",
        "a hung job is ended at its limit on both engines, a hung artifact computation under Ray",
        1,
        0,
        600,
        passing(
            f"{_LIMITS}::test_a_hung_job_is_ended_with_the_limit_and_its_place_in_the_code",
            "tests/integration/test_computed_once.py::test_hanging_computation_is_ended_by_the_time_limit_and_all_are_told",
            least=3,
        ),
    ),
    Row(
        "jobs",
        "job submission with and without token, exit codes, job stop",
        1,
        0,
        900,
        passing("tests/integration/test_job_submission.py"),
    ),
)
