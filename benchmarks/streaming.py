"""50,000 generated images through two train workers: images a second, and what the workers' memory does meanwhile.

    python -m benchmarks.streaming [--images 10000 50000] [--px 64] [--train]

Shards are written in constant memory, then one epoch of the product's own batches streams through a Ray Train run of two workers; with
--train each batch takes an optimiser step of small_cnn. Memory is what a worker holds alone (the object store is not counted), looked
at after every batch, less what it held before the first one. Constant memory means that the last column does not grow with the number of images.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
os.environ.setdefault(
    "RAY_worker_maximum_startup_concurrency", "16"
)  # the raylet warns on the terminal at four times this

import numpy as np

WORKERS, BATCH = 2, 64
_BLOCK = 256  # different images; more would only take longer to make


def main() -> None:
    """Measure each number of images in turn; one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--px", type=int, default=64)
    parser.add_argument("--train", action="store_true", help="an optimiser step on every batch")
    options = parser.parse_args()
    for count in options.images:
        print(line(measured(count, options.px, options.train)), flush=True)


def line(facts: Mapping[str, float]) -> str:
    """One measurement as a sentence."""
    return (
        f"{facts['images']:,} images of {facts['px']} px ({facts['decoded_mb']:.0f} MB decoded): {facts['images_per_s']:.0f} images/s through "
        f"{WORKERS} workers; peak memory of a worker {facts['peak_mb']:.0f} MB, {facts['grown_mb']:.0f} MB more than before the first batch"
    )


def measured(count: int, px: int, train: bool = False) -> dict[str, float]:
    """Write `count` images and stream them once; facts of the worker that held most."""
    import ray
    from ray import train as ray_train
    from ray.train.torch import TorchTrainer

    with tempfile.TemporaryDirectory() as place:
        shards = f"{place}/shards"
        write(shards, count, px)
        ray.init(
            address="local",
            num_cpus=8,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=400_000_000,
        )
        try:
            TorchTrainer(
                stream_once,
                train_loop_config={"shards": shards, "px": px, "train": train, "out": place},
                scaling_config=ray_train.ScalingConfig(num_workers=WORKERS, resources_per_worker={"CPU": 1}),
                run_config=ray_train.RunConfig(storage_path=place, name="streaming"),
            ).fit()
        finally:
            ray.shutdown()
        workers = [json.loads((Path(place) / f"{rank}.json").read_text()) for rank in range(WORKERS)]
    seen, seconds = sum(worker["seen"] for worker in workers), max(worker["seconds"] for worker in workers)
    most = max(workers, key=lambda worker: worker["peak"])
    facts = {
        "images": count,
        "px": px,
        "decoded_mb": count * px * px / 1e6,
        "seen": seen,
        "images_per_s": seen / seconds,
    }
    return facts | {"peak_mb": most["peak"] / 1e6, "grown_mb": (most["peak"] - most["before"]) / 1e6}


def write(shards: str, count: int, px: int) -> None:
    """A shard folder of `count` images, made as they are written."""
    from sweep.shards.schema import Header, ShardRow
    from sweep.shards.writer import write_dataset

    pixels = np.random.default_rng(0).integers(0, 256, (_BLOCK, px, px), dtype=np.uint8)

    def rows() -> Iterator[ShardRow]:
        for number in range(count):
            yield ShardRow(f"{number:06d}", pixels[number % _BLOCK], ("benign", "malignant")[number % 2])

    write_dataset(shards, Header(name="generated", domain="generated"), rows())


def stream_once(config: Mapping[str, Any]) -> None:
    """One epoch in one of the train workers."""
    import ray.train
    import torch

    from sweep.execution.memory_limit import own_bytes
    from sweep.shards.batches import batches_of
    from sweep.training.workers import rank, world_size

    torch.set_num_threads(1)
    images = lazy_images(config["shards"], config["px"])
    batches = batches_of(images, BATCH, seed=0, share=(rank(), world_size()))
    step = _trainer(config["px"]) if config["train"] else lambda images, labels: None
    begin, seen, before = time.perf_counter(), 0, own_bytes()
    peak = before
    for pictures, labels in batches(0):
        step(pictures, labels)
        seen += len(pictures)
        peak = max(peak, own_bytes())
    facts = {"seen": seen, "seconds": time.perf_counter() - begin, "before": before, "peak": peak}
    (Path(config["out"]) / f"{ray.train.get_context().get_world_rank()}.json").write_text(json.dumps(facts))


def lazy_images(shards: str, px: int) -> Any:
    """The folder as an ImageSet whose images stay in their shards."""
    from sweep.shards.image_set import ImageSet
    from sweep.shards.labels import label_indices
    from sweep.shards.reader import groups_of, read_manifest, read_metadata
    from sweep.shards.stored import StoredImages

    manifest, frame = read_manifest(shards), read_metadata(shards)
    ids = frame["image_id"].to_numpy(str)
    labels = label_indices(frame["label"].tolist(), manifest.classes, shards)
    return ImageSet(
        StoredImages(shards, px, list(ids)),
        labels,
        ids,
        groups_of(frame),
        manifest.classes,
        manifest.domain,
        np.zeros(len(ids), bool),
    )


def _trainer(px: int) -> Any:
    import torch

    from sweep.models.classifier import ClassifierSpec, build_classifier
    from sweep.training.workers import shared_by_all

    model = shared_by_all(
        build_classifier(ClassifierSpec(backbone="small_cnn", num_classes=2, image_px=px), seed=0), "cpu"
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(images.unsqueeze(1).float().div(255)), labels).backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
