"""Writes a run folder as the product would after training models that never existed; seeded, no clock.

Only the logits and the epsilons that break an image are invented, by a small generative model whose truth is known: image
difficulty is shared by all models, each seed has its own luck, each recipe its own skill on the source and a loss of skill on
the target. Everything that follows from them is the product's own: configurations are completed by `complete`, named by
`Trial`, measured by `classification_metrics`, `domain_gap` and the attacks' outcomes, and written by `Ledger`.
"""

from __future__ import annotations

import itertools
import json
import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from sweep.attacks import outcomes
from sweep.attacks.network import Passes
from sweep.attacks.result import EpsilonSweep
from sweep.config.hyperparameters import complete
from sweep.core.hashing import content_hash
from sweep.core.metric_table import SOURCE_VAL, TARGET, reads_target_labels
from sweep.core.seeds import rng
from sweep.core.storage import Storage
from sweep.evaluation.domain_gap import domain_gap
from sweep.evaluation.metrics import classification_metrics
from sweep.pipeline import acquisition
from sweep.shards.schema import NO_LABEL
from sweep.shift.blind_metrics import blind_metrics
from sweep.shift.pseudo_hospitals import FAMILIES
from sweep.shift.stored import StoredHospital, write_hospitals
from sweep.store.ledger import FOLDER, Ledger
from sweep.store.trial import Trial
from tests.fakes.run_pictures import CLASSES, run_gallery, trial_gallery

Event = dict[str, Any]
EPS = ("0.5/255", "1/255", "2/255", "4/255", "8/255")
THREATS = {"fgsm": 1.5, "pgd20": 1.0, "square": 1.8}  # factor on the epsilon that breaks an image
SKILL = {"resnet18": 2.1, "resnet50": 2.3, "vit_tiny_patch16_224": 1.8, "cnn_transformer": 2.0}
SHIFT = {"none": 0.75, "deconv": 0.60, "pixelshuffle": 0.64, "coloru": 0.66}
SPLITS = ("source_val", "source", "target")
DATA_HASH = "f" * 12


_TEMPLATES = tempfile.TemporaryDirectory(prefix="fake-runs-")
_WRITTEN: dict[str, Path] = {}


@dataclass(frozen=True)
class FakeSweep:
    """Size and shape of the fake; `nuisance` configurations are searched inside each grid cell."""

    backbones: Sequence[str] = ("resnet18", "cnn_transformer")
    colorizers: Sequence[str] = ("none", "deconv")
    ratios: Sequence[float] = (0, 0.5, 1)
    nuisance: int = 1
    seeds: int = 3
    images: int = 40  # per split
    positives: float = 0.4  # share of images of class 1
    epochs: int = 4
    gallery: bool = True
    outcomes: bool = True  # predictions and attacks per image
    attacked: Sequence[str] = SPLITS
    failed: int = 1
    stopped: int = 0  # configurations that halving gave up
    missing: int = 0  # configurations planned and not yet run
    directions: Sequence[str] = ("source_to_target",)
    train_images: Sequence[int | None] = (None,)
    real_images: int = 100  # of the whole training fold
    skill: float = 1.0  # factor on every recipe's skill; 0: nobody has learned anything
    bias: float = 0.0  # added to every target score: positive ones are called too often
    single_class: Sequence[str] = ()  # splits of which all images are of class 0
    acquisition: Sequence[str] = ()  # changes that every record was evaluated under, at severities 1 and 4
    hospitals: int = 0  # pseudo-hospitals that every record was evaluated on
    target_labels: bool = True  # False: the target's labels were read by nothing, as with data.target_labels sealed
    seed: int = 0


TWO_BLIND_RECIPES = FakeSweep(
    backbones=("resnet18",),
    colorizers=("none",),
    ratios=(0, 1),
    gallery=False,
    failed=0,
    seeds=2,
    images=60,
    hospitals=10,
)  # whose two seeds were evaluated on ten pseudo-hospitals


def write_fake_run(folder: Path, sweep: FakeSweep = FakeSweep()) -> Path:
    """Fill `folder` as the engine would and return it; what this process wrote before is copied."""
    key = f"{folder.name}: {sweep!r}"
    if key not in _WRITTEN:
        kept = Path(_TEMPLATES.name) / str(len(_WRITTEN)) / folder.name
        _write(kept, sweep)
        _WRITTEN[key] = kept
    shutil.copytree(_WRITTEN[key], folder, dirs_exist_ok=True)
    return folder


