"""One computation per artifact: the actor that every trial asks, on whichever node it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import ray

from sweep.core.activity import doing, heard_by, noting
from sweep.core.storage import Storage
from sweep.execution.job import Obtained
from sweep.execution.ray.nodes import HEAD
from sweep.execution.usage import usage
from sweep.store.artifact_store import ArtifactStore, Compute, Stage

_RETRIES = 3  # a computation whose worker or node is killed begins again this often


@ray.remote
def _compute(
    run_url: str, stage: Stage, function: Compute | None, device: str, threads: int, job_queue: Any
) -> dict[str, Any]:
    import torch

    def note(facts: dict[str, Any]) -> None:
        if job_queue is not None:
            job_queue.note.remote(stage.hash, {**facts, **usage()})

    torch.set_num_threads(threads)
    with heard_by(note), noting(artifact=stage.kind):
        doing("loading")
        return ArtifactStore(Storage(run_url), device).compute(stage, function or _work_of(stage.kind))


def _work_of(kind: str) -> Compute:
    from sweep.pipeline.compute_stages import STAGES  # here, so that the artifact server itself does without torch

    return STAGES[kind]


# An artifact server that is lost with its node starts again: finished artifacts are in the run folder, unfinished ones are requested again.
@ray.remote(num_cpus=0, resources=HEAD, max_restarts=-1, max_task_retries=-1)
class ArtifactServer:
    """Answers when the artifact exists; the first request starts its computation, later ones wait for the same one.

    `work` computes kinds of stages in another way than `sweep.pipeline.compute_stages`; `job_queue` (actor) is told what is computed.
    """

    def __init__(
        self,
        run_url: str,
        cpus: float,
        gpus: float,
        work: Mapping[str, Compute] | None = None,
        job_queue: Any = None,
    ) -> None:
        self._run_url = run_url
        self._store = ArtifactStore(Storage(run_url))
        self._resources = {"num_cpus": cpus, "num_gpus": gpus}
        self._how = ("cuda" if gpus else "cpu", max(1, int(cpus)))
        self._work = dict(work or {})
        self._job_queue = job_queue
        self._running: dict[str, asyncio.Future] = {}

    async def ensure(self, stage: Stage) -> list[Obtained]:
        """Ensure `stage`, and first its dependencies unless it exists; every caller gets the exception of a failed computation."""
        there = self._is_there(stage)
        dependencies = [need for need in stage.dependencies if not there or self._is_there(need)]
        obtained = [item for need in dependencies for item in await self.ensure(need)]
        mine = stage.hash not in self._running
        if mine:
            self._running[stage.hash] = asyncio.ensure_future(self._launch(stage))
        meta = await asyncio.shield(self._running[stage.hash])
        return [*obtained, Obtained.of(stage, meta, reused=not mine)]

    def _is_there(self, stage: Stage) -> bool:
        """Whether a stage is finished or being computed."""
        if stage.hash not in self._running and (found := self._store.meta(stage)):
            self._running[stage.hash] = asyncio.ensure_future(self._known(found))
        return stage.hash in self._running

    async def _known(self, meta: dict[str, Any]) -> dict[str, Any]:
        return meta

    async def _launch(self, stage: Stage) -> dict[str, Any]:
        task = _compute.options(max_retries=_RETRIES, **self._resources)
        try:
            return await task.remote(self._run_url, stage, self._work.get(stage.kind), *self._how, self._job_queue)
        finally:
            if self._job_queue is not None:
                self._job_queue.note.remote(stage.hash, None)
