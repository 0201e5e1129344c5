"""The folder of an exported model: what is in it, written and read without pickle.

config.json                     machine-readable facts: network, classes, preprocessing, threshold, flag, metrics, weights' past
model.safetensors               weights; of an ensemble model-seed-K.safetensors for each seed
training_reference.safetensors  features and properties that the "unlike the training images" flag compares with
MODEL_CARD.md                   the same for people, with a snippet that loads the model
model.onnx                      the network for other programs, where asked for
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load as load_tensors

from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.deployment.combine import ENSEMBLE, Ensemble
from sweep.deployment.familiarity import Reference
from sweep.models.classifier import Classifier, ClassifierSpec, build_classifier
from sweep.store.trial import MODEL

CONFIG, MODEL_CARD, REFERENCE, ONNX = (
    "config.json",
    "MODEL_CARD.md",
    "training_reference.safetensors",
    "model.onnx",
)
FORMAT = 2  # 1: one seed, without threshold and reference
_EXPORT = "write the folder with: recipe-finder export RUN TRIAL OUT"
_MOST_BYTES = 16 << 20  # of config.json


@dataclass(frozen=True)
class Exported:
    """An exported model, in eval mode, with the facts of its config.json and what the flag compares with (None: it was not stored)."""

    model: Classifier | Ensemble
    facts: Mapping[str, Any]
    reference: Reference | None
    place: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the logits."""
        return tuple(self.facts["classes"])

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several findings."""
        return bool(self.facts.get("multi_label", "sigmoid" in self.facts["output"]))

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Decision thresholds: of class 1 of two, of each finding, or none, where the likeliest class is decided."""
        decision = self.facts.get("decision") or {}
        return tuple(one["probability"] for one in decision.get("thresholds", ()))

    @property
    def histogram(self) -> np.ndarray | None:
        """Grey-level histogram [256] that every image is matched to (adapt: histogram), None without that adaptation."""
        levels = self.facts.get("preprocessing", {}).get("histogram")
        return None if levels is None else np.asarray(levels)


def weight_files(seeds: list[int], combination: str) -> list[str]:
    """Names of the weight files of an export."""
    return [f"model-seed-{seed}.safetensors" for seed in seeds] if combination == ENSEMBLE else [MODEL]


def write_reference(place: Storage, reference: Reference) -> None:
    """What the flag compares with; its limits stand in config.json."""
    arrays = {"features": reference.features, "means": reference.means, "deviations": reference.deviations}
    place.write(REFERENCE, save_arrays({name: np.ascontiguousarray(value) for name, value in arrays.items()}))


def load_exported(folder: str | Path) -> Classifier | Ensemble:
    """The model of an exported folder, with its weights, in eval mode. Raises InputError when a file is absent or does not fit."""
    return read_exported(folder).model


def read_exported(folder: str | Path) -> Exported:
    """An exported folder. Raises InputError naming the file that is absent, damaged or does not fit the others."""
    place = Storage(folder)
    facts = _facts(place)
    spec = _spec(place, facts)
    members = [_member(place, name, spec) for name in facts.get("files", [MODEL])]
    multi_label = bool(facts.get("multi_label"))
    model = members[0] if len(members) == 1 else Ensemble(members, multi_label)
    return Exported(model.eval(), facts, _reference(place, facts), place.url)


def _facts(place: Storage) -> dict[str, Any]:
    where = place.address(CONFIG)
    if place.sizes("").get(CONFIG, 0) > _MOST_BYTES:
        raise InputError(where, f"more than {_MOST_BYTES >> 20} MiB", _EXPORT)
    try:
        facts = json.loads(place.read(CONFIG))
    except FileNotFoundError:
        raise InputError(place.url, f"{CONFIG} is absent, so this is no exported model", _EXPORT) from None
    except ValueError as broken:
        raise InputError(where, f"no JSON ({broken})", "export the trial again") from None
    lacking = [name for name in ("network", "classes", "image_px", "fit") if name not in facts]
    if lacking:
        raise InputError(where, f"lacks {', '.join(lacking)}", "export the trial again")
    if facts.get("format", 1) > FORMAT:
        raise InputError(
            where, f"format {facts['format']}, this version reads up to {FORMAT}", "install a newer version"
        )
    return dict(facts)


def _spec(place: Storage, facts: Mapping[str, Any]) -> ClassifierSpec:
    try:
        return ClassifierSpec(**facts["network"], num_classes=len(facts["classes"]), image_px=facts["image_px"])
    except TypeError as wrong:
        raise InputError(
            place.address(CONFIG), f"network: {wrong}", "export the trial again with this version"
        ) from None


def _member(place: Storage, name: str, spec: ClassifierSpec) -> Classifier:
    where = place.address(name)
    try:
        state = load_tensors(place.read(name))
    except FileNotFoundError:
        raise InputError(
            where, "absent, though config.json names it", "copy the whole folder, or export again"
        ) from None
    except SafetensorError as broken:
        raise InputError(where, f"no safetensors file ({broken})", "copy it again, or export again") from None
    model = build_classifier(spec, seed=0)
    try:
        model.load_state_dict(state)
    except RuntimeError:
        raise InputError(where, f"does not fit the network in {CONFIG}", "export the trial again") from None
    return model.eval()


def _reference(place: Storage, facts: Mapping[str, Any]) -> Reference | None:
    flag = facts.get("familiarity")
    if not flag:
        return None
    try:
        arrays = load_arrays(place.read(REFERENCE))
        return Reference(
            arrays["features"],
            arrays["means"],
            arrays["deviations"],
            float(flag["feature_limit"]),
            float(flag["property_limit"]),
        )
    except FileNotFoundError:
        raise InputError(
            place.address(REFERENCE), "absent, though config.json names its limits", "copy the whole folder"
        ) from None
    except (SafetensorError, KeyError) as broken:
        raise InputError(place.address(REFERENCE), f"damaged ({broken})", "copy it again, or export again") from None


def state_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of a model as they are stored: detached, on the CPU, contiguous."""
    return {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
