"""Writes a complete fake run folder: ledger, per-image outcomes, galleries, data card; seeded, no clock.

Scores come from a small generative model, so that the truth is known: image difficulty is shared by all models,
each seed has its own luck, each recipe its own skill on the source and a loss of skill on the target.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from sweep.core.hashing import content_hash
from sweep.core.seeds import rng

EPS = ("0.5/255", "1/255", "2/255", "4/255", "8/255")
THREATS = {"fgsm": 1.5, "pgd20": 1.0, "square": 1.8}  # factor on the epsilon that breaks an image
SKILL = {"resnet18": 2.1, "resnet50": 2.3, "vit_tiny_patch16_224": 1.8, "cnn_transformer": 2.0}
SHIFT = {"none": 0.75, "deconv": 0.60, "pixelshuffle": 0.64, "unet": 0.66}


POOL = {
    "class": "benign",
    "generator": "wgan_sn",
    "images": 100,
    "copy_rate": 0.0,
    "real_copy_rate": 0.03,
    "quality": {"kid/layout": 0.2, "kid_low/layout": 0.1, "kid_high/layout": 0.3},
    "quality_of_real": {"kid/layout": 0.02},
}


@dataclass(frozen=True)
class FakeSweep:
    """Size and shape of the fake; `nuisance` configurations are searched inside each grid cell."""

    backbones: Sequence[str] = ("resnet18", "cnn_transformer")
    colorizers: Sequence[str] = ("none", "deconv")
    ratios: Sequence[float] = (0, 0.5, 1)
    nuisance: int = 1
    seeds: int = 3
    images: int = 40  # per split
    epochs: int = 4
    gallery: bool = True
    outcomes: bool = True  # predictions and attacks per image
    failed: int = 1
    stopped: int = 0  # configurations that halving gave up
    seed: int = 0


def write_fake_run(folder: Path, sweep: FakeSweep = FakeSweep()) -> Path:
    """Fill `folder` as the engine would and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    configs = list(_configs(sweep))
    events = [
        {
            "event": "sweep",
            "time": "2026-01-01T09:00:00Z",
            "name": folder.name,
            "objectives": _objectives(),
            "trials": len(configs) + sweep.failed + sweep.stopped,
            "seeds": sweep.seeds,
        }
    ]
    for config, study in configs:
        for seed in range(sweep.seeds):
            events += _record(folder, sweep, config, study, seed)
    events += [_failure(number) for number in range(sweep.failed)]
    events += [event for number in range(sweep.stopped) for event in _stop(sweep, number)]
    write_ledger(folder, events)
    (folder / "data.json").write_text(json.dumps(_data_card()))
    (folder / "environment.json").write_text(json.dumps({"python": "3.11", "torch": "2.15", "git_commit": "0" * 40}))
    (folder / "space.yaml").write_text(f"name: {folder.name}\n")
    if sweep.gallery:
        _run_gallery(sweep).to_parquet(folder / "gallery.parquet")
    return folder


def write_ledger(folder: Path, events: list[dict]) -> None:
    """One JSON event a line, each with the checksum of the rest."""
    (folder / "records").mkdir(exist_ok=True)
    lines = [json.dumps({**event, "crc": content_hash(event, 8)}) for event in events]
    (folder / "records" / "00000.jsonl").write_text("\n".join(lines) + "\n")


def signature_of(config: dict) -> str:
    """Twelve hex digits of the configuration's content."""
    return content_hash(config, 12)


def _objectives() -> list[dict]:
    return [
        {"metric": "auroc/target", "goal": "maximize"},
        {"metric": "domain_gap", "goal": "minimize"},
        {"metric": "robust_accuracy", "goal": "maximize", "threat": "worst", "eps": "2/255"},
    ]


