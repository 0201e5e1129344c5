"""A trained model to take away: weights, decision threshold, what is needed to build it, and a card that says what it is worth.

python -m sweep.export results/quickstart best OUT [--seeds all] [--combine ensemble|soup] [--adapt WAY] [--onnx]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from analysis.trial_names import TRIAL_HELP, trial_signature
from sweep.config.written_values import TRIED_ADAPTATIONS
from sweep.core.command_line import Command, one_of
from sweep.core.errors import EXIT_COMPLETE, InputError
from sweep.core.means import mean_of_known
from sweep.core.storage import Storage
from sweep.data.datasets import CARD_FILE, Data
from sweep.store.ledger import read_ledger

if TYPE_CHECKING:
    import pandas as pd

    from sweep.deployment.card import Measured
    from sweep.deployment.from_run import Built, Source

_console = Console(highlight=False)
_DRAWS = 1000  # resamples of patients behind each interval
_ROI = ("roi",)  # of an import's settings, besides those of the importers for new images


@dataclass(frozen=True)
class Wanted:
    """What the command line asks of an export."""

    policy: str
    onnx: bool
    reference: bool


def export(
    run: Annotated[str, typer.Argument(help="Run folder or URL, e.g. results/quickstart.", show_default=False)],
    trial: Annotated[str, typer.Argument(help=TRIAL_HELP, show_default=False)],
    out: Annotated[Path, typer.Argument(help="A new folder.", show_default=False)],
    seed: Annotated[
        int | None, typer.Option(help="Which of its seeds, where one is exported.", show_default="0")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="all|K,K,...", help="Several seeds as one model.", show_default=False)
    ] = None,
    combine: Annotated[
        str,
        typer.Option(
            **one_of(("ensemble", "soup")),
            help="Several seeds: mean of their probabilities, or of their weights (seeds that start from the same pretrained weights).",
        ),
    ] = "ensemble",
    adapt: Annotated[
        str | None,
        typer.Option(
            **one_of(TRIED_ADAPTATIONS),
            help="Adapt the trained model to the target in another way than its configuration, as data.try_adaptations tries it.",
            show_default="as configured",
        ),
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(
            metavar="POLICY",
            help="How the decision threshold is chosen on the source's validation images: youden, half, sensitivity=S or specificity=S; "
            "or itself: probability=P.",
        ),
    ] = "youden",
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Write model.onnx too, checked with ONNX Runtime (extra: onnx).")
    ] = False,
    no_reference: Annotated[
        bool,
        typer.Option(
            "--no-reference",
            help="Export where the run's images are not at hand: predict then flags no image as unlike them.",
        ),
    ] = False,
) -> int:
    """Write weights, config.json, MODEL_CARD.md and the reference of the "unlike the training images" flag to a new folder."""
    from sweep.deployment.combine import ONE
    from sweep.deployment.decisions import check_policy
    from sweep.deployment.from_run import Source

    if seed is not None and seeds is not None:
        raise InputError(
            "--seed, --seeds", "both are given", "give --seed K for one model, --seeds all for all of them"
        )
    place, signature = Storage(run), trial_signature(run, trial)
    chosen = (seed or 0,) if seeds is None else _seeds(place, signature, seeds)
    wanted = Wanted(check_policy(threshold), onnx, not no_reference)
    source = Source(place, signature, chosen, combine if len(chosen) > 1 else ONE, adapt)
    return _export(source, Storage(out), wanted)


def _seeds(run: Storage, signature: str, text: str) -> tuple[int, ...]:
    """The seeds that --seeds names; InputError for a word that is no seed, and for one alone."""
    if text == "all":
        return tuple(sorted(number for name, number in read_ledger(run).finished() if name == signature))
    try:
        chosen = tuple(dict.fromkeys(int(word) for word in text.split(",")))
    except ValueError:
        raise InputError("--seeds", f"{text!r} is no list of seeds", "write all, or numbers like 0,1,2") from None
    return chosen


def _export(source: Source, out: Storage, wanted: Wanted) -> int:
    from sweep.deployment.from_run import build
    from sweep.deployment.model_folder import CONFIG, MODEL_CARD, ONNX
    from sweep.deployment.onnx_file import check_installed, onnx_bytes

    if out.exists(CONFIG) or out.names():
        raise InputError(out.url, "holds a model already, or other files", "give a new folder")
    if wanted.onnx:
        check_installed()
    data = Data.load(source.run).seen_by(source.config)
    built = build(source, data, wanted.reference)
    facts = _facts(source, data, built, wanted)
    files = _weights(source, built)
    files |= {ONNX: onnx_bytes(built.model, data.image_px)} if wanted.onnx else {}
    metrics = _metrics(source, built)
    facts["metrics"] = {one.name: asdict(one) for one in metrics}
    files[MODEL_CARD] = _card(source.run, facts, metrics).encode()
    files[CONFIG] = json.dumps(facts, indent=1, allow_nan=False).encode()
    _write(out, files, built)
    _console.print(f"{out.url}: {', '.join(out.names())}", soft_wrap=True, markup=False)
    return EXIT_COMPLETE


def _write(out: Storage, files: Mapping[str, bytes], built: Built) -> None:
    """Everything into the folder, config.json last: without it the folder is no model. Then read back as a user would."""
    from sweep.deployment.model_folder import CONFIG, read_exported, write_reference

    if built.reference is not None:
        write_reference(out, built.reference)
    for name in sorted(files, key=CONFIG.__eq__):
        out.write(name, files[name])
    read_exported(out.url)


def _weights(source: Source, built: Built) -> dict[str, bytes]:
    from safetensors.torch import save

    from sweep.deployment.model_folder import state_of, weight_files

    names = weight_files(list(source.seeds), source.combination)
    return {name: save(state_of(member)) for name, member in zip(names, built.members, strict=True)}


def _card(run: Storage, facts: Mapping[str, Any], metrics: list[Measured]) -> str:
    from sweep.deployment.card import card

    domains = json.loads(run.read(CARD_FILE))
    return card(facts, metrics, {role: domains[role] for role in ("source", "target")})


def _facts(source: Source, data: Data, built: Built, wanted: Wanted) -> dict[str, Any]:
    from sweep.deployment.from_run import CHOSEN_ON, thresholds_of
    from sweep.deployment.model_folder import FORMAT, weight_files
    from sweep.models.known_weights import past, past_of
    from sweep.pipeline.model_options import network_of

    config = source.records[0]["config"]
    start = (config["backbone"], config.get("weights"), config.get("weights_name"))
    published = past_of(*start)
    thresholds = thresholds_of(built.predictions, data, wanted.policy)
    decision = {
        "policy": wanted.policy,
        "chosen_on": CHOSEN_ON,
        "thresholds": [asdict(one) for one in thresholds],
        "at_threshold": _at_threshold(built, data, [one.probability for one in thresholds]),
    }
    activation = (
        "a sigmoid each: an image may have several findings" if data.multi_label else "softmax over the classes"
    )
    return {
        "format": FORMAT,
        "network": network_of(source.config),
        "classes": list(data.classes),
        "multi_label": data.multi_label,
        "image_px": data.image_px,
        "fit": data.fit,
        "input": "float [N, 1, H, W], grey in [0, 1]; normalisation and colorizer are inside",
        "output": f"logits [N, classes]; {activation}",
        "combination": source.combination,
        "trial": source.signature,
        "seeds": list(source.seeds),
        "files": weight_files(list(source.seeds), source.combination),
        "onnx": wanted.onnx,
        "preprocessing": {
            "import": _import_settings(data) if wanted.reference else None,
            "adapt": source.adaptation,
            "histogram": None if built.histogram is None else built.histogram.tolist(),
        },
        "decision": decision,
        "familiarity": built.familiarity(),
        "weights": {
            "start": start[1],
            "name": start[2],
            "sha256": config.get("weights_sha256"),
            "licence": published and published.licence,
            "past": past(*start, _datasets(source.run, data, wanted)),
        },
        "config": config,
    }


def _datasets(run: Storage, data: Data, wanted: Wanted) -> dict[str, str]:
    """Names of the source's and the target's data set, which are those of their importers; from the data card where the shards are not at hand."""
    if wanted.reference:
        names: tuple[str, ...] = data.datasets
    else:
        domains = json.loads(run.read(CARD_FILE))
        names = tuple(domains[role]["name"] for role in ("source", "target"))
    return dict(zip(names, names, strict=True))


def _import_settings(data: Data) -> dict[str, Any]:
    """How the target's images became pixels: what its manifest keeps of the import."""
    from sweep.deployment.images import PIXEL_SETTINGS
    from sweep.shards.reader import read_manifest

    manifest = read_manifest(data.target)
    kept = {name: manifest.settings.get(name) for name in (*PIXEL_SETTINGS, *_ROI)}
    return {**{name: value for name, value in kept.items() if value is not None}, "import_px": manifest.import_px}


