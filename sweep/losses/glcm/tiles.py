"""Grey images -> their windows in level units."""

# N images, H rows, W columns, T windows of one image, counted row by row; M = N*T; C chosen windows.

from __future__ import annotations

import torch
from torch import Tensor

from sweep.core.errors import InputError

Size = tuple[int, int]  # rows and columns of a window

# An 8-bit image that is not constant spans at least one grey level, 1/255. A smaller span than half of that is rounding or
# noise, not texture: it is not stretched further, which bounds the slope of the stretch by (levels - 1) * 510.
LEAST_RANGE = 0.5 / 255


class Tiles:
    """Windows side by side of images [N, H, W], each image stretched by its own minimum and maximum to 0..levels-1.

    A range below LEAST_RANGE is treated as LEAST_RANGE, so a constant image becomes level 0. `window` None takes the whole image
    as one window. Rows and columns left over at the bottom and right belong to no window but count for minimum and maximum. The
    stretch is constant to the gradient. Raises InputError when a window does not fit.
    """

    def __init__(self, images: Tensor, levels: int, window: int | None) -> None:
        height, width = images.shape[1:]
        if window is not None and window > min(height, width):
            problem = f"{window} px do not fit images of {height} x {width} px"
            raise InputError("window", problem, f"give larger images, or a window of at most {min(height, width)} px")
        self.images, self.levels = images, levels
        self.size = (height, width) if window is None else (window, window)
        self.count = (height // self.size[0]) * (width // self.size[1])
        flat_NP = images.detach().flatten(1)
        self.low_N, high_N = flat_NP.amin(1), flat_NP.amax(1)
        self.factor_N = (levels - 1) / (high_N - self.low_N).clamp_min(LEAST_RANGE)

    def all(self) -> Tensor:
        """Every window in level units: [M, h, w]."""
        image_N = torch.arange(len(self.images), device=self.images.device)
        image_M = image_N[:, None].expand(-1, self.count).flatten()
        return self.stretched(self._tiles().flatten(0, 2), image_M)

    def at(self, image_C: Tensor, window_C: Tensor) -> Tensor:
        """Some windows in level units, each given by its image and its number there: [C, h, w]."""
        across = self.images.shape[2] // self.size[1]
        return self.stretched(self._tiles()[image_C, window_C // across, window_C % across], image_C)

    def stretched(self, windows_Chw: Tensor, image_C: Tensor) -> Tensor:
        """Grey windows [C, h, w] of the given images in level units."""
        return (windows_Chw - self.low_N[image_C, None, None]) * self.factor_N[image_C, None, None]

    def _tiles(self) -> Tensor:
        return self.images.unfold(1, self.size[0], self.size[0]).unfold(2, self.size[1], self.size[1])


def one_of_each(images_NCHW: Tensor, size: Size, window_N: Tensor) -> Tensor:
    """The window of each image whose number is given: [N, C, h, w]; differentiable."""
    channels, columns = images_NCHW.shape[1], images_NCHW.shape[3]
    rows, steps = (torch.arange(count, device=window_N.device) for count in size)
    across = columns // size[1]
    corner_N = window_N // across * size[0] * columns + window_N % across * size[1]
    pixel_NP = corner_N[:, None] + (rows[:, None] * columns + steps).flatten()
    return images_NCHW.flatten(2).gather(2, pixel_NP[:, None].expand(-1, channels, -1)).unflatten(2, size)
