"""question + data -> trials to run: what is asked, what the ledger already holds, what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.artifacts import Stage
from sweep.preflight import with_file_identities
from sweep.prepare import Data
from sweep.records import Reading, Record
from sweep.question import Question
from sweep.stages import generator_stages
from sweep.study import studies
from sweep.trial import Attacks, Trial


@dataclass(frozen=True)
class Plan:
    """All trials of a question, and those with seeds still to run."""

    trials: tuple[Trial, ...]
    left: tuple[Trial, ...]
    finished: frozenset[Record]
    varied: tuple[str, ...]  # hyperparameters that differ between trials, in the order of the question

    @property
    def records(self) -> int:
        """How many records the whole question makes."""
        return sum(len(trial.seeds) for trial in self.trials)


def make_plan(question: Question, data: Data, reading: Reading) -> Plan:
    """Every configuration once, however many cells lead to it; records that finished or diverged are not run again."""
    trials: dict[str, Trial] = {}
    for study in studies(question.grid, question.search, question.fixed, question.searcher.trials, question.searcher.seed):
        for config in study.configs:
            trial = Trial(with_file_identities(config), data.hash, question.seeds.numbers, study.cell)
            trials.setdefault(trial.signature, trial)
    finished = frozenset(reading.finished())
    settled = finished | {record for record, event in reading.failed().items() if event["kind"] == "DIVERGED"}
    left = [Trial(trial.config, trial.data_hash, seeds, trial.cell) for trial in trials.values() if (seeds := _missing(trial, settled))]
    varied = [name for name in (*question.grid, *question.search) if len({str(trial.config.get(name)) for trial in trials.values()}) > 1]
    return Plan(tuple(trials.values()), tuple(_real_only_first(left)), finished, tuple(varied))


def _missing(trial: Trial, settled: frozenset[Record]) -> tuple[int, ...]:
    return tuple(seed for seed in trial.seeds if (trial.signature, seed) not in settled)


def _real_only_first(trials: Sequence[Trial]) -> list[Trial]:
    """Trials that need no generator first: they keep the workers busy while generators train."""
    return sorted(trials, key=lambda trial: trial.config["synthetic_per_real"] > 0)


def attacks_of(question: Question) -> Attacks:
    """The question's threats as the workers take them."""
    threats = question.threats
    return Attacks(tuple(threats.attacks), tuple(str(eps) for eps in threats.eps), threats.images, tuple(threats.splits), threats.masking_images)


def generators_of(plan: Plan, data: Data) -> list[Stage]:
    """The generators that a plan needs, each once however many trials share it."""
    stages = [stage for trial in plan.trials for stage in generator_stages(trial.config, data).values()]
    return list({stage.hash: stage for stage in stages}.values())
