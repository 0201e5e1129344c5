"""Images with their labels, held in memory as one array or left in their shards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sweep.shards.findings import present_counts
from sweep.shards.lazy import Images, taken


@dataclass(frozen=True)
class ImageSet:
    """N grey images of one size.

    images uint8 [N, px, px], in memory or still in their shards; labels int64 [N], indices into `classes` (index 1 is the
    positive class of a two-class problem; NO_LABEL, -1, where no label is known), or float32 [N, K] where an image may have several findings: 1, 0, -1 (uncertain)
    or NaN (not known) for each of `classes`; ids and groups text [N] (images of one group must stay in one fold); synthetic
    bool [N].
    """

    images: Images
    labels: np.ndarray
    ids: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...]
    domain: str
    synthetic: np.ndarray

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in ("images", "labels", "ids", "groups", "synthetic")}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"columns of unequal length: {lengths}")

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: np.ndarray) -> ImageSet:
        """The images at `indices` (int positions or a bool mask), in that order."""
        indices = np.asarray(indices)
        if indices.size == 0:
            indices = indices.astype(np.int64)
        return ImageSet(
            images=taken(self.images, indices),
            labels=self.labels[indices],
            ids=self.ids[indices],
            groups=self.groups[indices],
            classes=self.classes,
            domain=self.domain,
            synthetic=self.synthetic[indices],
        )

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several findings."""
        return self.labels.ndim == 2

    def class_counts(self) -> dict[str, int]:
        """Images per class name, zero included and images without a label left out; of several findings those that have it."""
        known = self.labels[self.labels >= 0]
        counts = present_counts(self.labels) if self.multi_label else np.bincount(known, minlength=len(self.classes))
        return {name: int(count) for name, count in zip(self.classes, counts, strict=True)}
