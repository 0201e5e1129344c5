"""The model card: what a model is for, what it rests on, how good it is and how sure that is, for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.core.counts import percent
from sweep.deployment.combine import ENSEMBLE, ONE
from sweep.deployment.decisions import POLICIES
from sweep.deployment.model_folder import CONFIG, ONNX

_SPLITS = {"source": "source test", "target": "target", "source_val": "source validation"}


@dataclass(frozen=True)
class Measured:
    """A metric of the exported model with its 95 % interval (None where no images were kept), and the mean over the trial's seeds."""

    name: str
    estimate: float | None
    low: float | None = None
    high: float | None = None
    seeds_mean: float | None = None
    seeds: int = 0


def card(facts: Mapping[str, Any], metrics: Sequence[Measured], domains: Mapping[str, Mapping[str, Any]]) -> str:
    """MODEL_CARD.md from the facts of config.json, the metrics, and the run's data card (source, target)."""
    parts = [
        _head(facts),
        _use(facts, domains),
        _data(domains),
        _worth(metrics),
        _decision(facts),
        _flag(facts),
        _weights(facts),
        _loading(facts),
        ["## Settings", "", "```json", json.dumps(facts["config"], indent=1, sort_keys=True), "```", ""],
    ]
    return "\n".join(line for part in parts for line in part)


def _head(facts: Mapping[str, Any]) -> list[str]:
    config, seeds = facts["config"], ", ".join(map(str, facts["seeds"]))
    kind = facts["combination"]
    noun = f"seed {seeds}" if kind == ONE else f"{kind} of seeds {seeds}"
    how = {
        ONE: "One model.",
        ENSEMBLE: "The mean of the members' probabilities.",
    }.get(kind, "One model whose weights are the mean of the seeds' weights (Wortsman et al. 2022).")
    return [
        f"# {config['backbone']}, colorizer {config['colorizer']}",
        "",
        f"Trial {facts['trial']}, {noun}. {how}{_adapted(facts)} Not for clinical use.",
        "",
    ]


def _adapted(facts: Mapping[str, Any]) -> str:
    way, own = facts["preprocessing"]["adapt"], facts["config"].get("adapt", "none")
    return "" if way == own else f" Adapted to the target by `{way}` after training; the trial's own way is `{own}`."


def _use(facts: Mapping[str, Any], domains: Mapping[str, Mapping[str, Any]]) -> list[str]:
    what = "several findings an image" if facts["multi_label"] else "one class an image"
    return [
        "## Intended use",
        "",
        f"- Research on {', '.join(facts['classes'])} ({what}) in grey images like those of {domains['source']['name']} and "
        f"{domains['target']['name']}, {facts['image_px']} x {facts['image_px']} pixels.",
        "- Not a medical device: no decision about a patient may rest on it. It has not been tested prospectively.",
        "- Outside of its use: other organs, modalities or hospitals than those below; images that the flag "
        '"unlike the training images" marks.',
        "",
    ]


