"""The loop inside a Train worker: data in through Ray Data once, seeds one after another, reports out.

torch is imported inside the functions that run on workers: the drivers and controllers that carry this module do not need it.
"""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray.train

from sweep.core.errors import Diverged
from sweep.prepare import FOLDS, TARGET, Data
from sweep.shards.image_set import ImageSet
from sweep.storage import Storage
from sweep.trial import RESULT, Work

_STATE_FILE = "state.pt"
_SEED_FILE = "seed"


def train_worker(config: Mapping[str, Any]) -> None:
    """Entry point of every Train worker: `config["work"]` is a Work; the datasets are `source` and `target`."""
    import torch

    from sweep.trainable import SeedRun

    work: Work = config["work"]
    torch.set_num_threads(work.threads)
    run = Storage(work.run_url)
    data = Data.load(run)
    folds = _folds(data)
    device = str(ray.train.torch.get_device()) if torch.cuda.is_available() else "cpu"
    seed_in_progress, state = _resumed()
    for seed in work.trial.seeds:
        if run.exists(f"{work.trial.seed_folder(seed)}/{RESULT}"):
            continue
        job = SeedRun(work.trial, seed, data, folds, work.attacks, run, device)
        job.state = state if seed == seed_in_progress else None
        job.on_epoch, job.save_state = _reporter(seed, work.checkpoint_every_s)
        ray.train.report(_outcome(job))


def _folds(data: Data) -> dict[str, ImageSet]:
    images = {}
    for name in ("source", "target"):
        images[name] = {}
        for batch in ray.train.get_dataset_shard(name).iter_batches(batch_size=512, batch_format="numpy", prefetch_batches=0):
            images[name].update(zip(batch["image_id"], batch["image"], strict=True))
    return {fold: data.image_set(fold, images["target" if fold == TARGET else "source"]) for fold in FOLDS}


def _outcome(job: Any) -> dict[str, Any]:
    """The last report of a seed: done, or failed with its kind and reason; a failed seed does not stop the next one."""
    from sweep.trainable import run_seed

    place = {"signature": job.trial.signature, "seed": job.seed}
    try:
        run_seed(job)
        return {"kind": "finish", **place}
    except Exception as error:
        return {"kind": "failed", **place, **failure(error)}


def failure(error: BaseException) -> dict[str, str]:
    """Class and reason of a failure, for the ledger."""
    text = str(error) or type(error).__name__
    if isinstance(error, Diverged) or type(error).__name__ == "Collapsed":
        return {"failure": "DIVERGED", "reason": text}
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        return {"failure": "OOM", "reason": text}
    place = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    where = f" ({Path(place.filename).name}:{place.lineno})" if place else ""
    return {"failure": "FAILED", "reason": f"{type(error).__name__}: {text}{where}"}


def _reporter(seed: int, every_s: float) -> tuple[Callable[[dict], None], Callable[[bytes], None]]:
    """on_epoch and save_state for one seed: each epoch is reported, its state only once in a while."""
    pending: dict[str, Any] = {"state": None, "saved": time.monotonic()}

    def save_state(state: bytes) -> None:
        pending["state"] = state

    def on_epoch(metrics: dict[str, Any]) -> None:
        report = {"kind": "epoch", "seed": seed, **metrics}
        if pending["state"] is None or time.monotonic() - pending["saved"] < every_s:
            ray.train.report(report)
            return
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, _STATE_FILE).write_bytes(pending["state"])
            Path(folder, _SEED_FILE).write_text(str(seed))
            ray.train.report(report, checkpoint=ray.train.Checkpoint.from_directory(folder))
        pending["saved"] = time.monotonic()

    return on_epoch, save_state


def _resumed() -> tuple[int | None, bytes | None]:
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return None, None
    with checkpoint.as_directory() as folder:
        return int(Path(folder, _SEED_FILE).read_text()), Path(folder, _STATE_FILE).read_bytes()
