"""question file -> run folder with ledger, models and report; the same command again resumes.

python -m sweep.run search_spaces/quickstart.yaml [--set K=V] [--smoke] [--plan] [--storage URL] [--address A]
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from sweep.core.errors import EXIT_COMPLETE, EXIT_FAILED_TRIALS, EXIT_STOPPED, InputError, guarded
from sweep.question import Question
from sweep.space import load_question
from sweep.storage import Storage

if TYPE_CHECKING:
    from sweep.plan import Plan
    from sweep.prepare import Data
    from sweep.records import Ledger

_console = Console(highlight=False)


def run(
    space: Annotated[Path, typer.Argument(help="question file", show_default=False)],
    set_: Annotated[list[str] | None, typer.Option("--set", help="override one key: a.b=value; may be repeated")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="the same question in about a minute")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="say what would be computed; compute nothing")] = False,
    storage: Annotated[str | None, typer.Option(help="run folder or URL  [default: results/<name>]")] = None,
    address: Annotated[str | None, typer.Option(help="address of a running Ray cluster  [default: $RAY_ADDRESS, else a local one]")] = None,
) -> None:
    """Search for the recipe that answers a question file, and write its report."""
    raise typer.Exit(guarded(lambda: run_question(space, _pairs(set_ or []), smoke, plan, storage, address)))


def run_question(space: Path, overrides: dict[str, str], smoke: bool, plan_only: bool, storage: str | None, address: str | None) -> int:
    """The command without its command line; returns the exit code."""
    question = load_question(space, overrides, smoke)
    run_storage = Storage(storage or Path("results") / question.name)
    if plan_only:
        from sweep.plan_report import print_plan

        print_plan(question, run_storage, _console)
        return EXIT_COMPLETE
    from sweep.run_folder import opened

    with opened(run_storage, question):
        return _sweep(question, run_storage, space, _command(space, overrides, smoke, storage), address)


def _sweep(question: Question, run_storage: Storage, space: Path, command: str, address: str | None) -> int:
    from sweep.plan import make_plan
    from sweep.preflight import check_models
    from sweep.prepare import prepare
    from sweep.pictures import GALLERY_FILE, write_samples
    from sweep.records import Ledger, read_ledger

    begin = time.perf_counter()
    _console.print(f"{question.name}: preparing data")
    data = prepare(question.data, run_storage)
    if not run_storage.exists(GALLERY_FILE):
        write_samples(data, run_storage)
    reading = read_ledger(run_storage)
    for damage in reading.damages:
        _console.print(f"records/{damage.file}:{damage.line}: {damage.reason}; the event is ignored")
    plan = make_plan(question, data, reading)
    for note in check_models(space, plan.left, data, question.threats.attacks):
        _console.print(note, soft_wrap=True)
    ledger = Ledger(run_storage)
    ledger.append({"event": "sweep", "name": question.name, "objectives": _objectives(question), "trials": len(plan.trials), "seeds": question.seeds.min})
    try:
        if plan.left:
            _run_left(question, run_storage, plan, data, ledger, address)
    except KeyboardInterrupt:
        _console.print(f"\nstopped; nothing finished is lost. Resume with:\n  {command}", highlight=False, soft_wrap=True)
        return EXIT_STOPPED
    return _report(run_storage, plan, begin)


def _run_left(question: Question, run_storage: Storage, plan: Plan, data: Data, ledger: Ledger, address: str | None) -> None:
    from sweep.plan import attacks_of
    from sweep.progress import Progress
    from sweep.ray_session import ray_session
    from sweep.run_folder import note_overhead

    metrics = tuple(dict.fromkeys(objective.name for objective in question.objectives))
    progress = Progress(question.name, plan.records, plan.varied, metrics, question.objectives[0].goal == "maximize", _console)
    progress.reused = len(plan.finished & {(trial.signature, seed) for trial in plan.trials for seed in trial.seeds})
    with ray_session(address, question.resources) as capacity:
        from sweep.tuner import Launch, run_trials

        begin = time.perf_counter()
        launch = Launch(plan.left, attacks_of(question), run_storage.url, question.resources, ledger.attempt)
        with progress:
            run_trials(launch, data, capacity, ledger, progress, question.budget.wall_s)
        note_overhead(run_storage, time.perf_counter() - begin, capacity.concurrent_trials, progress.finished)


def _report(run_storage: Storage, plan: Plan, begin: float) -> int:
    from sweep.records import read_ledger

    reading = read_ledger(run_storage)
    records = {(trial.signature, seed) for trial in plan.trials for seed in trial.seeds}
    done = records & set(reading.finished())
    lost = records & set(reading.failed())
    _console.print(f"{len(done)} of {len(records)} records finished, {len(lost)} failed, in {time.perf_counter() - begin:.0f} s")
    if not done:
        raise InputError(run_storage.url, "no record finished, so there is nothing to report", "read the failures above; the same command tries again")
    from analysis.report import write_report

    path = write_report(run_storage.local, run_storage.local / "report.html")
    _console.print(f"report: {path}", soft_wrap=True)
    return EXIT_COMPLETE if len(done) == len(records) else EXIT_FAILED_TRIALS


def _objectives(question: Question) -> list[dict]:
    return [{"metric": objective.name, "goal": objective.goal} for objective in question.objectives]


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise typer.BadParameter(f"{text!r} has no '='; write it like data.image_px=64", param_hint="--set")
        pairs[key.strip()] = value
    return pairs


def _command(space: Path, overrides: dict[str, str], smoke: bool, storage: str | None) -> str:
    words = ["python -m sweep.run", str(space), *(f"--set {key}={value}" for key, value in overrides.items())]
    words += ["--smoke"] if smoke else []
    words += [f"--storage {storage}"] if storage else []
    return " ".join(words)


if __name__ == "__main__":
    typer.run(run)
