"""A selection of the reliability scorecard (make chaos), and its bookkeeping."""

import json

import pytest

from tests.reliability import __main__ as scorecard
from tests.reliability import drivers, ledger_damage
from tests.reliability.rows import Row, all_rows
from tests.reliability.table import write_table


def test_every_row_has_a_claim_cases_and_a_time_limit():
    for row in all_rows().values():
        assert row.claim and row.full >= row.quick >= 0 and row.full >= 1 and row.limit_s > 0


@pytest.mark.parametrize("number", range(20))
@pytest.mark.parametrize("damage", [ledger_damage.cut, ledger_damage.flip])
def test_ledger_damage(damage, number, tmp_path):
    damage(number, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("run", [drivers.killed_driver, drivers.storage_fault, drivers.double_driver])
def test_a_case_of_a_driver(run, tmp_path):
    run(0, tmp_path)


def test_results_are_kept_and_shown(tmp_path):
    results = tmp_path / "results.jsonl"
    row = Row("R0", "a claim", 3, 2, 5, lambda number, folder: pytest.fail("not here"))
    scorecard._note(results, row, 0, False, {"seconds": 1.0}, "broke | here")
    scorecard._note(results, row, 0, True, {"seconds": 2.0, "cpu_s": 1.5}, "")
    scorecard._note(results, row, 1, False, {"seconds": 3.0}, "broke\nagain")
    found = scorecard.read_results(results)
    assert found["R0", 0]["passed"] and not found["R0", 1]["passed"]
    assert all(json.loads(line)["row"] == "R0" for line in results.read_text().splitlines())
    write_table(tmp_path / "page.md", [row, Row("R9", "untried", 7, 0, 5, row.run)], found, "the command")
    page = (tmp_path / "page.md").read_text()
    assert (
        "| R0 | a claim | 3 | 1 of 2 | 2.0 s | 1.5 s | 5 s |" in page
        and "| R9 | untried | 7 | not run | - | - | 5 s |" in page
    )
    assert "- R0, case 1: broke again" in page and "the command" in page
