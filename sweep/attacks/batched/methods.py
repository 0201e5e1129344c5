"""The attacks as steps of fixed shape: every slot of a batch holds one pair and is at its own step.

The same definitions as in `sweep.attacks.methods`, written without early exits: what a slot proposes after its evaluation number n. A slot
of n = `steps` has been evaluated at its last point and proposes nothing.
"""

# S slots, N images of a chunk, T threats of a group, R noise tables.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sweep.attacks import norms
from sweep.attacks.criteria import LOSSES, margin
from sweep.attacks.methods.apgd import MOMENTUM, RISING_SHARE, apgd, checkpoints
from sweep.attacks.methods.gradient_steps import CHANCES, gradient_steps, unit_mean
from sweep.attacks.methods.minimum_norm import (
    FIRST_SHRINK,
    FIRST_STEP,
    LAST_SHRINK,
    LAST_STEP,
    cosine,
    dual_length,
    minimum_norm,
)
from sweep.attacks.methods.square import side_of, square
from sweep.attacks.threat import Threat

if TYPE_CHECKING:
    from sweep.attacks.chunk import Chunk

State = dict[str, Tensor]
Names = Sequence[str]


@dataclass
class Slots:
    """What the slots hold: clean images [S, C, H, W], and [S] the image, threat, run, epsilon and evaluation number of each."""

    clean: Tensor
    image: Tensor
    threat: Tensor
    run: Tensor
    epsilon: Tensor
    step: Tensor


@dataclass
class Seen:
    """What an evaluation found at the points [S, C, H, W]: margin [S], loss [S] and gradient."""

    points: Tensor
    margin: Tensor
    loss: Tensor
    gradient: Tensor


