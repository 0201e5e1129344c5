"""results so far -> the next configuration and seeds to run over all studies of a sweep, what to stop, and which get more seeds.

The state of a campaign is a function of its sweep config and of the results reported to it, in order: replaying the ledger of a killed
sweep (`replay`) restores its state. Every decision that cannot be recomputed is passed to `log` as an event.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweep.core.conditions import Config
from sweep.core.hashing import canonical_json
from sweep.search.candidate import Assignment, Candidate, Rules, Values
from sweep.search.halving import ParetoHalving
from sweep.search.projection import END, projected
from sweep.search.racing import Race, Standing
from sweep.search.sampling import Scalar
from sweep.search.searchers import Searcher, build_searcher, finite

Event = dict[str, Any]


@dataclass
class Study:
    """One cell of the grid: its searcher, its halving, and how many of its draws were asked for."""

    cell: Config
    searcher: Searcher
    halving: ParetoHalving | None
    curves: dict[str, dict[float, list[float]]] = field(
        default_factory=dict
    )  # by signature: sound values at rungs and at the end
    asked: set[int] = field(default_factory=set)


class Campaign:
    """All studies of a sweep. `complete` turns a cell and drawn values into (signature, whole configuration)."""

    def __init__(
        self,
        cells: Sequence[Config],
        known: Config,
        rules: Rules,
        complete: Callable[[Config], tuple[str, dict[str, Scalar]]],
        *,
        epochs_of: Callable[[Config], int] = lambda config: int(config.get("epochs") or 1),
        log: Callable[[Event], Any] = lambda event: None,
    ) -> None:
        self.rules, self.log = rules, log
        self._complete, self._epochs_of = complete, epochs_of
        self._studies = [self._study(number, {**known, **cell}, cell) for number, cell in enumerate(cells)]
        self._number_of = {canonical_json(dict(cell)): number for number, cell in enumerate(cells)}
        self._groups = (
            [[number] for number in range(len(cells))]
            if rules.draws > 1 and rules.search
            else [list(range(len(cells)))]
        )
        self._dropped: dict[str, Event] = {}  # by signature: the ledger's verdict that a configuration left the race
        self._replayed: dict[str, set[int]] = {}  # by signature: seeds that the ledger holds results of
        self._raced: set[str] = set()  # verdicts of the race that the ledger holds already
        self._prior: dict[str, dict[int, Values]] = {}  # results of configurations that were not asked for yet
        self._least_asked = [(0, number) for number in range(len(cells))]  # a heap
        self._queue: dict[str, None] = {}  # signatures with seeds to hand out, in order
        self.candidates: dict[str, Candidate] = {}
        # As far as can be known: draws of a known configuration, races and stops correct it.
        configurations = len(cells) * rules.draws if rules.search else len({complete(cell)[0] for cell in cells})
        self.expected_records = configurations * rules.seeds

    def _study(self, number: int, known: Config, cell: Config) -> Study:
        rules = self.rules
        searcher = build_searcher(rules.algorithm, rules.search, rules.goals, known=known, seed=rules.seed)
        return Study(cell, searcher, rules.halving() if rules.halving and self._draws > 1 else None)

    @property
    def _draws(self) -> int:
        return self.rules.draws if self.rules.search else 1

    @property
    def finished(self) -> bool:
        """Whether nothing is left to run or to wait for."""
        return self._all_asked(range(len(self._studies))) and not any(one.is_open for one in self.candidates.values())

    def next_job(self) -> Assignment | None:
        """What to run next; None when everything waits for results, or is done."""
        while self._queue:
            candidate = self.candidates[next(iter(self._queue))]
            if candidate.pending:
                return self._hand_out(candidate)
            del self._queue[candidate.signature]
        return self._draw()

    def has_work(self) -> bool:
        """Whether something is left to run; settles on the way what earlier records answer."""
        job = self.next_job()
        if job is not None:
            self.give_back(job.signature, job.seeds)
        return job is not None

    def report(self, signature: str, seed: int, epoch: int, metrics: Mapping[str, float | None]) -> str | None:
        """Take an epoch's metrics; returns why the configuration should be stopped, or None. Only its first seed is judged."""
        candidate = self.candidates.get(signature)
        halving = self._studies[candidate.study].halving if candidate else None
        if (
            candidate is None
            or halving is None
            or candidate.ended
            or seed != 0
            or epoch >= self._epochs_of(candidate.config)
            or not all(name in metrics for name in self.rules.metrics)
        ):
            return None
        values = self.values(metrics)
        if (rung := halving.rung_of(epoch)) is not None:
            self._note_curve(candidate, rung, values)
        verdict = halving.decide(signature, epoch, values[: self.rules.judged])
        return halving.reasons[signature] if verdict == "stop" else None

    def _note_curve(self, candidate: Candidate, place: float, values: Values) -> None:
        sound = finite(values, len(self.rules.goals))
        if sound is not None:
            self._studies[candidate.study].curves.setdefault(candidate.signature, {}).setdefault(place, sound)

    def _projection(self, candidate: Candidate, values: Values) -> Values:
        curves, sound = self._studies[candidate.study].curves, finite(values, len(self.rules.goals))
        own = curves.get(candidate.signature)
        if sound is None or not own:
            return None
        return projected(sound, max(own), [curve for name, curve in curves.items() if name != candidate.signature])

    def stop(self, signature: str, seed: int, reason: str, values: Values) -> None:
        """The configuration was stopped while this seed ran, standing at `values`; its other seeds are given up."""
        candidate = self.candidates[signature]
        candidate.ended, candidate.projection = reason, self._projection(candidate, values)
        candidate.pending.clear()
        candidate.running.clear()
        self.expected_records -= len(set(range(self.rules.seeds)) - {seed, *candidate.outcomes})
        self.settle(signature, seed, values)

    def settle(self, signature: str, seed: int, values: Values) -> None:
        """A seed's result, one value per objective; None when it failed."""
        candidate = self.candidates.get(signature)
        if candidate is None:
            self._prior.setdefault(signature, {}).setdefault(seed, values)
            return
        candidate.pending.discard(seed)
        candidate.running.discard(seed)
        if seed in candidate.outcomes:
            return
        candidate.outcomes[seed] = values
        if seed == 0 and candidate.ended is None:
            self._note_curve(candidate, END, values)
        self._after(candidate)

    def give_back(self, signature: str, seeds: Iterable[int]) -> None:
        """Seeds that were handed out and did not run: they are handed out again."""
        candidate = self.candidates[signature]
        lost = candidate.running & set(seeds)
        candidate.running -= lost
        self._enqueue(candidate, lost)

    def replay(self, events: Iterable[Event]) -> None:
        """Be told a ledger: asks, epochs, results. What was open then is handed out again; failures but divergence are tried again."""
        muted: list[Event] = []  # what the campaign decides on the way; nearly all of it is in the ledger
        log, self.log = self.log, muted.append
        late: dict[str, tuple[Event, str]] = {}  # the epoch after which a trial was to be stopped, and why
        events = list(events)
        self._note_recorded(events)
        for event in events:
            kind, signature = event["event"], str(event.get("signature"))
            if kind == "ask":
                self._restore(event)
            elif kind == "epoch" and (
                reason := self.report(signature, event["seed"], event["epoch"], event["metrics"])
            ):
                late[signature] = (event, reason)
            elif kind == "stopped":
                late.pop(signature, None)
                if signature in self.candidates:
                    self.stop(signature, event["seed"], event["reason"], self.values(event["metrics"]))
            elif kind == "finish" or (kind == "failed" and event["kind"] == "DIVERGED"):
                self.settle(signature, event["seed"], self.values(event["metrics"]) if kind == "finish" else None)
            elif kind == "race":
                self._raced.add(_verdict(event))
        self.log = log
        recorded = {_verdict(event) for event in events if event["event"] == "race"}
        for event in muted:
            if event["event"] == "race" and _verdict(event) not in recorded:
                self.log(event)
        for signature, (epoch, reason) in late.items():  # decided, but the driver died before it was written
            candidate = self.candidates[signature]
            self.log(
                {
                    "event": "stopped",
                    "signature": signature,
                    "seed": epoch["seed"],
                    "config": dict(candidate.config),
                    "study": dict(self._studies[candidate.study].cell),
                    "epoch": epoch["epoch"],
                    "reason": reason,
                    "by": "halving",
                    "metrics": epoch["metrics"],
                }
            )
            self.stop(signature, epoch["seed"], reason, self.values(epoch["metrics"]))

    def _note_recorded(self, events: Sequence[Event]) -> None:
        # Known before the first round is judged again: a verdict is written after the results that it rests on.
        for event in events:
            if event["event"] == "race" and event["state"] == "dropped":
                self._dropped.setdefault(event["signature"], event)
            elif event["event"] == "finish" or (event["event"] == "failed" and event["kind"] == "DIVERGED"):
                self._replayed.setdefault(event["signature"], set()).add(event["seed"])

    def values(self, metrics: Mapping[str, float | None]) -> list[float | None]:
        """The objectives' values of a record, in order."""
        return [metrics.get(name) for name in self.rules.metrics]

    def warm_start(self, results: Sequence[tuple[Config, Values]]) -> int:
        """Tell every study the results of earlier sweeps that agree with its cell; returns how many were of use anywhere."""
        used: set[int] = set()
        for study in self._studies:
            fitting = [
                number
                for number, (config, _) in enumerate(results)
                if all(config.get(name) == value for name, value in study.cell.items())
            ]
            taken = [number for number in fitting if study.searcher.warm_start([results[number]])]
            used.update(taken)
        return len(used)

    def _draw(self) -> Assignment | None:
        """The next draw of the study that has asked for least; draws that lead to a known configuration cost nothing."""
        while self._least_asked:
            asked, number = heapq.heappop(self._least_asked)
            study = self._studies[number]
            if asked != len(study.asked):  # a replay asked meanwhile
                heapq.heappush(self._least_asked, (len(study.asked), number))
            elif asked < self._draws:
                candidate = self._note_ask(number, *study.searcher.ask())
                heapq.heappush(self._least_asked, (asked + 1, number))
                if candidate.pending:
                    return self._hand_out(candidate)
        return None

    def _note_ask(self, number: int, token: int, values: Config) -> Candidate:
        study = self._studies[number]
        study.asked.add(token)
        signature, config = self._complete({**study.cell, **values})
        self.log(
            {"event": "ask", "signature": signature, "draw": token, "study": dict(study.cell), "values": dict(values)}
        )
        candidate = self.candidates.get(signature)
        if candidate is None:
            prior = self._prior.pop(signature, {})
            missing = set(range(self.rules.seeds)) - set(prior)
            candidate = self.candidates[signature] = Candidate(signature, config, number, prior)
            self._enqueue(candidate, missing)
        elif self.rules.search:
            self.expected_records -= self.rules.seeds
        candidate.tokens.append((number, token))
        self._after(candidate)
        return candidate

    def _restore(self, event: Event) -> None:
        number = self._number_of.get(canonical_json(event["study"]))
        if number is not None and event["draw"] not in self._studies[number].asked:
            self._studies[number].searcher.restore(event["draw"], event["values"])
            self._note_ask(number, event["draw"], event["values"])

    def _enqueue(self, candidate: Candidate, seeds: set[int]) -> None:
        candidate.pending |= seeds
        if seeds:
            self._queue[candidate.signature] = None

    def _hand_out(self, candidate: Candidate) -> Assignment:
        self._queue.pop(candidate.signature, None)
        seeds = tuple(sorted(candidate.pending))
        candidate.pending.clear()
        candidate.running |= set(seeds)
        return Assignment(candidate.signature, candidate.config, self._studies[candidate.study].cell, seeds)

    def _after(self, candidate: Candidate) -> None:
        """Once nothing of a configuration is open: tell the searchers that wait for it, and see whether a race can go on."""
        if candidate.is_open:
            return
        for study, token in candidate.tokens:
            self._studies[study].searcher.tell(token, candidate.result(len(self.rules.goals)))
        candidate.tokens.clear()
        if self.rules.race:
            self._race_round(self.rules.race, next(group for group in self._groups if candidate.study in group))

    def _race_round(self, race: Race, group: list[int]) -> None:
        """When every runner of a group has the same number of seeds, judge them; those that could still be the best get one more."""
        entrants = [one for one in self.candidates.values() if one.study in group]
        if not self._all_asked(group) or any(one.is_open for one in entrants):
            return
        alive = [one for one in entrants if one.ended is None]
        results = {one.signature: dict(sorted(one.outcomes.items())) for one in entrants}
        standings = race.standings(results, ended={one.signature for one in entrants if one.ended})
        alone = len(alive) == 1 < len(entrants)
        for one in alive:
            standing = self._as_recorded(one, standings[one.signature])
            if standing.state == "race" and not alone:
                self._enqueue(one, {standing.seeds})
                self.expected_records += 1
            else:
                one.ended = (
                    "no other configuration is left in the race"
                    if alone and standing.state == "race"
                    else standing.reason
                )
                state = "dropped" if standing.state == "dropped" else "done"
                self._log_once(
                    {
                        "event": "race",
                        "signature": one.signature,
                        "state": state,
                        "seeds": standing.seeds,
                        "reason": one.ended,
                    }
                )

    def _as_recorded(self, candidate: Candidate, standing: Standing) -> Standing:
        """What the ledger says of this round where it says something: an older version may have judged by another rule."""
        dropped = self._dropped.get(candidate.signature)
        if dropped is not None and dropped["seeds"] <= standing.seeds:
            return Standing("dropped", standing.seeds, dropped["reason"])
        if standing.state != "race" and standing.seeds in self._replayed.get(candidate.signature, ()):
            return Standing("race", standing.seeds, "the ledger holds its next seed")
        return standing

    def _log_once(self, event: Event) -> None:
        if _verdict(event) not in self._raced:
            self._raced.add(_verdict(event))
            self.log(event)

    def _all_asked(self, studies: Iterable[int]) -> bool:
        return all(len(self._studies[number].asked) >= self._draws for number in studies)


def _verdict(event: Event) -> str:
    return f"{event['signature']} {event['state']} {event['seeds']}"
