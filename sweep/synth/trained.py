"""A trained generator: sampling by index, serialisation as safetensors, and hashes of its training images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from sweep.core.errors import InputError
from sweep.synth.generators import build_network, known_generator
from sweep.synth.layers import channels_last
from sweep.synth.sampling import stream_images
from sweep.synth.settings import Settings, resolve

FORMAT = 1
_HEADER_BYTES = 8  # a safetensors file opens with the length of its JSON header, little endian


@dataclass(frozen=True, eq=False)
class TrainedGenerator:
    """The row's name, its resolved settings and the weights; `seen` holds the hashes of the training images."""

    name: str
    settings: Mapping[str, Any]
    image_px: int
    num_classes: int
    network: nn.Module
    seen: frozenset[str]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def sample(self, n: int, *, seed: int, label: int | None = None, start: int = 0) -> np.ndarray:
        """Images `start` to `start + n`, uint8 [n, px, px].

        Image i depends on (seed, label, start + i) only: a bigger pool begins with the smaller one. `label` may be left
        out when there is one class. Raises InputError for a class that the generator does not know.
        """
        blocks = list(self.stream(n, seed=seed, label=label, start=start))
        return np.concatenate([np.empty((0, self.image_px, self.image_px), np.uint8), *blocks])

    def stream(self, n: int, *, seed: int, label: int | None = None, start: int = 0) -> Iterator[np.ndarray]:
        """The same images as `sample`, in blocks of at most 32, so that no pool needs to fit in memory."""
        chosen = self._known_label(label)
        return stream_images(
            self.network,
            known_generator(self.name).generate_with(dict(self.settings)),
            n,
            seed=seed,
            label=chosen,
            start=start,
        )

    def saw(self, images: np.ndarray) -> np.ndarray:
        """Which of `images` (uint8 [N, px, px]) were in the training fold, to the last bit; bool [N]."""
        return np.array([fingerprint in self.seen for fingerprint in fingerprints(images)], bool)

    def to_bytes(self) -> bytes:
        """Weights as safetensors with the rest as JSON in the header; no pickle."""
        recipe = {
            "format": FORMAT, "name": self.name, "settings": dict(self.settings), "image_px": self.image_px,
            "num_classes": self.num_classes, "seen": sorted(self.seen), "facts": dict(self.facts),
        }  # fmt: skip
        weights = {name: value.cpu().contiguous() for name, value in self.network.state_dict().items()}
        return save(weights, {"recipe": json.dumps(recipe, sort_keys=True)})

    @classmethod
    def from_bytes(cls, data: bytes, *, device: str = "cpu") -> TrainedGenerator:
        """The generator that `to_bytes` wrote; InputError when the bytes are something else."""
        try:
            recipe = json.loads(_header(data)["recipe"])
            name, settings = recipe["name"], _checked(recipe["name"], recipe["settings"])
            network = build_network(name, settings, recipe["image_px"], recipe["num_classes"], seed=0)
            network.load_state_dict(load(data))
            seen, facts = frozenset(recipe["seen"]), recipe["facts"]
        except (KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
            raise InputError("generator file", f"not a saved generator ({error})", "train it again") from error
        channels_last(network.to(device)).eval()  # as in training: the last bits depend on it
        return cls(name, settings, recipe["image_px"], recipe["num_classes"], network, seen, facts)

    def _known_label(self, label: int | None) -> int:
        if label is None and self.num_classes == 1:
            return 0
        if label is None or not 0 <= label < self.num_classes:
            raise InputError("label", f"{label!r}", f"name a class from 0 to {self.num_classes - 1}")
        return int(label)


def fingerprints(images: np.ndarray) -> list[str]:
    """First 16 hex digits of the SHA-256 of each image's pixels."""
    return [hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()[:16] for image in images]


def _checked(name: str, settings: Mapping[str, Any]) -> Settings:
    """Settings from a file, validated like a user's, so that a tampered width cannot exhaust the memory."""
    return resolve(f"generator.{name}", known_generator(name).defaults, settings)


def _header(data: bytes) -> dict[str, str]:
    length = int.from_bytes(data[:_HEADER_BYTES], "little")
    header = json.loads(data[_HEADER_BYTES : _HEADER_BYTES + length])
    return header["__metadata__"]
