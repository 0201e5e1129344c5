"""question + data -> what to run: the campaign with everything that the ledger already holds, and what can be foreseen of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.planning.preflight import NETWORK, with_file_identities
from sweep.data.datasets import Data
from sweep.config.hyperparameters import HYPERPARAMETERS, complete
from sweep.config.sweep_config import Question
from sweep.store.ledger import Reading
from sweep.search.campaign import Campaign
from sweep.search.candidate import Config, Job, Rules, Values
from sweep.search.halving import ParetoHalving
from sweep.search.racing import Race
from sweep.planning.grid import cells, epochs_of, studies
from sweep.store.trial import Attacks, Trial

ADAPTIVE = ("tpe", "nsga2", "gp")  # searchers whose next configuration depends on results


@dataclass(frozen=True)
class Plan:
    """The campaign, and the trials that can be foreseen: all of them for grid and random, the first draws for a searcher that learns."""

    campaign: Campaign
    foreseen: tuple[Trial, ...]
    varied: tuple[str, ...]  # hyperparameters that differ between trials, in the order of the question
    data: Data
    warm: int = 0  # results of earlier sweeps that the searchers could use

    def trial(self, job: Job) -> Trial:
        """What the workers are given of a job."""
        return Trial(job.config, self.data.seen_by(job.config).hash, job.seeds, job.cell)

    @property
    def left(self) -> list[Trial]:
        """Foreseen trials that are not settled yet."""
        settled = {one.signature for one in self.campaign.candidates.values() if not one.is_open}
        return [trial for trial in self.foreseen if trial.signature not in settled]

    def settled(self) -> int:
        """Records that earlier attempts settled."""
        return sum(len(one.outcomes) for one in self.campaign.candidates.values())


def make_plan(question: Question, data: Data, reading: Reading, warm: Sequence[tuple[Config, Values]] = ()) -> Plan:
    """Every configuration once, however many cells lead to it; records that finished, were stopped or diverged are not run again."""
    rules = rules_of(question)
    trials = {trial.signature: trial for trial in reversed(list(_foreseen(question, data)))}
    foreseen = tuple(reversed(trials.values()))

    def completed(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        trial = _trial({**question.fixed, **config}, data)
        return trial.signature, dict(trial.config)

    defaults = {name: row.default for name, row in HYPERPARAMETERS.items()}
    campaign = Campaign(_real_only_first(question), {**defaults, **question.fixed}, rules, completed, epochs_of=epochs_of)
    taken = campaign.warm_start(warm)
    campaign.replay(reading.events)
    varied = [name for name in (*question.grid, *question.search) if len({str(trial.config.get(name)) for trial in foreseen}) > 1 or question.searcher.algorithm in ADAPTIVE]
    return Plan(campaign, foreseen, tuple(dict.fromkeys(varied)), data, taken)


def notes(question: Question, plan: Plan, offered: int) -> list[str]:
    """What a user should know before the search begins."""
    found = [f"warm start: {plan.warm} of {offered} earlier results are of use"] if question.searcher.warm_start else []
    weighed = [name for name, distribution in question.search.items() if distribution.probabilities is not None]
    if weighed and question.searcher.algorithm in ADAPTIVE:
        found.append(f"probabilities of {', '.join(weighed)} hold for the first draws alone: {question.searcher.algorithm} then prefers what did well")
    learns = question.searcher.algorithm in ADAPTIVE or question.scheduler.type != "none" or question.seeds.race
    on_target = [one.name for one in question.objectives if "/source" not in one.name]
    if learns and on_target:
        found.append(f"the search itself sees the target through {', '.join(on_target)}: what it finds is chosen by oracle, not by source validation")
    return found


def rules_of(question: Question) -> Rules:
    """The campaign's rules as the question file gives them."""
    goals, metrics = tuple(one.goal for one in question.objectives), tuple(one.name for one in question.objectives)
    halving_goals = goals[:1] if question.scheduler.type == "asha" else goals
    seeds = question.seeds
    return Rules(
        search=question.search,
        goals=goals,
        metrics=metrics,
        algorithm=question.searcher.algorithm if question.searcher.algorithm in ADAPTIVE else "random",
        draws=question.searcher.trials,
        seed=question.searcher.seed,
        seeds=seeds.min,
        halving=None if question.scheduler.type == "none" else lambda: ParetoHalving(halving_goals, question.scheduler.grace_epochs, question.scheduler.eta),
        judged=len(halving_goals),
        race=Race(goals, seeds.min, seeds.max) if seeds.race else None,
    )


def _foreseen(question: Question, data: Data) -> Iterable[Trial]:
    """What will run, or for a searcher that learns what may: the draws of a random search, and every listed network."""
    listed = {name: question.search[name].values for name in NETWORK if name in question.search and question.search[name].values}
    variants = itertools.product(*listed.values()) if question.searcher.algorithm in ADAPTIVE else ()
    for study in studies(question.grid, question.search, question.fixed, question.searcher.trials, question.searcher.seed):
        for config in study.configs:
            yield Trial(with_file_identities(config), data.seen_by(config).hash, question.seeds.numbers, study.cell)
    for values in variants:
        for cell in cells(question.grid):
            yield _trial({**question.fixed, **cell, **dict(zip(listed, values, strict=True))}, data, cell, question.seeds.numbers)


def _trial(config: Mapping[str, Any], data: Data, cell: Mapping[str, Any] | None = None, seeds: tuple[int, ...] = ()) -> Trial:
    whole = with_file_identities(complete(config))
    return Trial(whole, data.seen_by(whole).hash, seeds, cell or {})


def _real_only_first(question: Question) -> list[dict[str, Any]]:
    """Cells that need no generator first: they keep the workers busy while generators train."""
    ratio = question.fixed.get("synthetic_per_real", 0)
    return sorted(cells(question.grid), key=lambda cell: cell.get("synthetic_per_real", ratio) > 0)


def attacks_of(question: Question) -> Attacks:
    """The question's threats as the workers take them."""
    threats = question.threats
    return Attacks(tuple(threats.attacks), tuple(str(eps) for eps in threats.eps), threats.images, tuple(threats.splits), threats.masking_images, threats.mode)

