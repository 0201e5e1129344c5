"""A trained model under acquisition changes: accuracy and AUROC for each change and severity, their mean and the worst case per image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from sweep.core.acquisition_names import condition_name
from sweep.core.metric_table import ACQUISITION_ACCURACY, ACQUISITION_AUROC, MEAN, WORST, metric_name
from sweep.evaluation.evaluate import predict
from sweep.evaluation.metrics import all_correct, classification_metrics
from sweep.models.classifier import Classifier
from sweep.pipeline.training_job import FOLD_OF_SPLIT, TrainingJob
from sweep.shards.image_set import ImageSet
from sweep.shift.severity import changed

ACQUISITION_FILE = "acquisition.parquet"
_BATCH = 128
Choose = Callable[[ImageSet, int | str], np.ndarray]  # the attacked images of a fold


def measure(
    job: TrainingJob,
    splits: Sequence[str],
    models: Mapping[str, Classifier],
    choose: Choose,
    rows: Callable[..., pd.DataFrame],
) -> dict[str, float]:
    """Metrics on `splits`, in each of which some image has a known label; which image breaks at which severity is written for each of them.

    There is nothing to mask: the changes do not look at the model. AUROC is computed from the logits under the change itself.
    """
    metrics: dict[str, float] = {}
    frames = []
    for split in splits:
        fold = job.folds[FOLD_OF_SPLIT[split]]
        chosen = choose(fold, job.attacks.images)
        images, labels = np.asarray(fold.images[chosen]), fold.labels[chosen]
        found: dict[tuple[str, int], dict[str, float]] = {}
        right: dict[tuple[str, int], np.ndarray] = {}
        for name in job.attacks.acquisition:
            for severity in job.attacks.severities:
                logits = predict(models[split], changed(name, images, severity), _BATCH, job.device)
                found[name, severity] = classification_metrics(logits, labels, logits.shape[1])
                right[name, severity] = all_correct(logits, labels)
        metrics |= summary(split, found, right)
        for name in job.attacks.acquisition:
            breaking = np.full(len(chosen), np.inf)
            for severity in sorted(job.attacks.severities, reverse=True):
                breaking[~right[name, severity]] = severity
            frames.append(rows(job, split, chosen).assign(change=name, breaking_severity=breaking))
    if frames:
        job.write_frame(ACQUISITION_FILE, pd.concat(frames, ignore_index=True))
    return metrics


def summary(
    split: str, found: Mapping[tuple[str, int], Mapping[str, float]], right: Mapping[tuple[str, int], np.ndarray]
) -> dict[str, float]:
    """Recorded metrics of one split; `found` and `right` are by (change, severity)."""
    metrics = {}
    severities = sorted({severity for _, severity in found})
    for (name, severity), values in found.items():
        at = condition_name(name, severity)
        metrics[metric_name(ACQUISITION_ACCURACY, split, at)] = values["accuracy"]
        metrics[metric_name(ACQUISITION_AUROC, split, at)] = values["auroc"]
    for severity in severities:
        together = np.stack([hits for (_, at), hits in right.items() if at == severity]).all(0)
        metrics[metric_name(ACQUISITION_ACCURACY, split, condition_name(WORST, severity))] = float(together.mean())
    for metric, key in ((ACQUISITION_ACCURACY, "accuracy"), (ACQUISITION_AUROC, "auroc")):
        metrics[metric_name(metric, split, MEAN)] = float(np.mean([values[key] for values in found.values()]))
    return metrics
