"""A campaign as Ray Tune's searcher and scheduler: one of each serves all studies, so that the cluster never drains between cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sweep.execution.ray.ledger_callback import RecordCallback
from sweep.planning.budget import BudgetTracker
from sweep.search.campaign import Campaign
from sweep.search.candidate import Job
from sweep.store.trial import Trial


class CampaignSearcher(Searcher):
    """Hands out the campaign's jobs, at most `limit` at once. Results reach the campaign through the recorder."""

    def __init__(
        self, campaign: Campaign, budget_tracker: BudgetTracker, limit: int, trial_of: Callable[[Job], Trial]
    ) -> None:
        super().__init__()
        self._campaign, self._budget_tracker, self._limit, self._trial_of = campaign, budget_tracker, limit, trial_of
        self._live: dict[str, Trial] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial; nothing for now when all places are taken or all results are waited for; FINISHED at the end."""
        if len(self._live) >= self._limit:
            return None
        if not self._budget_tracker.may_launch():
            return self.FINISHED
        job = self._campaign.next_job()
        if job is None:
            return self.FINISHED if self._campaign.finished else None
        self._live[trial_id] = self._trial_of(job)
        self._budget_tracker.launched(trial_id)
        return {"trial": self._live[trial_id]}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A place is free again."""
        self._live.pop(trial_id, None)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to keep: the ledger is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was kept."""


class CampaignScheduler(FIFOScheduler):
    """Stops the trials that the campaign gives up."""

    def __init__(self, recorder: RecordCallback) -> None:
        super().__init__()
        self._recorder = recorder

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """STOP when the report shows that the trial is not worth its resources."""
        return TrialScheduler.STOP if self._recorder.judge(trial, result) else TrialScheduler.CONTINUE
