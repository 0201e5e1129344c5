"""Training images -> a trained generator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from sweep.core.capture import Recorder, recorder_for
from sweep.core.errors import InputError
from sweep.core.seeds import named_seed
from sweep.synth.feed import Feed
from sweep.synth.generators import GENERATORS, GeneratorSpec, build_network, known_generator
from sweep.synth.sampling import stream_images
from sweep.synth.settings import Settings, check_images, resolve
from sweep.synth.trained import TrainedGenerator, fingerprints
from sweep.synth.watch import Collapsed, OnStep, Watch

__all__ = ["GENERATORS", "Collapsed", "TrainedGenerator", "resolved_settings", "train_generator"]


def resolved_settings(name: str, changes: Mapping[str, Any]) -> Settings:
    """All settings of generator `name` with `changes` applied: what an artifact's name is hashed from.

    Raises InputErrors that lists every unknown name and impossible value.
    """
    spec = known_generator(name)
    longer = spec.full if changes.get("length") == "full" else {}
    return resolve(f"generator.{name}", {**spec.defaults, **longer}, changes)


def train_generator(
    name: str,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    num_classes: int = 1,
    settings: Mapping[str, Any] | None = None,
    seed: int,
    device: str = "cpu",
    on_step: OnStep | None = None,
    capture: bool = True,
    recorder: Recorder | None = None,
) -> TrainedGenerator:
    """Train the row `name` of GENERATORS on `images` (uint8 [N, px, px]; pass the training fold only).

    A row that is `per_class` wants the images of one class; the others want `labels` int64 [N] and `num_classes`.
    `on_step(step, facts)` receives losses every ten steps and samples at checks. `capture` replays the steps as CUDA graphs on a GPU;
    `recorder` replaces CUDA graphs. Raises InputError for settings or
    images it cannot use, Diverged when a loss is not finite, Collapsed when the samples do not vary.
    """
    spec, chosen = known_generator(name), resolved_settings(name, settings or {})
    image_px = check_images(images, f"generator.{name}")
    classes = _checked_labels(name, spec, labels, len(images), num_classes)
    network = build_network(name, chosen, image_px, num_classes, named_seed(seed, name, "weights"))
    watch = _watch(name, spec, chosen, images, classes, seed, on_step)
    own = [device] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(
        devices=own
    ):  # the critic is initialised inside, and dropout draws from the global stream
        torch.manual_seed(named_seed(seed, name, "critic"))
        kept = spec.train(
            network, _feed(images, classes, chosen, seed, device), chosen,
            image_px=image_px, num_classes=num_classes, seed=seed, device=device, watch=watch,
            recorder=(recorder or recorder_for(torch.device(device))) if capture else None,
        )  # fmt: skip
    return TrainedGenerator(
        name, chosen, image_px, num_classes, kept.eval(), frozenset(fingerprints(images)), watch.summary()
    )


def _checked_labels(
    name: str, spec: GeneratorSpec, labels: np.ndarray | None, count: int, num_classes: int
) -> np.ndarray:
    where = f"generator.{name}"
    if num_classes > 1 and spec.per_class:
        raise InputError(where, f"{num_classes} classes", "train it on the images of one class at a time")
    if labels is None and num_classes > 1:
        raise InputError(where, "no labels", f"pass the class of each image, 0 to {num_classes - 1}")
    classes = np.zeros(count, np.int64) if labels is None or spec.per_class else np.asarray(labels, np.int64)
    if len(classes) != count or not np.isin(classes, range(num_classes)).all():
        raise InputError(
            where,
            f"labels {sorted(set(classes.tolist()))} for {count} images",
            f"one label an image, 0 to {num_classes - 1}",
        )
    missing = sorted(set(range(num_classes)) - set(classes.tolist()))
    if missing:
        raise InputError(where, f"no image of class {missing[0]}", "give every class at least one image")
    return classes


def _feed(images: np.ndarray, labels: np.ndarray, settings: Settings, seed: int, device: str) -> Feed:
    draws = torch.Generator(device).manual_seed(named_seed(seed, "feed"))
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return Feed(pixels, torch.tensor(labels, device=device), settings["batch_size"], draws, settings["flip"])


def _watch(
    name: str,
    spec: GeneratorSpec,
    settings: Settings,
    images: np.ndarray,
    labels: np.ndarray,
    seed: int,
    on_step: OnStep | None,
) -> Watch:
    def draw(network: torch.nn.Module, label: int, count: int) -> np.ndarray:
        blocks = stream_images(
            network, spec.generate_with(settings), count, seed=named_seed(seed, "watch"), label=label
        )
        return np.concatenate(list(blocks))

    real = {label: images[labels == label] for label in sorted(set(labels.tolist()))}
    return Watch(name, real, draw, settings, on_step)
