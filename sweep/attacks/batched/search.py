"""Which threats are searched as batches of pairs, and what becomes of the result: breaks confirmed by the model, entries of the referees."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from dataclasses import replace

import torch
from torch import Tensor

from sweep.attacks import criteria
from sweep.attacks.attack_options import AttackOptions
from sweep.attacks.batched.engine import Engine, Tables
from sweep.attacks.batched.methods import METHODS, GradientSteps, SlotMethod
from sweep.attacks.batched.pairs import Pairs
from sweep.attacks.chunk import Chunk
from sweep.attacks.network import Network, Passes
from sweep.attacks.threat import Threat
from sweep.core.capture import Recorder, recorder_for
from sweep.core.errors import InputError, suggestion

Schedule = Callable[[Chunk, Collection[str]], None]
PAIRS = ("auto", "on", "off")
LARGE_BATCH = 4  # batch sizes: so many times `batch_size`, and itself once few pairs are left
FAR = 1e-3  # margin, as a share of the largest logit, beyond which a break that is not confirmed is no rounding


def search_for(
    network: Network, threats: dict[str, Threat], epsilons: Tensor, options: AttackOptions, device: torch.device, schedule: Schedule
) -> Callable[[Chunk], None]:  # fmt: skip
    """The search of one chunk: pairs where `options.pairs` says so, `schedule` for all else. InputError for an unknown `pairs`."""
    if options.pairs not in PAIRS:
        raise InputError("pairs", f"{options.pairs!r} is unknown", suggestion(options.pairs, PAIRS))
    wanted = device.type == "cuda" if options.pairs == "auto" else options.pairs == "on"
    if not wanted or not len(epsilons):
        return lambda chunk: schedule(chunk, list(threats))
    recorder = (options.recorder or recorder_for(device)) if options.capture else None
    return BatchedSearch(network, threats, epsilons.tolist(), options, recorder, schedule)


class BatchedSearch:
    """Searches chunk after chunk; tables and recordings are made for the first one, which is the largest."""

    def __init__(
        self, network: Network, threats: dict[str, Threat], epsilons: list[float], options: AttackOptions,
        recorder: Recorder | None, schedule: Schedule,
    ) -> None:  # fmt: skip
        self.network, self.threats, self.epsilons = network, threats, epsilons
        self.options, self.recorder, self.schedule = options, recorder, schedule
        self.groups: dict[tuple, list[str]] = {}
        for name, threat in threats.items():
            if threat.method in METHODS:
                self.groups.setdefault((threat.method, threat.norm, threat.loss), []).append(name)
        batched = {name for names in self.groups.values() for name in names}
        self.rest = [name for name in threats if name not in batched]
        self._engines: dict[tuple, Engine] = {}

    def __call__(self, chunk: Chunk) -> None:
        """Attack a chunk."""
        for group, names in self.groups.items():
            engine = self._engine(group, chunk)
            _load(engine, chunk, names)
            chunk.report_progress(*names)
            engine.run()
            unconfirmed = self._collect(engine, chunk, names)
            if not self.network.exact and isinstance(engine.method, GradientSteps):
                self._second_chance(group, names, engine, chunk)
            for name, rows in unconfirmed.items():
                _attack_again(chunk, name, rows)
        self.schedule(chunk, self.rest)

    def _second_chance(self, group: tuple, names: list[str], first: Engine, chunk: Chunk) -> None:
        """Near misses of a bfloat16 search that have no random start: again with the float32 gradient."""
        pairs, tables = first.pairs, first.tables
        near = tables.near[first.place(pairs)][:-1] & tables.started & ~first.method.random[pairs.threat[:-1]]  # type: ignore[union-attr]
        near &= first.stands(pairs.threat * len(tables.images) + pairs.image, pairs.image, pairs.epsilon)[:-1]
        if not near.any():
            return
        engine = self._engine(group, chunk, exact=True)
        _load(engine, chunk, names)
        # The runs of the first search count as done, so that the last one may begin again here.
        wanted = torch.zeros_like(engine.tables.finished, dtype=torch.bool)
        wanted[engine.place(pairs)[:-1][near]] = True
        engine.tables.allowed &= wanted[engine.place(engine.pairs)][:-1]
        engine.run()
        for name, rows in self._collect(engine, chunk, names).items():
            _attack_again(chunk, name, rows)

    def _engine(self, group: tuple, chunk: Chunk, exact: bool = False) -> Engine:
        if (group, exact) not in self._engines:
            network, threats = self.network, [self.threats[name] for name in self.groups[group]]
            method: SlotMethod
            if exact:
                network, threats = Network(network.model), [replace(threat, restarts=1) for threat in threats]
                method = GradientSteps(threats, chunk.images, second=True)
                method.chances = [0] * len(threats)
            else:
                method = METHODS[group[0]](threats, chunk.images)
            self._engines[group, exact] = self._new_engine(network, method, threats, chunk)
        return self._engines[group, exact]

    def _new_engine(self, network: Network, method: SlotMethod, threats: list[Threat], chunk: Chunk) -> Engine:
        every = list(range(len(self.epsilons)))
        levels = [every[-1:] if threat.once else every for threat in threats]
        pairs = Pairs.of(len(chunk.images), self.epsilons, levels, method.runs, method.chances, chunk.images)
        tables = Tables.empty(chunk.images, chunk.labels, len(threats), len(every), len(pairs))
        batches = (LARGE_BATCH * self.options.batch_size, self.options.batch_size)
        classes = chunk.logits.shape[1]
        return Engine(network, method, pairs, tables, batches, classes, self.recorder, self.options.worst_only)

    def _collect(self, engine: Engine, chunk: Chunk, names: list[str]) -> dict[str, Tensor]:
        """Enter what an engine found; by threat the images whose break the model does not confirm."""
        tables, count, unconfirmed = engine.tables, len(chunk.images), {}
        if engine.recorder is None:
            self.recorder = None  # a capture that failed once is not tried for the next group
        for place, name in enumerate(names):
            here = slice(place * len(tables.images), place * len(tables.images) + count)
            found, examples = tables.nearest[here].clone(), tables.examples[here]
            rows = self._unconfirmed(chunk, found, examples)
            found[rows] = torch.inf
            if len(rows):
                unconfirmed[name] = rows
            referee = chunk.referees[name]
            better = found < referee.nearest
            referee.nearest = torch.where(better, found, referee.nearest)
            if referee.examples is not None:
                referee.examples[better] = examples[better]
            self._flag(engine, chunk, name, place, here)
            self._count(engine, chunk, name, place)
        return unconfirmed

    def _unconfirmed(self, chunk: Chunk, found: Tensor, examples: Tensor) -> Tensor:
        """Images whose nearest breaking point the model, asked directly, predicts right: rounding, or a faulty recording."""
        broken = torch.isfinite(found).nonzero().squeeze(1)
        kept: list[Tensor] = []
        for rows in broken.split(chunk.batch_size):
            if not len(rows):
                break
            self.network.passes.verdict += len(rows)
            with torch.no_grad():
                logits = self.network.model(examples[rows])
            right = criteria.is_right(logits, chunk.labels[rows])
            far = right & (criteria.margin(logits, chunk.labels[rows]) < -FAR * logits.abs().amax(dim=1))
            if far.any():
                warnings.warn(
                    f"{int(far.sum())} breaks of a batched attack are not confirmed by the model; these images are attacked again",
                    RuntimeWarning,
                    stacklevel=2,
                )
            kept.append(rows[right])
        return torch.cat(kept) if kept else broken

    def _flag(self, engine: Engine, chunk: Chunk, name: str, place: int, here: slice) -> None:
        referee, pairs, tables = chunk.referees[name], engine.pairs, engine.tables
        started = tables.started & (pairs.threat[:-1] == place)
        chunk.tried[name][pairs.image[:-1][started], pairs.level[:-1][started]] = True
        asked, with_gradient, non_finite, moved = tables.flags[:, here].bool()
        method = engine.method
        if isinstance(method, GradientSteps) and bool(method.known[place]):
            assert chunk.clean_gradient is not None and chunk.clean_finite is not None
            tried = chunk.tried[name].any(dim=1)
            asked = asked | tried
            with_gradient = with_gradient | (tried & chunk.clean_gradient.flatten(1).any(dim=1))
            non_finite = non_finite | (tried & ~chunk.clean_finite)
        for mine, theirs in zip(
            (referee.asked, referee.with_gradient, referee.non_finite, referee.moved),
            (asked, with_gradient, non_finite, moved),
            strict=True,
        ):
            mine |= theirs

    def _count(self, engine: Engine, chunk: Chunk, name: str, place: int) -> None:
        evaluations, verified = int(engine.tables.passes[place]), int(engine.tables.verified[place])
        spent = Passes(gradient=evaluations, verdict=verified) if engine.method.uses_gradient else Passes(evaluations)
        chunk.passes[name] += spent
        self.network.passes += spent


def _load(engine: Engine, chunk: Chunk, names: list[str]) -> None:
    """Set the tables for a chunk."""
    tables, pairs, count = engine.tables, engine.pairs, len(chunk.images)
    tables.clear()
    tables.images[:count].copy_(chunk.images)
    tables.labels[:count].copy_(chunk.labels)
    tables.clean_margin[:count].copy_(chunk.referees[names[0]].clean_margin)
    right = torch.zeros(len(tables.images), dtype=torch.bool, device=chunk.images.device)
    right[:count] = chunk.right
    tables.allowed.copy_(right[pairs.image[:-1]])
    nearest = [referee.nearest for referee in chunk.referees.values()]
    tables.closest[:count].copy_(torch.stack(nearest).amin(dim=0))
    engine.method.load(chunk, names)


def _attack_again(chunk: Chunk, name: str, rows: Tensor) -> None:
    """One epsilon after the other, as without batches of pairs."""
    levels = range(len(chunk.epsilons))
    for level in levels[-1:] if chunk.threats[name].once else levels:
        left = rows[chunk.broken_at(name)[rows] > level]
        chunk.attempt(name, left, torch.full_like(left, level))
