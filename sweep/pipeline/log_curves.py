"""What TensorBoard shows of a trained model beside its scalars: precision-recall curves and a batch of images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sweep.data.domains import FOLD_OF_SPLIT
from sweep.data.target_labels import known
from sweep.evaluation.metrics import probabilities
from sweep.pipeline.training_job import TrainingJob


def log_curves(job: TrainingJob, logits: Mapping[str, np.ndarray], step: int) -> None:
    """Precision-recall curves of the positive class or of each finding, and one batch as the network is shown it."""
    for split, fold in FOLD_OF_SPLIT.items():
        labels, scores = job.folds[fold].labels, probabilities(logits[split], multi_label=job.data.multi_label)
        if job.data.multi_label:
            for k, name in enumerate(job.data.classes):
                sure = ~np.isnan(labels[:, k])
                job.logbook.pr_curve(f"pr/{split}/{name}", labels[sure, k] == 1, scores[sure, k], step)
        elif len(job.data.classes) == 2 and (there := known(labels)).any():
            job.logbook.pr_curve(f"pr/{split}", labels[there] == 1, scores[there, 1], step)
    for name in ("train", "target"):
        job.logbook.image(f"samples/{name}", np.concatenate(list(job.folds[name].images[:8]), axis=1), step)
