"""Progress of a running sweep: a live view on a terminal, plain lines elsewhere; never silent for more than ten seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweep.core.durations import duration
from sweep.core.means import mean_of_known
from sweep.core.metric_table import metric_row
from sweep.core.standard_errors import auroc_error, half_width, share_error
from sweep.execution.heartbeat import SILENCE_S, Heartbeat
from sweep.execution.usage import GB, machine_memory, text_of

_BEST_ROWS = 5
_BAR = 60
_POLL_S = 1.0
_WAITING = "waiting for a worker"
Activity = Mapping[str, Any]
"""What a worker does now (`sweep.core.activity`), with the configuration of its trial where it has one, and its use of memory and GPU."""


@dataclass(frozen=True)
class Counts:
    """How many images a metric is measured on, for its interval: of each class by split, and those that are attacked."""

    classes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # split -> images of each class
    attacked: int | None = None  # at most so many of a split; None: all

    def error(self, metric: str, value: float) -> float:
        """Standard error of one seed's value from the number of images; nan for a metric that is no AUROC and no share."""
        kind, _, rest = metric.partition("/")
        classes = self.classes.get(rest.partition("/")[0], ())
        if kind == "auroc" and len(classes) == 2:
            return auroc_error(value, classes[1], classes[0])
        if kind == "accuracy":
            return share_error(value, sum(classes))
        if kind == "robust_accuracy":
            return share_error(value, min(sum(classes), self.attacked or sum(classes)))
        return math.nan


