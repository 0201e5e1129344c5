"""model, images, threats, epsilons -> the smallest epsilon that breaks each image, in one run instead of one per epsilon.

    result = epsilon_sweep(model, images, labels, ["fgsm", "pgd20"], ["1/255", "2/255"])
    result.robust_accuracy("pgd20", "2/255"), result.worst_case("2/255"), result.passes

Only what still stands is attacked: clean mistakes never, an image broken at a smaller epsilon no more, and an image leaves
with the first point that breaks it. Points that several threats ask for (the clean image, the first steps) are asked once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from sweep.attacks import checks, criteria
from sweep.attacks.draws import Draws
from sweep.attacks.epsilon import parse_grid
from sweep.attacks.network import Network, Passes, device_of, frozen
from sweep.attacks.referee import ROUNDING, Memory, Referee
from sweep.attacks.result import EpsilonSweep
from sweep.attacks.threat import Threat
from sweep.attacks.threats import resolve_threats
from sweep.core.errors import InputError, suggestion

Model = nn.Module | Callable[[Tensor], Tensor]
MODES = {"exact": Network}
CHUNK_BATCHES = 2  # images whose answers are remembered together, in batches: bounds memory, still fills batches


def epsilon_sweep(
    model: Model,
    images: Tensor,
    labels: Tensor,
    threats: Iterable[str | Threat] | Mapping[str, str | Threat],
    epsilons: Iterable[str | float],
    *,
    seed: int = 0,
    batch_size: int = 64,
    mode: str = "exact",
    worst_only: bool = False,
) -> EpsilonSweep:
    """Attack `images` [N, C, H, W] in [0, 1] with every threat at every epsilon; the model returns logits [N, K].

    `labels` are class numbers [N], or 0/1 [N, K] for multi-label, where an image stands while all its labels are right.
    Epsilons are in the norm of the threat (grey values 0..1 for Linf). `worst_only` attacks what every threat so far has
    left standing, so only `worst_case` is defined afterwards. InputError for input that cannot be attacked meaningfully.
    """
    rows, grid = resolve_threats(threats), parse_grid(epsilons)
    checks.check_images(images)
    checks.check_labels(labels, len(images))
    device = device_of(model)
    network = _network(model, mode)
    chunk = batch_size * CHUNK_BATCHES
    with ExitStack() as stack:
        stack.enter_context(frozen(model))
        parts = [
            _Chunk(network, images[start : start + chunk].to(device), labels[start : start + chunk].to(device), batch_size)
            .attack(rows, grid, seed, start, worst_only)
            for start in range(0, len(images), chunk)
        ]
    return _joined(parts, rows, grid, labels, network.passes, worst_only)


class _Chunk:
    """Some images, what is remembered about them, and one referee per threat."""

    def __init__(self, network: Network, images: Tensor, labels: Tensor, batch_size: int) -> None:
        self.network, self.images, self.labels, self.batch_size = network, images, labels, batch_size
        self.memory = Memory()
        self.referees: dict[str, Referee] = {}
        self.passes: dict[str, Passes] = {}

    def attack(self, threats: dict[str, Threat], grid: tuple[float, ...], seed: int, start: int, worst_only: bool) -> _Chunk:
        self.look_clean(any(threat.asks_clean_gradient for threat in threats.values()))
        draws = {name: Draws(self.images, seed, threat.name, start) for name, threat in threats.items()}
        for name, threat in threats.items():
            self.referees[name] = Referee(self.network, self.images, self.labels, threat.norm, self.memory)
            self.passes[name] = Passes()
        for epsilon in (e for e in grid if e > 0):
            for name in _order(threats, worst_only):
                rows = self.standing(epsilon, self.referees.values() if worst_only else [self.referees[name]])
                self.run(threats[name], name, rows, epsilon, draws[name])
        return self

    def look_clean(self, with_gradient: bool) -> None:
        """The clean prediction; its gradient comes along where a threat starts from it, as it is the same forward pass."""
        count = len(self.images)
        everyone = torch.arange(count, device=self.images.device)
        answers = []
        for rows in everyone.split(self.batch_size):
            if with_gradient:
                answers.append(self.network.gradient(self.images[rows], self.labels[rows], _checked_cross_entropy))
            else:
                answers.append((self.network.forward(self.images[rows]),))
                checks.check_logits(answers[-1][0], self.labels[rows])
        answer = tuple(torch.cat(part) for part in zip(*answers, strict=True))
        if with_gradient:
            self.memory.store(count, everyone, self.images, answer)
        self.logits = answer[0]
        self.right = criteria.is_right(self.logits, self.labels)

    def standing(self, epsilon: float, referees: Iterable[Referee]) -> Tensor:
        """Rows predicted right when clean and not yet seen broken within `epsilon` by any of `referees`."""
        stands = self.right.clone()
        for referee in referees:
            stands &= referee.nearest > epsilon + ROUNDING
        return stands.nonzero().squeeze(1)

    def run(self, threat: Threat, name: str, rows: Tensor, epsilon: float, draws: Draws) -> None:
        before = self.network.passes.copy()
        for batch in rows.split(self.batch_size):
            if len(batch):
                radius = self.images.new_full((len(batch),), epsilon)
                threat.search(self.referees[name], batch, radius, threat, draws)
        self.passes[name] += self.network.passes - before


def _network(model: Model, mode: str) -> Network:
    if mode not in MODES:
        raise InputError("mode", f"{mode!r} is unknown", suggestion(mode, MODES))
    return MODES[mode](model)


def _checked_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    checks.check_logits(logits, labels)
    return criteria.cross_entropy(logits, labels)


def _order(threats: dict[str, Threat], worst_only: bool) -> list[str]:
    """Cheapest first where one break is enough; else many steps first, whose early points answer the one-step threats."""
    return sorted(threats, key=lambda name: threats[name].steps * threats[name].restarts, reverse=not worst_only)


def _joined(
    parts: list[_Chunk], threats: dict[str, Threat], grid: tuple[float, ...], labels: Tensor, passes: Passes, worst_only: bool
) -> EpsilonSweep:
    right = torch.cat([part.right for part in parts]).cpu()
    nearest = {name: torch.cat([part.referees[name].nearest for part in parts]).cpu() for name in threats}
    return EpsilonSweep(
        epsilons=grid,
        breaking_epsilon={name: _on_grid(distance, right, grid) for name, distance in nearest.items()},
        distance={name: torch.where(right, distance, 0.0) for name, distance in nearest.items()},
        clean_right=right,
        logits=torch.cat([part.logits for part in parts]).cpu(),
        labels=labels.cpu(),
        passes=passes.copy(),
        passes_by_threat={name: sum((part.passes[name] for part in parts), Passes()) for name in threats},
        norms={name: threat.norm for name, threat in threats.items()},
        worst_only=worst_only,
    )


def _on_grid(nearest: Tensor, right: Tensor, grid: tuple[float, ...]) -> Tensor:
    """The smallest epsilon of the grid whose ball holds the breaking point; 0 for clean mistakes, inf beyond the grid."""
    steps = torch.tensor([*grid, torch.inf], dtype=torch.float64)
    found = steps[torch.searchsorted(steps, nearest - ROUNDING)]
    return torch.where(right, found, 0.0)
