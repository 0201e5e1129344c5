"""configuration -> the network that it names: every hyperparameter that shapes one, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Hyperparameter -> the name that its part's constructor knows it by.
COLORIZER_OPTIONS: Mapping[str, str] = {
    "tc_upsample": "tc_upsample",
    "clahe_tiles": "tiles",
    "clahe_bins": "bins",
    "clahe_clip": "clip",
}
BACKBONE_OPTIONS: Mapping[str, str] = {
    "token": "token",
    "token_norm": "token_norm",
    "transformer_width": "d_model",
    "transformer_depth": "depth",
    "transformer_heads": "heads",
    "transformer_mlp_ratio": "mlp_ratio",
    "backbone_dropout": "dropout",
}
_PLAIN: Mapping[str, str] = {
    "backbone": "backbone", "colorizer": "colorizer", "dropout": "dropout", "input_norm": "input_norm", "grey_mean": "mean", "grey_std": "std",
}  # fmt: skip

# Configurations that agree in these have layers of the same shapes, started from the same files: one that can be built stands for all.
NETWORK = (
    "backbone", "weights", "colorizer", "colorizer_from",
    "tc_upsample", "clahe_tiles", "token", "token_norm", "transformer_width", "transformer_depth", "transformer_heads", "transformer_mlp_ratio",
)  # fmt: skip


def network_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `build_classifier` for a configuration, without its weights; what it leaves out keeps the part's own default."""
    return {
        **_named(config, _PLAIN),
        "colorizer_options": _named(config, COLORIZER_OPTIONS),
        "backbone_options": _named(config, BACKBONE_OPTIONS),
    }


def _named(config: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {option: config[name] for name, option in names.items() if config.get(name) is not None}
