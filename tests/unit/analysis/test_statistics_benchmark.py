"""The simulations behind docs/statistics.md: resumable, honest about their error, and the bars that they must meet."""

import json

import numpy as np
import pytest

from benchmarks import race_error, simulated_sweeps, statistics
from benchmarks.simulated_sweeps import Cell

PARTS = [
    statistics.Part("race", "coin", lambda repeat: {"seeds, e-values": float(repeat % 2)}, 3 * statistics.BATCH),
    statistics.Part("race", "one", lambda repeat: {"seeds, e-values": 1.0}, statistics.BATCH),
]


def computed(results, most=None, stop_after=None):
    done = []
    for part, number in statistics.due(results, PARTS, most):
        if len(done) == stop_after:
            break
        results.add(part, number, statistics.batch(part, number))
        done.append((part.name, number))
    return done


def test_designs_take_turns_until_each_is_complete(tmp_path):
    done = computed(statistics.Results.read(tmp_path / "lines.jsonl"))
    assert done == [("coin", 0), ("one", 0), ("coin", 1), ("coin", 2)]


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "lines.jsonl"
    first = computed(statistics.Results.read(path), stop_after=2)
    with path.open("a") as file:
        file.write('{"half a li')
    second = computed(statistics.Results.read(path))
    assert not set(first) & set(second) and len(first) + len(second) == 4


def test_results_of_other_code_are_left_out(tmp_path):
    path = tmp_path / "lines.jsonl"
    results = statistics.Results.read(path)
    computed(results)
    row = json.loads(path.read_text().splitlines()[0])
    path.write_text(json.dumps({**row, "code": "other"}) + "\n")
    assert statistics.Results.read(path).repeats(PARTS[0]) == 0


def test_a_figure_carries_its_standard_error(tmp_path):
    results = statistics.Results.read(tmp_path / "lines.jsonl")
    computed(results)
    mean, error = results.figure(PARTS[0], "seeds, e-values")
    assert mean == 0.5 and error == pytest.approx(0.5 / np.sqrt(60))
    assert np.isnan(results.figure(PARTS[0], "unknown")[0])


def test_a_share_that_never_varies_has_a_bound_instead_of_a_zero_error(tmp_path):
    results = statistics.Results.read(tmp_path / "lines.jsonl")
    part = next(part for part in statistics.parts() if part.section == "sweep")
    sums = {"n false positive": 20.0, "s false positive": 0.0, "q false positive": 0.0}
    sums |= {
        "n coverage": 20.0,
        "s coverage": 20.0,
        "q coverage": 20.0,
        "n power": 20.0,
        "s power": 5.0,
        "q power": 5.0,
    }
    results.add(part, 0, sums)
    assert results.bound(part, "false positive") == pytest.approx(1 - 0.05 ** (1 / 20))
    assert results.bound(part, "power") is None
    assert "| 100.0 (above 86.1) | 0.0 (below 13.9) | - | 25.0 \N{PLUS-MINUS SIGN} 9.7 |" in statistics.table(results)
    results.add(part, 0, {"n corrected bias": 20.0, "s corrected bias": 0.0, "q corrected bias": 0.0})
    assert results.bound(part, "corrected bias") is None, "no share"


def test_the_table_goes_between_the_marks_of_the_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{statistics.BEGIN}\nold\n{statistics.END}\nafter\n")
    results = statistics.Results.read(tmp_path / "lines.jsonl")
    part = next(part for part in statistics.parts() if part.section == "race")
    results.add(part, 0, {"n seeds, e-values": 2.0, "s seeds, e-values": 90.0, "q seeds, e-values": 4100.0})
    statistics.write_page(results, page)
    text = page.read_text()
    assert text.startswith("before") and text.endswith("after\n") and "old" not in text and "45.0" in text
    page.write_text("no block")
    with pytest.raises(SystemExit, match="has no block"):
        statistics.write_page(results, page)


