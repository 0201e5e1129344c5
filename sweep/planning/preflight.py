"""Checks before the launch: every distinct network is built once, and settings that cannot work together are reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from sweep.attacks.names import TRANSFER
from sweep.core.errors import InputError, InputErrors
from sweep.core.hashing import file_sha256
from sweep.data.datasets import Data
from sweep.pipeline.model_options import network_kind
from sweep.pipeline.pretrained_colorizer import colorizer_file, read_colorizer_file
from sweep.store.trial import OTHER_DOMAIN, Trial

CHEST_RADIOGRAPHS = ("chexpert", "chestxray14", "kermany")  # data sets of this kind, by their importers' names


def check_models(where: str | Path, trials: Iterable[Trial], data: Data, threats: Iterable[str] = ()) -> list[str]:
    """Build each kind of network; returns notes on parts without pretrained weights and on mirrored chest radiographs.

    Raises InputErrors with every backbone that cannot take the run's images, every file that does not fit, and every transfer attack
    whose model is missing.
    """
    from sweep.pipeline.training_job import build

    trials, threats = list(trials), list(threats)
    kinds = {network_kind(trial.config): trial.config for trial in trials}
    errors, notes = [], []
    for config in kinds.values():
        backbone = config["backbone"]
        try:
            report = build(config, data, seed=0).weights_report
        except InputError as error:
            errors.append(InputError(f"backbone {backbone}, {error.where}", error.problem, error.fix))
            continue
        if config["weights"] is not None:
            notes.append(f"{backbone}: {report}")
    notes += weights_past(trials, data.datasets)
    notes += mirrored_chests(trials, data)
    errors += misfits(trials, data, threats)
    for name in threats:
        try:
            _check_threat(name, data)
        except InputError as error:
            errors.append(InputError(f"threats.attacks, {name}", error.problem, error.fix))
    if errors:
        raise InputErrors(where, errors)
    return list(dict.fromkeys(notes))


def misfits(trials: Iterable[Trial], data: Data, threats: Iterable[str]) -> list[InputError]:
    """Settings that cannot work, or have no effect, on these data (several findings an image, or one class)."""
    from sweep.pipeline.texture_loss import texture_misfits

    configs = [trial.config for trial in trials]
    errors = [*recipe_misfits(configs), *texture_misfits(configs, data.image_px), *_attack_misfits(threats, data)]
    if not data.multi_label:
        idle = any(config.get("uncertain") for config in configs)
        fix = "remove it, or import several findings an image (chexpert, chestxray14 without --finding)"
        return [*errors, InputError("uncertain", "has no effect: every image has one class", fix)] if idle else errors
    if any(config["adapt"] == "entropy" for config in configs):
        fix = "use batch_norm or histogram, or import one finding as two classes"
        errors.append(InputError("adapt: entropy", "data with several findings an image: it knows one class each", fix))
    if any(config["synthetic_per_real"] for config in configs):
        fix = "set it to 0, or import one finding as two classes: python -m sweep.importers chexpert SRC DST --finding NAME"
        errors.append(
            InputError(
                "synthetic_per_real",
                "synthetic images of data with several findings an image: generators draw one class each",
                fix,
            )
        )
    return errors


def _attack_misfits(threats: Iterable[str], data: Data) -> list[InputError]:
    """Attacks that have no meaning for the number of classes, or for several findings an image."""
    from sweep.attacks.threat import misfit
    from sweep.attacks.threats import resolve_threat

    rows = [resolve_threat(name) for name in threats if not name.startswith(TRANSFER)]
    found = (misfit(threat, len(data.classes), data.multi_label) for threat in rows)
    return [one for one in found if one is not None]


def weights_past(trials: Iterable[Trial], datasets: Iterable[str], *, whole: bool = False) -> list[str]:
    """Which of the run's data sets the pretrained weights have seen or may have seen, a sentence each; with `whole` also which not."""
    from sweep.models.known_weights import may_have_seen, past

    names = ("backbone", "weights", "weights_name")
    used = dict.fromkeys(tuple(trial.config.get(name) for name in names) for trial in trials)
    sets = {name: name for name in datasets}
    told = past if whole else may_have_seen
    found = (sentence for one in used for sentence in told(str(one[0]), one[1], one[2], sets))
    return list(dict.fromkeys(found))


def mirrored_chests(trials: Iterable[Trial], data: Data) -> list[str]:
    """A note where chest radiographs are flipped by the augmentation, which moves the heart to the right."""
    from sweep.training.augment import AUGMENTATIONS

    chests = [name for name in dict.fromkeys(data.datasets) if name in CHEST_RADIOGRAPHS]
    used = {trial.config.get("augment", "none") for trial in trials}  # heads on frozen features have none
    flipping = sorted(name for name in used if AUGMENTATIONS[name].flip)
    if not (chests and flipping):
        return []
    return [
        f"augment {', '.join(flipping)} mirrors the chest radiographs of {', '.join(chests)}, which puts the heart on the right; set augment: xray"
    ]


def recipe_misfits(configs: Iterable[Mapping[str, Any]]) -> list[InputError]:
    """Violations of the training settings, each once."""
    from sweep.training.recipe import Recipe

    found: dict[str, InputError] = {}
    for config in configs:
        try:
            Recipe.from_config(config)
        except InputErrors as mistakes:
            found |= {str(error): error for error in mistakes.errors}
    return list(found.values())


def _check_threat(name: str, data: Data) -> None:
    if name.startswith(TRANSFER):
        from sweep.pipeline.saved_models import load_trained

        load_trained(name.removeprefix(TRANSFER), data)


def with_file_identities(config: dict) -> dict:
    """Paths in a configuration become absolute, and the hash of each file's content, which identifies it, is added.

    `colorizer_from` becomes the address of the file that it names.
    """
    weights, colorizer = config.get("weights"), config.get("colorizer_from")
    if weights not in (None, "imagenet"):
        path = Path(weights).absolute()
        config = {
            **config,
            "weights": str(path),
            "weights_sha256": _hash(lambda: _content_hash(path, path.stat().st_mtime_ns)),
        }
    if colorizer not in (None, OTHER_DOMAIN):
        address = colorizer_file(colorizer)
        config = {**config, "colorizer_from": address, "colorizer_from_sha256": _hash(lambda: _colorizer_hash(address))}
    return config


@cache
def _content_hash(path: Path, modified_ns: int) -> str:
    """Cached by path and modification time: all configurations of a sweep name the same file."""
    return file_sha256(path)


@cache
def _colorizer_hash(address: str) -> str:
    """Cached: all configurations of a sweep name the same file, which may lie in an object store."""
    return sha256(read_colorizer_file(address)).hexdigest()


def _hash(of_content: Callable[[], str]) -> str:
    """Content hash; an absent file is reported later, with all other violations, when the model is built."""
    try:
        return of_content()[:16]
    except (OSError, InputError):
        return "absent"
