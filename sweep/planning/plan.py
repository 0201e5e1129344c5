"""sweep config + data + ledger -> the campaign with all earlier results, and the trials that are known in advance."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweep.config.effect_checks import without_effect
from sweep.config.hyperparameters import complete
from sweep.config.sweep_config import SweepConfig
from sweep.core.conditions import Config
from sweep.core.hyperparameter import Scalar
from sweep.core.metric_table import reads_target_labels
from sweep.data.datasets import Data
from sweep.pipeline.model_options import shaping_names
from sweep.planning.defaults import folder_defaults
from sweep.planning.grid import cells, epochs_of, studies
from sweep.planning.preflight import with_file_identities
from sweep.search.campaign import Campaign
from sweep.search.candidate import Assignment, Rules, Values
from sweep.search.halving import ParetoHalving
from sweep.search.racing import Race
from sweep.store.ledger import Event, Reading
from sweep.store.trial import Attacks, Trial

ADAPTIVE = ("tpe", "nsga2", "gp")  # searchers whose next configuration depends on results


@dataclass(frozen=True)
class Plan:
    """The campaign, and the trials known in advance: all of them for grid and random search, the first draws for an adaptive searcher."""

    campaign: Campaign
    foreseen: tuple[Trial, ...]
    varied: tuple[str, ...]  # hyperparameters that differ between trials, in the order of the sweep config
    data: Data
    defaults: Mapping[str, Scalar]  # of the run folder, for hyperparameters that the sweep config does not name
    warm: int = 0  # results of earlier sweeps that the searchers used
    late_events: list[Event] = field(default_factory=list)  # what the campaign decided before a ledger takes its events
    # That the campaign will run, as far as it is known: without the networks that are only foreseen.
    configurations: int = 0

    def trial(self, job: Assignment) -> Trial:
        """The trial of an assignment, as the workers get it."""
        return Trial(job.config, self.data.seen_by(job.config).hash, job.seeds, job.cell)

    @property
    def left(self) -> list[Trial]:
        """Trials known in advance that have no result yet."""
        settled = {one.signature for one in self.campaign.candidates.values() if not one.is_open}
        return [trial for trial in self.foreseen if trial.signature not in settled]

    def settled(self) -> int:
        """Records whose results are in the ledger."""
        return sum(len(one.outcomes) for one in self.campaign.candidates.values())


def make_plan(
    sweep_config: SweepConfig, data: Data, reading: Reading, warm: Sequence[tuple[Config, Values]] = ()
) -> Plan:
    """The plan: each configuration once, even if several cells yield it; finished, stopped and diverged records are not run again."""
    rules, defaults = rules_of(sweep_config), folder_defaults(reading)
    known = {**defaults, **sweep_config.fixed}
    sampled = list(_sampled(sweep_config, known, data))
    trials = {trial.signature: trial for trial in reversed([*sampled, *_variants(sweep_config, known, data)])}
    foreseen = tuple(reversed(trials.values()))

    def completed(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        trial = _trial({**known, **config}, data)
        return trial.signature, dict(trial.config)

    late: list[Event] = []
    cells_in_order = _in_order(sweep_config, known)
    campaign = Campaign(cells_in_order, known, rules, completed, epochs_of=epochs_of, log=late.append)
    taken = campaign.warm_start(warm)
    campaign.replay(reading.events)
    varied = [
        name
        for name in (*sweep_config.grid, *sweep_config.search)
        if len({str(trial.config.get(name)) for trial in foreseen}) > 1 or sweep_config.searcher.algorithm in ADAPTIVE
    ]
    configurations = len({trial.signature for trial in sampled})
    return Plan(campaign, foreseen, tuple(dict.fromkeys(varied)), data, defaults, taken, late, configurations)


def notes(sweep_config: SweepConfig, plan: Plan, offered: int) -> list[str]:
    """Notes to print before the search begins."""
    found = (
        [f"warm start: {plan.warm} of {offered} earlier results fit the search space"]
        if sweep_config.searcher.warm_start
        else []
    )
    weighed = [name for name, distribution in sweep_config.search.items() if distribution.probabilities is not None]
    if weighed and sweep_config.searcher.algorithm in ADAPTIVE:
        found.append(
            f"probabilities of {', '.join(weighed)} apply to the first draws only: {sweep_config.searcher.algorithm} then samples by its model"
        )
    learns = (
        sweep_config.searcher.algorithm in ADAPTIVE or sweep_config.scheduler.type != "none" or sweep_config.seeds.race
    )
    on_target = [one.name for one in sweep_config.objectives if reads_target_labels(one.name)]
    if learns and on_target:
        found.append(
            f"the search optimises target metrics ({', '.join(on_target)}): its results are selected by oracle, not by source validation"
        )
    return [*found, *without_effect(sweep_config)]


def rules_of(sweep_config: SweepConfig) -> Rules:
    """The campaign's rules, from the sweep config."""
    goals, metrics = (
        tuple(one.goal for one in sweep_config.objectives),
        tuple(one.name for one in sweep_config.objectives),
    )
    halving_goals = goals[:1] if sweep_config.scheduler.type == "asha" else goals
    seeds = sweep_config.seeds
    return Rules(
        search=sweep_config.search,
        goals=goals,
        metrics=metrics,
        algorithm=sweep_config.searcher.algorithm if sweep_config.searcher.algorithm in ADAPTIVE else "random",
        draws=sweep_config.searcher.trials,
        seed=sweep_config.searcher.seed,
        seeds=seeds.min,
        halving=None
        if sweep_config.scheduler.type == "none"
        else lambda: ParetoHalving(halving_goals, sweep_config.scheduler.grace_epochs, sweep_config.scheduler.eta),
        judged=len(halving_goals),
        race=Race(goals, seeds.min, seeds.max) if seeds.race and seeds.max else None,
    )


