"""Numbers that follow from records: labels of configurations, and the domain gap against the real-only model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

RATIO = "synthetic_per_real"
_WHOLE = 1e15  # whole numbers below are written without an exponent
_SHORT = {RATIO: "synthetic", "glcm_weight": "glcm", "train_images": "real", "train_eps": "trained at"}


def varying_settings(configs: pd.DataFrame) -> list[str]:
    """Names of the settings with more than one value, in the order they were written; being absent is not a value."""
    # Equal values are taken together before they become text: a large run has 10,000 values of a setting and few different ones.
    return [name for name in configs if len({str(value) for value in set(configs[name].dropna())}) > 1]


def labels(configs: pd.DataFrame, studies: dict[str, dict]) -> pd.Series:
    """Names for people: what all configurations share is left out, the grid cell comes first.

    Equal cells are told apart by the start of their signature.
    """
    varying = varying_settings(configs)
    asked = [name for name in varying if any(name in study for study in studies.values())] or varying
    rows = configs[asked].to_dict("index")
    texts = pd.Series({key: _label(row) for key, row in rows.items()}, dtype=object)
    if not asked:
        texts[:] = configs.get("backbone", pd.Series("recipe", index=configs.index)).astype(str)
    twice = texts.duplicated(keep=False)
    texts[twice] = [
        f"{text} · {key[:6]}" for key, text in texts[twice].items()
    ]  # text dtypes differ between pandas releases
    return texts


def _label(row: dict) -> str:
    return ", ".join(part for part in (setting_text(name, value) for name, value in row.items()) if part)


def setting_text(name: str, value: object) -> str:
    """One setting as words: 'resnet18', '+ deconv', '0.5x synthetic', 'lr 0.0001'; empty when absent."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if name == "backbone":
        return str(value)
    if name == "colorizer":
        return "no colorizer" if value == "none" else str(value)
    if name == RATIO:
        return "real only" if float(str(value)) == 0 else f"{number(value)}\N{MULTIPLICATION SIGN} synthetic"
    return f"{_SHORT.get(name, name)} {number(value)}"


def number(value: object) -> str:
    """A setting's value without noise digits: whole numbers whole, others with four significant digits."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if value != value or abs(value) == float("inf"):
        return str(value)
    if float(value).is_integer() and abs(value) < _WHOLE:
        return str(int(value))
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}"


def real_only_partner(
    configs: Mapping[str, Mapping[str, object]], studies: Mapping[str, Mapping[str, object]], quality: pd.Series
) -> dict[str, str]:
    """signature -> signature of the real-only configuration of the same grid cell, but for what is inactive at ratio 0.

    `configs` are resolved configurations as records hold them. Where a cell was searched, the real-only configuration of the best
    `quality` (source validation) stands for it, of equal ones the one whose signature comes first.
    """
    controls = [key for key, config in configs.items() if is_real_only(config)]
    controls.sort(key=lambda key: (-_known(quality, key), key))
    found: dict[str, str] = {}
    of_cell: dict[tuple[tuple[str, str], ...], str | None] = {}  # thousands of configurations share a few cells
    for key, config in configs.items():
        names = studies.get(key) or config
        cell = tuple((name, repr(config.get(name))) for name in names if name != RATIO)
        if cell not in of_cell:
            agreeing = (control for control in controls if agrees_with_real_only(names, config, configs[control]))
            of_cell[cell] = next(agreeing, None)
        if (partner := of_cell[cell]) is not None:
            found[key] = partner
    return found


def is_real_only(config: Mapping[str, object]) -> bool:
    """Whether a configuration trains without synthetic images."""
    ratio = config.get(RATIO)
    return isinstance(ratio, (int, float)) and ratio == 0


def agrees_with_real_only(names: Iterable[str], config: Mapping[str, object], control: Mapping[str, object]) -> bool:
    """Whether a real-only configuration has the same values for `names`, those of a grid cell.

    Left out are the ratio and what the real-only record does not hold: records hold active hyperparameters alone, so that is what
    without synthetic images has no effect (generator, mixing policy, ...).
    """
    return all(config.get(name) == control[name] for name in names if name != RATIO and name in control)


def _known(quality: pd.Series, key: str) -> float:
    """The quality of a configuration; an undefined one is worse than any other."""
    value = float(quality.get(key, np.nan))
    return value if value == value else -np.inf


def gap_vs_real_only(records: pd.DataFrame, partner: dict[str, str]) -> pd.Series:
    """Source test AUROC of the real-only model minus target AUROC of this one, per record (the papers' gap).

    The partner's own seed is used where it ran, else its mean over seeds. NaN without a partner.
    """
    source, target = records["auroc/source"], records["auroc/target"]
    means = source.groupby(level="signature").mean()
    partners = records.index.get_level_values("signature").map(partner)
    seeds = records.index.get_level_values("seed")
    same_seed = source.reindex(pd.MultiIndex.from_arrays([partners, seeds])).to_numpy()
    usual = means.reindex(partners).to_numpy()
    return pd.Series(np.where(np.isnan(same_seed), usual, same_seed) - target.to_numpy(), index=records.index)
