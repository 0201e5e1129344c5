"""Echogenicity in decibels -> the frame a scanner shows.

Fully developed speckle: circular complex Gaussian scatterers, weighted by the echogenicity, are convolved with a
point-spread function that is a Gaussian in both directions and modulated along depth by the carrier; the
envelope is log-compressed to the scanner's dynamic range (Wagner et al., IEEE Trans. Sonics Ultrason. 30(3),
1983, for the statistics).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

_LINES = 128.0  # image side for which pixel lengths below are given; other sizes scale


@dataclass(frozen=True)
class Scanner:
    """One machine and its settings. Lengths in pixels of a 128-pixel frame, levels in decibels."""

    carrier_px: float  # wavelength of the echo along depth
    axial_px: float  # standard deviation of the point-spread function along depth
    lateral_px: float  # and across, at the focus
    defocus: float  # extra lateral blur away from the focus, share of lateral_px
    attenuation_db: float  # loss from top to bottom
    gain_db: tuple[float, ...]  # time-gain compensation, sliders from top to bottom
    gain_jitter_db: float  # how far an operator moves each slider
    dynamic_range_db: float
    brightness: float  # grey level of the mean gland, share of full scale
    gamma: float
    noise_db: float  # electronic noise against the mean gland
    marks: str  # burned-in marks: "ticks", "frame" or "none"


SCANNERS = {
    "a": Scanner(
        carrier_px=4.0, axial_px=1.0, lateral_px=1.3, defocus=0.3, attenuation_db=16.0,
        gain_db=(0, 4, 8, 12, 15), gain_jitter_db=1.5, dynamic_range_db=58.0, brightness=0.52, gamma=1.0,
        noise_db=-40.0, marks="ticks",
    ),
    "b": Scanner(
        carrier_px=6.0, axial_px=1.6, lateral_px=2.2, defocus=0.7, attenuation_db=22.0,
        gain_db=(2, 6, 9, 11, 12), gain_jitter_db=2.0, dynamic_range_db=46.0, brightness=0.43, gamma=1.2,
        noise_db=-28.0, marks="frame",
    ),
}  # fmt: skip
# One property each that scanners differ in, as a change of scanner a; `legacy`, `portable` and `harmonic` change several.
SCANNERS |= {
    "fine": replace(SCANNERS["a"], carrier_px=3.2, axial_px=0.8, lateral_px=1.0, defocus=0.15),
    "coarse": replace(SCANNERS["a"], carrier_px=5.5, axial_px=1.5, lateral_px=2.0, defocus=0.5),
    "bright": replace(SCANNERS["a"], brightness=0.66),
    "dark": replace(SCANNERS["a"], brightness=0.38),
    "contrasty": replace(SCANNERS["a"], dynamic_range_db=42.0),
    "flat": replace(SCANNERS["a"], dynamic_range_db=76.0),
    "noisy": replace(SCANNERS["a"], noise_db=-22.0),
    "deep_loss": replace(SCANNERS["a"], attenuation_db=26.0),
    "uneven": replace(SCANNERS["a"], gain_db=(6, 0, 10, 6, 17), gain_jitter_db=3.5),
    "unmarked": replace(SCANNERS["a"], marks="none"),
    "harmonic": replace(
        SCANNERS["a"], carrier_px=3.4, axial_px=0.9, lateral_px=1.5, attenuation_db=20.0, dynamic_range_db=52.0,
        gamma=0.9, noise_db=-32.0,
    ),
    "portable": replace(
        SCANNERS["b"], carrier_px=5.0, axial_px=1.4, lateral_px=1.8, dynamic_range_db=50.0, brightness=0.5,
        noise_db=-25.0, marks="none",
    ),
    "legacy": replace(
        SCANNERS["b"], carrier_px=6.5, axial_px=1.8, lateral_px=2.3, dynamic_range_db=40.0, gamma=1.3, noise_db=-24.0,
    ),
}  # fmt: skip


def acquire(scanner: Scanner, levels_NHW: np.ndarray, draws: list[np.random.Generator]) -> np.ndarray:
    """uint8 [N, H, W] frames of N echogenicity maps; image n uses only draws[n]."""
    scatter = np.stack([_scatterers(draw, levels_NHW.shape[1:]) for draw in draws])
    scatter *= _amplitude(levels_NHW)
    envelope = np.abs(_blur(scanner, scatter))
    envelope /= np.sqrt(2.0)
    envelope += _amplitude(scanner.noise_db) * np.abs(np.stack([_scatterers(d, envelope.shape[1:]) for d in draws]))
    gain = np.stack([_gain(scanner, draw, envelope.shape[1]) for draw in draws])
    decibels = 20 * np.log10(envelope + 1e-6) + gain[:, :, None]
    share = np.clip(decibels / scanner.dynamic_range_db + scanner.brightness, 0, 1) ** scanner.gamma
    frames = np.round(255 * share).astype(np.uint8)
    return np.stack([_MARKS[scanner.marks](frame, draw) for frame, draw in zip(frames, draws, strict=True)])


def _amplitude(decibels: np.ndarray | float) -> np.ndarray:
    return np.power(np.float32(10), np.asarray(decibels, dtype=np.float32) / 20)


def _scatterers(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return draw.standard_normal((*shape, 2), dtype=np.float32).view(np.complex64)[..., 0]


def _blur(scanner: Scanner, scatter_NHW: np.ndarray) -> np.ndarray:
    """Convolution with the point-spread function: once at the focus, once defocused, blended by depth."""
    from scipy import fft  # here: a name of a hospital is looked up without waiting for SciPy

    height, width = scatter_NHW.shape[1:]
    unit = height / _LINES
    spectrum = fft.fft2(scatter_NHW, axes=(1, 2))
    sharp = fft.ifft2(spectrum * _transfer(scanner, height, width, unit, 1.0), axes=(1, 2))
    wide = fft.ifft2(spectrum * _transfer(scanner, height, width, unit, 1 + scanner.defocus), axes=(1, 2))
    distance = np.abs(np.linspace(-1, 1, height, dtype=np.float32))[:, None]  # the focus lies at mid-depth
    return sharp * (1 - distance) + wide * distance


def _transfer(scanner: Scanner, height: int, width: int, unit: float, widen: float) -> np.ndarray:
    """The point-spread function's Fourier transform, scaled to unit energy so that speckle keeps its mean level."""
    axial = np.fft.fftfreq(height).astype(np.float32)[:, None]
    lateral = np.fft.fftfreq(width).astype(np.float32)[None]
    off_carrier = (axial - 1 / (scanner.carrier_px * unit)) * scanner.axial_px * unit
    across = lateral * scanner.lateral_px * unit * widen
    response = np.exp(-2 * np.pi**2 * (off_carrier**2 + across**2))
    return (response / np.sqrt((response**2).mean())).astype(np.float32)


