"""Every metric that records hold: one row each with name, title, unit, range, direction and the form of its recorded names.

Recorded names: `metric`, `metric/split`, `metric/split/class`, `metric/split/threat` or `metric/split/threat@epsilon`, after the row's
`form`. Add a metric by adding its row here, and its function where it is computed (`sweep.evaluation.metrics.METRICS` for metrics of logits
and labels); titles, directions, ranges of axes and the checks of objectives follow from the row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Goal = Literal["maximize", "minimize"]
Form = Literal["alone", "split", "split/threat", "split/threat@epsilon"]

SOURCE_VAL, SOURCE_TEST, TARGET = "source_val", "source", "target"
SPLITS: Mapping[str, str] = {SOURCE_VAL: "source validation", SOURCE_TEST: "source test", TARGET: "target"}
TRAIN = "train"  # the split of losses while a model is trained; no record is evaluated on it
SOURCE_TO_TARGET, TARGET_TO_SOURCE = DIRECTIONS = ("source_to_target", "target_to_source")
MEAN = "mean"  # in the place of an acquisition change: the mean over all changes and severities
WORST = "worst"  # in the place of a threat: the worst case per image over all of them

TRAINING_ROBUSTNESS = "training_robustness"
ACQUISITION_ACCURACY, ACQUISITION_AUROC = "acquisition_accuracy", "acquisition_auroc"
AUROC, ROBUST_ACCURACY, ROBUST_AUROC = "auroc", "robust_accuracy", "robust_auroc"
DOMAIN_GAP, DOMAIN_GAP_VS_REAL_ONLY = "domain_gap", "domain_gap_vs_real_only"
PREDICTED, LOW, HIGH = (
    "predicted_",
    "_low",
    "_high",
)  # of estimates without target labels: prefix, suffixes of their interval's ends
PREDICTED_METRICS = ("auroc", "accuracy", "balanced_accuracy", "sensitivity", "specificity")
PREDICTED_DOMAIN_GAP = f"{PREDICTED}{DOMAIN_GAP}"


@dataclass(frozen=True)
class Metric:
    """One row. `low` and `high` bound its values; `unit` is empty for a dimensionless number."""

    name: str
    title: str
    describe: str
    goal: Goal
    low: float = 0.0
    high: float = 1.0
    unit: str = ""
    form: Form = "split"
    by_class: bool = False  # also recorded for each of three or more classes, and for each of several findings an image


PIXEL_UNIT = "of the pixel range [0, 1]"
_ROWS = (
    Metric(
        AUROC,
        "AUROC",
        "area under the ROC curve; macro average of one class against the rest, or mean over findings",
        "maximize",
        by_class=True,
    ),
    Metric("balanced_accuracy", "Balanced accuracy", "mean recall over the classes present", "maximize"),
    Metric("accuracy", "Accuracy", "share of correct predictions; threshold 0.5 for each finding", "maximize"),
    Metric("constant_accuracy", "Constant predictor", "accuracy of always predicting the commonest class", "maximize"),
    Metric(
        "sensitivity",
        "Sensitivity",
        "recall of the positive class at probability 0.5; mean of one class against the rest, or over findings",
        "maximize",
    ),
    Metric(
        "specificity",
        "Specificity",
        "recall of the negative class at probability 0.5; mean of one class against the rest, or over findings",
        "maximize",
    ),
    Metric("average_precision", "Average precision", "area under the precision-recall curve as a step sum", "maximize"),
    Metric(
        "log_loss", "Log loss", "mean negative log-probability of the true class", "minimize", 0.0, math.inf, "nats"
    ),
    Metric(
        "calibration_error",
        "Calibration error",
        "expected calibration error: mean distance of confidence and accuracy over 15 bins (Guo et al. 2017)",
        "minimize",
    ),
    Metric(
        "brier_score",
        "Brier score",
        "mean squared distance of probability and outcome; mean of one class against the rest, or over findings",
        "minimize",
    ),
    Metric(
        "calibration_slope",
        "Calibration slope",
        "slope of a logistic recalibration (Cox 1958): 1 is calibrated, below 1 overconfident; recorded, but no objective",
        "maximize",
        -math.inf,
        math.inf,
    ),
    Metric(
        ROBUST_ACCURACY,
        "Robust accuracy",
        "share of images classified correctly under every perturbation of at most epsilon that the attack found",
        "maximize",
        form="split/threat@epsilon",
    ),
    Metric(
        ROBUST_AUROC,
        "Robust AUROC",
        "AUROC when every broken image gets the lowest rank that its class can have: a lower bound under attack",
        "maximize",
        form="split/threat@epsilon",
    ),
    Metric(
        ACQUISITION_ACCURACY,
        "Accuracy under acquisition changes",
        "share of correct predictions under one acquisition change at one severity, their mean, or the worst case per image over all changes",
        "maximize",
        form="split/threat",
    ),
    Metric(
        ACQUISITION_AUROC,
        "AUROC under acquisition changes",
        "AUROC under one acquisition change at one severity, or the mean over all of them",
        "maximize",
        form="split/threat",
    ),
    Metric(
        "median_breaking_epsilon",
        "Median breaking epsilon",
        "median over images of the smallest epsilon that changes the prediction; infinite when more than half withstand all",
        "maximize",
        0.0,
        math.inf,
        PIXEL_UNIT,
        "split/threat",
    ),
    Metric(
        "crossing_epsilon",
        "Crossing epsilon",
        "smallest epsilon at which robust accuracy is no better than the constant predictor's; infinite when it stays above",
        "maximize",
        0.0,
        math.inf,
        PIXEL_UNIT,
        "split/threat",
    ),
    Metric(
        DOMAIN_GAP,
        "Domain gap",
        "source test AUROC minus target AUROC of the same model",
        "minimize",
        -1.0,
        1.0,
        form="alone",
    ),
    Metric(
        f"{DOMAIN_GAP}/accuracy",
        "Domain gap (accuracy)",
        "source test accuracy minus target accuracy of the same model",
        "minimize",
        -1.0,
        1.0,
        form="alone",
    ),
    Metric(
        f"{DOMAIN_GAP}/balanced_accuracy",
        "Domain gap (balanced accuracy)",
        "source test balanced accuracy minus target balanced accuracy of the same model",
        "minimize",
        -1.0,
        1.0,
        form="alone",
    ),
    Metric(
        DOMAIN_GAP_VS_REAL_ONLY,
        "Domain gap against real only",
        "source test AUROC of the real-only model of the same grid cell minus target AUROC of this model",
        "minimize",
        -1.0,
        1.0,
        form="alone",
    ),
    Metric("loss", "Loss", "mean training objective over an epoch", "minimize", 0.0, math.inf),
    Metric(
        TRAINING_ROBUSTNESS,
        "Robustness in training",
        "share of correct predictions on a few validation images under fgsm or a short pgd at the budget of adversarial training, after an epoch",
        "maximize",
        form="split/threat",
    ),
    Metric("lr", "Learning rate", "learning rate after an epoch", "minimize", 0.0, math.inf, form="alone"),
    Metric(
        "epoch_seconds", "Seconds of an epoch", "wall-clock time of an epoch", "minimize", 0.0, math.inf, "s", "alone"
    ),
    Metric("seconds", "Seconds", "wall-clock time of a record", "minimize", 0.0, math.inf, "s", "alone"),
)


def _predicted_rows() -> Iterator[Metric]:
    """Estimates of the target's metrics that read none of its labels, each with the ends of its 90 % interval."""
    titles = {row.name: row.title for row in _ROWS}
    for name in PREDICTED_METRICS:
        about = f"target {titles[name]} predicted without target labels, from the model's results on pseudo-hospitals"
        yield Metric(f"{PREDICTED}{name}", f"Predicted {titles[name]}", about, "maximize")
        for suffix, end in ((LOW, "lower"), (HIGH, "upper")):
            title = f"Predicted {titles[name]}, {end} end"
            yield Metric(f"{PREDICTED}{name}{suffix}", title, f"{end} end of the 90 % interval of: {about}", "maximize")
    about = "source test AUROC minus the AUROC that is predicted for the target without its labels"
    yield Metric(PREDICTED_DOMAIN_GAP, "Predicted domain gap", about, "minimize", -1.0, 1.0, form="alone")


