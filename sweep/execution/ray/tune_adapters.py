"""A campaign as Ray Tune's searcher, scheduler and callback: one of each serves all studies, so workers never idle between cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sweep.execution.campaign_records import CampaignRecords
from sweep.planning.budget import BudgetTracker
from sweep.search.campaign import Campaign
from sweep.search.candidate import Assignment


class CampaignSearcher(Searcher):
    """Hands out the campaign's jobs, at most `worker_groups + spare` at once. Results reach the campaign through `RecordCallback`.

    The spare trials wait for the first report, unless a trial waits for its artifacts: each costs a process, whose start would delay
    the workers' own.
    """

    def __init__(
        self,
        campaign: Campaign,
        budget_tracker: BudgetTracker,
        worker_groups: int,
        spare: int,
        config_of: Callable[[Assignment], dict[str, Any]],
    ) -> None:
        super().__init__()
        self._campaign, self._budget_tracker, self._config_of = campaign, budget_tracker, config_of
        self._places, self._spare = worker_groups, spare
        self._live: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial; None while all places are taken or the campaign waits for results; FINISHED at the end."""
        if len(self._live) >= self._places:
            return None
        if not self._budget_tracker.may_launch():
            return self.FINISHED
        job = self._campaign.next_job()
        if job is None:
            return self.FINISHED if self._campaign.finished else None
        self._live.add(trial_id)
        self._budget_tracker.launched(trial_id)
        config = self._config_of(job)
        if config["stages"]:
            self._open_spare_places()
        return config

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """The workers have started."""
        self._open_spare_places()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A place is free again."""
        self._live.discard(trial_id)

    def _open_spare_places(self) -> None:
        self._places, self._spare = self._places + self._spare, 0

    def save(self, checkpoint_path: str) -> None:
        """Nothing: resume reads the ledger, never Tune's snapshots."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was saved."""


class CampaignScheduler(FIFOScheduler):
    """Stops the trials that the campaign stops; Tune asks it before it calls `RecordCallback` with the same report."""

    def __init__(self, records: CampaignRecords) -> None:
        super().__init__()
        self._records = records

    def __reduce__(self) -> tuple:
        """Tune pickles its scheduler with the experiment; nothing reads it back, because resume reads the ledger."""
        return FIFOScheduler, ()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """STOP or CONTINUE."""
        stops = self._records.stops(trial.config["trial"], result)
        return TrialScheduler.STOP if stops else TrialScheduler.CONTINUE


class RecordCallback(Callback):
    """Hands Tune's events to the records."""

    def __init__(self, records: CampaignRecords) -> None:
        self._records = records

    def __reduce__(self) -> tuple:
        """Tune pickles its callbacks with the experiment; nothing reads them back, because resume reads the ledger."""
        return Callback, ()

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict[str, Any], **info: Any) -> None:
        """One report of a trial."""
        self._records.take(trial.config["trial"], result)

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """The Tune trial ended by itself or was stopped."""
        self._records.ended(trial.config["trial"], trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """The Tune trial raised."""
        reason = _last_line(trial.error_file) or "its Tune trial ended without an error message"
        self._records.crashed(trial.config["trial"], trial.trial_id, reason)


def _last_line(path: str | None) -> str | None:
    if not path:
        return None
    with open(path, encoding="utf-8", errors="replace") as stream:
        lines = [line.strip() for line in stream if line.strip()]
    return lines[-1] if lines else None
