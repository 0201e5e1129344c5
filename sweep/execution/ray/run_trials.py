"""campaign -> Ray Tune -> worker groups; every report becomes a line in the ledger.

A Tune trial only waits: it holds no CPU and never a GPU. The worker groups request the resources.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import ray
from ray import tune

from sweep.core.storage import Storage
from sweep.data.datasets import Data
from sweep.execution.campaign_records import CampaignRecords
from sweep.execution.job import Report, failure
from sweep.execution.launch import Launch
from sweep.execution.ray.artifact_server import ArtifactServer
from sweep.execution.ray.job_queue import JobQueue
from sweep.execution.ray.nodes import HEAD
from sweep.execution.ray.shared_images import share_images, wait_for
from sweep.execution.ray.tune_adapters import CampaignScheduler, CampaignSearcher, RecordCallback
from sweep.execution.ray.tune_trial import TuneTrial
from sweep.execution.ray.worker_groups import WorkerGroupSetup, start_worker_group
from sweep.execution.worker_limits import WorkerLimits
from sweep.pipeline.stages import shared_models
from sweep.planning.capacity import Capacity
from sweep.planning.plan import Plan
from sweep.search.candidate import Assignment

_DRIVER = {"CPU": 0, **HEAD}  # a driver only waits, where no machine is taken away under it
_IDLE_S = 10  # without a job for so long a worker group releases its CPUs and GPUs, where a generator or an autoscaler could use that
_ANSWER_S = 1  # for what the live view asks
_CLOSE_S = 20  # how long worker groups may take to end their Train runs


def run_trials(
    launch: Launch,
    plan: Plan,
    data: Data,
    capacity: Capacity,
    records: CampaignRecords,
    first: Callable[[], None] = lambda: None,
    serve: Callable[[WorkerGroupSetup, str], ray.ObjectRef] = start_worker_group,
) -> None:
    """Run the plan's campaign; returns when it is finished or the budget is spent.

    `first` is called while the workers start; `serve` starts a worker group.
    """
    run = Storage(launch.run_url)
    job_queue = JobQueue.remote(  # type: ignore[attr-defined]  # Ray's decorator replaces the class
        launch.resources.max_failures, launch.resources.max_preemptions
    )
    artifact_server = ArtifactServer.remote(  # type: ignore[attr-defined]
        launch.run_url,
        launch.resources.cpus_per_worker,
        launch.resources.gpus_per_worker,
        limits=WorkerLimits.of(launch.resources),
    )
    images = share_images(data)
    setup = WorkerGroupSetup(run.url, launch.resources, launch.attempt, images, job_queue)
    reuse = launch.resources.reuse_workers
    worker_groups = max(1, min(capacity.concurrent_trials, plan.campaign.expected_records))
    ray.get(
        job_queue.open.remote(
            partial(serve, setup), worker_groups, _IDLE_S if capacity.contested else None, eager=reuse
        )
    )
    first()  # in this process, while the worker groups load torch in theirs
    # one more than there are worker groups when workers are reused: a trial that waits for its generator leaves no worker group idle
    spare = 1 if reuse else 0
    os.environ.setdefault(
        "TUNE_MAX_PENDING_TRIALS_PG", str(worker_groups + spare)
    )  # with a searcher Tune would start one trial after another
    launch = replace(launch, shared_models=shared_models(plan.foreseen, data))
    budget_tracker = records.budget_tracker
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(TuneTrial, artifact_server=artifact_server, job_queue=job_queue),
            _DRIVER,
        ),
        tune_config=tune.TuneConfig(
            search_alg=CampaignSearcher(
                plan.campaign, budget_tracker, worker_groups, spare, partial(_trial_config, launch, plan)
            ),
            scheduler=CampaignScheduler(records),
            num_samples=-1,  # the searcher says when it is finished
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
            time_budget_s=budget_tracker.wall_s,
        ),
        run_config=tune.RunConfig(
            name=f"tune-{launch.attempt:04d}",
            storage_path=f"{run.url}/ray",
            callbacks=[RecordCallback(records)],
            verbose=0,
        ),
    )
    wait_for(images)
    records.progress.poll = partial(_activities, job_queue)
    with records.progress:
        tuner.fit()
    ray.get(job_queue.close.remote(_CLOSE_S))


def _activities(job_queue: Any) -> dict[str, Report] | None:
    """What the workers do now; None when the job queue does not answer at once, as while it or its node is replaced."""
    try:
        found: dict[str, Report] = ray.get(job_queue.activities.remote(), timeout=_ANSWER_S)
    except ray.exceptions.RayError:
        return None
    return found


def _trial_config(launch: Launch, plan: Plan, job: Assignment) -> dict[str, Any]:
    """What a Tune trial is given of a job of the campaign."""
    trial = plan.trial(job)
    config = {"trial": trial, "work": launch.work(trial)}
    try:
        return {**config, "stages": launch.stages(trial, plan.data)}
    except Exception as error:  # noqa: BLE001 - a configuration whose stages cannot be named fails, and no other with it
        return {**config, "stages": [], "failed": failure(error)}


def _name(trial: tune.experiment.Trial) -> str:
    """Unique also where a race gives a configuration more seeds."""
    ours = trial.config["trial"]
    return f"{ours.signature}-{ours.seeds[0]}"