@dataclass
class Progress:
    """Counts settled records and shows them; the live view is redrawn at most four times a second."""

    name: str
    total: int
    varied: tuple[str, ...]  # hyperparameters that differ between trials: the only ones worth printing
    metrics: tuple[str, ...]  # objective metrics, the first one ranks
    maximize: bool = True
    console: Console = field(default_factory=Console)
    reused: int = 0
    counts: Counts = field(default_factory=Counts)
    stages: Mapping[str, str] = field(
        default_factory=dict
    )  # hash of a shared artifact -> its name, e.g. generator 3 of 8
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.finished: list[Mapping[str, Any]] = []
        self.failed: list[Mapping[str, Any]] = []
        self.stopped: list[Mapping[str, Any]] = []
        self.running: dict[tuple[str, int], tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
        self.activities: dict[str, Activity] = {}  # by signature of the trial or hash of the artifact
        # Where workers are elsewhere: asks what they do.
        self.poll: Callable[[], Mapping[str, Activity] | None] | None = None
        self.phase = ""  # before the first trial starts
        self._begin = self.clock()
        self._polled = -math.inf
        self._live: Live | None = None
        self._heartbeat = Heartbeat(self._say, SILENCE_S, self.clock)

    @contextmanager
    def beating(self, phase: str) -> Iterator[None]:
        """Print what happens now whenever nothing was printed for a while; `phase` says it until the first trial starts."""
        self.phase = phase
        with self._heartbeat:
            yield

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self._live = Live(get_renderable=self.table, console=self.console, refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.poll, self.phase = None, "ending the workers"
        self.activities.clear()
        if self._live is not None:
            self._live.__exit__(*error)
            self._live = None
            self.console.print(self.table())

    def on_activity(self, key: str, activity: Activity | None) -> None:
        """Take what the worker of a trial (its signature) or an artifact (its hash) does now; None where it is over."""
        if activity is None:
            self.activities.pop(key, None)
        else:
            self.activities[key] = activity

    def on_epoch(self, signature: str, seed: int, config: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
        """Take one epoch of a running record."""
        self.running[signature, seed] = (config, metrics)

    def on_finish(self, event: Mapping[str, Any]) -> None:
        """Take a finished record."""
        self._settled(event, self.finished)
        if self._live is None:
            values = "  ".join(f"{name} {_figure(event['metrics'].get(name))}" for name in self.metrics)
            self._line(f"{self._label(event['config'])}  seed {event['seed']}  {values}{self._left()}")

    def on_failed(self, event: Mapping[str, Any]) -> None:
        """Take a failed record; its reason is always printed in full."""
        self._settled(event, self.failed)
        self._line(f"{event['kind']}: {self._label(event['config'])}  seed {event['seed']}: {event['reason']}")

    def on_stopped(self, event: Mapping[str, Any]) -> None:
        """Take a record that was stopped early: neither failed nor finished."""
        self._settled(event, self.stopped)
        if self._live is None:
            self._line(f"stopped: {self._label(event['config'])}  seed {event['seed']}: {event['reason']}")

    def _settled(self, event: Mapping[str, Any], where: list[Mapping[str, Any]]) -> None:
        self.running.pop((event["signature"], event["seed"]), None)
        where.append(event)

    def note(self, text: str) -> None:
        """Print a line above the live view."""
        self._line(text, count=False)

    @property
    def done(self) -> int:
        """Settled records, including those of earlier attempts."""
        return self.reused + len(self.finished) + len(self.failed) + len(self.stopped)

    def seconds_left(self) -> float | None:
        """Estimated time left, from the pace of this attempt; None before its first settled record."""
        settled = self.done - self.reused
        elapsed = self.clock() - self._begin
        return elapsed / settled * (self.total - self.done) if settled else None

    def status(self) -> str:
        """One line: counts, time, the best so far, what runs, memory."""
        parts = [self._counts(), *self._doing()]
        parts += [
            f"best {self.metrics[0]} so far: {self._label(config)} {self._valued(0, values)}"
            for config, values in self._best()[:1]
        ]
        if (memory := machine_memory()) is not None:
            parts.append(f"memory {memory[0] / GB:.1f} of {memory[1] / GB:.1f} GB")
        return "; ".join(parts)

    def table(self) -> Group:
        """The live view: counts and time, progress bar, what runs, best configurations so far."""
        width = min(_BAR, max(10, self.console.width))
        rows: list[Any] = [
            Text(self._counts(), style="bold"),
            ProgressBar(total=max(1, self.total), completed=self.done, width=width),
        ]
        doing = self._doing()
        if doing and self._live is not None:
            rows.append(Text("\n".join(("now", *(f"  {line}" for line in doing)))))
        if self.finished:
            rows += [Text("best so far, with approximate 95 % intervals", style="italic"), self._best_table()]
        return Group(*rows)

    def _say(self) -> None:
        if self._live is None:
            self.note(self.status())

    def _counts(self) -> str:
        parts = [f"{self.name}: {self.done}/{self.total} records", f"{duration(self.clock() - self._begin)} elapsed"]
        left = self.seconds_left()
        if left is not None and self.done < self.total:
            parts.append(f"about {duration(left)} left")
        elif self.done < self.total:
            parts.append("time left known after the first record")
        parts += [f"{self.reused} from before"] if self.reused else []
        parts += [f"{len(self.stopped)} stopped early"] if self.stopped else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        return ", ".join(parts)

    def _left(self) -> str:
        left = self.seconds_left()
        return f"  about {duration(left)} left" if left and self.done < self.total else ""

    def _doing(self) -> list[str]:
        """What each worker does now; before the first one reports, the phase of the command."""
        if self.poll is not None and self.clock() - self._polled >= _POLL_S:
            self._polled, found = self.clock(), self.poll()
            self.activities = self.activities if found is None else dict(found)
        lines = [self._activity(key, one) for key, one in list(self.activities.items())]
        if lines and self.phase:
            self.phase = _WAITING  # what the command does at its start is over
        return lines or ([self.phase] if self.phase and not self.running else [])

    def _activity(self, key: str, activity: Activity) -> str:
        """'generator 3 of 8: training wgan for benign, step 400 of 1,600 (1.2 GB)'."""
        what = self.stages.get(key, "")
        if not what:
            artifact = str(activity.get("artifact", "shared artifact")).replace("_", " ")
            label = self._label(activity["config"]) if "config" in activity else artifact
            what = f"{label} seed {activity['seed']}" if "seed" in activity else label
        steps = activity.get("steps")
        step = f", step {activity['step']:,} of {steps:,}" if steps else ""
        used = text_of(dict(activity))
        return f"{what}: {activity['doing']}{step}" + (f" ({used})" if used else "")

    def _best_table(self) -> Table:
        """One column for the configuration, one for each objective: narrow enough for 80 columns."""
        table = Table(box=None, pad_edge=False)
        table.add_column("configuration", overflow="fold")
        for name in self.metrics:
            table.add_column(name, justify="right", overflow="fold")
        for config, values in self._best()[:_BEST_ROWS]:
            table.add_row(self._label(config), *[self._valued(number, values) for number in range(len(self.metrics))])
        return table

    def _best(self) -> list[tuple[Mapping[str, Any], list[list[float]]]]:
        """(configuration, values over seeds of each objective) of every finished configuration, the best first."""
        groups: dict[str, list[Mapping[str, Any]]] = {}
        for event in list(self.finished):
            groups.setdefault(event["signature"], []).append(event)
        rows = []
        for events in groups.values():
            found = [[event["metrics"].get(name) for event in events] for name in self.metrics]
            rows.append((events[0]["config"], [[one for one in values if one is not None] for values in found]))

        def rank(row: tuple[Mapping[str, Any], list[list[float]]]) -> float:
            mean = mean_of_known(row[1][0])
            return -math.inf if mean is None else mean if self.maximize else -mean

        return sorted(rows, key=rank, reverse=True)

    def _valued(self, number: int, values: list[list[float]]) -> str:
        """'0.812 (0.75 to 0.87)': the mean over seeds with its interval where the number of images, or several seeds, give one."""
        metric, known = self.metrics[number], values[number]
        mean = mean_of_known(known)
        if mean is None:
            return "-"
        error = self.counts.error(metric, mean)
        half = half_width(known, error)
        if half is None:
            return _figure(mean)
        low, high = mean - half, mean + half
        if (row := metric_row(metric)) is not None:  # no interval leaves the range of its metric
            low, high = max(row.low, low), min(row.high, high)
        return f"{mean:.3f} ({low:.2f} to {high:.2f})"

    def _label(self, config: Mapping[str, Any]) -> str:
        return " ".join(f"{name}={_cell(config.get(name))}" for name in self.varied) or "trial"

    def _line(self, text: str, count: bool = True) -> None:
        self._heartbeat.heard()
        console = self._live.console if self._live else self.console
        console.print(
            f"[{self.done}/{self.total}] {text}" if count else text, markup=False, highlight=False, soft_wrap=True
        )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