def _gain(scanner: Scanner, draw: np.random.Generator, height: int) -> np.ndarray:
    """Decibels per line: operator's slider curve minus attenuation."""
    sliders = np.asarray(scanner.gain_db) + draw.normal(0, scanner.gain_jitter_db, len(scanner.gain_db))
    depth = np.linspace(0, 1, height)
    curve = np.interp(depth, np.linspace(0, 1, len(sliders)), sliders)
    return (curve - scanner.attenuation_db * depth).astype(np.float32)


def _ticks(frame: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A depth ruler at the right edge and a line of letters at the top left."""
    side = len(frame)
    step = side // 8
    for number, row in enumerate(range(step // 2, side, step)):
        frame[row, side - (6 if number % 4 == 0 else 3) :] = 230
    return _letters(frame, draw, (3, 2), 210)


def _frame(frame: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Black borders left and right, a grey wedge in the left one and letters at the bottom."""
    side = len(frame)
    border = side // 12
    frame[:, :border] = 0
    frame[:, side - border :] = 0
    rows = slice(side // 8, side // 2)
    frame[rows, 2:5] = np.linspace(255, 0, rows.stop - rows.start, dtype=np.uint8)[:, None]
    return _letters(frame, draw, (border + 2, side - 11), 170)


def _letters(frame: np.ndarray, draw: np.random.Generator, place: tuple[int, int], level: int) -> np.ndarray:
    text = "".join(draw.choice(list("ABCDEFGHKLMNPRSTVX0123456789"), 5))
    picture = Image.fromarray(frame)
    ImageDraw.Draw(picture).text(place, text, fill=level)
    return np.asarray(picture)


def _no_marks(frame: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    return frame


_MARKS = {"ticks": _ticks, "frame": _frame, "none": _no_marks}
