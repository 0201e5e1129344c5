"""The batched search: slots that hold one pair each are evaluated, judged, moved on and refilled in turns of fixed shape.

A turn never waits for the device, so that on a GPU it is one CUDA graph. The host reads how many slots are busy from a copy that was sent
some turns earlier, while the device works on. Every break is predicted again by the model itself, directly, at the end.
"""

# S slots, P pairs, N images of a chunk, T threats of the group, K logits.

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sweep.attacks import criteria, norms
from sweep.attacks.batched.methods import Seen, SlotMethod, Slots, State
from sweep.attacks.batched.pairs import Pairs, first_true, ranks
from sweep.attacks.network import Gradient, Network, gradient_of
from sweep.attacks.referee import NEAR, ROUNDING
from sweep.core.capture import Recorder, Replay, Saved
from sweep.core.errors import first_line

CHECKED_TURNS = 3
# Largest accepted differences of replayed turns: of logits, as a share of the largest; of gradients, as a share of their sum; of the points,
# as a share of the way that they moved, since a sign may turn where a gradient is near zero.
TOLERANCE = {False: (1e-3, 1e-2, 0.1), True: (5e-2, 0.2, 0.4)}  # by whether the search is in bfloat16
SAME = (
    0.9  # least share of slots that hold the same pair at the same step after them, and of images with the same verdict
)
VERIFIED_SHARE = 4  # one in so many slots can be verified by the model in one turn; others wait
TURNS_BETWEEN_LOOKS, LOOKS_AHEAD = 2, 2


@dataclass
class Tables:
    """What the turns of every batch size read and write: results by threat and image, and which pairs have run."""

    images: Tensor
    labels: Tensor
    clean_margin: Tensor  # float64 [N]
    allowed: Tensor  # bool [P]: of an image of this chunk that is predicted right
    started: Tensor  # bool [P]
    finished: Tensor  # runs done, by threat, epsilon and image
    near: Tensor  # whether the last of them was a near miss
    nearest: Tensor  # float64 [T * N + 1]; the last entry of these takes what does not count
    closest: Tensor  # float64 [N], by any threat, those of other groups too
    examples: Tensor
    flags: Tensor  # int32 [4, T * N + 1]: asked, with_gradient, non_finite, moved
    passes: Tensor  # int64 [T]: evaluations
    verified: Tensor  # int64 [T]

    @classmethod
    def empty(cls, images: Tensor, labels: Tensor, threats: int, levels: int, pairs: int) -> Tables:
        """For chunks of up to as many images as these."""
        count, device = len(images), images.device
        rows = threats * count + 1
        far = torch.full((rows,), torch.inf, dtype=torch.float64, device=device)
        runs = torch.zeros(threats * levels * count + 1, dtype=torch.long, device=device)
        no = torch.zeros(pairs, dtype=torch.bool, device=device)
        each = torch.zeros(threats, dtype=torch.long, device=device)
        return cls(
            torch.zeros_like(images), torch.zeros_like(labels), far[:count].clone(), no, no.clone(), runs, runs.bool(), far,
            far[:count].clone(), images.new_zeros(rows, *images.shape[1:]),
            torch.zeros(4, rows, dtype=torch.int32, device=device), each, each.clone(),
        )  # fmt: skip

    def clear(self) -> None:
        """As before the first pair."""
        for table in (self.started, self.finished, self.near, self.flags, self.passes, self.verified):
            table.zero_()
        for table in (self.nearest, self.closest):
            table.fill_(torch.inf)

    def tensors(self) -> list[Tensor]:
        """Those that a turn changes."""
        return [
            self.started, self.finished, self.near, self.nearest, self.closest, self.examples, self.flags, self.passes,
            self.verified,
        ]  # fmt: skip


