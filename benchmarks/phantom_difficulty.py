"""How hard are the simulated scanners? A small network learns one and is tested on both.

    python -m benchmarks.phantom_difficulty             # 64 px, 160 patients, three seeds, about two CPU minutes

Goal: AUROC 0.85 to 0.95 on test patients of its own scanner, visibly less on the other scanner, in both directions.
Normal scans are left out; folds are split by patient.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from sweep.evaluation.evaluate import predict
from sweep.evaluation.metrics import classification_metrics
from sweep.importers import phantom
from sweep.models.classifier import ClassifierSpec, build_classifier
from sweep.shards.batches import ResidentBatches
from sweep.shards.image_set import ImageSet
from sweep.shards.labels import apply_normals
from sweep.shards.reader import read_images, read_metadata
from sweep.shards.splits import make_split
from sweep.training.fit import fit
from sweep.training.recipe import Recipe

SCANNERS = ("a", "b")


def main() -> None:
    """Train and test in both directions; print a line per seed and the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=160)
    parser.add_argument("--px", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        for scanner in SCANNERS:
            start = time.process_time()
            manifest = phantom.write(Path(place) / scanner, scanner=scanner, patients=arguments.patients)
            print(f"scanner {scanner}: {manifest.images} images in {time.process_time() - start:.1f} CPU s")
        for own, other in (SCANNERS, SCANNERS[::-1]):
            rounds = [_trial(Path(place), own, other, seed, arguments) for seed in range(arguments.seeds)]
            here, there = (statistics.mean(column) for column in zip(*rounds, strict=True))
            print(f"{own}: own scanner {here:.3f}, scanner {other} {there:.3f}, gap {here - there:.3f}", flush=True)


def _trial(place: Path, own: str, other: str, seed: int, arguments: argparse.Namespace) -> tuple[float, float]:
    """AUROC on the own scanner's test patients and on the whole other scanner."""
    frame = apply_normals(read_metadata(place / own))
    split = make_split(frame, seed=seed)
    train, val, test = (
        read_images(place / own, arguments.px, split.ids(fold), normals="drop") for fold in ("train", "val", "test")
    )
    recipe = Recipe(
        epochs=arguments.epochs, lr=2e-3, weight_decay=1e-2, schedule="one_cycle", augment="ultrasound", patience=0
    )
    model = build_classifier(ClassifierSpec(backbone="small_cnn", num_classes=2, image_px=arguments.px), seed=seed)
    start = time.process_time()
    fit(model, ResidentBatches(train, recipe.batch_size, seed=seed), (val.images, val.labels), recipe, seed=seed)
    seconds = time.process_time() - start
    here, there = _auroc(model, test), _auroc(model, read_images(place / other, arguments.px, normals="drop"))
    print(
        f"  {own} seed {seed}: own {here:.3f} ({len(test)} images), other {there:.3f}, {seconds:.0f} CPU s", flush=True
    )
    return here, there


def _auroc(model: torch.nn.Module, images: ImageSet) -> float:
    return classification_metrics(predict(model, images.images), images.labels, 2)["auroc"]


if __name__ == "__main__":
    main()
