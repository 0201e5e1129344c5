"""What the inline engine's workers are given and how they run it, in this process or as `python -m sweep.execution.inline_worker`."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sweep.core.activity import doing, heard_by, noting
from sweep.core.devices import started_device
from sweep.core.storage import Storage
from sweep.data.datasets import Data
from sweep.data.folds import DOMAINS, RESIDENT, STREAM, Folds, decoded_bytes, image_ids_of, loading_of
from sweep.execution.job import ACTIVITY, DONE, Report, Said, Work, failure
from sweep.execution.usage import usage
from sweep.execution.worker_limits import UNLIMITED, WorkerLimits
from sweep.execution.worker_loop import Cancelled, WorkerContext, serve
from sweep.shards.reader import read_images
from sweep.store.artifact_store import ArtifactStore, Stage

STAGE_DONE, STAGE_FAILED = (
    "stage_done",
    "stage_failed",
)  # keys of a stage task's one report: its note, or class and reason
_SHARE_OF_MEMORY = (
    0.3  # of this machine's memory: as large as Ray's object store, so that `loading: auto` decides alike
)


@dataclass(frozen=True)
class StageTask:
    """An artifact to compute."""

    stage: Stage


@dataclass(frozen=True)
class Task:
    """An artifact to compute or a trial to run, with a number that its reports carry."""

    number: int
    content: StageTask | Work


@dataclass(frozen=True)
class Lost:
    """How a worker process ended under its task; `said` is what it reported before it ended itself."""

    exit: str
    said: Said | None = None


class Handler(Protocol):
    """Takes a report of the task with this number; False drops the task."""

    def __call__(self, number: int, report: Report | Lost) -> bool: ...


@dataclass(frozen=True)
class InlineSetup:
    """What every worker of a run is given before its first task. `images`: folder with one .npy file per domain; None: streamed."""

    run_url: str
    images: str | None
    gpu: bool
    threads: int
    limits: WorkerLimits = UNLIMITED
    niceness: int = 0


def run_task(
    task: Task,
    context: WorkerContext,
    tell: Callable[[Report], bool],
    threads: int,
    note: Callable[[Report], object],
) -> None:
    """Run one task and report it to its end; what it raises becomes a report. `note` takes what it does meanwhile and answers nothing."""
    with heard_by(lambda facts: note({"kind": ACTIVITY, **facts, **usage()})):
        if isinstance(task.content, StageTask):
            tell(_computed(task.content.stage, context, threads))
            return
        with suppress(Cancelled):
            serve(task.content, context, tell)
        tell({"kind": DONE})


def _computed(stage: Stage, context: WorkerContext, threads: int) -> Report:
    import torch

    from sweep.pipeline.compute_stages import STAGES

    torch.set_num_threads(threads)
    try:
        with noting(artifact=stage.kind):
            doing("loading")
            return {STAGE_DONE: ArtifactStore(context.run, context.device).compute(stage, STAGES[stage.kind])}
    except Exception as error:  # noqa: BLE001 - whatever a computation raised is the failure of the trials that need it
        return {STAGE_FAILED: failure(error)}


def context_of(setup: InlineSetup, held: dict[str, np.ndarray] | None) -> WorkerContext:
    """A worker's context; `held` has each domain's decoded images, None where they are streamed from their shards."""
    device = started_device(setup.gpu)
    run = Storage(setup.run_url)
    data = Data.load(run)
    folds = Folds(data, STREAM) if held is None else Folds(data, RESIDENT, held)
    return WorkerContext(run, data, folds, device)


def decoded_domains(data: Data) -> dict[str, np.ndarray] | None:
    """uint8 [N, px, px] of each domain in the order of the split; None where the images are to be streamed."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if loading_of(data.loading, decoded_bytes(data), _SHARE_OF_MEMORY * memory) == STREAM:
        return None
    found = {}
    for domain in DOMAINS:
        folder, ids = image_ids_of(data, domain)
        found[domain] = read_images(folder, data.image_px, ids, data.fit).images
    return found


def mapped_domains(folder: str) -> dict[str, np.ndarray]:
    """The arrays that `save_domains` wrote, mapped into memory: all processes share one copy."""
    return {name: np.load(Path(folder) / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in DOMAINS}


def save_domains(held: dict[str, np.ndarray], folder: str) -> None:
    """Write each domain's images to a file of `folder`."""
    for name, images in held.items():
        np.save(Path(folder) / f"{name}.npy", images, allow_pickle=False)
