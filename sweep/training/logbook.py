"""TensorBoard writer that does nothing without a folder, so that callers need no condition."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from sweep.core.hyperparameter import Scalar


class Logbook:
    """Scalars, images and hyperparameters of one run; with `folder` None every call does nothing."""

    def __init__(self, folder: Path | str | None) -> None:
        self._writer: Any = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter  # a second of imports, needed only with a folder

            self._writer = SummaryWriter(str(folder))

    def scalar(self, name: str, value: float, step: int) -> None:
        """One point of a curve."""
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)

    def scalars(self, metrics: Mapping[str, float], step: int) -> None:
        """One point of each curve; values that are not numbers are left out."""
        for name, value in metrics.items():
            if isinstance(value, (int, float)):
                self.scalar(name, value, step)

    def image(self, name: str, image: np.ndarray, step: int) -> None:
        """A grey [H, W] or colour [H, W, 3] picture, uint8."""
        if self._writer is not None:
            self._writer.add_image(name, image, step, dataformats="HW" if image.ndim == 2 else "HWC")

    def pr_curve(self, name: str, positive: np.ndarray, score: np.ndarray, step: int) -> None:
        """Precision over recall; `positive` bool [N], `score` [N] in [0, 1]."""
        if self._writer is not None:
            self._writer.add_pr_curve(name, positive, score, step)

    def hparams(self, config: Mapping[str, Scalar], metrics: Mapping[str, float]) -> None:
        """The configuration beside its final metrics, for the HParams page."""
        if self._writer is not None:
            plain = {name: "none" if value is None else value for name, value in config.items()}
            self._writer.add_hparams(plain, dict(metrics), run_name=".")

    def close(self) -> None:
        """Flush and close."""
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> Logbook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
