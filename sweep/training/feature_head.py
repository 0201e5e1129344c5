"""A head fitted to the features of the frozen network: ridge regression in closed form, or logistic regression; seconds on a laptop.

Features are those of the training images as they are, without augmentation. They are standardised, and rotated into their singular
directions, in which both fits need no more numbers than there are images; the penalty with the best source validation is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_expit, logsumexp, softmax
from torch import nn

from sweep.core.errors import InputError
from sweep.evaluation.evaluate import predict
from sweep.training import validation
from sweep.training.fit import FitOptions, FitResult
from sweep.training.hooks import TrainingHooks
from sweep.training.objective import balanced_weights
from sweep.training.recipe import Recipe

Array = np.ndarray
PENALTIES = tuple(10.0**power for power in range(-4, 3))  # per image, on standardised features
_BATCH = 64
_NO_OPTIONS, _NO_HOOKS = FitOptions(), TrainingHooks()


@dataclass(frozen=True)
class Problem:
    """Standardised features in singular directions [n, r], targets [n, K] of 0 and 1 with NaN = unknown, and weights [n, K]."""

    inputs: Array
    targets: Array
    weights: Array
    exclusive: bool  # one class an image, else several findings


def fit_head(
    model: nn.Module,
    train: tuple[Array, Array],
    val: tuple[Array, Array],
    recipe: Recipe,
    *,
    options: FitOptions = _NO_OPTIONS,
    hooks: TrainingHooks = _NO_HOOKS,
) -> FitResult:
    """Fit the last layer of `model` to uint8 `train` images [N, H, W] and labels; the other weights stay. Leaves the model in eval mode.

    `recipe.procedure` is ridge_head or logistic_head. Raises InputError without images or for a head without a linear layer.
    """
    started = time.perf_counter()
    if not len(train[0]) or not len(val[0]):
        raise InputError("training", "no training or no validation image", "give more images")
    device = torch.device(options.device)
    model.to(device).eval()
    layer = last_layer(model)
    (features, labels), (val_features, val_labels) = (
        (_features(model, images, device), np.asarray(labels)) for images, labels in (train, val)
    )
    scale = _Scale.of(features)
    problem = _problem(scale.reduced(features), labels, layer.out_features, recipe)
    judged = _problem(val_features, val_labels, layer.out_features, Recipe())
    best: tuple[list[float], float, tuple[Array, Array]] | None = None
    solution = None
    for penalty in reversed(PENALTIES):
        solution = FITS[recipe.procedure](problem, penalty, solution)
        weights, bias = scale.weights(solution[:-1], solution[-1])
        logits = val_features @ weights.T + bias
        if recipe.procedure == "ridge_head":
            factor = _calibrating_factor(logits, judged)
            weights, bias, logits = factor * weights, factor * bias, factor * logits
        found = validation.score(validation.metrics_of(logits, val_labels, 0))
        if best is None or found > best[0]:
            best = found, penalty, (weights, bias)
    assert best is not None  # PENALTIES is not empty
    _, penalty, (weights, bias) = best
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights))
        layer.bias.copy_(torch.from_numpy(bias))
    metrics = validation.Validation(
        model, (val[0], val_labels), device=device, precision=recipe.precision, batch_size=_BATCH
    )(0)
    loss = _mean_loss(predict(model, train[0], _BATCH, device), problem)
    history = {"epoch": 1, "loss/train": loss, "head_penalty": penalty, "phase": 1} | metrics
    if hooks.on_epoch is not None:
        hooks.on_epoch(dict(history))
    return FitResult(1, 1, [history], time.perf_counter() - started, len(train[0]))


def last_layer(model: nn.Module) -> nn.Linear:
    """The linear layer that gives the logits. Raises InputError for a head without one."""
    layers = [module for module in model.head.modules() if isinstance(module, nn.Linear)]  # type: ignore[union-attr]
    if len(layers) != 1:
        raise InputError("procedure", f"the head has {len(layers)} linear layers", "use a head with exactly one")
    return layers[0]


@dataclass(frozen=True)
class _Scale:
    """Standardisation of features [n, F] and their singular directions [F, r]."""

    mean: Array
    spread: Array
    directions: Array

    @classmethod
    def of(cls, features: Array) -> _Scale:
        mean, spread = features.mean(0), features.std(0)
        spread = np.where(
            spread > 1e-6 * max(1.0, float(np.abs(features).max())), spread, np.inf
        )  # constant: no weight
        _, sizes, directions = np.linalg.svd((features - mean) / spread, full_matrices=False)
        kept = sizes > 1e-9 * max(float(sizes.max(initial=0)), 1e-30)
        return cls(mean, spread, directions[kept].T)

    def reduced(self, features: Array) -> Array:
        return (features - self.mean) / self.spread @ self.directions

    def weights(self, reduced: Array, bias: Array) -> tuple[Array, Array]:
        """Weights [K, F] and bias [K] on plain features from those on reduced ones [r, K]."""
        weights = (self.directions @ reduced) / self.spread[:, None]
        return weights.T, bias - self.mean @ weights


def ridge(problem: Problem, penalty: float, _start: Array | None) -> Array:
    """Least squares on +1 and -1 with `penalty` * n on the squared weights, none on the bias; [r + 1, K], the bias last."""
    columns = []
    for k in range(problem.targets.shape[1]):
        known = ~np.isnan(problem.targets[:, k])
        x, y, w = problem.inputs[known], 2 * problem.targets[known, k] - 1, problem.weights[known, k]
        w = w / w.sum()
        x_mean, y_mean = w @ x, w @ y
        centred = x - x_mean
        gram = (centred * w[:, None]).T @ centred + penalty * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, (centred * w[:, None]).T @ (y - y_mean))
        columns.append(np.append(weights, y_mean - x_mean @ weights))
    return np.stack(columns, 1)


def logistic(problem: Problem, penalty: float, start: Array | None) -> Array:
    """Multinomial or, for several findings, binary logistic regression; mean loss plus `penalty` / 2 on the squared weights; [r + 1, K]."""
    shape = (problem.inputs.shape[1] + 1, problem.targets.shape[1])
    inputs = np.hstack([problem.inputs, np.ones((len(problem.inputs), 1))])
    known = ~np.isnan(problem.targets)
    targets = np.where(known, problem.targets, 0.0)
    weights = np.where(known, problem.weights, 0.0)
    weights = weights / (weights[:, 0].sum() if problem.exclusive else weights.sum())

    def value(flat: Array) -> tuple[float, Array]:
        solution = flat.reshape(shape)
        logits = inputs @ solution
        if problem.exclusive:
            losses = -weights[:, 0] @ ((targets * logits).sum(1) - logsumexp(logits, axis=1))
            slope = weights[:, :1] * (softmax(logits, axis=1) - targets)
        else:
            losses = -(weights * (targets * log_expit(logits) + (1 - targets) * log_expit(-logits))).sum()
            slope = weights * (expit(logits) - targets)
        gradient = inputs.T @ slope
        gradient[:-1] += penalty * solution[:-1]
        return float(losses + penalty / 2 * np.square(solution[:-1]).sum()), gradient.ravel()

    begin = np.zeros(shape) if start is None else start
    found = minimize(
        value, begin.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-12, "gtol": 1e-7}
    )
    return found.x.reshape(shape)


FITS: Mapping[str, Callable[[Problem, float, Array | None], Array]] = {"ridge_head": ridge, "logistic_head": logistic}


@torch.no_grad()
def _features(model: nn.Module, images: Array, device: torch.device) -> Array:
    """What the last layer is given for each image, float64 [n, F]."""
    caught: list[torch.Tensor] = []
    hook = last_layer(model).register_forward_pre_hook(lambda _module, inputs: caught.append(inputs[0].float().cpu()))
    try:
        predict(model, images, _BATCH, device)
    finally:
        hook.remove()
    return torch.cat(caught).double().numpy()


def _problem(inputs: Array, labels: Array, classes: int, recipe: Recipe) -> Problem:
    exclusive = labels.ndim == 1
    targets = np.eye(classes)[labels.astype(np.int64)] if exclusive else labels.astype(np.float64)
    weights = np.ones_like(targets)
    if recipe.class_weighting == "balanced":
        balance = balanced_weights(torch.as_tensor(labels), classes).double().numpy()
        weights = (
            np.repeat(balance[labels.astype(np.int64)][:, None], classes, 1)
            if exclusive
            else np.where(targets == 1, balance, 1.0)
        )
    return Problem(inputs, targets, weights, exclusive)


def _calibrating_factor(logits: Array, problem: Problem) -> float:
    """The factor on logits [n, K] of least log loss: least squares fits targets of +1 and -1, not probabilities."""
    found = minimize_scalar(lambda log: _mean_loss(np.exp(log) * logits, problem), bounds=(-4, 6), method="bounded")
    return float(np.exp(found.x))


def _mean_loss(logits: Array, problem: Problem) -> float:
    """Weighted log loss of logits [n, K], unknown labels left out."""
    known = ~np.isnan(problem.targets)
    if not known.any():
        return 0.0
    logits = logits.astype(np.float64)
    targets = np.where(known, problem.targets, 0.0)
    if problem.exclusive:
        losses = logsumexp(logits, axis=1) - (targets * logits).sum(1)
        return float(np.average(losses, weights=problem.weights[:, 0]))
    losses = -(targets * log_expit(logits) + (1 - targets) * log_expit(-logits))
    return float(np.average(losses[known], weights=problem.weights[known]))
