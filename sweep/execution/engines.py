"""`resources.engine` -> what runs a plan: Ray, of this machine or of a cluster, or the inline engine. Each is imported when it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from sweep.config.sweep_config import Resources
from sweep.core.environment import in_environment
from sweep.core.errors import InputError
from sweep.execution.mps import shared_gpu
from sweep.planning.capacity import Capacity, capacity_here

if TYPE_CHECKING:  # a refusal must not wait for what only a running sweep needs
    from sweep.data.datasets import Data
    from sweep.execution.campaign_records import CampaignRecords
    from sweep.execution.launch import Launch
    from sweep.planning.plan import Plan


class RunPlan(Protocol):
    """Runs a plan's campaign; returns when it is finished or its budget is spent.

    `first` is called once, before any event of a trial: under Ray while the workers start.
    """

    def __call__(
        self,
        launch: Launch,
        plan: Plan,
        data: Data,
        capacity: Capacity,
        records: CampaignRecords,
        first: Callable[[], None],
    ) -> None: ...


@contextmanager
def joined(address: str | None, resources: Resources) -> Iterator[Capacity | None]:
    """Join a Ray cluster before anything is prepared; None where nothing is joined.

    Raises InputError at once when one trial can never fit, on the cluster or on this machine.
    """
    if address:
        from sweep.execution.ray.session import ray_session

        with ray_session(address, resources) as capacity:
            yield capacity
        return
    if resources.engine == "inline":
        check_inline(resources)
    capacity_here(resources)
    yield None


def check_inline(resources: Resources) -> None:
    """Raise InputError for resources that the inline engine cannot give."""
    if resources.workers > 1:
        raise InputError(
            "resources.workers",
            f"the inline engine trains each trial in one process, {resources.workers} are asked for",
            "set it to 1, or set resources.engine: ray",
        )


@contextmanager
def engine(resources: Resources, cluster: Capacity | None, places: Iterable[str]) -> Iterator[tuple[Capacity, RunPlan]]:
    """What there is to run on, and the function that runs a plan there.

    `cluster` is the capacity of the Ray that is joined; without it a Ray of this machine is started and ended. `places` (run folder and
    shard folders) must be readable on every node: InputError names the one that is not.
    """
    if resources.engine == "inline":
        from sweep.execution.inline import run_inline

        # in this process unless more are asked for: a notebook's machine is not taken over
        at_once = min(capacity_here(resources).concurrent_trials, resources.max_concurrent_trials or 1)
        yield replace(capacity_here(resources), concurrent_trials=at_once), run_inline
        return
    from sweep.execution.ray.session import ray_session

    if cluster is not None:
        yield cluster, _on_ray(places)
        return
    # the processes of this machine's own Ray inherit the variables; nodes of a cluster run already
    with (
        shared_gpu(0 < resources.gpus_per_worker < 1) as variables,
        in_environment(variables),
        ray_session(None, resources) as capacity,
    ):
        yield capacity, _on_ray(places)


def _on_ray(places: Iterable[str]) -> RunPlan:
    from sweep.execution.ray.nodes import check_places
    from sweep.execution.ray.run_trials import run_trials

    check_places(places)
    return run_trials