def _configs(sweep: FakeSweep):
    cells = itertools.product(sweep.backbones, sweep.colorizers, sweep.ratios)
    for backbone, colorizer, ratio in cells:
        study = {"backbone": backbone, "colorizer": colorizer, "synthetic_per_real": ratio}
        for number in range(sweep.nuisance):
            draw = rng(sweep.seed, "nuisance", backbone, colorizer, str(ratio), number)
            config = {
                **study,
                "lr": float(f"{10 ** draw.uniform(-5, -3):.3g}"),
                "epochs": sweep.epochs,
                "batch_size": 32,
                "image_px": 64,
                "train_images": 100,
                "source": "phantom-a",
                "target": "phantom-b",
                "generator": "wgan_sn",
            }
            if colorizer != "none":
                config["glcm_weight"] = round(float(draw.uniform(0, 0.9)), 3)
            yield config, study


def _truth(config: dict) -> tuple[float, float, float]:
    # Skill on the source, share of it that survives the shift, median epsilon that breaks an image.
    ratio, glcm = config["synthetic_per_real"], config.get("glcm_weight", 0.0)
    penalty = 0.25 * abs(np.log10(config["lr"]) + 4)
    source = SKILL[config["backbone"]] + 0.25 * ratio - 0.25 * ratio**2 - penalty
    keeps = 1 - SHIFT[config["colorizer"]] * (0.75 - 0.1 * ratio)
    return source, keeps, (1.6 + 2.2 * glcm) / 255


def _record(folder: Path, sweep: FakeSweep, config: dict, study: dict, seed: int) -> list[dict]:
    signature = signature_of(config)
    predictions = _predictions(sweep, config, seed)
    attacks = _attacks(sweep, config, seed, predictions)
    metrics = {**_metrics(predictions), **_robust_metrics(attacks)}
    if sweep.outcomes:
        place = folder / "trials" / signature / f"seed-{seed}"
        place.mkdir(parents=True)
        predictions.to_parquet(place / "predictions.parquet")
        attacks.to_parquet(place / "attacks.parquet")
        if sweep.gallery and seed == 0:
            _trial_gallery(sweep, config).to_parquet(place / "gallery.parquet")
    head = {"signature": signature, "seed": seed, "config": config, "study": study}
    start = {"event": "start", "time": "2026-01-01T09:00:01Z", **head}
    return [
        start,
        *_epochs(sweep, signature, seed, metrics),
        {"event": "finish", **head, "metrics": metrics, **_work(config, seed)},
    ]


