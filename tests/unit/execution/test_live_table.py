"""Plain lines in a pipe, a live view on a terminal; both say what runs, the time left and the best so far, and are never silent for long."""

import io
import re

import pytest
from rich.console import Console

from sweep.execution.heartbeat import SILENCE_S, Heartbeat
from sweep.execution.live_table import Counts, Progress
from sweep.execution.usage import text_of, usage


def event(colorizer, seed, value):
    return {
        "signature": colorizer,
        "seed": seed,
        "config": {"colorizer": colorizer},
        "metrics": {"auroc/target": value},
    }


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def progress(terminal, width=80, **facts):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, color_system=None)
    return Progress("demo", 4, ("colorizer",), ("auroc/target",), console=console, clock=Clock(), **facts), console


TRAINING = {
    "config": {"colorizer": "none"},
    "seed": 1,
    "doing": "training",
    "step": 400,
    "steps": 1600,
    "memory": 1.25e9,
}
GENERATOR = {"artifact": "generator", "doing": "training", "step": 10, "steps": 300}


def test_plain_lines_count_up():
    shown, console = progress(terminal=False)
    with shown:
        shown.clock.now = 3
        shown.on_finish(event("none", 0, 0.7))
        shown.on_failed({**event("deconv", 0, None), "kind": "DIVERGED", "reason": "loss is nan at step 3"})
    assert console.file.getvalue().splitlines() == [
        "[1/4] colorizer=none  seed 0  auroc/target 0.700  about 9 s left",
        "[2/4] DIVERGED: colorizer=deconv  seed 0: loss is nan at step 3",
    ]


def test_plain_lines_are_not_cut_to_the_width_of_a_terminal():
    shown, console = progress(terminal=False, width=40)
    shown.on_failed({**event("deconv", 0, None), "kind": "FAILED", "reason": "a reason " * 20})
    assert len(console.file.getvalue().splitlines()) == 1


def test_the_view_ranks_by_the_mean_over_seeds_and_gives_intervals():
    shown, console = progress(terminal=True, counts=Counts({"target": (50, 30)}))
    for colorizer, seed, value in (("none", 0, 0.7), ("none", 1, 0.9), ("deconv", 0, 0.85)):
        shown.on_finish(event(colorizer, seed, value))
    console.print(shown.table())
    text = console.file.getvalue()
    table = text.partition("best so far")[2]
    assert table.index("deconv") < table.index("none")
    assert "0.850 (0.76 to 0.94)" in table and "0.800 (0.58 to 1.00)" in table
    assert "3/4 records" in text and "left" in text
    assert shown.seconds_left() is not None


def test_no_interval_leaves_the_range_of_its_metric():
    shown, _ = progress(terminal=False)
    shown.metrics = ("predicted_auroc_low/target",)
    for seed, value in enumerate((0.0, 0.4)):
        shown.on_finish({**event("none", seed, None), "metrics": {"predicted_auroc_low/target": value}})
    assert "0.200 (0.00 to " in shown.status()


def test_the_view_names_stage_step_and_memory_and_keeps_to_80_columns():
    shown, console = progress(terminal=True, stages={"abc": "generator 3 of 8 (wgan, benign)"})
    shown.on_finish(event("none", 0, 0.7))
    with shown:
        shown.on_activity("abc", GENERATOR)
        shown.on_activity("sig", TRAINING)
        console.print(shown.table())
        text = console.file.getvalue()
    assert "generator 3 of 8 (wgan, benign): training, step 10 of 300" in text
    assert "colorizer=none seed 1: training, step 400 of 1,600 (1.2 GB)" in text
    assert max(map(len, text.splitlines())) <= 80
    shown.on_activity("sig", None)
    assert shown.activities == {}


def test_a_pipe_is_told_the_same_when_it_was_silent_for_long():
    shown, console = progress(terminal=False, stages={"abc": "generator 1 of 2"}, counts=Counts({"target": (9, 9)}))
    shown.phase = "starting Ray"
    shown._heartbeat.beat()
    assert console.file.getvalue() == ""
    shown.clock.now = SILENCE_S
    shown._heartbeat.beat()
    shown._heartbeat.beat()
    (line,) = console.file.getvalue().splitlines()
    assert line.startswith("demo: 0/4 records, 10 s elapsed, time left known after the first record; starting Ray")
    with shown:
        shown.on_finish(event("none", 0, 0.75))
        shown.on_activity("abc", GENERATOR)
        shown.clock.now = 2 * SILENCE_S
        shown._heartbeat.beat()
    line = console.file.getvalue().splitlines()[-1]
    assert "1/4 records, 20 s elapsed, about 1 min left; generator 1 of 2: training, step 10 of 300" in line
    assert re.search(r"best \S+ so far: colorizer=none 0\.750 \(0\.5", line)


def test_between_two_tasks_it_waits_for_a_worker_and_does_not_start_again():
    shown, _ = progress(terminal=False)
    with shown.beating("starting Ray"):
        assert "starting Ray" in shown.status()
        shown.on_activity("sig", TRAINING)
        assert "training, step 400" in shown.status()
        shown.on_activity("sig", None)
        assert "waiting for a worker" in shown.status() and "starting Ray" not in shown.status()


def test_workers_elsewhere_are_asked_and_their_last_answer_stays():
    shown, _ = progress(terminal=False)
    answers = [{"sig": TRAINING}, None]
    with shown:
        shown.poll = lambda: answers.pop(0)
        for _ in range(2):
            shown.clock.now += 5
            assert "training, step 400" in shown.status()
    assert shown.poll is None and answers == []


@pytest.mark.parametrize(
    ("metric", "known"),
    [
        ("auroc/target", True),
        ("robust_accuracy/target/worst@1/255", True),
        ("domain_gap", False),
        ("auroc/nowhere", False),
    ],
)
def test_metrics_with_an_interval_from_the_number_of_images(metric, known):
    error = Counts({"target": (40, 60)}, attacked=32).error(metric, 0.8)
    assert (0 < error < 0.2) is known


def test_a_heartbeat_is_due_before_the_limit_and_after_every_line():
    clock, said = Clock(), []
    heart = Heartbeat(lambda: said.append(clock.now), silence_s=10, clock=clock)
    for second in range(60):
        clock.now = second
        if second == 25:
            heart.heard()
        heart.beat()
    assert said == [8, 16, 24, 33, 41, 49, 57]


def test_usage_is_said_in_words():
    assert 0 < usage()["memory"] < 1e12
    facts = {"memory": 1.2e9, "gpu_memory": 12e9, "gpu_total": 80e9, "gpu_busy": 0.93}
    assert text_of(facts) == "1.2 GB, GPU 12.0 of 80.0 GB, 93 % busy" and text_of({}) == ""
