"""A plan and its data -> the progress that shows it: names of the shared artifacts, and the number of images behind each metric."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from sweep.config.sweep_config import SweepConfig
from sweep.data.datasets import Data
from sweep.data.domains import FOLD_OF_SPLIT
from sweep.execution.live_table import Counts, Progress
from sweep.pipeline.stages import needed_stages
from sweep.planning.plan import Plan
from sweep.store.artifact_store import Stage


def progress_of(sweep_config: SweepConfig, plan: Plan, data: Data, console: Console) -> Progress:
    """Progress of the plan's records, those of earlier attempts included."""
    limit = sweep_config.threats.images
    return Progress(
        sweep_config.name,
        plan.campaign.expected_records,
        plan.varied,
        tuple(dict.fromkeys(objective.name for objective in sweep_config.objectives)),
        sweep_config.objectives[0].goal == "maximize",
        console,
        reused=plan.settled(),
        counts=Counts(_classes(data), None if limit == "all" else int(limit)),
        stages=stage_names(plan, data),
    )


def stage_names(plan: Plan, data: Data) -> Mapping[str, str]:
    """Hash of each shared artifact that can be foreseen -> 'generator 3 of 8 (wgan, benign)', numbered as they are needed."""
    kinds: dict[str, list[Stage]] = {}
    for stage in needed_stages(plan.foreseen, data):
        kinds.setdefault(stage.kind, []).append(stage)
    return {
        stage.hash: f"{kind.replace('_', ' ')} {number} of {len(stages)}{_details(stage, data)}"
        for kind, stages in kinds.items()
        for number, stage in enumerate(stages, start=1)
    }


def _details(stage: Stage, data: Data) -> str:
    label = stage.inputs.get("label")
    words = [
        stage.inputs.get("generator"),
        stage.inputs.get("class") or (data.classes[label] if isinstance(label, int) else None),
    ]
    found = ", ".join(str(word) for word in words if word)
    return f" ({found})" if found else ""


def _classes(data: Data) -> dict[str, tuple[int, ...]]:
    """Images of each class in each split; none where an image has several findings, whose metrics are means over findings."""
    if data.multi_label:
        return {}
    found = {}
    for split, fold in FOLD_OF_SPLIT.items():
        labels = data.fold(fold)["label"].to_numpy()
        found[split] = tuple(int((labels == number).sum()) for number in range(len(data.classes)))
    return found
