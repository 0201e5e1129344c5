"""Images per second on the way to the training loop, and the share of its time that the loop waits for them.

    python -m benchmarks.loading [--images 4096] [--streamed 65536] [--rounds 5] [--steps 40]      # 128 px, batches of 32, in one run

Ways: class folders of PNG files through ImageFolder and a DataLoader (0, 1 and 2 workers); batches from memory
(`ResidentBatches`, as uint8 and with the conversion to float32 that a DataLoader's ToTensor does); the shards read and decoded in
their own order with pyarrow alone, in this process; and the same shards shuffled through `StreamedBatches` (Ray Data; more images,
for who streams has many), one epoch after another as in training, and the start of the first one apart. Shards hold
the images at 128 px (nothing to resize) and at 256 px (the importers' default, resized as they are read; a quarter as many). Rounds are
interleaved; medians of wall time; the allocator keeps its pages, as in a sweep's workers. Goals: memory at least 50 times the best
DataLoader, streaming within 1.5 times of pyarrow, waiting below 3 % with ResNet-18 at 128 px.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sweep.core.process_settings import KEEP_PAGES

if __name__ == "__main__" and any(os.environ.get(name) != value for name, value in KEEP_PAGES.items()):
    os.execve(sys.executable, [sys.executable, "-m", "benchmarks.loading", *sys.argv[1:]], os.environ | KEEP_PAGES)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")

import numpy as np
import ray
import ray.data
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18

from sweep.shards.batches import Batches, batches_of
from sweep.shards.image_set import ImageSet
from sweep.shards.reader import decode_column, read_batches, read_metadata
from sweep.shards.schema import Header, ShardRow
from sweep.shards.stored import StoredImages
from sweep.shards.writer import write_dataset

PX, STORED_PX, BATCH = 128, 256, 32
Way = Callable[[], int]  # passes over the images once, returns how many it saw


def main() -> None:
    """Write the images both ways, measure every way in turn, print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--streamed", type=int, default=65_536)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, default=40, help="optimiser steps of ResNet-18 on which waiting is measured"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as place:
        folders, shards = Path(place) / "png", {px: Path(place) / f"shards{px}" for px in (PX, STORED_PX)}
        _write_files(folders, arguments.images)
        for px, folder in shards.items():
            write_dataset(
                folder, Header(name="noise", domain="noise"), _rows(arguments.streamed * PX**2 // px**2, px // PX)
            )
        ways = _ways(folders, shards, arguments.images)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(arguments.rounds + 1):
            for name, way in ways.items():
                speed = _speed(way)
                times[name] += [speed] if number else []  # the first round starts processes and fills caches
        _report({name: statistics.median(speeds) for name, speeds in times.items()})
        for name, batches in (
            ("memory", _resident(shards[PX], arguments.images)),
            ("shards, resized, streamed", _streamed(shards[STORED_PX])),
        ):
            print(
                f"ResNet-18 waits {_waiting(batches, arguments.steps):.2%} of its time for batches from {name}",
                flush=True,
            )


def _write_files(folders: Path, count: int) -> None:
    """Class folders of PNG files, as quickly decoded as PNG can be."""
    for row in _rows(count):
        path = folders / row.label / f"{row.image_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(row.image).save(path, compress_level=1)


def _rows(count: int, enlarged: int = 1) -> Iterator[ShardRow]:
    """Noise of two classes, each pixel `enlarged` times as wide and high."""
    draw = np.random.default_rng(0)
    for number in range(count):
        image = draw.integers(0, 256, (PX, PX), dtype=np.uint8).repeat(enlarged, axis=0).repeat(enlarged, axis=1)
        yield ShardRow(str(number), image, "benign" if number % 2 else "malignant")


def _ways(folders: Path, shards: dict[int, Path], count: int) -> dict[str, Way]:
    grey = transforms.Compose([transforms.Grayscale(), transforms.ToTensor()])
    files = ImageFolder(str(folders), grey)
    resident = _resident(shards[PX], count)
    ways = {f"ImageFolder, {workers} workers": _loader(files, workers) for workers in (0, 1, 2)}
    ways |= {
        "memory, uint8": lambda: sum(len(images) for images, _ in resident(0)),
        "memory, float32": lambda: sum(len(images.float().div_(255)) for images, _ in resident(0)),
    }
    for px, kind in ((PX, "as stored"), (STORED_PX, "resized")):
        streamed = _streamed(shards[px])
        ways[f"pyarrow alone, {kind}"] = lambda folder=shards[px]: _pyarrow(folder)
        ways[f"streamed, {kind}"] = lambda streamed=streamed, epochs=itertools.count(): sum(
            len(images) for images, _ in streamed(next(epochs))
        )
    return ways


def _loader(files: ImageFolder, workers: int) -> Way:
    loader = DataLoader(files, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    return lambda: sum(len(labels) for _, labels in loader)


def _resident(folder: Path, count: int) -> Batches:
    lazy = _image_set(folder).subset(np.arange(count))
    return batches_of(ImageSet(np.asarray(lazy.images), *_others(lazy)), BATCH, seed=0)


def _streamed(folder: Path) -> Batches:
    return batches_of(_image_set(folder), BATCH, seed=0)


def _image_set(folder: Path) -> ImageSet:
    frame = read_metadata(folder)
    ids = frame["image_id"].to_numpy(str)
    labels = (frame["label"] == "malignant").to_numpy(np.int64)
    return ImageSet(
        StoredImages(folder, PX, ids), labels, ids, ids, ("benign", "malignant"), "noise", np.zeros(len(ids), bool)
    )


def _others(lazy: ImageSet) -> tuple:
    return lazy.labels, lazy.ids, lazy.groups, lazy.classes, lazy.domain, lazy.synthetic


def _pyarrow(folder: Path) -> int:
    """Every image decoded to its size, in the order of the shards, cut into batches."""
    seen = 0
    for rows in read_batches(folder, ["image", "height", "width", "label"]):
        images = decode_column(rows.column("image"), rows.column("height"), rows.column("width"), PX, "pad")
        seen += sum(len(batch) for batch in torch.from_numpy(images.copy()).split(BATCH))
    return seen


def _speed(way: Way) -> float:
    start = time.perf_counter()
    return way() / (time.perf_counter() - start)


def _report(speed: dict[str, float]) -> None:
    best = max(value for name, value in speed.items() if name.startswith("ImageFolder"))
    for name, value in speed.items():
        print(f"{name:<26} {value:>12,.0f} images/s  {value / best:>7.1f} x the best DataLoader")
    for kind in ("as stored", "resized"):
        print(
            f"streaming takes {speed[f'pyarrow alone, {kind}'] / speed[f'streamed, {kind}']:.2f} times as long as pyarrow alone, {kind}",
            flush=True,
        )


def _waiting(batches: Batches, steps: int) -> float:
    """Share of the wall time that a loop of ResNet-18 steps spends asking for its next batch, the first one of the epoch included."""
    torch.manual_seed(0)
    model = resnet18(num_classes=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    waited, epoch = 0.0, iter(batches(1))
    begin = time.perf_counter()
    for _ in range(steps):
        asked = time.perf_counter()
        images, labels = next(epoch)
        waited += time.perf_counter() - asked
        inputs = images.unsqueeze(1).float().div_(255).expand(-1, 3, -1, -1)
        torch.nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    return waited / (time.perf_counter() - begin)


if __name__ == "__main__":
    main()