def _write(folder: Path, sweep: FakeSweep) -> None:
    folder.mkdir(parents=True)
    drawn = list(_configs(sweep))
    events: list[Event] = [
        {
            "event": "sweep",
            "name": folder.name,
            "objectives": _objectives(),
            "algorithm": "random",
            "scheduler": "none",
            "warm": 0,
            "trials": len(drawn) + sweep.failed + sweep.stopped + sweep.missing,
            "seeds": sweep.seeds,
        }
    ]
    for config, study in drawn:
        trial = Trial(config, DATA_HASH, tuple(range(sweep.seeds)), study)
        events += [event for seed in trial.seeds for event in _record(folder, sweep, trial, seed)]
    events += [_failure(sweep, number) for number in range(sweep.failed)]
    events += [event for number in range(sweep.stopped) for event in _stop(sweep, number)]
    write_ledger(folder, events)
    (folder / "data.json").write_text(json.dumps(_data_card(sweep)))
    (folder / "environment.json").write_text(json.dumps({"python": "3.11", "torch": "2.15", "git_commit": "0" * 40}))
    (folder / "space.yaml").write_text(f"name: {folder.name}\n")
    if sweep.gallery:
        run_gallery(sweep.seed).to_parquet(folder / "gallery.parquet")


def write_ledger(folder: Path, events: Iterable[Event]) -> None:
    """Write `events` with the product's Ledger as its first attempt, one second apart; what was there before is replaced."""
    kept = _Memory()
    ledger = Ledger(kept)  # type: ignore[arg-type]  # the few calls that a ledger makes of its storage
    for number, event in enumerate(events):
        minutes, seconds = divmod(number, 60)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        ledger.append({"time": f"2026-01-{days + 1:02d}T{hours:02d}:{minutes:02d}:{seconds:02d}.000+00:00", **event})
    (folder / FOLDER).mkdir(exist_ok=True)
    for name, content in kept.files.items():
        (folder / name).write_bytes(bytes(content))


class _Memory:
    """A storage that keeps appended lines until the end: the real one flushes each of them to disk."""

    local: Path | None = Path()

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}

    def names(self, folder: str = "") -> list[str]:
        return []

    def append(self, name: str, data: bytes) -> bool:
        self.files.setdefault(name, bytearray()).extend(data)
        return True


def ledger_file(folder: Path) -> Path:
    """The one file that `write_ledger` writes."""
    return folder / FOLDER / "0001.jsonl"


def signature_of(config: Mapping[str, Any]) -> str:
    """The signature of a configuration on the fake's data."""
    return Trial(config, DATA_HASH, (0,)).signature


def _objectives() -> list[Event]:
    return [
        {"metric": "auroc/target", "goal": "maximize"},
        {"metric": "domain_gap", "goal": "minimize"},
        {"metric": "robust_accuracy/target/worst@2/255", "goal": "maximize"},
    ]


def _configs(sweep: FakeSweep) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    grid: dict[str, Sequence[Any]] = {
        "backbone": sweep.backbones,
        "colorizer": sweep.colorizers,
        "synthetic_per_real": sweep.ratios,
    }
    grid |= {"direction": sweep.directions} if len(sweep.directions) > 1 else {}
    grid |= {"train_images": sweep.train_images} if len(sweep.train_images) > 1 else {}
    for values in itertools.product(*grid.values()):
        study = dict(zip(grid, values, strict=True))
        for number in range(sweep.nuisance):
            draw = rng(sweep.seed, "nuisance", *map(str, values), number)
            searched = {
                "lr": float(f"{10 ** draw.uniform(-5, -3):.3g}"),
                "glcm_weight": round(float(draw.uniform(0.01, 0.9)), 3),
            }
            given = {
                "direction": sweep.directions[0],
                "train_images": sweep.train_images[0],
                "epochs": sweep.epochs,
                "batch_size": 32,
                "generator": "wgan_sn",
            }
            yield complete({**given, **study, **searched}), study


def _truth(sweep: FakeSweep, config: Mapping[str, Any]) -> tuple[float, float, float]:
    # Skill on the source, share of it that survives the shift, median epsilon that breaks an image.
    ratio, glcm = config["synthetic_per_real"], config.get("glcm_weight", 0.0)
    penalty = 0.25 * abs(np.log10(config["lr"]) + 4)
    source = SKILL.get(config["backbone"], 2.0) + 0.25 * ratio - 0.25 * ratio**2 - penalty
    keeps = 1 - SHIFT[config["colorizer"]] * (0.75 - 0.1 * ratio)
    return sweep.skill * source, keeps, (1.6 + 2.2 * glcm) / 255