def _metrics(source: Source, built: Built) -> list[Measured]:
    """The clean metrics of the exported model with intervals over patients; of the others the mean over seeds as recorded."""
    from analysis.outcomes import MEASURES
    from sweep.deployment.card import Measured

    seeds = [event for (name, _), event in read_ledger(source.run).finished().items() if name == source.signature]
    names = sorted({name for event in seeds for name in event["metrics"]})
    found = []
    for name in names:
        mean = mean_of_known([event["metrics"].get(name) for event in seeds])
        family, _, split = name.partition("/")
        ends = _interval(built.predictions, split, family) if family in MEASURES and "/" not in split else None
        if source.adapt:  # what was recorded of the seeds is of the configured adaptation
            found += [Measured(name, *ends)] if ends else []
        elif ends is None:
            alone = source.records[0]["metrics"].get(name) if len(source.seeds) == 1 else None
            found.append(Measured(name, alone, None, None, mean, len(seeds)))
        else:
            found.append(Measured(name, *ends, mean, len(seeds)))
    return found


def _interval(
    predictions: pd.DataFrame, split: str, family: str, lowered: tuple[int, float] = (0, 0.0)
) -> tuple[float, float, float] | None:
    """(estimate, low, high) of a measure on one split, one column of logits `lowered` by so much; None without images or where it is undefined."""
    import math

    import numpy as np

    from analysis.intervals import interval, resample
    from analysis.outcomes import MEASURES, prediction_outcomes

    outcomes = prediction_outcomes(predictions, split)
    if outcomes is None or not np.all(outcomes.labels != -1):
        return None
    column, shift = lowered
    if shift:
        outcomes.values[:, :, column] -= shift
    limits = (0.0, math.inf) if family == "log_loss" else (0.0, 1.0)
    made = interval(resample(outcomes, MEASURES[family], draws=_DRAWS), limits=limits)
    values = (made.estimate, made.low, made.high)
    return values if all(map(math.isfinite, values)) else None


