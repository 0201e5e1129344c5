"""Colour picture and grey image -> how much the picture's texture has changed in its worst area.

The loss of Domain Assimilation (arXiv 2402.16005, slides 6 and 7): five properties at distance 3 in eight directions
for each area of 20x20 pixels; the largest over areas of the summed absolute differences, averaged over the batch.
"""

# N images, W windows of one image, M = N*W windows, K offsets (half the orientations), F features (5 for each offset).

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sweep.losses.glcm import backend as backends
from sweep.losses.glcm.offsets import FOUR_ANGLES, pair_offsets
from sweep.losses.glcm.properties import moments
from sweep.losses.glcm.soft import finite, soft_counts

LUMA = (0.299, 0.587, 0.114)
CHUNK_CELLS = 1 << 20  # float32 cells of the matrices held at once: 4 MiB
FLAT = 1e-6  # squared levels: below this spread a window is flat and its correlation goes to one, as in scikit-image


class GLCMLoss(nn.Module):
    """`loss(colorized [N, 3, H, W], grey [N, 1, H, W])` -> scalar; differentiable in `colorized`.

    Both are stretched to levels 0..levels-1 by their own minimum and maximum, so replication costs nothing and the
    colorizer's unbounded scale does not matter. `window` None takes the whole image as one area. `orientations` is 8
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
            raise ValueError(f"orientations is {orientations}; 4 or 8")
        if window is not None and window <= distance:
            raise ValueError(f"a window of {window} px has no pairs at distance {distance}")
        self.levels, self.window, self.alpha, self.backend = levels, window, alpha, backend
        self.times = orientations // 4
        self.offsets = pair_offsets((distance,), FOUR_ANGLES)
        self.gap_unit = levels - 1 if normalised else 1

    def forward(self, colorized: Tensor, grey: Tensor, target: Tensor | None = None) -> Tensor:
        """The loss; `target` is `self.target(grey)` where the same images come again and it has been kept."""
        with torch.autocast(colorized.device.type, enabled=False):
            wanted_NWF = self.target(grey) if target is None else target
            with torch.no_grad():
                luma_NHW = _luma(colorized)
                stretch = _stretch(luma_NHW, self.levels)
                found_NWF = self._all_features(self._windows(stretch(luma_NHW)))
                worst_N = (found_NWF - wanted_NWF).abs().sum(-1).argmax(1)
            # A maximum passes its gradient to one window only: the other pixels need no graph.
            worst_Nhw = stretch(_luma(self._cut(colorized, worst_N)))
            wanted_NF = wanted_NWF[torch.arange(len(worst_N), device=worst_N.device), worst_N]
            return self.times * (self._features(worst_Nhw) - wanted_NF).abs().sum(1).mean()

    @torch.no_grad()
    def target(self, grey: Tensor) -> Tensor:
        """Texture features [N, windows, F] of grey images [N, 1, H, W]; constant as long as the images are."""
        with torch.autocast(grey.device.type, enabled=False):
            grey_NHW = _full(grey).squeeze(1)
            return self._all_features(self._windows(_stretch(grey_NHW, self.levels)(grey_NHW)))

    def mix(self, classification: Tensor, texture: Tensor) -> Tensor:
        """alpha * classification + (1 - alpha) * texture: what the paper minimises."""
        return self.alpha * classification + (1 - self.alpha) * texture

    def _windows(self, levels_NHW: Tensor) -> Tensor:
        """[N, W, h, w]: windows side by side; what is left over at the right and at the bottom is not looked at."""
        if self.window is None:
            return levels_NHW.unsqueeze(1)
        if self.window > min(levels_NHW.shape[1:]):
            raise ValueError(f"a window of {self.window} px does not fit an image of {tuple(levels_NHW.shape[1:])}")
        tiles = levels_NHW.unfold(1, self.window, self.window).unfold(2, self.window, self.window)
        return tiles.flatten(1, 2)

    def _cut(self, images_NCHW: Tensor, window_N: Tensor) -> Tensor:
        """The window of each image whose number is given: [N, C, h, w]."""
        if self.window is None:
            return images_NCHW
        channels, width, size = images_NCHW.shape[1], images_NCHW.shape[3], self.window
        step = torch.arange(size, device=window_N.device)
        corner_N = window_N // (width // size) * size * width + window_N % (width // size) * size
        pixel_NP = corner_N[:, None] + (step[:, None] * width + step).flatten()
        pixel_NCP = pixel_NP[:, None].expand(-1, channels, -1)
        return images_NCHW.flatten(2).gather(2, pixel_NCP).unflatten(2, (size, size))

    def _all_features(self, windows_NWhw: Tensor) -> Tensor:
        windows_Mhw = windows_NWhw.flatten(0, 1).contiguous()
        step = max(1, CHUNK_CELLS // (len(self.offsets) * self.levels**2))
        parts = (windows_Mhw,) if self._native(windows_Mhw) else windows_Mhw.split(step)
        return torch.cat([self._features(part) for part in parts]).unflatten(0, windows_NWhw.shape[:2])

    def _native(self, windows_Mhw: Tensor) -> bool:
        # Compiled code must not meet NaN: its cell would lie outside the table.
        return backends.choose(self.backend, windows_Mhw, self.levels) == "native" and finite(windows_Mhw)

    def _features(self, windows_Mhw: Tensor) -> Tensor:
        """Differentiable features [M, F] of windows [M, h, w] in level units."""
        if self._native(windows_Mhw):
            from sweep.losses.glcm.native_statistics import soft_statistics

            return self._from_moments(soft_statistics(windows_Mhw, self.levels, self.offsets))
        counts_MKLL = soft_counts(windows_Mhw, self.levels, self.offsets, self.backend)
        height, width = windows_Mhw.shape[1:]
        pairs_K = [(height - abs(dy)) * (width - abs(dx)) for dy, dx in self.offsets]
        pairs_M = counts_MKLL.new_tensor(pairs_K).repeat(len(counts_MKLL))
        return self._from_moments(moments(counts_MKLL.flatten(0, 1), pairs_M).unflatten(0, counts_MKLL.shape[:2]))

    def _from_moments(self, found_MKS: Tensor) -> Tensor:
        asm, contrast, dissimilarity, homogeneity, covariance, var_i, var_j = found_MKS.unbind(-1)
        # FLAT enters twice, so that a flat window gives exactly one and the root stays differentiable.
        correlation = (covariance + FLAT) / ((var_i * var_j + FLAT**2).sqrt() + FLAT)
        contrast, dissimilarity = contrast / self.gap_unit**2, dissimilarity / self.gap_unit
        return torch.stack([asm, contrast, dissimilarity, homogeneity, correlation], -1).flatten(1)


def _luma(colorized: Tensor) -> Tensor:
    red, green, blue = _full(colorized).unbind(1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def _full(images: Tensor) -> Tensor:
    return images if images.dtype == torch.float64 else images.float()


def _stretch(grey_NHW: Tensor, levels: int) -> Callable[[Tensor], Tensor]:
    """The map that takes each image from its own minimum and maximum to 0..levels-1; constant to the gradient."""
    flat_NP = grey_NHW.detach().flatten(1)
    low, high = flat_NP.amin(1)[:, None, None], flat_NP.amax(1)[:, None, None]
    factor = (levels - 1) / (high - low).clamp_min(torch.finfo(grey_NHW.dtype).tiny)
    # An image of one value maps to zero, whatever the factor; overflow of the factor must not make it NaN.
    factor = factor.clamp_max(torch.finfo(grey_NHW.dtype).max)
    return lambda images: (images - low) * factor