def _record(folder: Path, sweep: FakeSweep, trial: Trial, seed: int) -> list[Event]:
    predictions = _predictions(sweep, trial, seed)
    attacks, robust = _attacks(sweep, trial.config, seed, predictions)
    metrics = {name: _finite(value) for name, value in {**_clean_metrics(predictions), **robust}.items()}
    if not sweep.target_labels:
        metrics = {name: value for name, value in metrics.items() if not reads_target_labels(name)}
        attacks = attacks[attacks["split"] != TARGET]
        predictions["label"] = predictions["label"].where(predictions["split"] != TARGET, NO_LABEL)
    if sweep.acquisition:
        metrics |= _under_changes(folder, sweep, trial, seed, predictions)
    if sweep.hospitals:
        metrics |= _on_hospitals(folder, sweep, trial, seed, predictions)
    if sweep.outcomes:
        place = folder / trial.seed_folder(seed)
        place.mkdir(parents=True, exist_ok=True)
        predictions.to_parquet(place / "predictions.parquet")
        attacks.to_parquet(place / "attacks.parquet")
        if sweep.gallery and seed == 0:
            trial_gallery(sweep.seed, dict(trial.config)).to_parquet(place / "gallery.parquet")
    identity = {"signature": trial.signature, "seed": seed}
    head = {**identity, "config": dict(trial.config), "study": dict(trial.cell)}
    return [
        {"event": "start", **head},
        *_epochs(sweep, identity, metrics),
        {"event": "finish", **head, "metrics": metrics, **_work(sweep, trial, seed)},
    ]


