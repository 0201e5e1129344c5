"""The papers' own numbers as tables of the findings page, from `analysis.published`: other images, other networks, the same question."""

from __future__ import annotations

from collections.abc import Callable

from analysis import published
from analysis.findings.markdown import table
from analysis.findings.sentences import HOME_BAR, ROI_BAR, WHOLE_BAR

_DIRECTIONS = {"source_to_target": "Egypt to Poland", "target_to_source": "Poland to Egypt"}


def printed(question: str) -> str:
    """What was published on a question as Markdown; empty where nothing was."""
    make = _TABLES.get(question)
    return f"### Published\n\n{make()}" if make else ""


def _gap() -> str:
    rows = [(_DIRECTIONS[way], *(f"{value:.2f}" for value in values)) for way, values in published.GAP.items()]
    constants = " and ".join(f"{value:.2f}" for value in published.FULL_CONSTANT)
    bars = f"Bars set beforehand, in AUROC: {HOME_BAR:.2f} at home by grouped folds, {WHOLE_BAR:.2f} abroad on whole images, {ROI_BAR:.2f} on the lesion."
    head = ("direction", "at home", "at the other hospital", "difference")
    return f"Accuracy in per cent of {published.GAP_BACKBONE} (seed study, table 1); the constant predictor has {constants} at the two hospitals. {bars}\n\n{table(head, rows)}"


def _ratio() -> str:
    rows = [
        (size, f"{ratio:g}", *(f"{value:.2f}" for value in values))
        for size, study in (("100", published.HUNDRED), ("all", published.ALL))
        for ratio, values in study.target.items()
    ]
    head = ("real images", "synthetic per real", *published.RATIO_COLUMNS)
    return f"Accuracy at the other hospital in per cent (seed study, tables 2 to 6); the constant predictor has {published.RATIO_CONSTANT:.2f}.\n\n{table(head, rows)}"


def _colour() -> str:
    rows = [
        (colorizer, trained, *(f"{mean:.1f} ± {spread:.1f}" for mean, spread in values))
        for (colorizer, trained), values in published.COLORIZER.items()
    ]
    head = ("module", "trained", *published.COLORIZER_COLUMNS)
    return f"AUROC in per cent, chest X-rays (deep colourization, poster).\n\n{table(head, rows)}"


def _robustness() -> str:
    most = max(map(len, published.EPSILON.values()))
    rows = [
        (
            "with modules and texture loss" if modules else "without",
            threat,
            *(f"{value:.1f}" for value in values),
            *[""] * (most - len(values)),
        )
        for (modules, threat), values in published.EPSILON.items()
    ]
    head = ("model", "attack", *(f"{level}/255" for level in range(most)))
    return f"Accuracy in per cent, chest CT, read off a chart (Domain Assimilation).\n\n{table(head, rows)}"


_TABLES: dict[str, Callable[[], str]] = {"gap": _gap, "ratio": _ratio, "colour": _colour, "robustness": _robustness}
