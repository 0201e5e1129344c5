"""Plain lines when nobody watches a terminal; a table with the best so far when somebody does."""

import io

from rich.console import Console

from sweep.execution.live_table import Progress


def event(colorizer, seed, value):
    return {
        "signature": colorizer,
        "seed": seed,
        "config": {"colorizer": colorizer},
        "metrics": {"auroc/target": value},
    }


def progress(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)
    return Progress("demo", 4, ("colorizer",), ("auroc/target",), console=console), console


def test_plain_lines_count_up():
    shown, console = progress(terminal=False)
    with shown:
        shown.on_finish(event("none", 0, 0.7))
        shown.on_failed({**event("deconv", 0, None), "kind": "DIVERGED", "reason": "loss is nan at step 3"})
    assert console.file.getvalue().splitlines() == [
        "[1/4] colorizer=none  seed 0  auroc/target 0.700",
        "[2/4] DIVERGED: colorizer=deconv  seed 0: loss is nan at step 3",
    ]


def test_table_ranks_by_the_mean_over_seeds():
    shown, console = progress(terminal=True)
    for colorizer, seed, value in (("none", 0, 0.7), ("none", 1, 0.9), ("deconv", 0, 0.85)):
        shown.on_finish(event(colorizer, seed, value))
    console.print(shown.table())
    text = console.file.getvalue()
    table = text.partition("best so far")[2]
    assert table.index("deconv") < table.index("none")
    assert "0.800" in text and "3/4 records" in text and "left" in text
    assert shown.seconds_left() is not None
