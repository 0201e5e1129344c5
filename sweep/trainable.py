"""one configuration and seed -> trained model, predictions, attack outcomes, result: where the rooms meet.

No Ray here: `sweep.workers` calls this inside Train workers, `sweep.replay` calls it bare.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from sweep import gallery
from sweep.artifacts import ArtifactStore
from sweep.attacks.epsilon import parse_epsilon
from sweep.attacks.epsilon_sweep import epsilon_sweep
from sweep.core.seeds import named_seed, rng
from sweep.evaluation.domain_gap import domain_gap
from sweep.evaluation.evaluate import predict
from sweep.evaluation.metrics import classification_metrics
from sweep.models.classifier import Classifier, build_classifier
from sweep.prepare import Data
from sweep.shards.batches import ResidentBatches
from sweep.shards.image_set import ImageSet
from sweep.shards.mixing import mix
from sweep.stages import pool_stages, read_pool
from sweep.storage import Storage
from sweep.training.fit import fit
from sweep.training.logbook import Logbook
from sweep.training.recipe import Recipe
from sweep.trial import RESULT, Attacks, Trial

FOLD_OF_SPLIT = {"source_val": "val", "source": "test", "target": "target"}
_PREDICT_BATCH = 128


@dataclass
class SeedRun:
    """One seed of one trial: what it reads, where it writes, whom it tells."""

    trial: Trial
    seed: int
    data: Data
    folds: Mapping[str, ImageSet]
    attacks: Attacks
    run: Storage
    device: str = "cpu"
    on_epoch: Callable[[dict[str, Any]], None] | None = None
    state: bytes | None = None
    save_state: Callable[[bytes], None] | None = None

    @property
    def folder(self) -> str:
        """Where this seed's files go."""
        return self.trial.seed_folder(self.seed)

    def write_frame(self, name: str, frame: pd.DataFrame) -> None:
        """One Parquet file of this seed."""
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        self.run.write(f"{self.folder}/{name}", buffer.getvalue())


def run_seed(job: SeedRun) -> dict[str, Any]:
    """Train, evaluate and attack; returns the result, which is also written last into the seed's folder.

    Raises Diverged when a loss is not finite.
    """
    begin = time.perf_counter()
    model, facts = _train(job)
    trained = time.perf_counter()
    logits = {split: predict(model, job.folds[fold].images, _PREDICT_BATCH, job.device) for split, fold in FOLD_OF_SPLIT.items()}
    metrics = _clean_metrics(job, logits)
    job.write_frame("predictions.parquet", _predictions(job, logits))
    gallery.write(job.run, f"{job.folder}/{gallery.GALLERY_FILE}", _pictures(job, model))
    evaluated = time.perf_counter()
    if job.attacks.threats:
        metrics |= _attack(job, model)
    done = time.perf_counter()
    seconds = {"train": trained - begin, "evaluate": evaluated - trained, "attack": done - evaluated, "total": done - begin}
    result = {
        "signature": job.trial.signature,
        "seed": job.seed,
        "config": dict(job.trial.config),
        "study": dict(job.trial.cell),
        "metrics": {name: _finite(value) for name, value in metrics.items()},
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        **facts,
    }
    job.run.write(f"{job.folder}/{RESULT}", json.dumps(result, sort_keys=True).encode())
    return result


