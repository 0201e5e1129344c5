"""A trained model to take away: weights, what is needed to build it, and a card that says what it is worth.

python -m sweep.export results/quickstart 3f2a91c04b7e OUT [--seed 0]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from analysis.trial_names import TRIAL_HELP, trial_signature
from sweep.config.hyperparameters import restored
from sweep.core.command_line import Command
from sweep.core.errors import EXIT_COMPLETE, InputError
from sweep.core.means import mean_of_known
from sweep.core.storage import Storage
from sweep.data.datasets import CARD_FILE, Data
from sweep.pipeline.model_options import network_of
from sweep.store.ledger import Event, finished_record, read_ledger
from sweep.store.trial import MODEL

if TYPE_CHECKING:
    from sweep.models.classifier import Classifier

CONFIG = "config.json"
MODEL_CARD = "MODEL_CARD.md"
_console = Console(highlight=False)


def export(
    run: Annotated[str, typer.Argument(help="Run folder or URL, e.g. results/quickstart.", show_default=False)],
    trial: Annotated[str, typer.Argument(help=TRIAL_HELP, show_default=False)],
    out: Annotated[Path, typer.Argument(help="A new folder.", show_default=False)],
    seed: Annotated[int, typer.Option(help="Which of its seeds.")] = 0,
) -> int:
    """Write model.safetensors, config.json and MODEL_CARD.md of one trained model to a new folder."""
    return _export(Storage(run), trial_signature(run, trial), Storage(out), seed)


def _export(run: Storage, signature: str, out: Storage, seed: int) -> int:
    record = finished_record(run, signature, seed)
    if out.exists(MODEL):
        raise InputError(out.url, "holds a model already", "give a new folder")
    config = restored(record["config"])
    data = Data.load(run).seen_by(config)
    facts = {
        "network": network_of(config),
        "classes": list(data.classes),
        "image_px": data.image_px,
        "fit": data.fit,
        "input": "float [N, 1, H, W], grey in [0, 1]; normalisation and colorizer are inside",
        "output": f"logits [N, classes]; {'a sigmoid each: an image may have several findings' if data.multi_label else 'softmax over the classes'}",
        "config": record["config"],
        "trial": signature,
        "seed": seed,
    }
    seeds = [event for (name, _), event in read_ledger(run).finished().items() if name == signature]
    out.write(MODEL_CARD, _card(record, seeds, json.loads(run.read(CARD_FILE))).encode())
    out.write(CONFIG, json.dumps(facts, indent=1).encode())
    out.write(MODEL, run.read(f"trials/{signature}/seed-{seed}/{MODEL}"))
    load_exported(out.url)
    _console.print(f"{out.url}: {MODEL}, {CONFIG}, {MODEL_CARD}", soft_wrap=True)
    return EXIT_COMPLETE


def load_exported(folder: str | Path) -> Classifier:
    """The model of an exported folder, with its weights, in eval mode. Raises InputError when a file is absent or does not fit."""
    from safetensors.torch import load

    from sweep.models.classifier import ClassifierSpec, build_classifier

    place = Storage(folder)
    try:
        facts, state = json.loads(place.read(CONFIG)), load(place.read(MODEL))
    except FileNotFoundError as error:
        raise InputError(
            place.url, f"{CONFIG} or {MODEL} is absent", "write the folder with: python -m sweep.export RUN TRIAL OUT"
        ) from error
    network = {**facts["network"], "num_classes": len(facts["classes"]), "image_px": facts["image_px"]}
    model = build_classifier(ClassifierSpec(**network), seed=0)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(place.url, f"{MODEL} does not fit {CONFIG}", "export the trial again") from error
    return model.eval()


def _card(record: Event, seeds: list[Event], data: Mapping[str, Any]) -> str:
    lines = [
        f"# {record['config']['backbone']}, colorizer {record['config']['colorizer']}",
        "",
        f"Trial {record['signature']}, seed {record['seed']}. Not for clinical use.",
        "",
    ]
    lines += ["## Trained and tested on", ""]
    for role in ("source", "target"):
        card = data[role]
        constant = card["constant_accuracy"]
        balance = (
            "no label was read" if constant is None else f"always naming the commonest class is right in {constant:.3f}"
        )
        lines.append(f"- {role}: {card['name']}, {card['images']} images, licence {card['licence']}; {balance}")
    lines += ["", "## What it is worth", "", f"| metric | this seed | mean of {len(seeds)} seeds |", "|---|---|---|"]
    for name, value in sorted(record["metrics"].items()):
        mean = mean_of_known([event["metrics"].get(name) for event in seeds])
        lines.append(f"| {name} | {_figure(value)} | {_figure(mean)} |")
    lines += [
        "",
        "Intervals: `python -m analysis.rank RUN`. A number on the target says how this model did at one other hospital, not at a third.",
        "",
    ]
    lines += ["## Settings", "", "```json", json.dumps(record["config"], indent=1, sort_keys=True), "```", ""]
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


main = Command(export, examples=("{} results/quickstart best model", "{} results/quickstart 3f2a91 model --seed 1"))

if __name__ == "__main__":
    sys.exit(main())
