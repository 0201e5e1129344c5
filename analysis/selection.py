"""Which configuration a cell of the grid sends to the target, by a rule with a name.

A number read on the target of a configuration chosen on the target is optimistic; its rule says so (*oracle*).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from analysis import metric_names
from analysis.conditions import conditions
from analysis.frames import Run
from sweep.core.errors import InputError, suggestion
from sweep.core.metric_table import AUROC, LOW, PREDICTED, SOURCE_VAL, TARGET, metric_name

DEFAULT_RULE = "source_val"
USUAL = "source_val; blind where no target label was read"  # for the help of commands
PREDICTED_AUROC, BLIND = (metric_name(f"{PREDICTED}{AUROC}{end}", TARGET) for end in ("", LOW))


@dataclass(frozen=True)
class Rule:
    """Score of a configuration from its mean metrics (higher is chosen) and whether it looks at the target."""

    describe: str
    score: Callable[[pd.DataFrame], pd.Series]
    metrics: Callable[[pd.DataFrame], tuple[str, ...]]  # what the score is made of, among the columns of `means`
    oracle: bool = False


def _source_val(means: pd.DataFrame) -> pd.Series:
    return _column(means, "auroc/source_val")


def _oracle_target(means: pd.DataFrame) -> pd.Series:
    return _column(means, "auroc/target")


def _robust_columns(means: pd.DataFrame) -> list[str]:
    return [name for name in means if name.startswith(f"{metric_names.ROBUST}/{SOURCE_VAL}/{metric_names.WORST}@")]


def _robust_val(means: pd.DataFrame) -> pd.Series:
    robust = _robust_columns(means)
    if not robust:
        fix = "this run attacked no validation images (threats.splits); choose by source_val"
        raise InputError("rule robust_val", "no robust accuracy was recorded on source validation", fix)
    return (_column(means, "auroc/source_val") + means[robust].mean(axis=1)) / 2


def _blind(means: pd.DataFrame) -> pd.Series:
    return _column(means, BLIND)


def _blind_gap(means: pd.DataFrame) -> pd.Series:
    return _column(means, BLIND) - _column(means, "auroc/source")


RULES = {
    "source_val": Rule("best mean AUROC on source validation", _source_val, lambda _: ("auroc/source_val",)),
    "oracle_target": Rule(
        "best mean AUROC on the target itself (oracle)", _oracle_target, lambda _: ("auroc/target",), oracle=True
    ),
    "robust_val": Rule(
        "best mean of AUROC and worst-case robust accuracy on source validation",
        _robust_val,
        lambda means: ("auroc/source_val", *_robust_columns(means)),
    ),
    "blind": Rule(
        "best lower end of the AUROC that is predicted for the target without its labels",
        _blind,
        lambda _: (PREDICTED_AUROC,),
    ),
    "blind_gap": Rule(
        "smallest domain gap that cannot be excluded: source test AUROC less the lower end of the target's predicted one",
        _blind_gap,
        lambda _: (PREDICTED_AUROC, "auroc/source"),
    ),
}


def usual_rule(run: Run) -> str:
    """The rule where none is named: `blind` where the target's labels were not read but its AUROC was predicted, else source_val."""
    return "blind" if is_unlabelled(run) and BLIND in run.metrics else DEFAULT_RULE


def is_unlabelled(run: Run) -> bool:
    """Whether no record holds a metric that reads labels of the target."""
    return all(name not in run.metrics or name in run.undefined for name in ("auroc/target", "accuracy/target"))


def rule_named(name: str) -> Rule:
    """The rule of this name; InputError with a suggestion."""
    if name not in RULES:
        raise InputError("--rule", f"{name!r} is no selection rule", suggestion(name, RULES))
    return RULES[name]


def select(run: Run, rule: str = DEFAULT_RULE) -> pd.Series:
    """Signature chosen in each grid cell and condition, indexed by the cell as text; ties are broken as in `best_first`."""
    score = rule_named(rule).score(run.means)
    condition = conditions(run)
    cells = [
        " | ".join(filter(None, (cell_text(run.studies.get(key, {})), condition[key].text))) for key in score.index
    ]
    place = pd.Series({key: number for number, key in enumerate(best_first(score))})
    return place[score.index].groupby(pd.Series(cells, index=score.index), sort=False).idxmin()


def best_first(score: pd.Series) -> list[str]:
    """Signatures by falling score; equal scores in the order of the signatures, undefined ones last.

    A signature is a hash of the configuration, so the order depends on what was measured alone, not on which trial finished first.
    """
    ordered = score.sort_index(kind="stable").sort_values(ascending=False, kind="stable", na_position="last")
    return [str(key) for key in ordered.index]


def cell_text(study: dict) -> str:
    """A grid cell as one line, e.g. 'backbone=resnet18 synthetic_per_real=0.5'."""
    return " ".join(f"{name}={value}" for name, value in study.items()) or "all"


def _column(means: pd.DataFrame, name: str) -> pd.Series:
    if name not in means and name in (BLIND, PREDICTED_AUROC):
        fix = "choose by another rule, or run the sweep with data.pseudo_hospitals above 0, on data of two classes"
        raise InputError("records", "no record was evaluated on pseudo-hospitals", fix)
    if name not in means:
        raise InputError("records", f"{name} was not recorded", f"choose by another rule than one that needs {name}")
    return means[name]