def _train(job: SeedRun) -> tuple[Classifier, dict[str, Any]]:
    config = job.trial.config
    recipe = Recipe.from_config(config)
    model = build(config, job.data, job.seed)
    train = _mixed(job)
    real = len(job.folds["train"])
    # every arm takes as many optimiser steps as the real images alone would give it (DESIGN 6.7)
    steps = max(1, real // recipe.batch_size)
    batches = ResidentBatches(train, min(recipe.batch_size, real), seed=named_seed(job.seed, "batches"), steps_per_epoch=steps, balanced=recipe.balanced_sampling)
    val = job.folds["val"]
    log = Logbook(job.run.local / "tensorboard" / job.trial.signature / f"seed-{job.seed}" if job.run.local else None)

    def report(metrics: dict[str, Any]) -> None:
        for name, value in metrics.items():
            if name != "epoch" and isinstance(value, (int, float)):
                log.scalar(name, value, metrics["epoch"])
        if job.on_epoch:
            job.on_epoch(metrics)

    outcome = fit(
        model,
        batches,
        (val.images, val.labels),
        recipe,
        seed=named_seed(job.seed, "fit"),
        device=job.device,
        texture_loss=_texture_loss(config),
        on_epoch=report,
        state=job.state,
        save_state=job.save_state,
    )
    log.close()
    facts = {"best_epoch": outcome.best_epoch, "epochs_run": outcome.epochs_run, "train_images": {"real": real, "synthetic": int(train.synthetic.sum())}}
    return model, facts


def build(config: Mapping[str, Any], data: Data, seed: int) -> Classifier:
    """The untrained model of a configuration."""
    return build_classifier(
        backbone=config["backbone"],
        colorizer=config["colorizer"],
        num_classes=len(data.classes),
        image_px=data.image_px,
        weights=config["weights"],
        dropout=config["dropout"],
        seed=named_seed(seed, "weights"),
    )


def _mixed(job: SeedRun) -> ImageSet:
    config, store = job.trial.config, ArtifactStore(job.run)
    train = job.folds["train"]
    if not config["synthetic_per_real"]:
        return train
    pools = {label: read_pool(store, stage, job.data.image_px) for label, stage in pool_stages(config, job.data).items()}
    ratio, policy = config["synthetic_per_real"], config["mixing_policy"]
    return mix(train, pools, synthetic_per_real=ratio, policy=policy, seed=named_seed(job.seed, "mix"))


def _texture_loss(config: Mapping[str, Any]) -> Callable | None:
    if not config.get("glcm_weight"):
        return None
    from sweep.losses.glcm import GLCMLoss

    return GLCMLoss()


def _clean_metrics(job: SeedRun, logits: Mapping[str, np.ndarray]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    classes = len(job.data.classes)
    by_split = {split: classification_metrics(logits[split], job.folds[fold].labels, classes) for split, fold in FOLD_OF_SPLIT.items()}
    for split, values in by_split.items():
        metrics |= {f"{name}/{split}": value for name, value in values.items()}
    return metrics | domain_gap(by_split["source"], by_split["target"])


def _predictions(job: SeedRun, logits: Mapping[str, np.ndarray]) -> pd.DataFrame:
    frames = [_rows(job, split, np.arange(len(logits[split]))).assign(logits=list(logits[split])) for split in FOLD_OF_SPLIT]
    return pd.concat(frames, ignore_index=True)


def _rows(job: SeedRun, split: str, chosen: np.ndarray) -> pd.DataFrame:
    fold = job.folds[FOLD_OF_SPLIT[split]].subset(chosen)
    columns = {"image_id": fold.ids, "group": fold.groups, "domain": fold.domain, "split": split, "label": fold.labels, "seed": job.seed}
    return pd.DataFrame(columns)


def attacked(fold: ImageSet, images: int | str) -> np.ndarray:
    """Which images of a fold are attacked: all, or the same random ones in every trial and seed."""
    if images == "all" or images >= len(fold):
        return np.arange(len(fold))
    return np.sort(rng(0, "attacked", fold.domain).permutation(len(fold))[: int(images)])


def _pictures(job: SeedRun, model: Classifier) -> list[pd.DataFrame]:
    """Pictures of the first seed only: one look at each configuration is enough."""
    if job.seed != job.trial.seeds[0]:
        return []
    config, store, frames = job.trial.config, ArtifactStore(job.run), []
    if config["colorizer"] != "none":
        fold = job.folds["test"]
        positions = gallery.chosen(fold, per_class=2)
        frames.append(gallery.rows("colorized", fold, positions, gallery.colorized(model, fold, positions, job.device), "source", config["colorizer"]))
    for label, stage in pool_stages(config, job.data).items():
        pool = read_pool(store, stage, job.data.image_px)[: gallery.PER_CLASS]
        names = [f"{config['generator']}-{label}-{index}" for index in range(len(pool))]
        caption = f"{config['generator']}, {stage.needs[0].hash}"
        frames.append(gallery.drawn("synthetic", names, job.data.classes[label], list(pool), caption))
    return frames


def _attack(job: SeedRun, model: Classifier) -> dict[str, float]:
    metrics: dict[str, float] = {}
    frames = []
    epsilons = [parse_epsilon(text) for text in job.attacks.eps]
    for split in job.attacks.splits:
        fold = job.folds[FOLD_OF_SPLIT[split]]
        chosen = attacked(fold, job.attacks.images)
        images = torch.from_numpy(fold.images[chosen]).unsqueeze(1).float().div(255).to(job.device)
        labels = torch.from_numpy(fold.labels[chosen]).to(job.device)
        outcome = epsilon_sweep(model, images, labels, list(job.attacks.threats), epsilons, seed=named_seed(job.seed, "attack", split))
        for text, epsilon in zip(job.attacks.eps, epsilons, strict=True):
            for threat in job.attacks.threats:
                metrics[f"robust_accuracy/{split}/{threat}@{text}"] = outcome.robust_accuracy(threat, epsilon)
            metrics[f"robust_accuracy/{split}/worst@{text}"] = outcome.worst_case(epsilon)
        for threat in job.attacks.threats:
            breaking = np.asarray(outcome.breaking_epsilon[threat].cpu(), dtype=np.float64)
            frames.append(_rows(job, split, chosen).assign(threat=threat, breaking_eps=breaking))
    job.write_frame("attacks.parquet", pd.concat(frames, ignore_index=True))
    return metrics


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
