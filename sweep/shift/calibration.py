"""Logits -> calibrated probabilities: Platt scaling for two classes (Platt 1999), a temperature for more (Guo et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Calibration = Callable[[np.ndarray], np.ndarray]

_NEWTON_STEPS = 50
_RIDGE = 1e-6  # keeps the Newton system solvable where one logit is constant
_LOG_TEMPERATURES = (-4.0, 6.0)


def fit(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Calibration:
    """The map from logits [*, K] to probabilities [*, K] that fits `labels` [N] best; `weights` [N] counts images differently."""
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)
    if logits.shape[1] == 2:
        slope, offset = platt(logits[:, 1] - logits[:, 0], labels == 1, weights)
        return lambda z: _two_columns(sigmoid(slope * (z[:, 1] - z[:, 0]) + offset))
    temperature = _temperature(logits, labels, weights)
    return lambda z: softmax(np.asarray(z, dtype=np.float64) / temperature)


def platt(margin: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the weighted logistic regression of `positive` [N] on `margin` [N].

    Labels are smoothed as Platt (1999) proposed, so that separable data keep a finite slope. The margin is standardised inside, so
    the result does not depend on the unit of the logits.
    """
    share = np.average(positive, weights=weights)
    effective = weights.sum() ** 2 / (weights**2).sum()
    high, low = (share * effective + 1) / (share * effective + 2), 1 / ((1 - share) * effective + 2)
    goal = np.where(positive, high, low)
    centre, spread = float(np.mean(margin)), float(np.std(margin)) or 1.0
    design = np.stack([(margin - centre) / spread, np.ones(len(margin))], axis=1)
    theta = logistic_regression(design, goal, weights, ridge=_RIDGE)
    return float(theta[0] / spread), float(theta[1] - theta[0] * centre / spread)


def logistic_regression(
    design: np.ndarray, goal: np.ndarray, weights: np.ndarray | None = None, *, ridge: float
) -> np.ndarray:
    """Coefficients [D] of the ridge logistic regression of `goal` [N], in [0, 1], on `design` [N, D]: Newton steps, halved where the loss grows."""
    weights = np.ones(len(design)) if weights is None else weights
    theta = np.zeros(design.shape[1])
    loss = _loss(theta, design, goal, weights, ridge)
    for _ in range(_NEWTON_STEPS):
        p = sigmoid(design @ theta)
        gradient = design.T @ (weights * (p - goal)) + ridge * theta
        hessian = (design * (weights * p * (1 - p))[:, None]).T @ design + ridge * np.eye(len(theta))
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-8 and (new := _loss(theta - size * step, design, goal, weights, ridge)) > loss:
            size /= 2
        if size <= 1e-8 or np.abs(size * step).max() < 1e-10:
            break
        theta, loss = theta - size * step, new
    return theta


def sigmoid(x: np.ndarray) -> np.ndarray:
    """The logistic function, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(x, dtype=np.float64)))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, float64."""
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def _loss(theta: np.ndarray, design: np.ndarray, goal: np.ndarray, weights: np.ndarray, ridge: float) -> float:
    z = design @ theta
    return float(np.sum(weights * (np.logaddexp(0, z) - goal * z)) + 0.5 * ridge * theta @ theta)


def _temperature(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    logits = np.asarray(logits, dtype=np.float64)

    def loss(log_temperature: float) -> float:
        z = logits / np.exp(log_temperature)
        top = z.max(1)
        log_norm = top + np.log(np.exp(z - top[:, None]).sum(1))
        return float(np.sum(weights * (log_norm - z[np.arange(len(labels)), labels])))

    from scipy.optimize import minimize_scalar

    return float(np.exp(minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded").x))


def _two_columns(positive: np.ndarray) -> np.ndarray:
    return np.stack([1 - positive, positive], axis=1)