def _predictions(sweep: FakeSweep, config: dict, seed: int) -> pd.DataFrame:
    source, keeps, _ = _truth(config)
    luck = rng(sweep.seed, "luck", signature_of(config), seed).normal(0, 0.12, size=2)
    frames = []
    for split, skill in (
        ("source_val", source + luck[0]),
        ("source", source + luck[0]),
        ("target", source * keeps + luck[1]),
    ):
        images = rng(sweep.seed, "images", split)
        label = (images.random(sweep.images) < 0.4).astype(int)
        label[:4] = (0, 1, 0, 1)  # both classes always there
        difficulty = images.normal(size=sweep.images)
        own = rng(sweep.seed, "own", signature_of(config), seed, split).normal(size=sweep.images)
        score = skill * (label - 0.5) + 0.85 * difficulty + 0.53 * own
        frames.append(
            pd.DataFrame(
                {
                    "image_id": [f"{split}-{number:04d}" for number in range(sweep.images)],
                    "group": [f"{split}-p{number // 2:04d}" for number in range(sweep.images)],
                    "domain": "phantom-b" if split == "target" else "phantom-a",
                    "split": split,
                    "label": label,
                    "seed": seed,
                    "logits": [[np.float32(-value), np.float32(value)] for value in score],
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _attacks(sweep: FakeSweep, config: dict, seed: int, predictions: pd.DataFrame) -> pd.DataFrame:
    *_, median = _truth(config)
    grid = np.array([_eps(text) for text in EPS])
    margin = predictions["logits"].map(lambda row: row[1] - row[0]).to_numpy() * (
        2 * predictions["label"].to_numpy() - 1
    )
    frames = []
    for threat, factor in THREATS.items():
        exact = np.where(margin > 0, margin * median * factor / 2, 0)
        place = np.searchsorted(grid, exact)
        breaking = np.where(margin <= 0, 0.0, np.append(grid, np.inf)[place])
        frames.append(
            predictions[["image_id", "group", "split", "label", "seed"]].assign(threat=threat, breaking_eps=breaking)
        )
    return pd.concat(frames, ignore_index=True)


def _metrics(predictions: pd.DataFrame) -> dict:
    out: dict[str, float] = {}
    for split, rows in predictions.groupby("split"):
        score = rows["logits"].map(lambda row: row[1] - row[0]).to_numpy(dtype=float)
        label = rows["label"].to_numpy()
        hit = (score > 0) == label
        above = score[label == 1][:, None] - score[label == 0][None, :]
        out[f"auroc/{split}"] = float(((above > 0) + 0.5 * (above == 0)).mean())
        out[f"accuracy/{split}"] = float(hit.mean())
        out[f"balanced_accuracy/{split}"] = float((hit[label == 1].mean() + hit[label == 0].mean()) / 2)
        out[f"constant_accuracy/{split}"] = float(max(label.mean(), 1 - label.mean()))
    out["domain_gap"] = out["auroc/source"] - out["auroc/target"]
    out["domain_gap/accuracy"] = out["accuracy/source"] - out["accuracy/target"]
    return out


def _robust_metrics(attacks: pd.DataFrame) -> dict:
    worst = attacks.groupby(["split", "image_id"], as_index=False)["breaking_eps"].min().assign(threat="worst")
    both = pd.concat([attacks[["split", "threat", "breaking_eps"]], worst[["split", "threat", "breaking_eps"]]])
    return {
        f"robust_accuracy/{split}/{threat}@{text}": float((rows["breaking_eps"] > _eps(text)).mean())
        for (split, threat), rows in both.groupby(["split", "threat"])
        for text in EPS
    }


def _epochs(sweep: FakeSweep, signature: str, seed: int, metrics: dict) -> list[dict]:
    wobble = rng(sweep.seed, "epochs", signature, seed).normal(0, 0.01, size=sweep.epochs)
    return [
        {
            "event": "epoch",
            "signature": signature,
            "seed": seed,
            "epoch": epoch + 1,
            "metrics": {
                "loss/train": float(0.7 * np.exp(-2 * (epoch + 1) / sweep.epochs) + 0.1 + wobble[epoch]),
                "auroc/source_val": float(
                    0.5
                    + (metrics["auroc/source_val"] - 0.5) * (1 - np.exp(-4 * (epoch + 1) / sweep.epochs))
                    + wobble[epoch]
                ),
            },
        }
        for epoch in range(sweep.epochs)
    ]


def _work(config: dict, seed: int) -> dict:
    made = config["synthetic_per_real"] > 0
    stages = (
        [
            {"stage": "generator", "hash": "a1" * 8, "reused": seed > 0, "seconds": 0.1 if seed else 22.0},
            {"stage": "pool", "hash": "b2" * 8, "reused": seed > 0, "seconds": 0.1 if seed else 3.0, "facts": POOL},
        ]
        if made
        else []
    )
    stages.append({"stage": "model", "hash": signature_of(config), "reused": False, "seconds": 8.0})
    alarms = ["fgsm beats pgd20 at 8/255: the gradient may be masked"] if config["lr"] > 8e-4 and seed == 0 else []
    spent = {"train": 8.0, "attack": 3.0, "evaluate": 0.5}
    return {
        "seconds": {**spent, "total": sum(stage["seconds"] for stage in stages) + 3.5},
        "stages": stages,
        "alarms": alarms,
    }


def _failure(number: int) -> dict:
    config = {"backbone": "resnet18", "colorizer": "none", "synthetic_per_real": 0, "lr": 0.5 + number}
    return {
        "event": "failed",
        "signature": signature_of(config),
        "seed": 0,
        "config": config,
        "kind": "DIVERGED",
        "reason": "train: loss is nan at step 12; lower the learning rate or clip gradients",
    }


def _stop(sweep: FakeSweep, number: int) -> list[dict]:
    study = {"backbone": sweep.backbones[0], "colorizer": sweep.colorizers[0], "synthetic_per_real": sweep.ratios[0]}
    config = {**study, "lr": 0.01 + number, "epochs": sweep.epochs}
    head = {"signature": signature_of(config), "seed": 0, "config": config, "study": study}
    start = {"event": "start", "time": "2026-01-01T09:00:01Z", **head}
    return [
        start,
        {
            "event": "stopped",
            **head,
            "epoch": 1,
            "by": "halving",
            "metrics": {"auroc/source_val": 0.52},
            "reason": "3rd of 3 at epoch 1; the upper third goes on",
        },
    ]


def _data_card() -> dict:
    counts = {
        "train": {"benign": 60, "malignant": 40},
        "val": {"benign": 24, "malignant": 16},
        "test": {"benign": 24, "malignant": 16},
    }
    card = {
        "images": 180,
        "patients": 90,
        "classes": {"benign": 108, "malignant": 72},
        "constant_accuracy": 0.6,
        "licence": "CC0-1.0",
        "citation": "Simulated phantoms, this project",
    }
    domains = {
        role: {"images_with_a_near_copy": 3, "groups_with_conflicting_labels": 0} for role in ("source", "target")
    }
    return {
        "source": {"name": "phantom-a", **card, "folds": counts},
        "target": {"name": "phantom-b", **card, "folds": {"target": card["classes"]}},
        "audit": {**domains, "images_in_both_domains": 0},
    }


def _run_gallery(sweep: FakeSweep) -> pd.DataFrame:
    rows = []
    for kind, number, label in itertools.product(("source", "target", "synthetic"), range(3), ("benign", "malignant")):
        pixels = phantom_pixels(sweep.seed, kind, number, label)
        rows.append(
            {
                "kind": kind,
                "image_id": f"{kind}-{label}-{number}",
                "label": label,
                "split": "train",
                "caption": "",
                "png": png(pixels),
            }
        )
    return pd.DataFrame(rows)


def _trial_gallery(sweep: FakeSweep, config: dict) -> pd.DataFrame:
    rows = []
    for number, label in enumerate(("benign", "malignant")):
        grey = phantom_pixels(sweep.seed, "target", number, label)
        noise = rng(sweep.seed, "noise", number).integers(-6, 7, size=grey.shape)
        tinted = np.stack([grey, np.roll(grey, 1, 0), 255 - grey // 2], axis=-1).astype(np.uint8)
        kinds = {"adversarial": np.clip(grey + noise, 0, 255), "clean": grey, "perturbation": 128 + 15 * noise}
        if config["colorizer"] != "none":
            kinds["colorized"] = tinted
        if config["synthetic_per_real"]:
            kinds |= {"synthetic": phantom_pixels(sweep.seed, "synthetic", number, label), "nearest_real": grey}
        rows += [
            {
                "kind": kind,
                "image_id": f"target-{number:04d}",
                "label": label,
                "split": "target",
                "caption": f"{kind} of target-{number:04d}",
                "png": png(pixels),
            }
            for kind, pixels in kinds.items()
        ]
    return pd.DataFrame(rows)


def phantom_pixels(seed: int, kind: str, number: int, label: str, px: int = 64) -> np.ndarray:
    """A dark ellipse in speckle, uint8 [px, px]; malignant ones have a ragged border."""
    draw = rng(seed, kind, number, label)
    y, x = np.mgrid[:px, :px] / px - 0.5
    angle = np.arctan2(y, x)
    ragged = 0.05 * np.sin(9 * angle + draw.uniform(0, 6)) if label == "malignant" else 0
    inside = np.hypot(x / 1.3, y) < draw.uniform(0.14, 0.24) + ragged
    speckle = draw.rayleigh(1.0, size=(px, px)) * (1.2 - 0.5 * (y + 0.5)) * np.where(inside, 0.25, 1)
    return np.clip(60 * np.log1p(3 * speckle), 0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """Grey or RGB pixels as PNG bytes."""
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _eps(text: str) -> float:
    top, bottom = text.split("/")
    return float(top) / float(bottom)