def _data(domains: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = ["## Trained and tested on", ""]
    for role in ("source", "target"):
        one = domains[role]
        constant = one.get("constant_accuracy")
        baseline = f"; always naming the commonest class is right in {constant:.3f}" if constant is not None else ""
        patients = f", {one['patients']} patients" if one.get("patients") else ""
        lines.append(f"- {role}: {one['name']}, {one['images']} images{patients}, licence {one['licence']}{baseline}")
    return [*lines, ""]


def _worth(metrics: Sequence[Measured]) -> list[str]:
    seeds = max((one.seeds for one in metrics), default=0)
    mean = "its seed" if seeds == 1 else f"mean of {seeds} seeds"
    with_interval = [one for one in metrics if one.low is not None]
    others = [one for one in metrics if one.low is None]
    beside = [f" {mean} |", "---|"] if seeds else ["", ""]
    lines = [
        "## What it is worth",
        "",
        f"| metric | this model | 95 % interval |{beside[0]}",
        f"|---|---|---|{beside[1]}",
    ]
    lines += [
        f"| {one.name} | {_figure(one.estimate)} | {one.low:.3f} to {one.high:.3f} |"
        + (f" {_figure(one.seeds_mean)} |" if seeds else "")
        for one in with_interval
    ]
    if others:
        lines += ["", "As the sweep measured it on the single models, without an interval:", ""]
        lines += [f"| metric | {mean} |", "|---|---|"]
        lines += [f"| {one.name} | {_figure(one.seeds_mean)} |" for one in others]
    return [
        *lines,
        "",
        "Intervals resample patients; they hold for this model, not for another training of it. A number on the target says how it did at one "
        "other hospital, not at a third. The trial was chosen among others of its sweep, which flatters its numbers on the split it was chosen by.",
        "",
    ]


def _decision(facts: Mapping[str, Any]) -> list[str]:
    decision = facts["decision"]
    if not decision["thresholds"]:
        return ["## Decision", "", "The likeliest class.", ""]
    lines = [
        "## Decision",
        "",
        f"Policy `{decision['policy']}` ({_policy(decision['policy'])}), chosen on the {_SPLITS[decision['chosen_on']]} images.",
        "",
        "| finding | probability from | images with, without | sensitivity there | specificity there |",
        "|---|---|---|---|---|",
    ]
    for one in decision["thresholds"]:
        lines.append(
            f"| {one['finding']} | {one['probability']:.4f} | {one['positives']}, {one['negatives']} | {one['sensitivity']:.3f} | {one['specificity']:.3f} |"
        )
    which = "this threshold" if len(decision["thresholds"]) == 1 else "these thresholds"
    lines += ["", f"At {which} on images that had no part in the choice:", ""]
    lines += [
        f"- {_SPLITS[one['split']]}: {one['measure']} {one['estimate']:.3f} ({one['low']:.3f} to {one['high']:.3f})"
        for one in decision["at_threshold"]
    ] or ["- not measured"]
    return [
        *lines,
        "",
        "Probabilities of another hospital are seldom calibrated: check the threshold on local images before relying on it.",
        "",
    ]


def _policy(policy: str) -> str:
    name, _, share = policy.partition("=")
    if not share:
        return POLICIES[policy]
    letter = "S" if f"{name}=S" in POLICIES else "P"
    return POLICIES[f"{name}={letter}"].replace(letter, share, 1).partition(",")[0]


def _flag(facts: Mapping[str, Any]) -> list[str]:
    flag = facts["familiarity"]
    if flag is None:
        return ["## Unlike the training images", "", "Exported without the training images: nothing is flagged.", ""]
    shares = ", ".join(f"{percent(share)} of the {_SPLITS[split]} images" for split, share in flag["flagged"].items())
    return [
        "## Unlike the training images",
        "",
        f"An image is flagged where the cosine distance of its features to the {flag['neighbours']}th nearest of {flag['training_images']} training "
        f"images, or its largest deviation in brightness, contrast, sharpness, speckle, spectrum, black border or brightness along depth, exceeds the "
        f"{flag['percentile']:g}th percentile of the source's validation images. Flagged: {shares}. Where most images of a hospital are flagged, `recipe-finder predict` says so once.",
        "",
    ]


def _weights(facts: Mapping[str, Any]) -> list[str]:
    start = facts["weights"]
    digest = f" (SHA-256 {start['sha256']})" if start.get("sha256") else ""
    text = f"Started from {start['start']}{digest}." if start["start"] else "Trained from random weights."
    known = f" Their licence: {start['licence']}." if start.get("licence") else ""
    licence = f"{known} Licence and data of pretrained weights are those of their publisher." if start["start"] else ""
    seen = [f"- {line}" for line in start["past"]]
    return ["## Weights' past", "", text + licence, "", *seen, *([""] if seen else [])]


def _loading(facts: Mapping[str, Any]) -> list[str]:
    px = facts["image_px"]
    chance = "model(grey).sigmoid()" if facts["multi_label"] else "model(grey).softmax(dim=1)"
    lines = [
        "## Loading",
        "",
        "```python",
        "import torch",
        "import recipe_finder as rf",
        "",
        'model = rf.load_model(".")  # this folder',
        f"grey = torch.zeros(1, 1, {px}, {px})  # [N, 1, H, W], grey in [0, 1], letterboxed as in training ({CONFIG}: fit)",
        "with torch.inference_mode():",
        f"    probability = {chance}  # [N, {len(facts['classes'])}]: {', '.join(facts['classes'])}",
        "```",
        "",
        "Whole folders of images, with the training's own preprocessing: `recipe-finder predict THIS_FOLDER IMAGES --out predictions.csv`.",
        "",
    ]
    if facts.get("onnx"):
        lines += [
            "```python",
            "import numpy as np",
            "import onnxruntime",
            "",
            f'session = onnxruntime.InferenceSession("{ONNX}")',
            f'(logits,) = session.run(None, {{"grey": np.zeros((1, 1, {px}, {px}), np.float32)}})',
            "```",
            "",
        ]
    return lines


def _figure(value: float | None) -> str:
    """Three decimals, without the sign of a zero."""
    return "-" if value is None else f"{round(value, 3) + 0.0:.3f}"
