"""What --plan prints: what would be computed, what is already there; computes nothing."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from sweep.artifacts import ArtifactStore
from sweep.plan import Plan, generators_of, make_plan
from sweep.prepare import CARD_FILE, Data
from sweep.records import read_ledger
from sweep.question import Question
from sweep.storage import Storage
from sweep.study import studies


def print_plan(question: Question, run: Storage, console: Console) -> None:
    """Counts by stage. Without prepared data nothing can be there yet, so everything counts as new."""
    if not run.exists(CARD_FILE):
        cells = studies(question.grid, question.search, question.fixed, question.searcher.trials, question.searcher.seed)
        configs = {str(sorted(config.items(), key=str)) for study in cells for config in study.configs}
        console.print(f"{question.name}: {len(cells)} cells, {len(configs)} configurations x {question.seeds.min} seeds = {len(configs) * question.seeds.min} records")
        console.print(f"nothing is there yet in {run.url}; no data has been prepared")
        return
    data, reading = Data.load(run), read_ledger(run)
    plan = make_plan(question, data, reading)
    table = Table("stage", "needed", "there", "to do", box=None, pad_edge=False)
    generators = _generators(plan, data, run)
    table.add_row("generator", *map(str, generators))
    done = len([record for trial in plan.trials for seed in trial.seeds if (record := (trial.signature, seed)) in plan.finished])
    table.add_row("record", str(plan.records), str(done), str(plan.records - done))
    console.print(f"{question.name} in {run.url}")
    console.print(table)
    seconds = [event["seconds"]["total"] for event in reading.finished().values()]
    if seconds and plan.records > done:
        mean = sum(seconds) / len(seconds)
        console.print(f"about {mean * (plan.records - done):.0f} worker-seconds left, from {len(seconds)} finished records of {mean:.1f} s")


def _generators(plan: Plan, data: Data, run: Storage) -> tuple[int, int, int]:
    store = ArtifactStore(run)
    needed = generators_of(plan, data)
    there = sum(store.meta(stage) is not None for stage in needed)
    return len(needed), there, len(needed) - there
