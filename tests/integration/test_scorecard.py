"""A selection of the reliability scorecard: cheap rows, one case of each, as `make chaos` runs them."""

import subprocess
import sys

import pytest

from tests.integration import sweep_process
from tests.reliability import __main__ as scorecard
from tests.reliability.rows import all_rows

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
SELECTIONS = [("R6-flips",), pytest.param(("R6-cuts", "R5"), marks=pytest.mark.slow)]


@pytest.mark.parametrize("selection", SELECTIONS, ids="-".join)
def test_a_selection_passes_is_not_run_again_and_is_in_the_table(tmp_path, monkeypatch, selection):
    places = ["--results", str(tmp_path / "results.jsonl"), "--table", str(tmp_path / "table.md")]
    words = ["-m", "tests.reliability", "--cases", "1", "--patience", "4", "--only", ",".join(selection), *places]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=sweep_process.REPOSITORY,
        env=sweep_process.environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = (tmp_path / "results.jsonl").read_text()
    assert results.count("\n") == len(selection)
    monkeypatch.setattr(sys, "argv", words[1:])
    monkeypatch.setattr(scorecard, "_run_process", lambda *words: pytest.fail("a case that has passed was run again"))
    assert scorecard.main() == 0 and (tmp_path / "results.jsonl").read_text() == results
    table = (tmp_path / "table.md").read_text()
    for row in all_rows().values():
        counted = "1 of 1" if row.id in selection else "not run"
        assert f"| {row.id} | {row.claim} |" in table and f"| {counted} |" in table