class Lane:
    """`count` slots: their pairs, evaluation numbers, points and the state of the method; runs turns."""

    def __init__(self, engine: Engine, count: int) -> None:
        images = engine.tables.images
        self.engine, self.count = engine, count
        self.pair = torch.full((count,), len(engine.pairs), dtype=torch.long, device=images.device)
        self.step = torch.zeros_like(self.pair)
        self.points = images.new_zeros(count, *images.shape[1:])
        self.state: State = engine.method.state(count, images)
        self.busy = torch.zeros((), dtype=torch.long, device=images.device)
        self.logits = images.new_zeros(count, engine.classes)
        self.gradient = torch.zeros_like(self.points)
        self._replay: Replay | None = None
        self._checked = engine.recorder is None

    def tensors(self) -> list[Tensor]:
        """Everything that a turn changes here."""
        return [self.pair, self.step, self.points, self.busy, self.logits, self.gradient, *self.state.values()]

    def turn(self) -> None:
        """One turn, recorded where that can be."""
        if not self._checked:
            self._checked = True
            self._record()
        self._work() if self._replay is None else self._replay()

    def _work(self) -> None:
        engine, tables = self.engine, self.engine.tables
        held = engine.pairs.at(self.pair)
        key, busy = held.threat * len(tables.images) + held.image, self.pair < len(engine.pairs)
        at = Slots(tables.images[held.image], held.image, held.threat, held.run, held.epsilon, self.step)
        labels, last = tables.labels[held.image], self.step >= engine.method.steps[held.threat]
        answer, settled = engine.ask(self.points, labels, busy, last, held.threat)
        self.logits.copy_(answer.logits)
        self.gradient.copy_(answer.gradient)
        margin = criteria.margin(answer.logits, labels)
        engine.note(key, held.image, at.clean, self.points, busy & settled & ~criteria.is_right(answer.logits, labels))
        engine.flag(key, busy, at.clean, self.points, answer)
        tables.passes.index_add_(0, held.threat, busy.long())
        over = busy & settled & (last | ~engine.stands(key, held.image, held.epsilon))
        moving = busy & settled & ~over
        self._merge(
            moving, *self.engine.method.advance(at, self.state, Seen(self.points, margin, answer.loss, answer.gradient))
        )
        self.step.add_(moving.long())
        engine.finish(held, over, margin.double() > NEAR * tables.clean_margin[held.image])
        self._refill(over | ~busy)

    def fill(self) -> None:
        """Take the first pairs."""
        self._refill(self.pair >= len(self.engine.pairs))

    def _refill(self, idle: Tensor) -> None:
        engine, tables = self.engine, self.engine.tables
        eligible = engine.eligible()
        taken = first_true(eligible, self.count, len(engine.pairs))
        new = torch.where(idle, taken[ranks(idle)], self.pair)
        tables.started |= eligible & (ranks(eligible) < idle.sum())
        fresh = idle & (new < len(engine.pairs))
        held = engine.pairs.at(new)
        at = Slots(
            tables.images[held.image], held.image, held.threat, held.run, held.epsilon, torch.zeros_like(self.step)
        )
        points, step, state = engine.method.begin(at)
        self._merge(fresh, points, state)
        self.step.copy_(torch.where(fresh, step, self.step))
        self.pair.copy_(new)
        self.busy.copy_((new < len(engine.pairs)).sum())

    def _merge(self, mask: Tensor, points: Tensor, state: State) -> None:
        for old, new in ((self.points, points), *((self.state[name], state[name]) for name in self.state)):
            old.copy_(torch.where(mask.view(-1, *(1,) * (old.ndim - 1)), new, old))

    def take_over(self, other: Lane) -> None:
        """Continue the busy slots of a larger batch; pairs that find no slot here start anew later."""
        none = len(self.engine.pairs)
        busy = other.pair < none
        chosen = first_true(busy, self.count, 0)
        filled = torch.arange(self.count, device=busy.device) < busy.sum()
        self.pair.copy_(torch.where(filled, other.pair[chosen], none))
        for mine, theirs in ((self.step, other.step), (self.points, other.points)):
            mine.copy_(theirs[chosen])
        for name, value in self.state.items():
            value.copy_(other.state[name][chosen])
        left = torch.where(busy & (ranks(busy) >= self.count), other.pair, none)
        again = torch.zeros(none + 1, dtype=torch.bool, device=busy.device).scatter_(0, left, True)
        self.engine.tables.started &= ~again[:none]
        self.busy.copy_((self.pair < none).sum())

    def _record(self) -> None:
        """Record a turn, unless the check of its first replays against direct turns fails; nothing is changed."""
        recorder = self.engine.recorder
        assert recorder is not None
        tables = self.engine.tables
        before = Saved([*self.tensors(), *tables.tensors(), tables.labels], [], torch.Generator(), self.pair.device)
        try:
            direct = self._checked_turns(before, lambda: recorder.warm_up(self._work))
            before.restore()
            replay = recorder.record(self._work)
            problem = self._difference(direct, self._checked_turns(before, replay))
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, IndexError) as error:
            problem = f"capture failed ({first_line(error)})"
        finally:
            before.restore()
        if problem is None:
            self._replay = replay
            return
        self.engine.recorder = None
        warnings.warn(f"attack steps run without a CUDA graph: {problem}", RuntimeWarning, stacklevel=2)

    def _checked_turns(self, before: Saved, run: Callable[[], None]) -> dict[str, Tensor]:
        """Some turns in which every other image counts as broken, so that verdicts and refills are checked too."""
        before.restore()
        labels = self.engine.tables.labels
        labels[::2] = (labels[::2] + 1) % self.engine.classes if labels.ndim == 1 else 1 - labels[::2]
        start = self.points.clone()
        for _ in range(CHECKED_TURNS):
            run()
        found = {name: getattr(self, name).clone() for name in ("pair", "step", "points", "logits", "gradient")}
        return found | {"moved": self.points - start, "nearest": self.engine.tables.nearest.clone()}

    def _difference(self, direct: dict[str, Tensor], replayed: dict[str, Tensor]) -> str | None:
        same = (direct["pair"] == replayed["pair"]) & (direct["step"] == replayed["step"])
        broken = torch.isfinite(direct["nearest"]) | torch.isfinite(replayed["nearest"])
        agreed = torch.isclose(direct["nearest"], replayed["nearest"])[broken]
        if float(same.double().mean()) < SAME or (len(agreed) and float(agreed.double().mean()) < SAME):
            return "in its check the verdicts differ from those of direct turns"
        sizes = {name: direct[name][same].abs() for name in ("logits", "gradient", "moved")}
        gaps = {name: (direct[name] - replayed[name])[same].abs() for name in ("logits", "gradient", "points")}
        if not len(sizes["logits"]):
            return None
        found = (
            ("logits", gaps["logits"].max() / sizes["logits"].max().clamp(min=1e-6)),
            ("gradients", gaps["gradient"].sum() / sizes["gradient"].sum().clamp(min=1e-12)),
            ("points", gaps["points"].sum() / sizes["moved"].sum().clamp(min=1e-12)),
        )
        for (what, share), most in zip(
            found, TOLERANCE[bool(getattr(self.engine.network, "bfloat16", False))], strict=True
        ):
            if float(share) > most:
                return f"in its check the {what} differ from those of direct turns by a share of {float(share):.1g}"
        return None


