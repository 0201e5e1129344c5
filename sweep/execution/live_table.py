"""Progress of a running sweep: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweep.core.durations import duration
from sweep.core.means import mean_of_known

_BEST_ROWS = 5


@dataclass
class Progress:
    """Counts settled records and shows them; the live table is redrawn at most four times a second."""

    name: str
    total: int
    varied: tuple[str, ...]  # hyperparameters that differ between trials: the only ones worth a column
    metrics: tuple[str, ...]  # objective metrics, the first one ranks
    maximize: bool = True
    console: Console = field(default_factory=Console)
    reused: int = 0

    def __post_init__(self) -> None:
        self.finished: list[Mapping[str, Any]] = []
        self.failed: list[Mapping[str, Any]] = []
        self.stopped: list[Mapping[str, Any]] = []
        self.running: dict[tuple[str, int], tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
        self._begin = time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self._live = Live(get_renderable=self.table, console=self.console, refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*error)
            self.console.print(self.table())

    def on_epoch(self, signature: str, seed: int, config: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
        """Take one epoch of a running record."""
        self.running[signature, seed] = (config, metrics)

    def on_finish(self, event: Mapping[str, Any]) -> None:
        """Take a finished record."""
        self.running.pop((event["signature"], event["seed"]), None)
        self.finished.append(event)
        if self._live is None:
            values = "  ".join(f"{name} {_figure(event['metrics'].get(name))}" for name in self.metrics)
            self._line(f"{self._label(event['config'])}  seed {event['seed']}  {values}")

    def on_failed(self, event: Mapping[str, Any]) -> None:
        """Take a failed record; its reason is always printed in full."""
        self.running.pop((event["signature"], event["seed"]), None)
        self.failed.append(event)
        self._line(f"{event['kind']}: {self._label(event['config'])}  seed {event['seed']}: {event['reason']}")

    def on_stopped(self, event: Mapping[str, Any]) -> None:
        """Take a record that was stopped early: neither failed nor finished."""
        self.running.pop((event["signature"], event["seed"]), None)
        self.stopped.append(event)
        if self._live is None:
            self._line(f"stopped: {self._label(event['config'])}  seed {event['seed']}: {event['reason']}")

    def note(self, text: str) -> None:
        """Print a line above the table."""
        self._line(text, count=False)

    @property
    def done(self) -> int:
        """Settled records, including those of earlier attempts."""
        return self.reused + len(self.finished) + len(self.failed) + len(self.stopped)

    def seconds_left(self) -> float | None:
        """Estimated time left, from the pace of this attempt; None before its first settled record."""
        settled = self.done - self.reused
        elapsed = time.monotonic() - self._begin
        return elapsed / settled * (self.total - self.done) if settled else None

    def table(self) -> Group:
        """The live view: progress bar, running records, best configurations so far."""
        rows: list[Any] = [self._headline(), ProgressBar(total=max(1, self.total), completed=self.done, width=60)]
        if self.running:
            rows.append(self._running_table())
        if self.finished:
            rows.append(self._best_table())
        return Group(*rows)

    def _headline(self) -> Text:
        left = self.seconds_left()
        parts = [
            f"{self.name}: {self.done}/{self.total} records",
            f"{duration(time.monotonic() - self._begin)} elapsed",
        ]
        parts += [f"about {duration(left)} left"] if left is not None and self.done < self.total else []
        parts += [f"{self.reused} from before"] if self.reused else []
        parts += [f"{len(self.stopped)} stopped early"] if self.stopped else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        return Text("  ·  ".join(parts), style="bold")

    def _running_table(self) -> Table:
        table = Table(title="running", title_justify="left", box=None, pad_edge=False)
        for name in (*self.varied, "seed", "epoch", "auroc/source_val"):
            table.add_column(name, justify="right" if name in ("seed", "epoch", "auroc/source_val") else "left")
        for (_, seed), (config, metrics) in list(self.running.items()):
            cells = [_cell(config.get(name)) for name in self.varied]
            table.add_row(*cells, str(seed), str(metrics.get("epoch", "")), _figure(metrics.get("auroc/source_val")))
        return table

    def _best_table(self) -> Table:
        table = Table(title="best so far", title_justify="left", box=None, pad_edge=False)
        for name in (*self.varied, "seeds", *self.metrics):
            table.add_column(name, justify="left" if name in self.varied else "right")
        for config, seeds, means in self._best():
            table.add_row(
                *[_cell(config.get(name)) for name in self.varied], str(seeds), *[_figure(value) for value in means]
            )
        return table

    def _best(self) -> list[tuple[Mapping[str, Any], int, list[float | None]]]:
        groups: dict[str, list[Mapping[str, Any]]] = {}
        for event in self.finished:
            groups.setdefault(event["signature"], []).append(event)
        rows = []
        for events in groups.values():
            means = [mean_of_known([event["metrics"].get(name) for event in events]) for name in self.metrics]
            rows.append((events[0]["config"], len(events), means))
        worst = float("-inf") if self.maximize else float("inf")
        return sorted(rows, key=lambda row: worst if row[2][0] is None else row[2][0], reverse=self.maximize)[
            :_BEST_ROWS
        ]

    def _label(self, config: Mapping[str, Any]) -> str:
        return " ".join(f"{name}={_cell(config.get(name))}" for name in self.varied) or "trial"

    def _line(self, text: str, count: bool = True) -> None:
        console = self._live.console if self._live else self.console
        console.print(
            f"[{self.done}/{self.total}] {text}" if count else text, markup=False, highlight=False, soft_wrap=True
        )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
