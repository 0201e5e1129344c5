"""Source validation after an epoch: the criterion of early stopping and of the best weights."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from sweep.core.capture import Recorder, Replay
from sweep.core.errors import Diverged, first_line
from sweep.evaluation.evaluate import eval_mode, predict
from sweep.evaluation.metrics import classification_metrics
from sweep.training.precision import autocast

_TOLERANCE = (
    1e-2  # largest difference of a replayed logit, as a share of the largest one; bfloat16 rounding is near 1/256
)
_KEPT = {"auroc": "auroc", "accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "log_loss": "loss"}


class Validation:
    """Metrics named `<metric>/source_val` of a model in training, in the precision of training.

    On a GPU the images stay on it, and with a `recorder` the forward pass of each batch size is recorded once, compared with the
    direct one, and replayed from then on.
    """

    def __init__(
        self,
        model: nn.Module,
        val: tuple[np.ndarray, np.ndarray],
        *,
        device: torch.device,
        precision: str,
        batch_size: int,
        recorder: Recorder | None = None,
    ) -> None:
        self.model, self.device, self.precision, self.batch_size = model, device, precision, batch_size
        self.images, self.labels = val
        self._recorder = recorder
        self._resident: torch.Tensor | None = None
        self._recorded: dict[int, tuple[torch.Tensor, torch.Tensor, Replay]] = {}

    def __call__(self, step: int) -> dict[str, float]:
        """The metrics after optimiser step `step`. Raises Diverged when a logit is not finite."""
        with autocast(self.device, self.precision):
            if self._recorder is None:
                logits = predict(self.model, self.images, self.batch_size, self.device)
            else:
                logits = self._predicted(self._recorder)
        return metrics_of(logits, self.labels, step)

    @torch.no_grad()
    def _predicted(self, recorder: Recorder) -> np.ndarray:
        """Logits float32 [N, K]; the host waits for the device once."""
        if self._resident is None:
            self._resident = torch.from_numpy(np.ascontiguousarray(self.images[:])).to(self.device)
        with eval_mode(self.model):
            parts = [self._batch(batch, recorder) for batch in self._resident.split(self.batch_size)]
        return torch.cat(parts).cpu().numpy()

    def _batch(self, images: torch.Tensor, recorder: Recorder) -> torch.Tensor:
        if len(images) not in self._recorded and self._recorder is not None:
            self._record(images, recorder)
        if len(images) not in self._recorded:
            return self._forward(images)
        fixed, logits, replay = self._recorded[len(images)]
        fixed.copy_(images)
        replay()
        return logits.clone()

    def _record(self, images: torch.Tensor, recorder: Recorder) -> None:
        fixed, made = images.clone(), []
        try:
            recorder.warm_up(lambda: made.append(self._forward(fixed)))
            replay = recorder.record(lambda: made.append(self._forward(fixed)))
            replay()
        except RuntimeError as error:
            problem = f"capture failed ({first_line(error)})"
        else:
            direct, replayed = made[0], made[-1]
            gap, size = (float(part.abs().max()) for part in (direct - replayed, direct))
            if not math.isfinite(size) or gap <= _TOLERANCE * size:
                self._recorded[len(images)] = (fixed, replayed, replay)
                return
            problem = f"its logits differ by {gap:.1g}"
        self._recorder = None
        warnings.warn(f"validation runs without a CUDA graph: {problem}", RuntimeWarning, stacklevel=2)

    def _forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(images.unsqueeze(1).float().div_(255)).float()
        return logits


def metrics_of(logits: np.ndarray, labels: np.ndarray, step: int) -> dict[str, float]:
    """Metrics named `<metric>/source_val` of logits [N, K] after optimiser step `step`. Raises Diverged when a logit is not finite."""
    if not np.isfinite(logits).all():
        raise Diverged("validation", step, float(logits[~np.isfinite(logits)][0]))
    metrics = classification_metrics(logits, labels, logits.shape[1])
    return {f"{name}/source_val": metrics[metric] for metric, name in _KEPT.items()}


def score(metrics: Mapping[str, float]) -> list[float]:
    """Selection score, larger is better: AUROC, ties broken by the lower loss; accuracy where AUROC is undefined."""
    auroc = metrics["auroc/source_val"]
    first = metrics["accuracy/source_val"] if math.isnan(auroc) else auroc
    return [first, -metrics["loss/source_val"]]