class Engine:
    """Searches all pairs of one group of threats, which share method, norm and loss; reused from chunk to chunk."""

    def __init__(
        self, network: Network, method: SlotMethod, pairs: Pairs, tables: Tables, batches: Sequence[int], classes: int,
        recorder: Recorder | None, together: bool,
    ) -> None:  # fmt: skip
        self.network, self.method, self.pairs, self.tables = network, method, pairs, tables
        self.classes, self.recorder, self.together = classes, recorder, together
        self.levels = int(pairs.level.max()) + 1
        # A search with the model itself needs no verification.
        self.verifies = method.uses_gradient and not method.exact and network.verifies
        most = next((count for count in sorted(batches) if count >= len(pairs)), max(batches))
        self.batches = sorted((count for count in batches if count <= most), reverse=True)
        self.lanes: dict[int, Lane] = {}

    def run(self) -> None:
        """Turns until no slot is busy and no pair is left."""
        place = self._first_lane()
        looks: deque[Look] = deque()
        while True:
            lane = self.lanes[self.batches[place]]
            for _ in range(TURNS_BETWEEN_LOOKS):
                lane.turn()
            looks.append(Look(lane.busy))
            if len(looks) <= LOOKS_AHEAD and lane.busy.is_cuda:
                continue
            busy = looks.popleft().value()
            if busy == 0:
                return
            if place + 1 < len(self.batches) and busy <= self.batches[place + 1]:
                place += 1
                self._lane(place).take_over(lane)
                looks.clear()

    def _first_lane(self) -> int:
        """The largest batch that fits into memory, filled."""
        for place, count in enumerate(self.batches):
            try:
                lane = self._lane(place)
                lane.pair.fill_(len(self.pairs))
                lane.fill()
                if self.recorder is not None and not lane._checked:
                    lane.turn()
            except torch.OutOfMemoryError:
                self.lanes.pop(count, None)
                self.tables.started.zero_()
                if place + 1 == len(self.batches):
                    raise
                torch.cuda.empty_cache()
            else:
                return place
        raise AssertionError("no batch size")

    def _lane(self, place: int) -> Lane:
        count = self.batches[place]
        if count not in self.lanes:
            self.lanes[count] = Lane(self, count)
        return self.lanes[count]

    def ask(
        self, points: Tensor, labels: Tensor, busy: Tensor, last: Tensor, threat: Tensor
    ) -> tuple[Gradient, Tensor]:
        """Logits, loss and gradient at the points, and which predictions are settled [S]: the model's own, or beyond doubt."""
        if not self.method.uses_gradient:
            with torch.no_grad():
                logits = self.network.model(points)
            return Gradient(logits, logits[:, 0], points, torch.ones_like(busy)), torch.ones_like(busy)
        if not self.verifies:
            loss, settled = self.method.loss, torch.ones_like(busy)
            if self.method.exact:
                return gradient_of(self.network.model, points, labels, loss), settled
            return self.network.search_gradient(points, labels, loss), settled
        answer = self.network.search_gradient(points, labels, self.method.loss)
        doubtful = self.network.doubtful(answer.logits, labels)
        claims = busy & (doubtful if self.network.exact else doubtful | last)
        most = max(1, len(points) // VERIFIED_SHARE)
        chosen = first_true(claims, most, 0)
        with torch.no_grad():
            verdicts = self.network.model(points[chosen])
        verified = claims & (ranks(claims) < most)
        logits = torch.where(verified[:, None], verdicts[ranks(claims).clamp(max=most - 1)], answer.logits)
        self.tables.verified.index_add_(0, threat, verified.long())
        return answer._replace(logits=logits), verified | ~claims

    def note(self, key: Tensor, image: Tensor, clean: Tensor, points: Tensor, broken: Tensor) -> None:
        """Record the distance of the broken points that lie within [0, 1], as `Referee.note`."""
        tables, scrap = self.tables, len(self.tables.nearest) - 1
        flat = points.flatten(1)
        inside = (flat.amin(dim=1) >= -ROUNDING) & (flat.amax(dim=1) <= 1 + ROUNDING)
        length = norms.distance(self.method.norm, points - clean).double()
        counts = broken & inside
        length = torch.where(counts, length, torch.inf)
        before = tables.nearest[key]
        tables.nearest.scatter_reduce_(0, torch.where(counts, key, scrap), length, "amin")
        tables.closest.scatter_reduce_(0, image, length, "amin")
        best = counts & (length < before) & (length == tables.nearest[key])
        tables.examples.index_copy_(0, torch.where(best, key, scrap), points)

    def flag(self, key: Tensor, busy: Tensor, clean: Tensor, points: Tensor, answer: Gradient) -> None:
        """Record for the alarms what the gradients were worth and whether a point moved."""
        gradient = torch.full_like(busy, self.method.uses_gradient)
        found = torch.stack([
            gradient, gradient & answer.gradient.flatten(1).any(dim=1), gradient & ~answer.finite,
            (points != clean).flatten(1).any(dim=1),
        ])  # fmt: skip
        places = torch.where(busy, key, len(self.tables.nearest) - 1).expand(len(found), -1)
        self.tables.flags.scatter_reduce_(1, places, found.int(), "amax")

    def stands(self, key: Tensor, image: Tensor, epsilon: Tensor) -> Tensor:
        """Which pairs are worth another step: not broken within their epsilon."""
        if not self.method.leaves:
            return torch.ones_like(key, dtype=torch.bool)
        distance = self.tables.closest[image] if self.together else self.tables.nearest[key]
        return distance > epsilon + ROUNDING

    def finish(self, held: Pairs, over: Tensor, near: Tensor) -> None:
        """Count the runs that are over; `near`: they ended as near misses."""
        place = self.place(held)
        self.tables.finished.index_add_(0, torch.where(over, place, len(self.tables.finished) - 1), over.long())
        self.tables.near.scatter_(0, torch.where(over, place, len(self.tables.near) - 1), near)

    def eligible(self) -> Tensor:
        """Pairs [P] that may start: those whose earlier runs are over, whose image stands, and of the chances those of near misses."""
        tables, pairs = self.tables, self.pairs
        place = self.place(pairs)
        ready = (pairs.run == tables.finished[place]) & (~pairs.chance | tables.near[place])
        ready &= self.stands(pairs.threat * len(tables.images) + pairs.image, pairs.image, pairs.epsilon)
        return ready[:-1] & tables.allowed & ~tables.started

    def place(self, pairs: Pairs) -> Tensor:
        """Where `finished` and `near` hold each pair."""
        return (pairs.threat * self.levels + pairs.level) * len(self.tables.images) + pairs.image


class Look:
    """A number on its way from the device; `value` waits for it, while later turns keep the device at work."""

    def __init__(self, number: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        if not number.is_cuda:
            self._number = number.clone()
            return
        self._number = torch.empty((), dtype=number.dtype, pin_memory=True)
        self._number.copy_(number, non_blocking=True)
        self._event = torch.cuda.Event()
        self._event.record()

    def value(self) -> int:
        """The number."""
        if self._event is not None:
            self._event.synchronize()
        return int(self._number)
