"""Records whose model calls (nearly) every image of a split the same: one class of two or more, or the same findings.

With two classes the recorded recalls tell. With more, and with findings, the recorded means only tell which records could be such ones; their
predictions then decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import metric_names
from analysis.figures.figure import counted, number
from analysis.frames import Run
from analysis.verdict_recipe import ONE_CLASS

NOTHING = "free of every finding"


@dataclass(frozen=True)
class OneClass:
    """Records that call (nearly) every image of a split the same."""

    split: str
    called: str  # the class, or the findings
    reached: pd.Series  # accuracy by (signature, seed)

    def headline(self) -> str:
        """How many configurations, the split and the class."""
        count = int(self.reached.index.get_level_values("signature").nunique())
        verb = "calls" if count == 1 else "call"
        return f"{counted(count, 'configuration')} {verb} (nearly) every image of the {metric_names.SPLITS[self.split]} {self.called}"

    def detail(self, run: Run) -> str:
        """The accuracy that this has, and the constant predictor's beside it."""
        low, high = number(float(self.reached.min())), number(float(self.reached.max()))
        accuracy = f"an accuracy of {low}" if low == high else f"accuracies from {low} to {high}"
        name = f"constant_accuracy/{self.split}"
        beside = (
            f" The constant predictor has {number(float(run.records[name].mean()))}." if name in run.records else ""
        )
        if run.findings:
            missed = "tells no image from another at probability 0.5; AUROC says whether their order is better"
        else:
            missed = f"finds nothing of the other class{'es' if len(run.classes) > 2 else ''}"
        return f"In {counted(len(self.reached), 'record')}: that gives {accuracy} and {missed}.{beside}"


def one_class_calls(run: Run) -> Iterator[OneClass]:
    """What was found on each split, one item a class (or set of findings) that is called throughout."""
    for split in metric_names.SPLITS:
        names = [f"{name}/{split}" for name in ("sensitivity", "specificity", "accuracy")]
        if set(names) <= set(run.metrics):
            yield from _of_tasks(run, split) if run.tasks else _of_two(run, split, names)


def _of_two(run: Run, split: str, names: list[str]) -> Iterator[OneClass]:
    sensitivity, specificity, accuracy = (run.records[name] for name in names)
    negative, positive = run.classes if len(run.classes) == 2 else ("the negative class", "the positive class")
    calls = {
        positive: (sensitivity > ONE_CLASS) & (specificity < 1 - ONE_CLASS),
        negative: (specificity > ONE_CLASS) & (sensitivity < 1 - ONE_CLASS),
    }
    for called, records in calls.items():
        if records.any():
            yield OneClass(split, called, accuracy[records])


def _of_tasks(run: Run, split: str) -> Iterator[OneClass]:
    """Three or more classes, or findings: decided by the predictions of the records whose mean recall is that of a constant call."""
    balanced = run.records.get(f"balanced_accuracy/{split}")
    if balanced is None:
        return
    constant = 0.5 if run.findings else 1 / len(run.classes)
    suspects = balanced[(balanced - constant).abs() <= 1 - ONE_CLASS].index
    found: dict[str, list[tuple[str, int]]] = {}
    for signature in dict.fromkeys(suspects.get_level_values("signature")):
        rows = run.predictions(signature)
        rows = rows[rows["split"] == split] if len(rows) else rows
        for seed, part in rows.groupby("seed", sort=False) if len(rows) else ():
            called = called_throughout(run, np.stack(list(part["logits"]))) if (signature, seed) in suspects else None
            if called is not None:
                found.setdefault(called, []).append((signature, seed))
    for called, records in found.items():
        yield OneClass(split, called, run.records.loc[records, f"accuracy/{split}"])


def called_throughout(run: Run, logits: np.ndarray) -> str | None:
    """The class, or the findings, that logits [N, K] call in (nearly) every image; None where some images are called otherwise."""
    if run.findings:
        shares = (logits > 0).mean(axis=0)
        if ((shares < ONE_CLASS) & (shares > 1 - ONE_CLASS)).any():
            return None
        return " and ".join(np.array(run.findings)[shares >= ONE_CLASS]) or NOTHING
    shares = np.bincount(logits.argmax(axis=1), minlength=len(run.classes)) / len(logits)
    return run.classes[int(shares.argmax())] if shares.max() >= ONE_CLASS else None
