"""Size of the data, the machine and the time given -> the settings of a first sweep, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sweep.core.durations import duration
from sweep.shards.splits import FRACTIONS

_SIDES = (32, 64, 96, 128, 160, 192, 224)
_FEW_CPUS = 4
_HOUR = 3600.0
KEPT = 0.8  # share of the time that trials may fill; the rest is for data and the report
START_UP = 15.0  # seconds until the first step, two cores: processes start, import torch, read and check; at most half of the time counts
MOST_TRIALS = 40
_LEAST_EPOCHS = 3


@dataclass(frozen=True)
class DataFacts:
    """What the settings follow from: images and patients of the source, median longer side in pixels as stored, several findings an image."""

    images: int
    patients: int
    side: int
    multi_label: bool = False


@dataclass(frozen=True)
class Machine:
    """Processor cores and GPUs that trials may use."""

    cpus: int
    gpus: int


@dataclass(frozen=True)
class Proposal:
    """The settings of the sweep config; `why` has a reason for each."""

    image_px: int
    batch_size: int
    epochs: int
    lr: tuple[float, float]
    backbones: tuple[str, ...]
    weights: str | None
    attacks: tuple[str, ...]
    eps: tuple[str, ...]
    attacked: int
    seeds: int
    trials: int
    places: int
    why: dict[str, str]

    @property
    def records(self) -> int:
        """Records of the whole sweep."""
        return len(self.backbones) * self.trials * self.seeds


def propose(data: DataFacts, machine: Machine, time_s: float, weights: str | None = None) -> Proposal:
    """Settings before anything was timed; `fitted` then chooses how many trials the time allows."""
    small = not machine.gpus
    train = max(1, round(FRACTIONS["train"] * data.images))
    limit = (64 if machine.cpus <= _FEW_CPUS else 128) if small else 224
    px = max(side for side in _SIDES if side <= max(_SIDES[0], min(limit, data.side)))
    batch = min(16 if train < 400 else 32 if train < 4000 else 64, max(4, train // 4))
    steps = 300 if small else 1500
    epochs = min(60, max(5, math.ceil(steps / max(1, train // batch))))
    scale = math.sqrt(batch / 32)
    low, high = (1e-5, 1e-3) if weights else (1e-4, 3e-3)
    backbones: tuple[str, ...] = ("small_cnn", "test_resnet") if small else ("resnet18", "mobilenetv2_100")
    if weights:
        backbones = ("mobilenetv2_100",) if small else ("resnet18", "mobilenetv2_100")
    attacked = 32 if small else 128
    machine_words = f"{machine.cpus} cores without a GPU" if small else f"{machine.gpus} GPUs"
    why = {
        "image_px": f"images are {data.side} px on their longer side (median); at most {limit} for {machine_words}",
        "batch_size": f"about {train} training images: {max(1, train // batch)} steps an epoch",
        "epochs": f"about {steps} optimiser steps in all; patience ends a training that stands still",
        "lr": f"usual range of AdamW {'from pretrained' if weights else 'from random'} weights, times the root of batch / 32",
        "backbones": f"small enough for {machine_words} and {train} training images",
        "attacks": f"{attacked} images per hospital are enough for a first interval; more where time allows",
        "seeds": "the least that shows the spread between trainings"
        if time_s < _HOUR
        else "three show the spread between trainings",
        "trials": "not timed yet",
        "places": "trials at once: one a core" if small else "trials at once: one a GPU",
    }
    return Proposal(
        image_px=px, batch_size=batch, epochs=epochs, lr=(_rounded(low * scale), _rounded(high * scale)), backbones=backbones,
        weights=weights, attacks=("fgsm", "pgd") if small else ("fgsm", "pgd", "apgd"), eps=("1/255", "4/255"), attacked=attacked,
        seeds=2 if time_s < _HOUR else 3, trials=1, places=max(1, machine.gpus or machine.cpus), why=why,
    )  # fmt: skip


def fitted(proposal: Proposal, seconds: Sequence[float], time_s: float) -> Proposal:
    """The proposal with as many trials as fit: `seconds` of a record of each backbone, one after the other on `places`.

    Where not even one trial fits, the second backbone goes, then seeds, then epochs; at least 3 epochs of one trial remain.
    """
    room = KEPT * max(time_s - START_UP, time_s / 2) * proposal.places
    trials = math.floor(room / (proposal.seeds * sum(seconds)))
    if trials >= 1:
        count = min(MOST_TRIALS, trials)
        taken = count * proposal.seeds * sum(seconds) / proposal.places
        return _changed(
            proposal, {"trials": f"{duration(taken)} of {duration(time_s)} by the timing of a few steps"}, trials=count
        )
    if len(proposal.backbones) > 1:
        at = min(range(len(seconds)), key=seconds.__getitem__)
        reason = {"backbones": f"the fastest; two do not fit into {duration(time_s)}"}
        return fitted(_changed(proposal, reason, backbones=(proposal.backbones[at],)), [seconds[at]], time_s)
    if proposal.seeds > 1:
        reason = {
            "seeds": f"two do not fit into {duration(time_s)}: intervals will not hold the spread between trainings"
        }
        return fitted(_changed(proposal, reason, seeds=1), seconds, time_s)
    epochs = min(proposal.epochs, max(_LEAST_EPOCHS, math.floor(proposal.epochs * room / seconds[0])))
    reason = {
        "epochs": f"shortened to fit {duration(time_s)}; give more time for a result to rely on",
        "trials": "no more fit",
    }
    return _changed(proposal, reason, epochs=epochs, trials=1)


def _changed(proposal: Proposal, reasons: dict[str, str], **settings: Any) -> Proposal:
    return replace(proposal, why=proposal.why | reasons, **settings)


def _rounded(value: float) -> float:
    return float(f"{value:.1g}")
