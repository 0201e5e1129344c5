"""The loop inside a Train worker: data in through Ray Data once, then jobs from the board, one after another.

torch is imported inside the functions that run on workers: the processes that only carry this module do not need it.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
import ray.train

from sweep.board import DONE
from sweep.core.errors import Diverged
from sweep.prepare import FOLDS, TARGET, Data
from sweep.shards.image_set import ImageSet
from sweep.storage import Storage
from sweep.trial import RESULT, Work

_STATE = "state"  # an unfinished seed's training state; gone when the seed is done


class Cancelled(Exception):
    """The trial was stopped while its job ran."""


def train_worker(config: Mapping[str, Any]) -> None:
    """Entry point of every Train worker. `config`: board (actor), slot (name), run_url; the datasets are source and target."""
    import torch

    board, slot, run = config["board"], config["slot"], Storage(config["run_url"])
    data = Data.load(run)
    folds = _folds(data)
    device = str(ray.train.torch.get_device()) if torch.cuda.is_available() else "cpu"
    while (work := ray.get(board.take.remote(slot))) is not None:
        torch.set_num_threads(work.threads)

        def tell(report: dict[str, Any], signature: str = work.trial.signature) -> None:
            if not ray.get(board.report.remote(slot, signature, report)):
                raise Cancelled

        try:
            _serve(work, run, data, folds, device, tell)
        except Cancelled:
            pass
        ray.get(board.report.remote(slot, work.trial.signature, {"kind": DONE}))
        if work.last:
            return


def _folds(data: Data) -> dict[str, ImageSet]:
    images: dict[str, dict[str, Any]] = {}
    for name in ("source", "target"):
        images[name] = {}
        for batch in ray.train.get_dataset_shard(name).iter_batches(batch_size=512, batch_format="numpy", prefetch_batches=0):
            images[name].update(zip(batch["image_id"], batch["image"], strict=True))
    return {fold: data.image_set(fold, images["target" if fold == TARGET else "source"]) for fold in FOLDS}


def _serve(work: Work, run: Storage, data: Data, folds: Mapping[str, ImageSet], device: str, tell: Callable[[dict], None]) -> None:
    """Every seed of one trial that has no result yet. A seed that fails does not stop the next one."""
    from sweep.seed_run import SeedRun
    from sweep.trainable import run_seed

    for seed in work.trial.seeds:
        folder = work.trial.seed_folder(seed)
        if not run.exists(f"{folder}/{RESULT}"):
            job = SeedRun(work.trial, seed, data, folds, work.attacks, run, device)
            job.state = run.read(f"{folder}/{_STATE}") if run.exists(f"{folder}/{_STATE}") else None
            job.save_state = _throttled(lambda state, folder=folder: run.write(f"{folder}/{_STATE}", state), work.checkpoint_every_s)
            job.on_epoch = lambda metrics, seed=seed: tell({"kind": "epoch", "seed": seed, **metrics})
            try:
                run_seed(job)
            except Cancelled:
                raise
            except Exception as error:
                tell({"kind": "failed", "seed": seed, **failure(error)})
                continue
            finally:
                if run.exists(f"{folder}/{RESULT}") and run.exists(f"{folder}/{_STATE}"):
                    run.delete(f"{folder}/{_STATE}")
        tell({"kind": "finish", "seed": seed})


def _throttled(save: Callable[[bytes], None], every_s: float) -> Callable[[bytes], None]:
    """Save at most once in `every_s`: short epochs would otherwise be spent writing."""
    last = time.monotonic()

    def maybe(state: bytes) -> None:
        nonlocal last
        if time.monotonic() - last >= every_s:
            save(state)
            last = time.monotonic()

    return maybe


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