def test_the_grid_is_the_one_asked_for():
    names = [part.name for part in statistics.parts() if part.section == "sweep"]
    assert len(names) == len(set(names)) == 4 * 3 * 2 * 2
    assert all(part.repeats >= 500 for part in statistics.parts())
    assert sum(part.section == "front" for part in statistics.parts()) == 4 * 3


def test_the_true_auroc_is_that_of_many_images():
    cell = Cell(40, 4000, 0.5, 1)
    outcomes = simulated_sweeps.simulated(np.random.default_rng(0), cell, np.array([simulated_sweeps.SKILL]))[0]
    seen = simulated_sweeps.auroc(outcomes, np.ones((1, 4000))).mean()
    assert seen == pytest.approx(simulated_sweeps.true_auroc(), abs=0.03)
    better = simulated_sweeps.true_auroc(simulated_sweeps.better_skill())
    assert better - simulated_sweeps.true_auroc() == pytest.approx(simulated_sweeps.EFFECT, abs=1e-6)


@pytest.mark.parametrize("cell", [Cell(2, 40, 0.12, 3), Cell(3, 40, 0.5, 1)])
def test_a_repeat_has_every_figure(cell):
    found = simulated_sweeps.repeat(cell, 0)
    shown = {name for _, name, _ in statistics.COLUMNS["sweep"]}
    assert shown <= set(found) and all(np.isfinite(value) for value in found.values())


def test_a_simulated_front_has_every_figure():
    found = simulated_sweeps.front(2, 40, 0)
    assert set(found) == {name for _, name, _ in statistics.COLUMNS["front"]}
    assert all(0 <= value <= 1 for value in found.values())


def test_comments_and_docstrings_do_not_make_other_code(tmp_path):
    plain, explained, other = (tmp_path / name for name in ("a.py", "b.py", "c.py"))
    plain.write_text("def twice(x):\n    return 2 * x\n")
    explained.write_text('"""Numbers."""\n\n\ndef twice(x):\n    """Twice x."""\n    return 2 * x  # exactly\n')
    other.write_text("def twice(x):\n    return 3 * x\n")
    assert statistics.statements(plain) == statistics.statements(explained) != statistics.statements(other)


def test_both_racing_rules_play_the_same_race():
    found = race_error.one_race(race_error.SHAPES[-1], 0)
    assert set(found) == {name for _, name, _ in statistics.COLUMNS["race"]}
    assert found["seeds, e-values"] < 40


RACES = 1000


def means(once, repeats):
    rows = [once(number) for number in range(repeats)]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


@pytest.mark.slow
def test_fifty_equal_recipes_are_shown_without_the_winners_curse():
    found = means(lambda number: simulated_sweeps.null_sweep(Cell(3, 100, 0.5, 1), number), 500)
    assert abs(found["corrected bias"]) <= 0.005 < 0.03 < found["winner's bias"], found
    assert 0.93 <= found["corrected coverage"] <= 0.97, found


@pytest.mark.slow
@pytest.mark.parametrize("shape", race_error.SHAPES, ids=lambda shape: shape.name)
def test_a_race_stopped_at_any_time_drops_the_best_in_at_most_one_of_twenty(shape):
    found = means(lambda number: race_error.one_race(shape, number), RACES)
    assert found["best dropped, e-values"] <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / RACES)
    assert found["seeds, e-values"] <= 1.2 * found["seeds, alpha spent in rounds"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell", [Cell(3, 40, 0.12, 3), Cell(10, 40, 0.12, 3), Cell(5, 40, 0.12, 1)], ids=lambda cell: cell.name
)
def test_the_corrected_interval_of_a_winner_covers_the_truth_with_a_handful_of_positive_patients(cell):
    found = means(lambda number: simulated_sweeps.repeat(cell, number), 200)
    assert found["corrected coverage"] >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / 200), found


@pytest.mark.slow
def test_power_comes_near_that_of_a_pooled_t_at_its_level():
    found = means(lambda number: simulated_sweeps.repeat(Cell(3, 250, 0.5, 1), number), 500)
    assert found["false positive"] <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 500), found
    assert found["power"] >= found["power of a pooled t"] - 0.10, found
