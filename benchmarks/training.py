"""Images per second of the training loop: against a bare loop doing the same work, and against the usual eager float32 loop.

    python -m benchmarks.training overhead              # one process, one thread, interleaved rounds, CPU time
    python -m benchmarks.training usual                 # two packed one-thread processes against one with two threads

Batch 32 at 128 px, two classes, random images, no augmentation. Medians of the rounds. Goals: overhead within 3 %; against the
usual loop (contiguous float32, plain AdamW, default allocator) 2.2 times for small_cnn and resnet18, 1.3 times for a ViT.
`usual` prints wall time, which other work on the machine disturbs, beside images per CPU second, which it hardly does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as functional
from torch import nn

from sweep.core.devices import cpu_features
from sweep.core.process_settings import KEEP_PAGES
from sweep.evaluation.evaluate import predict
from sweep.evaluation.metrics import classification_metrics
from sweep.models.classifier import ClassifierSpec, build_classifier
from sweep.shards.batches import ResidentBatches
from sweep.shards.image_set import ImageSet
from sweep.training.ema import snapshot
from sweep.training.fit import fit
from sweep.training.hooks import TrainingHooks
from sweep.training.precision import autocast
from sweep.training.recipe import Recipe

PX, BATCH, VAL = 128, 32, 32
STEPS = {"small_cnn": 48, "resnet18": 10, "vit_tiny_patch16_224": 6}  # per round, two to five CPU seconds each
RECIPE = Recipe(epochs=1, batch_size=BATCH, augment="none", patience=0, schedule="none")
DEFAULT = dict.fromkeys(KEEP_PAGES)
Round = Callable[[], int]  # runs a round, returns its images


def main() -> None:
    """Run the chosen comparison for the chosen models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("overhead", "usual", "worker"))
    parser.add_argument("--models", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--steps", type=int, help="of a round, instead of each model's own number; few suit a busy machine"
    )
    parser.add_argument("--loop", choices=LOOPS, default="fit")
    parser.add_argument(
        "--threads", type=int, default=2, help="of the usual loop; 1 on a busy machine, where two only wait"
    )
    arguments = parser.parse_args()
    if arguments.steps:
        STEPS.update(dict.fromkeys(STEPS, arguments.steps))
    if arguments.what == "worker":
        work(LOOPS[arguments.loop](arguments.models[0]), arguments.threads)
        return
    for name in arguments.models:
        if arguments.what == "overhead":
            line = overhead(name, arguments.rounds)
        else:
            line = against_usual(name, arguments.rounds, arguments.threads)
        print(f"{name} on {cpu_features()}: {line}", flush=True)


def overhead(name: str, rounds: int) -> str:
    """CPU time of an epoch of fit over one of a hand-written loop with the same batches, precision, optimiser and validation."""
    torch.set_num_threads(1)
    bare = bare_round(name)
    model, batches, val = fixture(name)
    pairs: list[tuple[float, float]] = []
    mark = time.process_time()

    def pair_up(_metrics: dict[str, float]) -> None:  # the bare epoch runs between two epochs of fit
        nonlocal mark
        mine, begin = time.process_time() - mark, time.process_time()
        bare()
        mark = time.process_time()
        pairs.append((mine, mark - begin))

    fit(model, batches, val, replace(RECIPE, epochs=rounds + 1), seed=0, hooks=TrainingHooks(on_epoch=pair_up))
    del pairs[0]  # warms up
    extra = statistics.median(mine / other for mine, other in pairs) - 1
    rates = [STEPS[name] * BATCH / statistics.median(column) for column in zip(*pairs, strict=True)]
    return f"fit {rates[0]:.1f}, bare {rates[1]:.1f} images per CPU second; time of fit in a pair {100 * extra:+.1f} %"


def against_usual(name: str, rounds: int, threads: int) -> str:
    """Images per second of two packed processes of fit over the usual loop in one process with `threads` threads."""
    usual = [Worker(name, "usual", threads, DEFAULT)]
    packed = [Worker(name, "fit", 1, KEEP_PAGES) for _ in range(2)]
    rates: dict[str, list[tuple[float, float]]] = {"usual": [], "packed": []}
    for number in range(rounds + 1):
        for side, workers in (("usual", usual), ("packed", packed)):
            rate = together(workers)
            if number:
                rates[side].append(rate)
    for worker in usual + packed:
        worker.close()
    usual_wall, usual_cpu = (statistics.median(column) for column in zip(*rates["usual"], strict=True))
    wall, cpu = (statistics.median(column) for column in zip(*rates["packed"], strict=True))
    return (
        f"{wall:.0f} against {usual_wall:.0f} images per second: {wall / usual_wall:.2f} times; "
        f"per CPU second {cpu:.0f} against {usual_cpu:.0f}: {cpu / usual_cpu:.2f} times"
    )


