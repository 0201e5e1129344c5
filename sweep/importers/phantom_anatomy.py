"""Seeded patients -> echogenicity maps in decibels, before any scanner has looked at them.

A breast is skin, fat, gland and muscle. A benign lesion is a smooth, wide, even ellipse with enhancement below
it; a malignant one is taller, lobed or spiculated, uneven and shadowing. The two overlap on purpose: each sign
is drawn from a range of its own, and some lesions carry a sign of the other class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sweep.core.seeds import rng

CLASSES = ("benign", "malignant", "normal")
_ANGLES = 256  # samples of a lesion's outline
_LOBES = np.arange(2, 12)  # periods of the outline's ripples per turn


@dataclass(frozen=True)
class Population:
    """Who comes to a hospital. Shares follow CLASSES; ranges are shares of the image side."""

    class_shares: tuple[float, float, float]
    fat: tuple[float, float]  # depth of the border between fat and gland
    muscle: tuple[float, float]  # depth of the muscle
    lesion_radius: tuple[float, float]


STANDARD = "standard"
POPULATIONS = {
    STANDARD: Population((0.5, 0.35, 0.15), fat=(0.14, 0.30), muscle=(0.76, 0.92), lesion_radius=(0.11, 0.20)),
    # Few cancers, small lesions under more fat.
    "screening": Population((0.62, 0.18, 0.20), fat=(0.20, 0.36), muscle=(0.80, 0.94), lesion_radius=(0.08, 0.15)),
    # Patients sent on because of a finding: many cancers, large lesions in dense breasts.
    "referral": Population((0.40, 0.55, 0.05), fat=(0.08, 0.20), muscle=(0.72, 0.88), lesion_radius=(0.13, 0.23)),
}


@dataclass(frozen=True)
class Lesion:
    """One lesion as every view of a patient shares it; lengths are shares of the image side, levels decibels."""

    lateral: float
    depth: float
    half_width: float
    half_height: float
    ripple: np.ndarray  # relative amplitude of each of _LOBES
    phase: np.ndarray
    level: float  # inside against the gland around it
    unevenness: float  # standard deviation of the inside
    posterior: float  # below it: positive enhances, negative shadows
    margin: float  # softness of the outline, share of the radius
    halo: float


@dataclass(frozen=True)
class Patient:
    """A label, the lesion behind it (None when normal) and the thickness of the layers."""

    number: int
    label: str
    lesion: Lesion | None
    fat: float
    muscle: float
    views: int


def draw_patient(seed: int, hospital: str, number: int, population: str = STANDARD) -> Patient:
    """Patient `number` of a hospital (SCANNER, or SCANNER:POPULATION); depends on nothing else."""
    people = POPULATIONS[population]
    draw = rng(seed, "phantom", hospital, "patient", number)
    label = str(draw.choice(CLASSES, p=people.class_shares))
    malignant = label == "malignant"
    lesion = None if label == "normal" else _draw_lesion(draw, malignant, people.lesion_radius)
    fat, muscle = draw.uniform(*people.fat), draw.uniform(*people.muscle)
    return Patient(number, label, lesion, fat, muscle, views=int(draw.choice([1, 2, 3, 4])))


def _draw_lesion(draw: np.random.Generator, malignant: bool, radius: tuple[float, float]) -> Lesion:
    # How typical of its class the lesion looks, 0 (like the other class) to 1 (textbook).
    typical = draw.beta(5.0, 1.2)
    suspicion = typical if malignant else 1 - typical
    area_radius = draw.uniform(*radius)
    aspect = np.exp(draw.normal(-0.45 + 0.45 * suspicion, 0.16))  # height over width
    spikes = draw.normal(0, 1, len(_LOBES)) * (2.0 / _LOBES) ** (1.1 - 0.8 * suspicion)
    posterior = draw.normal(6.0 - 16.0 * suspicion, 3.0)
    return Lesion(
        lateral=draw.uniform(-0.18, 0.18),
        depth=draw.uniform(0.40, 0.58),
        half_width=area_radius / np.sqrt(aspect),
        half_height=area_radius * np.sqrt(aspect),
        ripple=spikes * (0.02 + 0.13 * suspicion * draw.uniform(0.6, 1.2)),
        phase=draw.uniform(0, 2 * np.pi, len(_LOBES)),
        level=draw.normal(-13.0, 2.5),
        unevenness=0.5 + 3.0 * suspicion * draw.uniform(0.4, 1.2),
        posterior=posterior,
        margin=0.04 + 0.16 * suspicion * draw.uniform(0.3, 1.0),
        halo=max(0.0, draw.normal(3.5 * suspicion, 1.0)),
    )


def echogenicity(patient: Patient, draw: np.random.Generator, px: int) -> np.ndarray:
    """float32 [px, px] decibels of one view: the patient's lesion a little moved, turned and scaled."""
    depth, lateral = np.meshgrid(np.linspace(0, 1, px), np.linspace(-0.5, 0.5, px), indexing="ij")
    depth, lateral = depth.astype(np.float32), lateral.astype(np.float32)
    level = _layers(patient, draw, depth, lateral)
    if patient.lesion is not None:
        level += _lesion(patient.lesion, draw, depth, lateral)
    return level


