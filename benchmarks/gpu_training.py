"""Images per second of training on a GPU: the usual loop, a careful one, the same step as one CUDA graph, and `fit`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from benchmarks.gpu_sizes import Sizes, synchronise
from sweep.core.capture import recorder_for
from sweep.models.classifier import ClassifierSpec, build_classifier
from sweep.training.fit import FitOptions, fit
from sweep.training.hooks import TrainingHooks
from sweep.training.precision import autocast
from sweep.training.recipe import Recipe
from sweep.training.stacked import fit_stacked

VAL = 32
Step = Callable[[Tensor, Tensor], object]


class NoiseBatches:
    """Shuffled batches of random uint8 images that lie on `device`; as the product's resident batches."""

    def __init__(self, sizes: Sizes, batch: int, device: str, seed: int = 0) -> None:
        self.steps_per_epoch, self.batch, self.seed = sizes.steps, batch, seed
        draws = torch.Generator().manual_seed(seed)
        self.count = sizes.steps * batch
        shape = (self.count, sizes.px, sizes.px)
        self.images = torch.randint(0, 256, shape, generator=draws, dtype=torch.uint8).to(device)
        self.labels = (torch.arange(self.count) % 2).to(device)

    def __call__(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch."""
        order = torch.from_numpy(np.random.default_rng([self.seed, epoch]).permutation(self.count))
        for chosen in order.to(self.images.device).view(self.steps_per_epoch, self.batch):
            yield self.images.index_select(0, chosen), self.labels.index_select(0, chosen)


def train(sizes: Sizes) -> Iterator[dict[str, Any]]:
    """Every model by every loop."""
    for name, batch in sizes.models:
        rates = {
            "usual": rate(sizes, batch, usual_step(name, sizes), "cpu"),
            "careful": rate(sizes, batch, careful_step(name, sizes), sizes.device),
            "graph": rate(sizes, batch, graph_step(name, batch, sizes), sizes.device),
        }
        ways: dict[str, dict[str, Any]] = {
            "fit eager": {"capture": False},
            "fit": {},
            "fit, ultrasound": {"augment": "ultrasound"},
        }
        if sizes.device != "cpu":  # compiling takes minutes of a CPU
            ways["fit compiled"] = {"compiled": True}
        how = {}
        for way, changes in ways.items():
            rates[way], how[way] = fit_rate(name, batch, sizes, **changes)
        share = rates["fit"] / rates["graph"]
        yield {
            "model": name, "batch": batch, "images_per_s": {key: round(value) for key, value in rates.items()},
            "fit_of_graph": round(share, 3), "bar": 0.9, "steps": how,
        }  # fmt: skip


def seeds(sizes: Sizes) -> Iterator[dict[str, Any]]:
    """All seeds of one configuration as one stacked model, against one eager run of `fit`."""
    for name, count in sizes.stacked:
        batch = sizes.models[0][1]
        alone, _ = fit_rate(name, batch, sizes, capture=False)
        captured, _ = fit_rate(name, batch, sizes)
        stacked, how = stacked_rate(name, batch, count, sizes)
        yield {
            "model": name, "seeds": count, "batch": batch, "steps": how,
            "images_per_s": {"one, eager": round(alone), "one, captured": round(captured), "stacked": round(stacked)},
            "stacked_of_eager": round(stacked / alone, 2), "bar": {"small_cnn": 10, "resnet18": 3}.get(name),
        }  # fmt: skip


def model_of(name: str, sizes: Sizes, seed: int = 0) -> nn.Module:
    """An untrained classifier on the device."""
    spec = ClassifierSpec(backbone=name, num_classes=2, image_px=sizes.px)
    return build_classifier(spec, seed=seed).to(sizes.device).train()


def rate(sizes: Sizes, batch: int, step: Step, place: str) -> float:
    """Images per second of a step over batches that lie at `place`."""
    batches, times = NoiseBatches(sizes, batch, place), []
    for epoch in range(sizes.epochs + 1):
        synchronise(sizes.device)
        begin = time.perf_counter()
        for images, labels in batches(epoch):
            step(images, labels)
        synchronise(sizes.device)
        times.append(time.perf_counter() - begin)
    return sizes.steps * batch / statistics.median(times[1:])


def usual_step(name: str, sizes: Sizes) -> Step:
    """The loop of most tutorials: contiguous float32, plain AdamW, data from the host."""
    model = model_of(name, sizes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        inputs = images.to(sizes.device).unsqueeze(1).float() / 255
        functional.cross_entropy(model(inputs), labels.to(sizes.device)).backward()
        optimizer.step()

    return step


def careful_step(name: str, sizes: Sizes) -> Step:
    """bf16 autocast where the hardware has it, channels last, fused AdamW, clipping, data on the device."""
    model = model_of(name, sizes).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    return lambda images, labels: _careful(model, optimizer, images, labels, sizes)


def _careful(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor, sizes: Sizes) -> None:
    optimizer.zero_grad(set_to_none=True)
    with autocast(sizes.device, "auto"):
        logits = model(images.unsqueeze(1).float().div_(255))
    functional.cross_entropy(logits.float(), labels).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def graph_step(name: str, batch: int, sizes: Sizes) -> Step:
    """The careful step as one CUDA graph made by hand: what `fit` is held against. Without a GPU the careful step."""
    recorder = recorder_for(torch.device(sizes.device))
    if recorder is None:
        return careful_step(name, sizes)
    model = model_of(name, sizes).to(memory_format=torch.channels_last)
    lr = torch.tensor(1e-4, device=sizes.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, fused=True, capturable=True)
    images = torch.zeros(batch, sizes.px, sizes.px, dtype=torch.uint8, device=sizes.device)
    labels = torch.zeros(batch, dtype=torch.long, device=sizes.device)

    def work() -> None:
        _careful(model, optimizer, images, labels, sizes)

    for _ in range(4):
        recorder.warm_up(work)
    replay = recorder.record(work)

    def step(new_images: Tensor, new_labels: Tensor) -> None:
        images.copy_(new_images)
        labels.copy_(new_labels)
        replay()

    return step


class EpochClock:
    """Seconds of each epoch of a run, by its hook."""

    def __init__(self, device: str) -> None:
        self.device, self.times, self._mark = device, [], time.perf_counter()

    def __call__(self, _metrics: dict[str, Any]) -> None:
        synchronise(self.device)
        now = time.perf_counter()
        self.times.append(now - self._mark)
        self._mark = now

    def median(self) -> float:
        """Of all epochs but the first, which warms up and captures."""
        return statistics.median(self.times[1:])


def recipe_of(batch: int, sizes: Sizes, augment: str) -> Recipe:
    """One phase of plain training."""
    return Recipe(epochs=sizes.epochs + 1, batch_size=batch, augment=augment, patience=0, schedule="none")


def fit_rate(
    name: str, batch: int, sizes: Sizes, augment: str = "none", capture: bool = True, compiled: bool = False
) -> tuple[float, str]:
    """Images per second of `fit`, validation and notes included, and how its steps ran."""
    batches, clock = NoiseBatches(sizes, batch, sizes.device), EpochClock(sizes.device)
    val = (batches.images[:VAL].cpu().numpy(), batches.labels[:VAL].cpu().numpy())
    done = fit(
        model_of(name, sizes), batches, val, replace(recipe_of(batch, sizes, augment), compile=compiled), seed=0,
        options=FitOptions(sizes.device, capture=capture), hooks=TrainingHooks(on_epoch=clock),
    )  # fmt: skip
    return sizes.steps * batch / clock.median(), done.steps_ran


def stacked_rate(name: str, batch: int, count: int, sizes: Sizes) -> tuple[float, str]:
    """Images per second of `count` seeds together, and how their steps ran."""
    models = [model_of(name, sizes, seed) for seed in range(count)]
    batches = [NoiseBatches(sizes, batch, sizes.device, seed) for seed in range(count)]
    val = (batches[0].images[:VAL].cpu().numpy(), batches[0].labels[:VAL].cpu().numpy())
    clock = EpochClock(sizes.device)
    hooks = [replace(TrainingHooks(), on_epoch=clock if place == 0 else None) for place in range(count)]
    done = fit_stacked(
        models, batches, val, recipe_of(batch, sizes, "none"), seeds=list(range(count)),
        options=FitOptions(sizes.device), hooks=hooks,
    )  # fmt: skip
    failed = [result for result in done if isinstance(result, Exception)]
    if failed:
        raise failed[0]
    return count * sizes.steps * batch / clock.median(), done[0].steps_ran