class GradientSteps:
    """FGSM, BIM, PGD and MI-FGSM. The first step of threats that start at the clean image uses the known clean gradient."""

    uses_gradient, exact, leaves = True, False, True

    def __init__(self, threats: Sequence[Threat], images: Tensor, second: bool = False) -> None:
        self.threats, self.norm, self.loss = threats, threats[0].norm, LOSSES[threats[0].loss]
        like: dict[str, Any] = {"dtype": images.dtype, "device": images.device}
        self.steps = torch.tensor([threat.steps for threat in threats], device=images.device)
        self.alpha = torch.tensor([threat.alpha or 0.0 for threat in threats], **like)
        self.share = torch.tensor(
            [0.0 if threat.alpha is not None else threat.alpha_per_eps for threat in threats], **like
        )
        self.decay = torch.tensor([threat.decay or 0.0 for threat in threats], **like)
        self.decays = torch.tensor([threat.decay is not None for threat in threats], device=images.device)
        self.known = torch.tensor(
            [threat.asks_clean_gradient and not second for threat in threats], device=images.device
        )
        self.random = torch.tensor([threat.random_start for threat in threats], device=images.device)
        self.runs = [threat.restarts for threat in threats]
        self.chances = [CHANCES if threat.random_start else 0 for threat in threats]
        self.noise = Noise(threats, [a + b for a, b in zip(self.runs, self.chances, strict=True)], images)
        self.clean_gradient = torch.zeros_like(images)

    def load(self, chunk: Chunk, names: Names) -> None:
        """Take over a chunk's noise and clean gradients."""
        self.noise.load(chunk, names)
        if chunk.clean_gradient is not None:
            self.clean_gradient[: len(chunk.clean_gradient)].copy_(chunk.clean_gradient)

    def state(self, count: int, images: Tensor) -> State:
        """What each slot remembers."""
        return {"momentum": images.new_zeros(count, *images.shape[1:])}

    def begin(self, at: Slots) -> tuple[Tensor, Tensor, State]:
        """First points, evaluation numbers and state of slots that take a pair."""
        start = at.clean
        if self.noise.tables:
            moved = (at.clean + norms.per_image(at.epsilon) * self.noise.at(at)).clamp(0, 1)
            start = torch.where(norms.per_image(self.random[at.threat]), moved, start)
        nothing = torch.zeros_like(start)
        points, momentum = self._moved(at, start, nothing, self.clean_gradient[at.image])
        known = self.known[at.threat]
        wide = norms.per_image(known)
        return torch.where(wide, points, start), known.long(), {"momentum": torch.where(wide, momentum, nothing)}

    def advance(self, at: Slots, state: State, seen: Seen) -> tuple[Tensor, State]:
        """Next points and state."""
        points, momentum = self._moved(at, seen.points, state["momentum"], seen.gradient)
        return points, {"momentum": momentum}

    def _moved(self, at: Slots, points: Tensor, momentum: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        decayed = unit_mean(gradient) + norms.per_image(self.decay[at.threat]) * momentum
        gradient = torch.where(norms.per_image(self.decays[at.threat]), decayed, gradient)
        size = norms.per_image(self.alpha[at.threat] + self.share[at.threat] * at.epsilon)
        target = points + size * norms.direction(self.norm, gradient)
        return norms.project(self.norm, at.clean, target, at.epsilon), decayed


class AutoPgd:
    """Auto-PGD."""

    uses_gradient, exact, leaves = True, False, True

    def __init__(self, threats: Sequence[Threat], images: Tensor) -> None:
        self.threats, self.norm, self.loss = threats, threats[0].norm, LOSSES[threats[0].loss]
        self.runs, self.chances = [threat.restarts for threat in threats], [0] * len(threats)
        self.steps = torch.tensor([threat.steps for threat in threats], device=images.device)
        longest = max(threat.steps for threat in threats)
        windows = torch.zeros(len(threats), longest + 1, dtype=images.dtype)
        for place, threat in enumerate(threats):
            for step, window in checkpoints(threat.steps):
                windows[place, step] = window
        self.windows = windows.to(images.device)  # by threat and evaluation; zero: no checkpoint
        self.noise = Noise(threats, self.runs, images)

    def load(self, chunk: Chunk, names: Names) -> None:
        """Take over a chunk's noise."""
        self.noise.load(chunk, names)

    def state(self, count: int, images: Tensor) -> State:
        """What each slot remembers."""
        maps = {name: images.new_zeros(count, *images.shape[1:]) for name in ("before", "best", "best_gradient")}
        rows = {name: images.new_zeros(count) for name in ("best_loss", "checked", "last", "rises", "step")}
        return {**maps, **rows, "halved": torch.zeros(count, dtype=torch.bool, device=images.device)}

    def begin(self, at: Slots) -> tuple[Tensor, Tensor, State]:
        """A start on the surface of the ball."""
        unit = self.noise.at(at)
        unit = unit / norms.per_image(norms.distance(self.norm, unit))
        points = (at.clean + norms.per_image(at.epsilon) * unit).clamp(0, 1)
        nothing, empty = torch.zeros_like(at.epsilon), torch.zeros_like(points)
        state = {
            "before": points, "best": points, "best_gradient": empty, "best_loss": nothing, "checked": nothing,
            "last": nothing, "rises": nothing, "step": 2 * at.epsilon, "halved": torch.ones_like(at.image, dtype=torch.bool),
        }  # fmt: skip
        return points, torch.zeros_like(at.step), state

    def advance(self, at: Slots, state: State, seen: Seen) -> tuple[Tensor, State]:
        """Remember the best point, at checkpoints halve the step and go back to it, and move with momentum."""
        first, second = at.step == 0, at.step == 1
        better = first | (seen.loss > state["best_loss"])
        wide = norms.per_image(better)
        best, best_gradient = (
            torch.where(wide, seen.points, state["best"]),
            torch.where(wide, seen.gradient, state["best_gradient"]),
        )
        best_loss = torch.where(better, seen.loss, state["best_loss"])
        checked = torch.where(first, seen.loss, state["checked"])
        rose = second | (seen.loss > state["last"])
        rises = torch.where(first, 0, state["rises"] + rose)
        window = self.windows[at.threat, at.step.clamp(max=self.windows.shape[1] - 1)]
        here = (window > 0) & ~first
        halve = here & ((rises <= window * RISING_SHARE) | (~state["halved"] & (checked >= best_loss)))
        size = torch.where(halve, state["step"] / 2, state["step"])
        points = torch.where(norms.per_image(halve), best, seen.points)
        gradient = torch.where(norms.per_image(halve), best_gradient, seen.gradient)
        share = norms.per_image(torch.where(first, 1.0, MOMENTUM).to(points.dtype))
        target = norms.project(
            self.norm, at.clean, points + norms.per_image(size) * norms.direction(self.norm, gradient), at.epsilon
        )
        mixed = points + share * (target - points) + (1 - share) * (points - state["before"])
        return norms.project(self.norm, at.clean, mixed, at.epsilon), {
            "before": points, "best": best, "best_gradient": best_gradient, "best_loss": best_loss,
            "checked": torch.where(here, best_loss, checked), "last": seen.loss, "rises": torch.where(here, 0, rises),
            "step": size, "halved": torch.where(here, halve, state["halved"]),
        }  # fmt: skip


class Square:
    """Square attack: predictions alone."""

    uses_gradient, exact, leaves = False, True, True

    def __init__(self, threats: Sequence[Threat], images: Tensor) -> None:
        self.threats, self.norm, self.loss = threats, threats[0].norm, margin
        self.runs, self.chances = [threat.restarts for threat in threats], [0] * len(threats)
        self.steps = torch.tensor([threat.steps for threat in threats], device=images.device)
        _, channels, self.height, self.width = images.shape
        longest, tables = max(threat.steps for threat in threats), sum(self.runs)
        self.first = first_table(self.runs, images.device)
        self.stripes = images.new_zeros(tables, len(images), channels, 1, self.width)
        self.corners = torch.zeros(tables, longest + 1, 3, dtype=torch.long, device=images.device)  # top, left, side
        self.signs = images.new_zeros(tables, longest + 1, channels)
        self.rows, self.columns = (torch.arange(size, device=images.device) for size in images.shape[2:])

    def load(self, chunk: Chunk, names: Names) -> None:
        """Draw a chunk's stripes and squares, in the order of `methods.square`."""
        table, (channels, height, width) = 0, chunk.images.shape[1:]
        for name, threat in zip(names, self.threats, strict=True):
            for restart in range(threat.restarts):
                generator = chunk.draws[name].generator("square", restart)
                self.stripes[table, : len(chunk.images)].copy_(
                    _signs((len(chunk.images), channels, 1, width), generator)
                )
                corners, signs = [], []
                for query in range(threat.steps):
                    side = side_of(query, threat.steps, height, width)
                    top, left = (
                        int(torch.randint(0, size - side, (), generator=generator)) for size in (height, width)
                    )
                    corners.append((top, left, side))
                    signs.append(_signs((channels, 1, 1), generator).flatten())
                self.corners[table, : threat.steps].copy_(torch.tensor(corners))
                self.signs[table, : threat.steps].copy_(torch.stack(signs))
                table += 1

    def state(self, count: int, images: Tensor) -> State:
        """What each slot remembers."""
        return {"best": images.new_zeros(count, *images.shape[1:]), "gap": images.new_zeros(count)}

    def begin(self, at: Slots) -> tuple[Tensor, Tensor, State]:
        """Vertical stripes."""
        stripes = self.stripes[self.first[at.threat] + at.run, at.image]
        points = norms.project(self.norm, at.clean, at.clean + norms.per_image(at.epsilon) * stripes, at.epsilon)
        return points, torch.zeros_like(at.step), {"best": points, "gap": torch.full_like(at.epsilon, -torch.inf)}

    def advance(self, at: Slots, state: State, seen: Seen) -> tuple[Tensor, State]:
        """Keep what helped and try the next square."""
        better = (at.step == 0) | (seen.margin > state["gap"])
        best = torch.where(norms.per_image(better), seen.points, state["best"])
        gap = torch.where(better, seen.margin, state["gap"])
        table, query = self.first[at.threat] + at.run, at.step.clamp(max=self.corners.shape[1] - 1)
        top, left, side = self.corners[table, query].unbind(1)
        inside = _within(self.rows, top, side)[:, None, :, None] & _within(self.columns, left, side)[:, None, None, :]
        patch = self.signs[table, query][:, :, None, None] * inside
        points = norms.project(self.norm, at.clean, best + 2 * norms.per_image(at.epsilon) * patch, at.epsilon)
        return points, {"best": best, "gap": gap}


class MinimumNorm:
    """The fast minimum-norm attack. Its points follow the decision boundary, so the model itself gives its gradients."""

    uses_gradient, exact, leaves = True, True, False

    def __init__(self, threats: Sequence[Threat], images: Tensor) -> None:
        self.threats, self.norm, self.loss = threats, threats[0].norm, margin
        self.runs, self.chances = [1] * len(threats), [0] * len(threats)
        self.steps = torch.tensor([threat.steps for threat in threats], device=images.device)
        longest = max(threat.steps for threat in threats)
        ends = ((FIRST_SHRINK, LAST_SHRINK), (FIRST_STEP, LAST_STEP))
        curves = [
            [[cosine(*pair, min(step / threat.steps, 1.0)) for step in range(longest + 1)] for threat in threats]
            for pair in ends
        ]
        self.shrinks, self.lengths = torch.tensor(curves, dtype=images.dtype, device=images.device)

    def load(self, chunk: Chunk, names: Names) -> None:
        """Nothing is drawn."""

    def state(self, count: int, images: Tensor) -> State:
        """What each slot remembers."""
        return {"radius": images.new_zeros(count), "found": torch.zeros(count, dtype=torch.bool, device=images.device)}

    def begin(self, at: Slots) -> tuple[Tensor, Tensor, State]:
        """The clean image and the whole ball."""
        return (
            at.clean,
            torch.zeros_like(at.step),
            {"radius": at.epsilon, "found": torch.zeros_like(at.image, dtype=torch.bool)},
        )

    def advance(self, at: Slots, state: State, seen: Seen) -> tuple[Tensor, State]:
        """Shrink the ball around a broken image, else let it grow, and step in it."""
        step = at.step.clamp(max=self.shrinks.shape[1] - 1)
        shrink, share = self.shrinks[at.threat, step], self.lengths[at.threat, step]
        length = norms.distance(self.norm, seen.points - at.clean)
        broken = seen.margin > 0
        found = state["found"] | broken
        radius = state["radius"]
        estimate = length + -seen.margin / dual_length(self.norm, seen.gradient)
        grown = torch.where(found, radius * (1 + shrink), torch.minimum(estimate * (1 + shrink), at.epsilon))
        radius = torch.where(broken, torch.minimum(radius, length) * (1 - shrink), grown).minimum(at.epsilon)
        target = seen.points + norms.per_image(radius * share) * norms.direction(self.norm, seen.gradient)
        return norms.project(self.norm, at.clean, target, radius), {"radius": radius, "found": found}


class Noise:
    """Unit noise [R, N, C, H, W] of every random start: one table for each threat and run."""

    def __init__(self, threats: Sequence[Threat], runs: Sequence[int], images: Tensor) -> None:
        self.threats, self.norm = threats, threats[0].norm
        self.runs = [count if threat.random_start else 0 for count, threat in zip(runs, threats, strict=True)]
        self.tables = sum(self.runs)
        self.first = first_table(self.runs, images.device)
        self.values = images.new_zeros(self.tables, *images.shape)

    def load(self, chunk: Chunk, names: Names) -> None:
        """Draw a chunk's noise."""
        table = 0
        for name, runs in zip(names, self.runs, strict=True):
            for run in range(runs):
                self.values[table, : len(chunk.images)].copy_(chunk.draws[name].unit(self.norm, run))
                table += 1

    def at(self, slots: Slots) -> Tensor:
        """The noise of each slot [S, C, H, W]; of threats without a random start that of another, not to be used."""
        return self.values[(self.first[slots.threat] + slots.run).clamp(max=self.tables - 1), slots.image]


def first_table(counts: Sequence[int], device: torch.device) -> Tensor:
    """Where each threat's tables begin: int64 [T]."""
    return torch.tensor([sum(counts[:place]) for place in range(len(counts))], device=device)


SlotMethod = GradientSteps | AutoPgd | Square | MinimumNorm
METHODS: dict[Callable[..., Any], type[SlotMethod]] = {
    gradient_steps: GradientSteps,
    apgd: AutoPgd,
    square: Square,
    minimum_norm: MinimumNorm,
}


def _within(places: Tensor, first: Tensor, length: Tensor) -> Tensor:
    return (places >= first[:, None]) & (places < (first + length)[:, None])


def _signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, shape, generator=generator) * 2.0 - 1.0