def _predictions(sweep: FakeSweep, trial: Trial, seed: int) -> pd.DataFrame:
    source, keeps, _ = _truth(sweep, trial.config)
    luck = sweep.skill * rng(sweep.seed, "luck", trial.signature, seed).normal(0, 0.12, size=2)
    skills = {"source_val": source + luck[0], "source": source + luck[0], "target": source * keeps + luck[1]}
    here, there = "phantom-a", "phantom-b"
    if trial.config["direction"] == "target_to_source":
        here, there = there, here
    frames = []
    for split, skill in skills.items():
        domain = there if split == "target" else here
        images = rng(sweep.seed, "images", split, domain)
        label = (images.random(sweep.images) < sweep.positives).astype(np.int64)
        label[:4] = (0, 1, 0, 1)  # both classes are always there, unless one class is asked for
        label = label * (split not in sweep.single_class)
        difficulty = images.normal(size=sweep.images)
        own = rng(sweep.seed, "own", trial.signature, seed, split).normal(size=sweep.images)
        score = skill * (label - 0.5) + 0.85 * difficulty + 0.53 * own + (sweep.bias if split == "target" else 0.0)
        frames.append(
            pd.DataFrame(
                {
                    "image_id": [f"{domain}-{split}-{number:04d}" for number in range(sweep.images)],
                    "group": [f"{domain}-{split}-p{number // 2:04d}" for number in range(sweep.images)],
                    "domain": domain,
                    "split": split,
                    "label": label,
                    "seed": seed,
                    "logits": list(np.stack([-score, score], axis=1).astype(np.float32)),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _under_changes(
    folder: Path, sweep: FakeSweep, trial: Trial, seed: int, predictions: pd.DataFrame
) -> dict[str, float]:
    """Write the record's logits under acquisition changes: each change blurs the classes, more at a higher severity."""
    frames, metrics = [], {}
    for split in ("source", TARGET):
        rows = predictions[predictions["split"] == split].drop(columns="logits")
        clean = np.stack(predictions.loc[predictions["split"] == split, "logits"].tolist())
        found = {}
        for name, severity in itertools.product(sweep.acquisition, (1, 4)):
            noise = rng(sweep.seed, "change", name, severity, split).normal(0, 0.6 * severity, len(rows))
            found[name, severity] = clean + np.stack([-noise, noise], axis=1).astype(np.float32)
            frames.append(rows.assign(change=name, severity=severity, logits=list(found[name, severity])))
        metrics |= acquisition.metrics_of(split, found, rows["label"].to_numpy())
    if sweep.outcomes:
        place = folder / trial.seed_folder(seed)
        place.mkdir(parents=True, exist_ok=True)
        pd.concat(frames, ignore_index=True).to_parquet(place / acquisition.ACQUISITION_FILE)
    return metrics


def _on_hospitals(
    folder: Path, sweep: FakeSweep, trial: Trial, seed: int, predictions: pd.DataFrame
) -> dict[str, float | None]:
    """Write the record's pseudo-hospitals: source validation with the classes nearer to each other, as they are at the target."""
    rows = predictions[predictions["split"] == SOURCE_VAL]
    logits = np.stack(rows["logits"].tolist()).astype(float)
    labels = rows["label"].to_numpy()
    skill, keeps, _ = _truth(sweep, trial.config)
    made = []
    for number in range(sweep.hospitals):
        draw = rng(sweep.seed, "hospital", number)  # the same for every model
        kept = keeps * draw.uniform(0.7, 1.3)
        score = logits[:, 1] - (1 - kept) * skill * (labels - 0.5) + draw.normal(0, 0.3)
        made.append(
            StoredHospital(
                family=FAMILIES[number % len(FAMILIES)],
                logits=np.stack([-score, score], axis=1),
                labels=labels,
                name=f"pseudo-{number:03d}",
                recipe=("common_histogram",),
                image_ids=tuple(rows["image_id"]),
                target_distance=float(abs(kept / keeps - 1) + 0.1),
                source_distance=0.5,
            )
        )
    write_hospitals(Storage(folder), trial.seed_folder(seed), made)
    target = np.stack(predictions.loc[predictions["split"] == TARGET, "logits"].tolist()).astype(float)
    source = predictions[predictions["split"] == "source"]
    test = classification_metrics(np.stack(source["logits"].tolist()), source["label"].to_numpy(), 2)["auroc"]
    return {name: _finite(value) for name, value in blind_metrics(logits, target, made, test).items()}


def _clean_metrics(predictions: pd.DataFrame) -> dict[str, float]:
    by_split = {
        str(split): classification_metrics(np.stack(rows["logits"].tolist()), rows["label"].to_numpy(), 2)
        for split, rows in predictions.groupby("split")
    }
    named = {f"{name}/{split}": value for split, values in by_split.items() for name, value in values.items()}
    return named | domain_gap(by_split["source"], by_split["target"])


def _attacks(
    sweep: FakeSweep, config: Mapping[str, Any], seed: int, predictions: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, float]]:
    frames, metrics = [], {}
    for split in sweep.attacked:
        rows = predictions[predictions["split"] == split]
        found = _broken(sweep, config, rows)
        metrics |= outcomes.metrics(found, split)
        for threat in found.threats:
            kept = rows.drop(columns="logits").assign(threat=threat, breaking_eps=found.breaking(threat).numpy())
            frames.append(kept)
    return pd.concat(frames, ignore_index=True), metrics


def _broken(sweep: FakeSweep, config: Mapping[str, Any], rows: pd.DataFrame) -> EpsilonSweep:
    *_, median = _truth(sweep, config)
    logits, labels = np.stack(rows["logits"].tolist()).astype(float), rows["label"].to_numpy()
    margin = (logits[:, 1] - logits[:, 0]) * (2 * labels - 1)
    grid = np.array([epsilon_of(text) for text in EPS])
    breaking, distance = {}, {}
    for threat, factor in THREATS.items():
        exact = np.where(margin > 0, margin * median * factor / 2, 0)
        place = np.append(grid, np.inf)[np.searchsorted(grid, exact)]
        breaking[threat] = torch.from_numpy(np.where(margin <= 0, 0.0, place))
        distance[threat] = torch.from_numpy(exact)
    return EpsilonSweep(
        epsilons=tuple(grid.tolist()),
        breaking_epsilon=breaking,
        distance=distance,
        clean_right=torch.from_numpy(margin > 0),
        logits=torch.from_numpy(logits),
        labels=torch.tensor(labels),
        passes=Passes(),
        passes_by_threat={threat: Passes() for threat in THREATS},
        norms=dict.fromkeys(THREATS, "linf"),
        kinds={"fgsm": "one_step", "pgd20": "many_step", "square": "black_box"},
    )


def epsilon_of(text: str) -> float:
    """'2/255' as a number."""
    top, bottom = text.split("/")
    return float(top) / float(bottom)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _epochs(sweep: FakeSweep, identity: Event, metrics: Mapping[str, float | None]) -> list[Event]:
    wobble = rng(sweep.seed, "epochs", *map(str, identity.values())).normal(0, 0.01, size=sweep.epochs)
    reached = {name: metrics[f"{name}/source_val"] for name in ("auroc", "accuracy", "balanced_accuracy")}
    rows = []
    for epoch, noise in enumerate(wobble, start=1):
        learned = 1 - np.exp(-4 * epoch / sweep.epochs)
        loss = 0.7 * np.exp(-2 * epoch / sweep.epochs) + 0.1 + noise
        scores = {
            f"{name}/source_val": None if value is None else 0.5 + (value - 0.5) * learned + noise
            for name, value in reached.items()
        }
        logged = {"loss/train": loss, "loss/source_val": loss + 0.1, "lr": 1e-4 * (1 - epoch / sweep.epochs), **scores}
        rows.append({"event": "epoch", **identity, "epoch": epoch, "metrics": logged})
    return rows


def _work(sweep: FakeSweep, trial: Trial, seed: int) -> Event:
    ratio = trial.config["synthetic_per_real"]
    stages = [stage for label in CLASSES for stage in _stages(label, seed > 0)] if ratio else []
    risky = trial.config["lr"] > 8e-4 and seed == 0
    real = trial.config["train_images"] or sweep.real_images
    return {
        "alarms": ["target: fgsm beats pgd20 at 8/255: the gradient may be masked"] if risky else [],
        "seconds": {"train": 8.0, "attack": 3.0, "evaluate": 0.5, "total": 11.5},
        "stages": stages,
        "best_epoch": sweep.epochs,
        "epochs_run": sweep.epochs,
        "train_images": {"real": real, "synthetic": round(real * ratio)},
    }


def _stages(label: str, reused: bool) -> list[Event]:
    shared = {"class": label, "generator": "wgan_sn"}
    check = {"kid/layout": 0.4, "kid_low/layout": 0.3, "kid_high/layout": 0.5, "step": 300, "variation": 0.9}
    pool = {
        **shared,
        "images": 100,
        "drawn": 128,
        "copy_rate": 0.0,
        "real_copy_rate": 0.03,
        "held_out_copies": 0,
        "quality": {"kid/layout": 0.2, "kid_low/layout": 0.1, "kid_high/layout": 0.3, "frechet/radiomics": 14.5},
        "quality_of_real": {"kid/layout": 0.02, "frechet/radiomics": 5.2},
    }
    facts = {"generator": ({**shared, "last_check": check, "trained_on": 60}, 22.0), "pool": (pool, 3.0)}
    return [
        {
            "stage": stage,
            "hash": content_hash([stage, label], 16),
            "reused": reused,
            "seconds": 0.1 if reused else cost,
            "saved_s": cost - 0.1 if reused else 0.0,
            "facts": known,
        }
        for stage, (known, cost) in facts.items()
    ]


def _first_cell(sweep: FakeSweep, lr: float) -> Event:
    study = {"backbone": sweep.backbones[0], "colorizer": sweep.colorizers[0], "synthetic_per_real": sweep.ratios[0]}
    config = complete({**study, "lr": lr, "epochs": sweep.epochs})
    return {"signature": signature_of(config), "seed": 0, "config": config, "study": study}


def _failure(sweep: FakeSweep, number: int) -> Event:
    reason = "train: loss is nan at step 12; lower the learning rate, or set grad_clip if it is 0"
    return {"event": "failed", **_first_cell(sweep, 0.5 + number), "kind": "DIVERGED", "reason": reason}


def _stop(sweep: FakeSweep, number: int) -> list[Event]:
    head = _first_cell(sweep, 0.01 + number)
    words = {"epoch": 1, "by": "halving", "reason": "3rd of 3 at epoch 1; the upper third goes on"}
    return [
        {"event": "start", **head},
        {"event": "stopped", **head, **words, "metrics": {"auroc/source_val": 0.52}},
    ]


def _data_card(sweep: FakeSweep) -> Event:
    counts = {
        "train": {"benign": 60, "malignant": 40},
        "val": {"benign": 24, "malignant": 16},
        "test": {"benign": 24, "malignant": 16},
    }
    card = {
        "images": 180,
        "patients": 90,
        "groups": 90,
        "classes": {"benign": 108, "malignant": 72},
        "constant_accuracy": 0.6,
        "licence": "CC0-1.0",
        "citation": "simulated by this project",
    }
    audit: Event = {
        role: {"images_with_a_near_copy": 3, "groups_with_conflicting_labels": 0} for role in ("source", "target")
    }
    audit["left_out_of_source_to_target_for"] = {"a_picture": 0, "a_patient": 0}
    source = {"name": "phantom-a", "domain": "phantom-a", **card, "sha256": "a" * 64, "folds": counts}
    target = {"name": "phantom-b", "domain": "phantom-b", **card, "sha256": "b" * 64}
    target["folds"] = {"target": card["classes"]}
    if len(sweep.directions) > 1:
        source["folds_target_to_source"], target["folds_target_to_source"] = {"target": card["classes"]}, counts
    facts = {"source": "phantom-a", "target": "phantom-b", "classes": list(CLASSES), "image_px": 64}
    return {"source": source, "target": target, "audit": audit, "data": facts}
