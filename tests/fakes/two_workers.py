"""Two training workers over gloo on one machine, each with its own half of the images."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from sweep.training.fit import fit
from sweep.training.recipe import Recipe
from sweep.training.workers import mean_over_workers
from tests.fakes.fit_arguments import fit_arguments
from tests.fakes.toy_classifier import ToyBatches, ToyClassifier, toy_images


def train_on_two_workers(folder: Path, recipe: Recipe) -> list[dict]:
    """What each worker ends with: {"weights", "history", "attacked_norms"}, the last empty without a second set of batch norms."""
    multiprocessing.spawn(_worker, args=(str(folder), recipe), nprocs=2, join=True)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _worker(rank: int, folder: str, recipe: Recipe) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        images, labels = toy_images(32)
        model = DistributedDataParallel(ToyClassifier())
        batches = ToyBatches(images[rank * 16 : rank * 16 + 16], labels[rank * 16 : rank * 16 + 16])
        states: list[bytes] = []
        result = fit(
            model,
            batches,
            toy_images(16, seed=9),
            recipe,
            seed=0,
            **fit_arguments(reduce=mean_over_workers, train_labels=labels, save_state=states.append),
        )
        extras = torch.load(io.BytesIO(states[-1]), weights_only=True)["extras"]
        ends = {
            "weights": model.module.state_dict(),
            "history": result.history,
            "attacked_norms": extras.get("dual_norms", {}),
        }
        torch.save(ends, f"{folder}/{rank}.pt")
    finally:
        distributed.destroy_process_group()
