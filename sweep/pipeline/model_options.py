"""configuration -> the arguments of the network that it names, by the rows of its hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweep.config.hyperparameters import rows_filling
from sweep.core.hyperparameter import arguments
from sweep.models.hyperparameters import BACKBONE, COLORIZER, NETWORK

# What does not change the shapes of a network's layers, nor the files that they start from.
_WITHOUT_SHAPE = (
    "dropout",
    "input_norm",
    "grey_mean",
    "grey_std",
    "clahe_bins",
    "clahe_clip",
    "backbone_dropout",
    "colorizer_init",
)


def network_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `build_classifier` for a configuration, without its weights; what it leaves out keeps the part's own default."""
    network, colorizer, backbone = (
        arguments(rows_filling(part), part, config) for part in (NETWORK, COLORIZER, BACKBONE)
    )
    statistics = _published_statistics(config) if {"mean", "std"}.isdisjoint(network) else {}
    return {**statistics, **network, "colorizer_options": colorizer, "backbone_options": backbone}


def _published_statistics(config: Mapping[str, Any]) -> dict[str, Any]:
    """Input statistics of named weights, where a fixed colorizer's channels are standardised as published."""
    from sweep.models.colorizers import COLORIZERS
    from sweep.models.known_weights import KNOWN_WEIGHTS

    name = config.get("weights_name")
    if name is None or config.get("input_norm", "published") != "published" or COLORIZERS[config["colorizer"]].learned:
        return {}
    return {"mean": KNOWN_WEIGHTS[name].mean, "std": KNOWN_WEIGHTS[name].std}


def network_kind(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """Equal for configurations whose networks have layers of the same shapes, started from the same files: one stands for all."""
    return tuple(config.get(name) for name in shaping_names())


def shaping_names() -> tuple[str, ...]:
    """Hyperparameters that shape a network or name the files that it starts from."""
    filling = [row.name for part in (NETWORK, COLORIZER, BACKBONE) for row in rows_filling(part)]
    return ("weights", "colorizer_from", *(name for name in filling if name not in _WITHOUT_SHAPE))
