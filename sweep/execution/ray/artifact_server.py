"""One computation per artifact: the actor that every trial asks, on whichever node it runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import ray

from sweep.core.activity import doing, heard_by, noting
from sweep.core.storage import Storage
from sweep.execution.job import FAULT, LimitExceeded, Losses, Obtained, Said
from sweep.execution.ray.nodes import HEAD
from sweep.execution.usage import usage
from sweep.execution.worker_limits import UNLIMITED, WorkerLimits, limited
from sweep.store.artifact_store import ArtifactStore, Compute, Stage

_RETRIES = 3  # a computation whose worker or node is killed begins again this often


@dataclass(frozen=True)
class _Setup:
    """What every computation is started with."""

    run_url: str
    device: str
    threads: int
    limits: WorkerLimits
    job_queue: Any = None


@ray.remote
def _compute(setup: _Setup, stage: Stage, function: Compute | None, server: Any) -> dict[str, Any]:
    import torch

    def say(said: Said) -> None:
        ray.get(server.ending.remote(stage.hash, said))

    def note(facts: dict[str, Any]) -> None:
        if setup.job_queue is not None:
            setup.job_queue.note.remote(stage.hash, {**facts, **usage()})

    torch.set_num_threads(setup.threads)
    store = ArtifactStore(Storage(setup.run_url), setup.device)
    with limited(setup.limits.of_a_stage, say), heard_by(note), noting(artifact=stage.kind):
        doing("loading")
        return store.compute(stage, function or _work_of(stage.kind))


def _work_of(kind: str) -> Compute:
    from sweep.pipeline.compute_stages import STAGES  # here, so that the artifact server itself does without torch

    return STAGES[kind]


# An artifact server that is lost with its node starts again: finished artifacts are in the run folder, unfinished ones are requested again.
@ray.remote(num_cpus=0, resources=HEAD, max_restarts=-1, max_task_retries=-1)
class ArtifactServer:
    """Answers when the artifact exists; the first request starts its computation, later ones wait for the same one.

    A computation that exceeds `limits` (memory, time) ends its process, which is retried like one that died. `work` computes kinds of
    stages in another way than `sweep.pipeline.compute_stages`.
    """

    def __init__(
        self,
        run_url: str,
        cpus: float,
        gpus: float,
        work: Mapping[str, Compute] | None = None,
        limits: WorkerLimits = UNLIMITED,
    ) -> None:
        self._store = ArtifactStore(Storage(run_url))
        self._resources = {"num_cpus": cpus, "num_gpus": gpus}
        self._setup = _Setup(run_url, "cuda" if gpus else "cpu", max(1, int(cpus)), limits)
        self._work = dict(work or {})
        self._running: dict[str, asyncio.Future] = {}
        self._said: dict[str, list[Said]] = {}  # by hash: what computations said before they ended themselves

    async def ensure(self, stage: Stage, job_queue: Any = None) -> list[Obtained]:
        """Ensure `stage`, and first its dependencies unless it exists; every caller gets the exception of a failed computation.

        `job_queue` (actor) is told what is computed. It is no argument of the constructor: Ray warns of handles there, since the object
        store may have lost them when the actor starts again.
        """
        there = self._is_there(stage)
        dependencies = [need for need in stage.dependencies if not there or self._is_there(need)]
        obtained = [item for need in dependencies for item in await self.ensure(need, job_queue)]
        mine = stage.hash not in self._running
        if mine:
            self._running[stage.hash] = asyncio.ensure_future(self._launch(stage, job_queue))
        meta = await asyncio.shield(self._running[stage.hash])
        return [*obtained, Obtained.of(stage, meta, reused=not mine)]

    def _is_there(self, stage: Stage) -> bool:
        """Whether a stage is finished or being computed."""
        if stage.hash not in self._running and (found := self._store.meta(stage)):
            self._running[stage.hash] = asyncio.ensure_future(self._known(found))
        return stage.hash in self._running

    async def _known(self, meta: dict[str, Any]) -> dict[str, Any]:
        return meta

    async def ending(self, stage_hash: str, said: Said) -> None:
        """A computation is about to end its process because it exceeds a limit of memory or time."""
        self._said.setdefault(stage_hash, []).append(said)

    async def _launch(self, stage: Stage, job_queue: Any) -> dict[str, Any]:
        task = _compute.options(max_retries=_RETRIES, **self._resources)
        me = ray.get_runtime_context().current_actor
        try:
            return await task.remote(replace(self._setup, job_queue=job_queue), stage, self._work.get(stage.kind), me)
        except ray.exceptions.WorkerCrashedError as lost:
            if said := self._said.get(stage.hash):
                losses = Losses({FAULT: _RETRIES}, Counter({FAULT: len(said)}))
                raise LimitExceeded(losses.failure(FAULT, said[-1])) from lost
            raise
        finally:
            if job_queue is not None:
                job_queue.note.remote(stage.hash, None)