METRIC_TABLE: Mapping[str, Metric] = {row.name: row for row in (*_ROWS, *_predicted_rows())}


def metric_row(name: str) -> Metric | None:
    """The row of a recorded name such as robust_accuracy/target/pgd20@2/255 or domain_gap/accuracy; None when no row has it."""
    head = name.partition("@")[0].split("/")
    for length in (2, 1):  # domain_gap/accuracy has a row of its own
        row = METRIC_TABLE.get("/".join(head[:length]))
        if row is not None and (row.form != "alone" or length == len(head)):
            return row
    return None


def reads_target_labels(name: str) -> bool:
    """Whether a recorded metric is computed from labels of the target: the gaps, and everything on the split target that is not predicted."""
    row = metric_row(name)
    if row is None or row.name.startswith(PREDICTED):
        return False
    return row.name.startswith(DOMAIN_GAP) or TARGET in name.partition("@")[0].split("/")[1:]


def metric_name(metric: str, split: str, threat: str | None = None, epsilon: str | None = None) -> str:
    """The recorded name of a metric on a split, e.g. ("robust_accuracy", "target", "pgd20", "2/255")."""
    attack = "" if threat is None else f"/{threat}" if epsilon is None else f"/{threat}@{epsilon}"
    return f"{metric}/{split}{attack}"