def _at_threshold(built: Built, data: Data, thresholds: list[float]) -> list[dict[str, Any]]:
    """Sensitivity and specificity at the threshold of two classes, or at that of each finding, on the splits that had no part in its choice."""
    if not thresholds:
        return []
    if not data.multi_label:
        shifts = [("", built.predictions, 1, _logit(thresholds[0]))]
    else:
        shifts = [
            (f" of {name}", _of_finding(built.predictions, place), 0, _logit(probability))
            for place, (name, probability) in enumerate(zip(data.classes, thresholds, strict=True))
        ]
    measures = ("sensitivity", "specificity", *(() if data.multi_label else ("balanced_accuracy",)))
    rows = []
    for split in ("source", "target"):
        for of, predictions, column, shift in shifts:
            for measure in measures:
                ends = _interval(predictions, split, measure, (column, shift))
                if ends is not None:
                    estimate, low, high = ends
                    words = f"{measure.replace('_', ' ')}{of}"
                    rows.append({"split": split, "measure": words, "estimate": estimate, "low": low, "high": high})
    return rows


def _logit(probability: float) -> float:
    import math

    inside = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log(inside / (1 - inside))


def _of_finding(predictions: pd.DataFrame, place: int) -> pd.DataFrame:
    """The images where the finding at `place` is known, with its label and logit alone."""
    import numpy as np

    labels = np.stack(predictions["labels"].to_numpy())
    known = ~np.isnan(labels[:, place])
    logits = np.stack(predictions["logits"].to_numpy())[known, place]
    return predictions[known].assign(labels=list(labels[known, place, None]), logits=list(logits[:, None]))


main = Command(
    export,
    examples=(
        "{} results/quickstart best model",
        "{} results/quickstart 3f2a91 model --seeds all --threshold sensitivity=0.95",
        "{} results/quickstart 1 model --seed 1 --onnx",
    ),
)

if __name__ == "__main__":
    sys.exit(main())