def _sampled(sweep_config: SweepConfig, known: Mapping[str, Scalar], data: Data) -> Iterable[Trial]:
    """The trials of grid or random search; for an adaptive searcher as many draws of a random search."""
    for study in studies(
        sweep_config.grid,
        sweep_config.search,
        known,
        sweep_config.searcher.trials,
        sweep_config.searcher.seed,
    ):
        for config in study.configs:
            yield Trial(with_file_identities(config), data.seen_by(config).hash, sweep_config.seeds.numbers, study.cell)


def _variants(sweep_config: SweepConfig, known: Mapping[str, Scalar], data: Data) -> Iterable[Trial]:
    """For an adaptive searcher every network that the search lists: it may come to any of them."""
    if sweep_config.searcher.algorithm not in ADAPTIVE:
        return
    listed = {
        name: values
        for name in shaping_names()
        if name in sweep_config.search and (values := sweep_config.search[name].values)
    }
    for chosen in itertools.product(*listed.values()):
        for cell in cells(sweep_config.grid):
            yield _trial(
                {**known, **cell, **dict(zip(listed, chosen, strict=True))},
                data,
                cell,
                sweep_config.seeds.numbers,
            )


def _trial(
    config: Mapping[str, Any], data: Data, cell: Mapping[str, Any] | None = None, seeds: tuple[int, ...] = ()
) -> Trial:
    whole = with_file_identities(complete(config))
    return Trial(whole, data.seen_by(whole).hash, seeds, cell or {})


def _in_order(sweep_config: SweepConfig, known: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Cells without synthetic images first, but for one: its generator trains on one worker while they occupy the others."""
    ratio = known["synthetic_per_real"]
    first, rest = list[dict[str, Any]](), list[dict[str, Any]]()
    for cell in cells(sweep_config.grid):
        (rest if cell.get("synthetic_per_real", ratio) > 0 else first).append(cell)
    return [*first[:1], *rest[:1], *first[1:], *rest[1:]]


def attacks_of(sweep_config: SweepConfig) -> Attacks:
    """The attacks of the sweep config, as the workers take them."""
    threats = sweep_config.threats
    return Attacks(
        tuple(threats.attacks),
        tuple(str(eps) for eps in threats.eps),
        threats.images,
        tuple(threats.splits),
        threats.masking_images,
        threats.mode,
        tuple(threats.acquisition),
        tuple(sorted({*threats.severity})) if threats.acquisition else (),
    )
