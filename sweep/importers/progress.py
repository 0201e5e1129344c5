"""Progress bar of an import: images done, and the time left where their number is known."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn, TimeRemainingColumn

from sweep.core.errors import InputError


class Counter:
    """A bar for as long as the block lasts; images that are left out count as done."""

    def __init__(self, console: Console | None = None) -> None:
        columns = (
            SpinnerColumn(),
            "images",
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            "left",
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console or Console(stderr=True), transient=True)
        self._task = self._bar.add_task("images", total=None)

    def __enter__(self) -> Counter:
        self._bar.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.stop()

    @property
    def shown(self) -> tuple[int, int | None]:
        """Images done and, where known, all of them."""
        task = self._bar.tasks[0]
        return int(task.completed), None if task.total is None else int(task.total)

    def total(self, images: int) -> None:
        """Set the number of images."""
        self._bar.update(self._task, total=images)

    def done(self, images: int) -> None:
        """Advance by one written image; `images`, the number written so far, is not shown, since skipped ones count too."""
        self._bar.advance(self._task)

    def skip(self, violation: InputError) -> None:
        """Advance by one skipped image."""
        self._bar.advance(self._task)