def _layers(patient: Patient, draw: np.random.Generator, depth: np.ndarray, lateral: np.ndarray) -> np.ndarray:
    px = len(depth)
    fat = patient.fat + draw.normal(0, 0.02) + _wave(draw, lateral[0], 0.02)
    muscle = patient.muscle + draw.normal(0, 0.02) + _wave(draw, lateral[0], 0.02)
    skin = _above(depth, 0.045 + _wave(draw, lateral[0], 0.004))
    in_fat, over_muscle = _above(depth, fat), _above(depth, muscle)
    gland = 3.0 * _smooth_field(draw, px, 0.05) + 2.0 * _smooth_field(draw, px, 0.015)
    fibres = 3.0 * np.sin(2 * np.pi * (depth * draw.uniform(14, 22) + _wave(draw, lateral[0], 0.6)))
    septa = 5.0 * np.maximum(0, _smooth_field(draw, px, 0.012) - 1.2)
    return (gland * (1 - in_fat) * over_muscle + (septa - 9.0) * in_fat * (1 - skin) + 6.0 * skin
            + (fibres - 4.0) * (1 - over_muscle)).astype(np.float32)  # fmt: skip


def _lesion(lesion: Lesion, draw: np.random.Generator, depth: np.ndarray, lateral: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d  # here: a name of a hospital is looked up without waiting for SciPy

    px = len(depth)
    scale = np.exp(draw.normal(0, 0.10))
    x = (lateral - lesion.lateral - draw.normal(0, 0.04)) / (lesion.half_width * scale)
    y = (depth - lesion.depth - draw.normal(0, 0.03)) / (lesion.half_height * scale)
    turn = draw.normal(0, 0.15)
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    outline = _outline(lesion, draw)
    angle = ((np.arctan2(y, x) / (2 * np.pi) + 1) * _ANGLES).astype(np.int32) % _ANGLES
    outside = np.hypot(x, y) / outline[angle] - 1
    inside = 1 / (1 + np.exp(np.clip(outside / lesion.margin * 2.5, -30, 30)))
    texture = lesion.unevenness * _smooth_field(draw, px, 0.02)
    halo = lesion.halo * np.exp(-((outside / 0.18 - 1) ** 2)) * (1 - inside)
    # What the beam has crossed of the lesion, in lesion heights: the shadow or enhancement deepens with it.
    crossed = np.cumsum(inside, axis=0) / (px * 2 * lesion.half_height * scale)
    below = gaussian_filter1d(np.minimum(crossed, 1.0), 0.012 * px, axis=1) * (1 - inside)
    return inside * (lesion.level + texture) + halo + lesion.posterior * below


def _outline(lesion: Lesion, draw: np.random.Generator) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    phase = lesion.phase + draw.normal(0, 0.25, len(_LOBES))
    ripples = lesion.ripple[:, None] * np.cos(_LOBES[:, None] * angles + phase[:, None])
    return np.clip(1 + ripples.sum(axis=0), 0.35, 1.9).astype(np.float32)


def _above(depth: np.ndarray, border: np.ndarray) -> np.ndarray:
    """1 above a border (share of the depth, one per column), 0 below, soft over 1 % of the depth."""
    return 1 / (1 + np.exp(np.clip((depth - border) / 0.01, -30, 30)))


def _wave(draw: np.random.Generator, lateral: np.ndarray, height: float) -> np.ndarray:
    """A slow random curve over the columns; `height` is its usual size."""
    frequency, phase = draw.uniform(0.5, 2.0, 3), draw.uniform(0, 2 * np.pi, 3)
    return height * np.sin(2 * np.pi * frequency[:, None] * lateral + phase[:, None]).sum(axis=0).astype(np.float32)


def _smooth_field(draw: np.random.Generator, px: int, length: float) -> np.ndarray:
    """float32 [px, px], mean 0 and standard deviation 1, correlated over `length` of the side."""
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(draw.standard_normal((px, px), dtype=np.float32), length * px, mode="wrap", truncate=3)
    return (field - field.mean()) / field.std()
