"""What --plan prints: what would be computed, what is there already, how long and for how much; computes nothing."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from sweep.artifact_store import ArtifactStore, Stage
from sweep.capacity import machine_of, trials_on
from sweep.core.errors import InputErrors
from sweep.plan import ADAPTIVE, make_plan, shared_stages
from sweep.preflight import misfits
from sweep.prepare import CARD_FILE, Data
from sweep.question import Question, Resources
from sweep.records import read_ledger
from sweep.storage import Storage
from sweep.study import studies
from sweep.warm_start import earlier_results

_HOUR = 3600.0


def print_plan(question: Question, run: Storage, console: Console) -> None:
    """Stages with what is needed, there and to do; then time and money from what was measured so far.

    Without prepared data nothing can be there yet, so everything counts as new.
    """
    if not run.exists(CARD_FILE):
        _print_unprepared(question, run, console)
        return
    data, reading = Data.load(run), read_ledger(run)
    plan = make_plan(question, data, reading, earlier_results(question.searcher.warm_start, [one.name for one in question.objectives]))
    if wrong := misfits(plan.foreseen, data, question.threats.attacks):
        raise InputErrors(question.name, wrong)
    plan.campaign.has_work()  # earlier records answer what they can
    table = Table("stage", "needed", "there", "to do", box=None, pad_edge=False)
    store = ArtifactStore(run)
    for kind, stages in {"generator": [], "pool": [], **shared_stages(plan, data)}.items():
        table.add_row(kind.replace("_", " "), *_row(stages, store))
    expected, done = plan.campaign.expected_records, plan.settled()
    table.add_row("record", str(expected), str(done), str(expected - done))
    console.print(f"{question.name} in {run.url}")
    console.print(table)
    for line in _outlook(question):
        console.print(line, soft_wrap=True)
    seconds = [event["seconds"]["total"] for event in reading.finished().values()]
    if seconds and expected > done:
        mean = sum(seconds) / len(seconds)
        console.print(f"about {mean * (expected - done):.0f} worker-seconds left, from {len(seconds)} finished records of {mean:.1f} s")
        for line in estimates(mean * (expected - done), question.resources):
            console.print(line, soft_wrap=True)


def estimates(trial_seconds: float, resources: Resources) -> list[str]:
    """Wall time and money of `trial_seconds` of trials, each on one node, for each node type at its largest number of nodes."""
    lines = []
    for name, node in resources.node_types.items():
        places = trials_on(resources, [machine_of(node)], spare_cpus=0) * node.max_nodes
        if places:
            hours = trial_seconds / places / _HOUR
            price = "" if node.price_per_hour is None else f", price {hours * node.max_nodes * node.price_per_hour:.2f}"
            lines.append(f"  on {node.max_nodes} x {name}: {places} trials at once, about {hours:.2f} h{price}")
    return lines


def _print_unprepared(question: Question, run: Storage, console: Console) -> None:
    cells = studies(question.grid, question.search, question.fixed, question.searcher.trials, question.searcher.seed)
    configs = {str(sorted(config.items(), key=str)) for study in cells for config in study.configs}
    count = len(cells) * question.searcher.trials if question.searcher.algorithm in ADAPTIVE else len(configs)
    console.print(f"{question.name}: {len(cells)} cells, {count} configurations x {question.seeds.min} seeds = {count * question.seeds.min} records")
    for line in _outlook(question):
        console.print(line, soft_wrap=True)
    console.print(f"nothing is there yet in {run.url}; no data has been prepared")


def _outlook(question: Question) -> list[str]:
    """What makes the count of records a bound and no promise."""
    lines = []
    if question.scheduler.type != "none":
        lines.append(f"at most: {question.scheduler.type} stops all but the best 1/{question.scheduler.eta:g} at each rung from epoch {question.scheduler.grace_epochs} on")
    if question.seeds.race:
        lines.append(f"and up to {question.seeds.max - question.seeds.min} more seeds for those that a race keeps")
    return lines


def _row(needed: Iterable[Stage], store: ArtifactStore) -> tuple[str, str, str]:
    stages = list(needed)
    there = sum(store.meta(stage) is not None for stage in stages)
    return str(len(stages)), str(there), str(len(stages) - there)
