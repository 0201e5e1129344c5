"""A small run folder of three classes or of findings, its metrics and predictions computed and written by the product's own functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from sweep.config.hyperparameters import complete
from sweep.core.seeds import rng
from sweep.evaluation.domain_gap import domain_gap
from sweep.evaluation.metrics import auroc_by_class, classification_metrics
from sweep.store.trial import Trial
from tests.fakes.run_folder import write_ledger

CLASSES = ("benign", "malignant", "cyst (simple)")
FINDINGS = ("Edema", "Nodule/Mass", "Lesion, other: @1")  # names as published sets have them, and odd ones
SPLITS = {
    "source_val": ("here", 0.8),
    "source": ("here", 0.8),
    "target": ("there", 0.4),
}  # domain, shift of the right logit
IMAGES, SEEDS = 40, 2


def write_tasks_run(folder: Path, kind: str, always: Mapping[str, int | None] | None = None) -> Path:
    """Two learning rates with two seeds each, `kind` classes or findings.

    `always`: backbone -> the class (or finding) that it calls in every image, None for no finding; such backbones are added.
    """
    names = CLASSES if kind == "classes" else FINDINGS
    arms: list[tuple[dict[str, object], tuple[int | None] | None]] = [({"lr": lr}, None) for lr in (1e-3, 1e-4)]
    arms += [({"backbone": name}, (call,)) for name, call in (always or {}).items()]
    events: list[dict] = [_head(len(arms))]
    for changes, call in arms:
        trial = Trial(complete({"backbone": "small_cnn", **changes}), "data", tuple(range(SEEDS)), dict(changes))
        for seed in trial.seeds:
            events.append(_record(folder, trial, seed, (kind, names, call)))
    folder.mkdir(parents=True, exist_ok=True)
    write_ledger(folder, events)
    side = {"classes": list(names)} | ({"task": "multi-label"} if kind == "findings" else {})
    card = {role: {"name": role, "domain": role, **side} for role in ("source", "target")}
    (folder / "data.json").write_text(json.dumps({**card, "data": {"classes": list(names), "image_px": 32}}))
    return folder


def _head(trials: int) -> dict:
    objectives = [{"metric": "auroc/target", "goal": "maximize"}, {"metric": "domain_gap", "goal": "minimize"}]
    return {"event": "sweep", "name": "tasks", "trials": trials, "seeds": SEEDS, "objectives": objectives}


def _record(folder: Path, trial: Trial, seed: int, data: tuple[str, tuple[str, ...], tuple[int | None] | None]) -> dict:
    kind, names, call = data
    metrics: dict[str, float] = {}
    by_split, frames = {}, []
    for split, (domain, skill) in SPLITS.items():
        draw = rng(0, "images", split, kind)
        labels = (
            draw.permutation(np.arange(IMAGES) % 3)
            if kind == "classes"
            else draw.integers(0, 2, (IMAGES, 3)).astype(np.float32)
        )
        right = np.eye(3)[labels] if kind == "classes" else labels
        logits = rng(seed, trial.signature, split).normal(size=(IMAGES, 3)) + skill * (2 * right - 1)
        if call is not None:
            logits = logits - 30 + (60 * np.eye(3)[call[0]] if call[0] is not None else 0)
        by_split[split] = classification_metrics(logits, labels, 3)
        metrics |= {f"{name}/{split}": value for name, value in by_split[split].items()}
        metrics |= {f"auroc/{split}/{name}": value for name, value in auroc_by_class(logits, labels, names).items()}
        frames.append(
            pd.DataFrame(
                {
                    "image_id": [f"{split}-{number}" for number in range(IMAGES)],
                    "group": [f"{split}-{number // 2}" for number in range(IMAGES)],
                    "domain": domain,
                    "split": split,
                    **({"label": labels} if kind == "classes" else {"labels": list(labels)}),
                    "seed": seed,
                    "logits": list(logits.astype(np.float32)),
                }
            )
        )
    metrics |= domain_gap(by_split["source"], by_split["target"])
    place = folder / trial.seed_folder(seed)
    place.mkdir(parents=True, exist_ok=True)
    pd.concat(frames, ignore_index=True).to_parquet(place / "predictions.parquet")
    known = {name: value if np.isfinite(value) else None for name, value in metrics.items()}
    return {
        "event": "finish", "signature": trial.signature, "seed": seed, "config": dict(trial.config), "study": dict(trial.cell),
        "metrics": known, "alarms": [], "seconds": {"train": 1.0, "total": 2.0},
    }  # fmt: skip
