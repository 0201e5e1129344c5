"""Output of --plan: needed, existing and remaining steps, with estimated time and price; computes nothing."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from sweep.config.sweep_config import Resources, SweepConfig
from sweep.core.counts import counted
from sweep.core.errors import InputError, InputErrors
from sweep.core.process_settings import as_a_worker
from sweep.core.ray_address import LOCAL
from sweep.core.storage import Storage
from sweep.data.datasets import CARD_FILE, Data, prepare
from sweep.data.preview import foreseen_data, foreseen_datasets
from sweep.pipeline.stages import needed_stages
from sweep.planning.capacity import Capacity, capacity_here, capacity_of, declared
from sweep.planning.cost import StepCost, outlook
from sweep.planning.grid import cells
from sweep.planning.named_files import Where, dotted, missing_files
from sweep.planning.plan import ADAPTIVE, Plan, attacks_of, make_plan, notes
from sweep.planning.preflight import misfits, weights_past
from sweep.planning.warm_start import earlier_results
from sweep.store.artifact_store import ArtifactStore, Stage
from sweep.store.ledger import Reading, read_ledger
from sweep.store.run_folder import check_same_code, check_same_config

_ALWAYS = ("generator", "pool")  # shown even if there are none


@dataclass(frozen=True)
class Step:
    """One row of the plan: how many are needed, how many are there, and what is left."""

    needed: int
    there: int
    work: StepCost


def print_plan(
    sweep_config: SweepConfig,
    run: Storage,
    console: Console,
    address: str | None = None,
    measure: bool = False,
    where: Where = dotted,
) -> None:
    """Print the steps that are needed, exist and remain; then time and price, estimated from what was measured so far.

    With `measure`, what nothing has been timed of is timed here on a few steps, in a folder that is removed again.

    Raises InputError when a trial can never fit (on the declared node types, or on this machine where there are none and `address` names
    no cluster), and when the folder holds another sweep config.
    """
    run.check_reachable()
    here = _possible(sweep_config, run, address, where)
    check_same_config(run, sweep_config)
    check_same_code(run)
    prepared = run.exists(CARD_FILE)
    data, assumed = (Data.load(run), "") if prepared else foreseen_data(sweep_config)
    reading = read_ledger(run)
    warm = earlier_results(sweep_config.searcher.warm_start, [one.name for one in sweep_config.objectives])
    plan = make_plan(sweep_config, data, reading, warm)
    if wrong := misfits(plan.foreseen, data, sweep_config.threats.attacks):
        raise InputErrors(sweep_config.name, wrong)
    plan.campaign.has_work()  # settles what the ledger holds
    steps = _steps(plan, data, reading, ArtifactStore(run))
    if measure:
        steps = probed(steps, sweep_config, None if not prepared else data)
    console.print(
        f"{sweep_config.name} in {run.url}: {counted(len(cells(sweep_config.grid)), 'cell')}, {_configurations(sweep_config, plan)}, {counted(sweep_config.seeds.min, 'seed')} each",
        soft_wrap=True,
    )
    if not prepared:
        console.print(f"no data have been prepared yet; {assumed}", soft_wrap=True)
    console.print(_table(steps))
    trials = math.ceil(steps["record"].work.left / sweep_config.seeds.min)
    works = [step.work for step in steps.values()]
    for line in (
        *notes(sweep_config, plan, len(warm)),
        *weights_past(plan.foreseen, foreseen_datasets(sweep_config.data), whole=True),
        *_bounds(sweep_config),
        *_patience(plan, steps["record"]),
        *outlook(works, trials, sweep_config.resources, here),
    ):
        console.print(line, soft_wrap=True)


def _possible(sweep_config: SweepConfig, run: Storage, address: str | None, where: Where) -> Capacity | None:
    """The capacity of this machine, as `foreseen_capacity`. Raises InputErrors with all that makes the sweep impossible."""
    refused, here = missing_files(sweep_config, where, shards=address in LOCAL and not run.exists(CARD_FILE)), None
    try:
        here = foreseen_capacity(sweep_config.resources, address)
    except InputError as too_much:
        refused.append(InputError(where(("resources",)), too_much.problem, too_much.fix))
    if refused:
        raise InputErrors(sweep_config.name, refused)
    return here


def foreseen_capacity(resources: Resources, address: str | None) -> Capacity | None:
    """Capacity of this machine if the sweep would run on it, else None. Raises InputError, with the calculation, if a trial can never fit."""
    if resources.node_types:
        capacity_of(resources, [], declared(resources), spare_cpus=0)
        return None
    return capacity_here(resources) if address in LOCAL else None


def _configurations(sweep_config: SweepConfig, plan: Plan) -> str:
    count = len(cells(sweep_config.grid)) * sweep_config.searcher.trials
    return (
        f"at most {counted(count, 'configuration')}"
        if sweep_config.searcher.algorithm in ADAPTIVE
        else counted(len(plan.foreseen), "configuration")
    )


def _steps(plan: Plan, data: Data, reading: Reading, store: ArtifactStore) -> Mapping[str, Step]:
    """Every kind of step, stages first; a stage remains if a remaining trial needs it and its artifact does not exist."""
    by_kind: dict[str, list[Stage]] = {kind: [] for kind in _ALWAYS}
    needed, left = needed_stages(plan.foreseen, data), plan.left
    for stage in needed:
        by_kind.setdefault(stage.kind, []).append(stage)
    awaited = {stage.hash for stage in (needed if len(left) == len(plan.foreseen) else needed_stages(left, data))}
    steps = {}
    for kind, stages in by_kind.items():
        found = {stage.hash: meta["seconds"] for stage in stages if (meta := store.meta(stage)) is not None}
        steps[kind] = Step(
            len(stages),
            len(found),
            StepCost(kind, len(awaited & {stage.hash for stage in stages} - found.keys()), tuple(found.values())),
        )
    done, open_records = plan.settled(), _records_left(plan)
    measured = tuple(event["seconds"]["total"] for event in reading.finished().values())
    return {**steps, "record": Step(done + open_records, done, StepCost("record", open_records, measured))}


def probed(steps: Mapping[str, Step], sweep_config: SweepConfig, data: Data | None) -> Mapping[str, Step]:
    """The steps with foreseen seconds for records and generators of which none has been timed; `data` is None where none are prepared."""
    untimed = {
        name
        for name in ("record", "generator")
        if name in steps and steps[name].work.left and not steps[name].work.measured
    }
    if not untimed:
        return steps
    found = foreseen_seconds(sweep_config, data, untimed)
    new = {name: StepCost(name, steps[name].work.left, tuple(found[name]), probed=True) for name in untimed}
    return {name: replace(step, work=new[name]) if name in new else step for name, step in steps.items()}


def foreseen_seconds(
    sweep_config: SweepConfig, data: Data | None, kinds: Collection[str] = ("record",)
) -> dict[str, list[float]]:
    """Seconds of each step of these kinds that is foreseen (record: one for each configuration), timed on a few steps here.

    `data` is None where none are prepared: they are then prepared in a folder that is removed again.
    """
    from sweep.planning.probe import generator_seconds, record_seconds

    device = "cuda" if sweep_config.resources.gpus_per_worker else "cpu"
    with tempfile.TemporaryDirectory() as folder, as_a_worker(sweep_config.resources.threads):
        if data is None:
            data = prepare(sweep_config.data, Storage(folder), sweep_config.directions)
        trials = make_plan(sweep_config, data, Reading([])).foreseen
        return {
            "record": record_seconds(trials, data, attacks_of(sweep_config), device) if "record" in kinds else [],
            "generator": [*generator_seconds(trials, data).values()] if "generator" in kinds else [],
        }


def _records_left(plan: Plan) -> int:
    """Records still to run: exact if all configurations are known in advance, else as many as the campaign expects."""
    if plan.campaign.rules.algorithm in ADAPTIVE:
        return plan.campaign.expected_records - plan.settled()
    asked = plan.campaign.candidates
    return sum(
        len(asked[trial.signature].pending) if trial.signature in asked else plan.campaign.rules.seeds
        for trial in plan.foreseen
    )


def _table(steps: Mapping[str, Step]) -> Table:
    table = Table("stage", "needed", "there", "to do", box=None, pad_edge=False)
    for kind, step in steps.items():
        table.add_row(kind.replace("_", " "), str(step.needed), str(step.there), str(step.work.left))
    return table


def _patience(plan: Plan, records: Step) -> list[str]:
    """How trainings that patience may end early are counted in a foreseen time."""
    from sweep.planning.probe import epochs_expected
    from sweep.training.recipe import FEATURE_HEADS, Recipe

    if not (records.work.probed and records.work.left):
        return []
    recipes = [Recipe.from_config(trial.config) for trial in plan.foreseen]
    early = [one for one in recipes if one.procedure not in FEATURE_HEADS and epochs_expected(one) < one.epochs]
    if not early:
        return []
    return [
        "patience may end trainings before all their epochs: each is counted with the middle of its shortest and its full length"
    ]


def _bounds(sweep_config: SweepConfig) -> list[str]:
    """Why the counts are bounds."""
    lines = []
    if sweep_config.searcher.algorithm in ADAPTIVE:
        lines.append(
            f"{sweep_config.searcher.algorithm} adapts to results: the stages are those of as many random draws"
        )
    if sweep_config.scheduler.type != "none":
        lines.append(
            f"at most: {sweep_config.scheduler.type} stops all but the best 1/{sweep_config.scheduler.eta:g} at each rung from epoch {sweep_config.scheduler.grace_epochs} on"
        )
    if sweep_config.seeds.race and sweep_config.seeds.max:
        lines.append(
            f"and up to {sweep_config.seeds.max - sweep_config.seeds.min} more seeds for configurations that stay in the race"
        )
    return lines
