"""A proposal as a sweep config: YAML with the reason of each setting as its comment."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.proposal.settings import Proposal


@dataclass(frozen=True)
class Place:
    """What the file says of the data: name of the sweep, both shard folders, whether the target has labels, the first objective."""

    name: str
    source: str
    target: str
    labelled: bool
    objective: str
    held_out: bool = False  # `target` is a domain of the source's folder


def config_text(place: Place, proposal: Proposal, wall: str) -> str:
    """The text of the file; `wall` is the time as the user wrote it."""
    why, (low, high) = proposal.why, proposal.lr
    name, labelled = place.name, place.labelled
    target = f"hold_out: [{place.target}]" if place.held_out else f"target: {place.target}"
    known = "" if labelled else ", target_labels: none"
    left = "share of the target's images" if labelled else "without target labels, share of the source's test images"
    gpus = 0 if proposal.why["places"].endswith("core") else 1
    rows = [
        ("", f"{name}: written by recipe-finder init; every line is yours to change"),
        (f"name: {name}", f"its run folder is results/{name}"),
        (f"data: {{source: {place.source}, {target}, image_px: {proposal.image_px}{known}}}", why["image_px"]),
        ("objectives:", "what a good recipe has"),
        (f"  - {{metric: {place.objective}, goal: maximize}}", "the first one ranks; recipes are chosen on source validation in any case"),
        (f"  - {{metric: robust_accuracy, goal: maximize, threat: worst, eps: {proposal.eps[0]}, split: {'target' if labelled else 'source'}}}", f"{left} still right under the worst attack"),
        ("grid:", "settings to compare, in every combination"),
        (f"  backbone: [{', '.join(proposal.backbones)}]", why["backbones"]),
        ("search:", "settings to tune within each combination, so that the comparison is fair"),
        (f"  lr: {{distribution: log_uniform, min: {low:g}, max: {high:g}}}", why["lr"]),
        ("fixed:", "settings that all trials share"),
        (f"  weights: {proposal.weights or 'null'}", "pretrained weights transfer best: imagenet (from timm's hub) or a file" if not proposal.weights else "pretrained weights that training starts from"),
        (f"  batch_size: {proposal.batch_size}", why["batch_size"]),
        (f"  epochs: {proposal.epochs}", why["epochs"]),
        (f"seeds: {proposal.seeds}", why["seeds"]),
        (f"searcher: {{algorithm: random, trials: {proposal.trials}}}", f"learning rates a backbone: {why['trials']}"),
        (
            f"threats: {{attacks: [{', '.join(proposal.attacks)}], eps: [{', '.join(proposal.eps)}], images: {proposal.attacked}"
            f"{'' if labelled else ', splits: [source]'}}}",
            why["attacks"],
        ),
        (f"resources: {{engine: inline, max_concurrent_trials: {proposal.places}, gpus_per_worker: {gpus}}}", why["places"]),
        (f"budget: {{wall: {wall}}}", "no trial starts after that, and running ones are ended"),
    ]  # fmt: skip
    return "".join(f"{line}{'  ' if line and why else ''}{f'# {why}' if why else ''}\n" for line, why in rows)
