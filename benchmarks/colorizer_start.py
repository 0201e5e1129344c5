"""The two starts of a colorizer side by side on real images: as the published code draws its weights, and Xavier's as version 0.1 drew them.

    python -m benchmarks.colorizer_start shards/busi shards/brest [--colorizer coloru] [--seeds 5] [--epochs 6] [--images 240] [--px 64]

Beside them a row without a colorizer. All rows have the same folds, batches, optimiser steps and seeds, and the same initial weights of the
backbone. A row an arm: the spread of the colorizer's output before training (standard deviation over the pixels of a channel, on
validation images), mean AUROC with every seed, and training seconds; then each pair of arms: the mean of the differences by seed and its 95 %
t interval over seeds. The folds are the same for every seed, so the intervals hold for these images alone.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student_t

from sweep.config.hyperparameters import complete
from sweep.config.sweep_config import DataSection
from sweep.core.seeds import named_seed
from sweep.core.storage import Storage
from sweep.data.datasets import FOLDS, prepare
from sweep.models.colorizers import build_colorizer
from sweep.models.colorizers.initial import INITS
from sweep.pipeline.train_and_evaluate import run_seed
from sweep.pipeline.training_job import TrainingJob
from sweep.store.trial import Attacks, Trial

METRICS = ("auroc/source", "auroc/target", "domain_gap")
NONE = "none"  # the row without a colorizer
RECIPE = {"backbone": "mobilenetv2_100", "batch_size": 16, "lr": 0.0005, "colorizer_lr_factor": 3, "augment": "none"}


@dataclass(frozen=True)
class Arm:
    """One start, or no colorizer: spread of its output before training, seconds a seed, and each metric by seed [S]."""

    start: str
    spread: float
    seconds: float
    metrics: dict[str, np.ndarray]


def measure(chosen: argparse.Namespace) -> list[Arm]:
    """Train every start with every seed, one after the other, on one device."""
    with tempfile.TemporaryDirectory() as folder:
        run = Storage(folder)
        section = DataSection(
            source=chosen.source,
            target=chosen.target,
            image_px=chosen.px,
            train_images=chosen.images,
            normals="drop",
            conflicts="drop",
        )
        data = prepare(section, run)
        folds = {fold: data.read(fold) for fold in FOLDS}
        print("images: " + ", ".join(f"{fold} {len(part)}" for fold, part in folds.items()), flush=True)
        arms = []
        for start in (NONE, *INITS):
            config = _config(chosen, start)
            trial = Trial(config, data.hash, tuple(range(chosen.seeds)))
            done = []
            for seed in range(chosen.seeds):
                done.append(run_seed(TrainingJob(trial, seed, data, dict(folds), Attacks(), run)))
                print(start, seed, {name: round(done[-1]["metrics"][name], 3) for name in METRICS}, flush=True)
            by_metric = {name: np.array([one["metrics"][name] for one in done]) for name in METRICS}
            seconds = float(np.mean([one["seconds"]["train"] for one in done]))
            spread = math.nan if start == NONE else first_spread(chosen.colorizer, start, folds["val"].images[:64])
            arms.append(Arm(start, spread, seconds, by_metric))
        return arms


def _config(chosen: argparse.Namespace, start: str) -> dict[str, Any]:
    """The configuration of one arm."""
    colorizer = {"colorizer": NONE} if start == NONE else {"colorizer": chosen.colorizer, "colorizer_init": start}
    lengths = {"epochs": chosen.epochs, "patience": chosen.epochs}
    return complete({**RECIPE, "weights": chosen.weights, "backbone": chosen.backbone, **lengths, **colorizer})


def first_spread(colorizer: str, start: str, images: np.ndarray) -> float:
    """Spread over the pixels of one output channel, mean over uint8 images [N, H, W] and channels, median of five draws of the weights.

    In training mode, so that batch norm takes the statistics of these images.
    """
    grey = torch.from_numpy(np.ascontiguousarray(images)).unsqueeze(1).float() / 255
    found = []
    for seed in range(5):
        torch.manual_seed(named_seed(seed, "colorizer start"))
        with torch.no_grad():
            found.append(float(build_colorizer(colorizer, init=start)(grey).std((2, 3)).mean()))
    return float(np.median(found))


def report(arms: list[Arm]) -> str:
    """A row a start, and the paired differences."""
    lines = ["start      output std  seconds a seed  " + "  ".join(f"{name:>28s}" for name in METRICS)]
    for arm in arms:
        cells = "  ".join(f"{_with_seeds(arm.metrics[name]):>28s}" for name in METRICS)
        lines.append(f"{arm.start:9s}  {arm.spread:10.3f}  {arm.seconds:14.1f}  {cells}")
    for first, second in combinations(arms, 2):
        for name in METRICS:
            apart = first.metrics[name] - second.metrics[name]
            lines.append(f"{name}, {first.start} minus {second.start}: {_with_interval(apart)}")
    return "\n".join(lines)


def _with_interval(apart: np.ndarray) -> str:
    """Mean of the differences [S] with its 95 % t interval, and each of them."""
    mean, seeds = apart.mean(), len(apart)
    half = student_t.ppf(0.975, seeds - 1) * apart.std(ddof=1) / math.sqrt(seeds) if seeds > 1 else math.nan
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f}; {' '.join(f'{value:+.3f}' for value in apart)})"


def _with_seeds(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ({' '.join(f'{value:.3f}' for value in values)})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="shard folder, or a simulated hospital")
    parser.add_argument("target")
    parser.add_argument("--colorizer", default="coloru", choices=["coloru", "deco"])
    parser.add_argument("--backbone", default=RECIPE["backbone"])
    parser.add_argument("--weights", default="imagenet", help="imagenet, or a file")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--images", type=int, default=240, help="training images")
    parser.add_argument("--px", type=int, default=64)
    chosen = parser.parse_args()
    chosen.weights = None if chosen.weights == "none" else chosen.weights
    torch.set_num_threads(1)
    print(report(measure(chosen)), flush=True)


if __name__ == "__main__":
    main()
