"""Colour picture and grey image -> the change of texture in the window where it is largest.

The loss of Domain Assimilation (arXiv 2402.16005, slides 6 and 7): five properties at distance 3 in eight directions
for each area of 20x20 pixels; the largest over areas of the summed absolute differences, averaged over the batch.
"""

# N images, T windows of one image, M windows, K offsets (half the orientations), F features (5 for each offset).

from __future__ import annotations

import torch
from torch import Tensor, nn

from sweep.core.errors import InputError, described
from sweep.losses.glcm import backend as backends
from sweep.losses.glcm.offsets import FOUR_ANGLES, pair_counts, pair_offsets
from sweep.losses.glcm.properties import moments
from sweep.losses.glcm.soft import finite, soft_counts
from sweep.losses.glcm.tiles import Tiles, one_of_each

LUMA = (0.299, 0.587, 0.114)
CHUNK_CELLS = 1 << 20  # float32 cells of the matrices held at once: 4 MiB
FLAT = 1e-6  # squared levels: below this spread a window is flat and its correlation goes to one, as in scikit-image


class GLCMLoss(nn.Module):
    """`loss(colorized [N, 3, H, W], grey [N, 1, H, W])` -> scalar; differentiable in `colorized`.

    Both are stretched to levels 0..levels-1 by their own minimum and maximum, so replication has zero loss and the
    colorizer's unbounded scale does not matter; a range below half an 8-bit grey level (0.5/255) is not stretched further, so a
    nearly constant picture has a bounded gradient. `window` None takes the whole image as one area. `orientations` is 8
    or 4: opposite directions give transposed matrices and equal features, so four are computed and 8 doubles their sum.
    `normalised` divides contrast by (levels-1)^2 and dissimilarity by levels-1; without, contrast swamps the rest.
    `alpha` is the share of the classification loss in `mix`.
    """

    def __init__(
        self, levels: int = 32, *, distance: float = 3, window: int | None = 20, orientations: int = 8,
        normalised: bool = True, alpha: float = 0.9, backend: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__()
        if orientations not in (4, 8):
            raise InputError("orientations", f"{orientations!r}", "give 4 or 8")
        if window is not None and window <= distance:
            raise InputError("window", f"{window} px have no pairs at distance {distance}", "give a larger window")
        self.levels, self.window, self.alpha, self.backend = levels, window, alpha, backend
        self.times = orientations // 4
        self.offsets = pair_offsets((distance,), FOUR_ANGLES)
        self.gap_unit = levels - 1 if normalised else 1
        self._pair_counts: dict[tuple[tuple[int, int], torch.dtype, torch.device], Tensor] = {}

    def forward(self, colorized: Tensor, grey: Tensor, target: Tensor | None = None) -> Tensor:
        """The loss; `target` is a cached `self.target(grey)` for images seen before.

        InputError for pictures of another shape or type, and for images that the window does not fit.
        """
        _check("colorized", colorized, 3)
        with torch.autocast(colorized.device.type, enabled=False):
            wanted_NTF = self.target(grey) if target is None else target
            tiles = Tiles(_luma(colorized.detach()), self.levels, self.window)
            worst_N = self._worst(tiles, wanted_NTF)
            # The gradient of a maximum goes to one window only: the other pixels need no graph.
            each_N = torch.arange(len(worst_N), device=worst_N.device)
            worst_Nhw = tiles.stretched(_luma(one_of_each(colorized, tiles.size, worst_N)), each_N)
            return self.times * (self._features(worst_Nhw) - wanted_NTF[each_N, worst_N]).abs().sum(1).mean()

    @torch.no_grad()
    def target(self, grey: Tensor) -> Tensor:
        """Texture features [N, windows, F] of grey images [N, 1, H, W]; they depend on the images alone, so they can be cached."""
        _check("grey", grey, 1)
        with torch.autocast(grey.device.type, enabled=False):
            return self._all_features(Tiles(_full(grey).squeeze(1), self.levels, self.window))

    def mix(self, classification: Tensor, texture: Tensor) -> Tensor:
        """alpha * classification + (1 - alpha) * texture, the objective of the paper (slide 6)."""
        return self.alpha * classification + (1 - self.alpha) * texture

    @torch.no_grad()
    def _worst(self, tiles: Tiles, wanted_NTF: Tensor) -> Tensor:
        """Index of the window that differs most, of each image: [N]."""
        if tiles.count == 1:
            return wanted_NTF.new_zeros(len(wanted_NTF), dtype=torch.long)
        return (self._all_features(tiles) - wanted_NTF).abs().sum(-1).argmax(1)

    def _all_features(self, tiles: Tiles) -> Tensor:
        """Features [N, T, F] of all windows."""
        if self._native(tiles.images):
            from sweep.losses.glcm.native_statistics import tile_statistics

            return self._from_moments(tile_statistics(tiles, self.offsets)).unflatten(0, (-1, tiles.count))
        step = max(1, CHUNK_CELLS // (len(self.offsets) * self.levels**2))
        windows_Mhw = tiles.all()
        if windows_Mhw.is_cuda and self._way(windows_Mhw[:step]) == "triton":
            step = max(1, len(windows_Mhw))  # its matrices never reach memory
        return torch.cat([self._features(part) for part in windows_Mhw.split(step)]).unflatten(0, (-1, tiles.count))

    def _native(self, images: Tensor) -> bool:
        # Compiled code does not check indices: the cell of a NaN would lie outside the table.
        on_cpu = images.device.type == "cpu" and self.backend in ("auto", "native")
        return on_cpu and backends.choose(self.backend, images, self.levels) == "native" and finite(images)

    def _features(self, windows_Mhw: Tensor) -> Tensor:
        """Differentiable features [M, F] of windows [M, h, w] in level units."""
        if self._native(windows_Mhw):
            from sweep.losses.glcm.native_statistics import soft_statistics

            return self._from_moments(soft_statistics(windows_Mhw, self.levels, self.offsets))
        return self._features_by(self._way(windows_Mhw), windows_Mhw)

    def _way(self, windows_Mhw: Tensor) -> str:
        if windows_Mhw.device.type == "cpu":
            return self.backend
        return backends.choose(self.backend, windows_Mhw, self.levels, lambda way: self._features_by(way, windows_Mhw))

    def _features_by(self, way: str, windows_Mhw: Tensor) -> Tensor:
        if way == "triton":
            from sweep.losses.glcm import fused

            return self._from_moments(fused.soft_statistics(windows_Mhw, self.levels, self.offsets))
        counts_MKLL = soft_counts(windows_Mhw, self.levels, self.offsets, way)
        size = (windows_Mhw.shape[1], windows_Mhw.shape[2])
        pairs_M = self._pairs(size, counts_MKLL).repeat(len(counts_MKLL))
        return self._from_moments(moments(counts_MKLL.flatten(0, 1), pairs_M).unflatten(0, counts_MKLL.shape[:2]))

    def _pairs(self, size: tuple[int, int], like: Tensor) -> Tensor:
        """Pixel pairs of one window by offset [K]; kept, because a recorded training step may not copy from the host."""
        key = (size, like.dtype, like.device)
        if key not in self._pair_counts:
            self._pair_counts[key] = like.new_tensor(pair_counts(size, self.offsets))
        return self._pair_counts[key]

    def _from_moments(self, found_MKS: Tensor) -> Tensor:
        asm, contrast, dissimilarity, homogeneity, covariance, var_i, var_j = found_MKS.unbind(-1)
        # FLAT enters twice, so that a flat window gives exactly one and the root stays differentiable.
        correlation = (covariance + FLAT) / ((var_i * var_j + FLAT**2).sqrt() + FLAT)
        contrast, dissimilarity = contrast / self.gap_unit**2, dissimilarity / self.gap_unit
        return torch.stack([asm, contrast, dissimilarity, homogeneity, correlation], -1).flatten(-2)


def _check(name: str, images: Tensor, channels: int) -> None:
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != channels or images.is_complex():
        raise InputError(name, described(images), f"give a tensor [N, {channels}, H, W]")
    if not images.numel():
        raise InputError(name, f"shape {tuple(images.shape)}", "give at least one image")


def _luma(colorized: Tensor) -> Tensor:
    red, green, blue = _full(colorized).unbind(1)
    return torch.add(torch.add(LUMA[0] * red, green, alpha=LUMA[1]), blue, alpha=LUMA[2])


def _full(images: Tensor) -> Tensor:
    return images if images.dtype == torch.float64 else images.float()