class Worker:
    """A process of its own, with its own threads and allocator, that runs a round when told to."""

    def __init__(self, name: str, loop: str, threads: int, allocator: dict[str, str | None]) -> None:
        settings = {**os.environ, "OMP_NUM_THREADS": str(threads), **allocator}
        settings = {key: value for key, value in settings.items() if value is not None}
        steps = str(STEPS[name])
        command = [
            sys.executable,
            "-m",
            "benchmarks.training",
            "worker",
            "--models",
            name,
            "--loop",
            loop,
            "--threads",
            str(threads),
            "--steps",
            steps,
        ]
        self.process = subprocess.Popen(command, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self) -> None:
        """Begin a round."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def result(self) -> tuple[int, float]:
        """(images, CPU seconds) of the round, when it has ended."""
        images, cpu = self.process.stdout.readline().split()
        return int(images), float(cpu)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def together(workers: list[Worker]) -> tuple[float, float]:
    """(images per second, images per CPU second) of one round run by all workers at once."""
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    results = [worker.result() for worker in workers]
    images = sum(images for images, _ in results)
    return images / (time.perf_counter() - begin), images / sum(cpu for _, cpu in results)


def work(run: Round, threads: int) -> None:
    """The other side of Worker: one round for each line on standard input."""
    torch.set_num_threads(threads)
    for _ in sys.stdin:
        begin = time.process_time()
        images = run()
        print(images, time.process_time() - begin, flush=True)


def fit_round(name: str) -> Round:
    """An epoch of the project's loop."""
    model, batches, val = fixture(name)
    return lambda: fit(model, batches, val, RECIPE, seed=0).images_seen


def bare_round(name: str) -> Round:
    """An epoch of what a careful person writes by hand for the same work."""
    model, batches, (val_images, val_labels) = fixture(name)
    device = torch.device("cpu")
    model.to(memory_format=torch.channels_last)

    def run() -> int:
        optimizer = torch.optim.AdamW(model.parameters(), lr=RECIPE.lr, weight_decay=RECIPE.weight_decay, fused=True)
        model.train()
        seen = 0
        for images, labels in batches(0):
            with autocast(device, "auto"):
                logits = model(images.unsqueeze(1).float().div_(255))
            loss = functional.cross_entropy(logits.float(), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), RECIPE.grad_clip)
            optimizer.step()
            seen += len(images)
        with autocast(device, "auto"):
            classification_metrics(predict(model, val_images), val_labels, 2)
        model.load_state_dict(snapshot(model))
        return seen

    return run


def usual_round(name: str) -> Round:
    """An epoch of the loop of most tutorials: contiguous float32 and plain AdamW."""
    model, batches, (val_images, val_labels) = fixture(name)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RECIPE.lr, weight_decay=RECIPE.weight_decay)

    def run() -> int:
        model.train()
        seen = 0
        for images, labels in batches(0):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(images.unsqueeze(1).float() / 255), labels)
            loss.backward()
            optimizer.step()
            seen += len(images)
        classification_metrics(predict(model, val_images), val_labels, 2)
        return seen

    return run


def fixture(name: str) -> tuple[nn.Module, ResidentBatches, tuple[np.ndarray, np.ndarray]]:
    """Model, one round of batches, and validation images."""
    count = STEPS[name] * BATCH
    model = build_classifier(ClassifierSpec(backbone=name, num_classes=2, image_px=PX), seed=0)
    images = np.random.default_rng(0).integers(0, 256, (count, PX, PX), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % 2
    names = np.array([str(index) for index in range(count)])
    whole = ImageSet(
        images=images, labels=labels, ids=names, groups=names, classes=("benign", "malignant"),
        domain="noise", synthetic=np.zeros(count, dtype=bool),
    )  # fmt: skip
    return model, ResidentBatches(whole, BATCH, seed=0), (images[:VAL], labels[:VAL])


LOOPS: dict[str, Callable[[str], Round]] = {"fit": fit_round, "bare": bare_round, "usual": usual_round}

if __name__ == "__main__":
    main()
