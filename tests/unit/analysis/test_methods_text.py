"""The methods paragraph states what the run did, and nothing that it did not do."""

from pathlib import Path

import pytest

from analysis.checklist import BY_HAND, ITEMS, checklist, main
from analysis.frames import load_run
from analysis.methods_text import REFERENCES, methods, numbered

REAL = Path(__file__).parents[2] / "fixtures" / "runs" / "finished"  # written by a real sweep


@pytest.fixture(scope="module")
def real():
    return load_run(REAL)


def test_references_are_numbered_by_first_use():
    made = numbered(["One {holm}, two {bca}.", "Again {holm}."])
    assert made.paragraphs == ("One [1], two [2].", "Again [1].")
    assert made.references == (f"1. {REFERENCES['holm']}", f"2. {REFERENCES['bca']}")


def test_a_real_run_is_described_by_its_own_numbers(real):
    text = methods(real).text
    assert "phantom-a (58 images of 20 patients" in text and "phantom-b (49 images of 20 patients" in text
    assert "compared 4 configurations, each trained with 2 random seeds" in text
    assert "colorizer and synthetic per real) were fully crossed" in text and "torch 2.15.0" in text
    assert "{" not in text


def test_what_the_run_did_not_do_is_not_claimed(real):
    text = methods(real).text
    assert "race" not in text and "halving" not in text
    assert "Robustness is" in text, "this run attacked its models"


def test_every_reference_is_used_by_some_run_or_another():
    source = Path(__file__).parents[3] / "analysis" / "methods_text.py"
    body = source.read_text().split("_MARK = ")[1] + source.read_text().split("_ALGORITHMS = ")[1].split("_MARK")[0]
    assert all(f"{{{key}}}" in body or f'"{key}")' in body for key in REFERENCES)


def test_the_checklist_links_answers_and_marks_gaps(real):
    rows = checklist(real)
    assert len(rows) == len(ITEMS) and {row.guideline for row in rows} == {"TRIPOD+AI", "CLAIM 2024"}
    sizes = next(row for row in rows if row.guideline == "CLAIM 2024" and row.number == "35")
    assert (
        sizes.text == "source: 58 images of 20 patients; target: 49 images of 20 patients"
        and "data.json" in sizes.files
    )
    ethics = next(row for row in rows if "ethical" in row.asks)
    assert ethics.by_hand and ethics.text == BY_HAND and ethics.files == ()
    assert all(row.files or row.by_hand for row in rows)
    assert all(real.storage.exists(file) for row in rows for file in row.files)


def test_the_items_are_those_of_the_guidelines():
    """TRIPOD+AI (11 January 2024) has 52 items and parts of items, CLAIM 2024 the numbers 1 to 44."""
    parts = {
        "3": "abc",
        "5": "ab",
        "6": "abc",
        "8": "abc",
        "9": "abc",
        "12": "abcdefg",
        "18": "abcdef",
        "20": "abc",
        "23": "ab",
        "27": "abc",
    }
    wanted = [f"{number}{part}" for number in map(str, range(1, 28)) for part in parts.get(number, [""])]
    assert [item.number for item in ITEMS if item.guideline == "TRIPOD+AI"] == wanted and len(wanted) == 52
    spans = [list(map(int, item.number.split("-"))) for item in ITEMS if item.guideline == "CLAIM 2024"]
    assert [n for span in spans for n in range(span[0], span[-1] + 1)] == list(range(1, 45))


def test_the_page_is_written(tmp_path, capsys):
    out = tmp_path / "checklist.html"
    assert main([str(REAL), "--out", str(out)]) == 0
    page = out.read_text()
    assert "TRIPOD+AI" in page and BY_HAND in page and 'href="data.json"' in page
    assert main([str(REAL), "--out", str(tmp_path)]) == 2
