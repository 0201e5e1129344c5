"""A trained model under acquisition changes: accuracy and AUROC for each change and severity, their mean and the worst case per image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from sweep.core.acquisition_names import condition_name
from sweep.core.metric_table import ACQUISITION_ACCURACY, ACQUISITION_AUROC, MEAN, WORST, metric_name
from sweep.data.domains import FOLD_OF_SPLIT
from sweep.evaluation.evaluate import predict
from sweep.evaluation.metrics import all_correct, classification_metrics
from sweep.models.classifier import Classifier
from sweep.pipeline.training_job import TrainingJob
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
    """Metrics on `splits`, in each of which some image has a known label; the logits under every change are written for each of them.

    There is nothing to mask: the changes do not look at the model. AUROC is computed from the logits under the change itself.
    """
    metrics: dict[str, float] = {}
    frames = []
    for split in splits:
        fold = job.folds[FOLD_OF_SPLIT[split]]
        chosen = choose(fold, job.attacks.images)
        logits = _logits_of(job, models[split], fold, chosen)
        metrics |= metrics_of(split, logits, fold.labels[chosen])
        frames += [
            rows(job, split, chosen).assign(change=name, severity=severity, logits=list(found))
            for (name, severity), found in logits.items()
        ]
    if frames:
        job.write_frame(ACQUISITION_FILE, pd.concat(frames, ignore_index=True))
    return metrics


def at_rung(
    job: TrainingJob,
    splits: Sequence[str],
    folds: Mapping[str, ImageSet],
    models: Mapping[str, Classifier],
    choose: Choose,
) -> dict[str, float]:
    """The metrics of `measure` for a model in training, on the images of a rung; nothing is written."""
    metrics: dict[str, float] = {}
    for split in splits:
        fold = folds[FOLD_OF_SPLIT[split]]
        chosen = choose(fold, job.rungs.images)
        metrics |= metrics_of(split, _logits_of(job, models[split], fold, chosen), fold.labels[chosen])
    return metrics


def _logits_of(
    job: TrainingJob, model: Classifier, fold: ImageSet, chosen: np.ndarray
) -> dict[tuple[str, int], np.ndarray]:
    """Logits [N, K] of the chosen images by (change, severity)."""
    images = np.asarray(fold.images[chosen])
    return {
        (name, severity): predict(model, changed(name, images, severity), _BATCH, job.device)
        for name in job.attacks.acquisition
        for severity in job.attacks.severities
    }


def metrics_of(split: str, logits: Mapping[tuple[str, int], np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """The recorded metrics of one split from its logits [N, K] by (change, severity)."""
    found = {key: classification_metrics(one, labels, one.shape[1]) for key, one in logits.items()}
    return summary(split, found, {key: all_correct(one, labels) for key, one in logits.items()})


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
