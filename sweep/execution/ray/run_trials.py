"""campaign -> Ray Tune -> worker slots; every report becomes a line in the ledger.

A Tune trial is a thin driver that waits: it holds no CPU and never a GPU. The slots' own placement groups carry the real request.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import ray
from ray import tune

from sweep.execution.ray.job_queue import JobBoard
from sweep.execution.ray.artifact_server import ArtifactBroker
from sweep.planning.capacity import Capacity
from sweep.execution.ray.tune_trial import Launch, TrialDriver
from sweep.execution.ray.shared_images import share_images, wait_for
from sweep.execution.ray.nodes import HEAD
from sweep.planning.plan import Plan
from sweep.data.datasets import Data
from sweep.execution.live_table import Progress
from sweep.execution.ray.ledger_callback import RecordCallback
from sweep.store.ledger import Ledger
from sweep.execution.ray.worker_groups import SlotSetup, start_slot
from sweep.planning.budget import Spending
from sweep.pipeline.stages import handed_on
from sweep.execution.ray.tune_adapters import CampaignScheduler, CampaignSearcher
from sweep.core.storage import Storage

_DRIVER = {"CPU": 0, **HEAD}  # a driver only waits, where no machine is taken away under it
_IDLE_S = 10  # a slot without a job gives its CPUs and GPUs back after that, where a generator or nobody may need them
_GOODBYE_S = 20  # how long slots may take to end their Train runs


def run_trials(
    launch: Launch,
    plan: Plan,
    data: Data,
    capacity: Capacity,
    ledger: Ledger,
    progress: Progress,
    spending: Spending,
    serve: Callable[[SlotSetup, str], ray.ObjectRef] = start_slot,
) -> None:
    """Run what the plan's campaign deals out; returns when it is finished or the budget is spent. `serve` starts what takes the jobs."""
    run = Storage(launch.run_url)
    board = JobBoard.remote(launch.resources.max_failures, launch.resources.max_preemptions)
    broker = ArtifactBroker.remote(launch.run_url, launch.resources.cpus_per_worker, launch.resources.gpus_per_worker)
    images = share_images(data)
    setup = SlotSetup(run.url, launch.resources, launch.attempt, images, board)
    reuse = launch.resources.reuse_workers
    slots = max(1, min(capacity.concurrent_trials, plan.campaign.expected_records))
    ray.get(board.open.remote(partial(serve, setup), slots, _IDLE_S if capacity.contested else None, eager=reuse))
    # one more than there are slots when workers are reused: a trial that waits for its generator leaves no slot idle
    limit = slots + 1 if reuse else slots
    os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", str(limit))  # with a searcher Tune would start one trial after another
    launch = replace(launch, handed_on=handed_on(plan.foreseen, data))
    recorder = RecordCallback(run, ledger, progress, plan.campaign, spending)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(TrialDriver, launch=launch, data=data, broker=broker, setup=setup), _DRIVER),
        tune_config=tune.TuneConfig(
            search_alg=CampaignSearcher(plan.campaign, spending, limit, plan.trial),
            scheduler=CampaignScheduler(recorder),
            num_samples=-1,  # the searcher says when it is finished
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
            time_budget_s=spending.wall_s,
        ),
        run_config=tune.RunConfig(name=f"tune-{launch.attempt:04d}", storage_path=f"{run.url}/ray", callbacks=[recorder], verbose=0),
    )
    wait_for(images)  # slots start meanwhile
    tuner.fit()
    ray.get(board.close.remote(_GOODBYE_S))


def _name(trial: tune.experiment.Trial) -> str:
    """A configuration comes more than once when a race gives it more seeds."""
    ours = trial.config["trial"]
    return f"{ours.signature}-{ours.seeds[0]}"
