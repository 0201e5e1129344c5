"""Images per second on the way to the training loop, and seconds per 10,000 images of the audit.

    python -m benchmarks.loading [--images 4096] [--rounds 5]      # 128 px, batches of 32, all ways in one run

Ways: class folders of PNG files through ImageFolder and a DataLoader (0, 1 and 2 workers), batches from memory
(`ResidentBatches`, as uint8 and with the conversion to float32 that a DataLoader's ToTensor does), shards read
with pyarrow alone, and the same shards through Ray Data. Rounds are interleaved; medians of wall time. Goals:
batches from memory at least 50 times the best DataLoader, streaming within 1.5 times of pyarrow.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")

import numpy as np
import pyarrow.parquet as pq
import ray
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from sweep.shards.audit import audit
from sweep.shards.batches import ResidentBatches
from sweep.shards.reader import part_paths, read_images
from sweep.shards.schema import Header, ShardRow
from sweep.shards.stream import open_dataset
from sweep.shards.writer import write_dataset

PX, BATCH = 128, 32
Way = Callable[[], int]  # passes over the images once, returns how many it saw


def main() -> None:
    """Write the images both ways, measure every way in turn, print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    with tempfile.TemporaryDirectory() as place:
        folders, shards = Path(place) / "png", Path(place) / "shards"
        _write(folders, shards, arguments.images)
        ways = _ways(folders, shards)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(arguments.rounds):
            for name, way in ways.items():
                times[name].append(_timed(way, arguments.images))
        _report({name: arguments.images / statistics.median(seconds) for name, seconds in times.items()})
        start = time.process_time()
        audit([shards])
        print(f"audit: {(time.process_time() - start) / arguments.images * 1e4:.1f} CPU s per 10,000 images")


def _write(folders: Path, shards: Path, count: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, PX, PX), dtype=np.uint8)
    labels = ["benign" if index % 2 else "malignant" for index in range(count)]
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folders / label / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, compress_level=1)
    rows = (ShardRow(str(index), image, label) for index, (image, label) in enumerate(zip(images, labels, strict=True)))
    write_dataset(shards, Header(name="noise", domain="noise"), rows)


def _ways(folders: Path, shards: Path) -> dict[str, Way]:
    grey = transforms.Compose([transforms.Grayscale(), transforms.ToTensor()])
    files = ImageFolder(str(folders), grey)
    resident = ResidentBatches(read_images(shards, PX), BATCH, seed=0)
    ways = {f"ImageFolder, {workers} workers": _loader(files, workers) for workers in (0, 1, 2)}
    return ways | {
        "memory, uint8": lambda: sum(len(images) for images, _ in resident(0)),
        "memory, float32": lambda: sum(len(images.float().div_(255)) for images, _ in resident(0)),
        "pyarrow alone": lambda: _pyarrow(shards),
        "shards, decoded": lambda: len(read_images(shards, PX)),
        "Ray Data": lambda: _streamed(shards),
    }


def _loader(files: ImageFolder, workers: int) -> Way:
    loader = DataLoader(files, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    return lambda: sum(len(labels) for _, labels in loader)


def _pyarrow(shards: Path) -> int:
    return sum(pq.read_table(path, columns=["image", "label"]).num_rows for path in part_paths(shards))


def _streamed(shards: Path) -> int:
    rows = open_dataset(shards, PX).select_columns(["image", "label"])  # text columns make no tensor
    return sum(len(batch["label"]) for batch in rows.iter_torch_batches(batch_size=BATCH))


def _timed(way: Way, expected: int) -> float:
    start = time.perf_counter()
    seen = way()
    if seen != expected:
        raise AssertionError(f"saw {seen} of {expected} images")
    return time.perf_counter() - start


def _report(speed: dict[str, float]) -> None:
    best = max(value for name, value in speed.items() if name.startswith("ImageFolder"))
    for name, value in speed.items():
        print(f"{name:<24} {value:>12,.0f} images/s  {value / best:>7.1f} x the best DataLoader")
    print(f"Ray Data takes {speed['pyarrow alone'] / speed['Ray Data']:.1f} times as long as pyarrow alone")


if __name__ == "__main__":
    main()
