"""sweep config -> run folder with ledger, models and report; the same command again resumes.

python -m sweep.run search_spaces/quickstart.yaml [--set K=V] [--smoke] [--plan] [--storage URL] [--address A]
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from sweep.config.load import load_config
from sweep.config.sweep_config import SweepConfig
from sweep.core.errors import EXIT_COMPLETE, EXIT_FAILED_TRIALS, EXIT_STOPPED, InputError, guarded
from sweep.core.ray_address import usable
from sweep.core.storage import Storage

if TYPE_CHECKING:
    from sweep.data.datasets import Data
    from sweep.execution.live_table import Progress
    from sweep.planning.capacity import Capacity
    from sweep.planning.plan import Plan
    from sweep.store.ledger import Ledger, Reading
    from sweep.store.run_folder import StillOurs

_console = Console(highlight=False)
_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray sets it for the command of a submitted job


def run(
    space: Annotated[Path, typer.Argument(help="sweep config", show_default=False)],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="override one key: a.b=value; may be repeated")
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="the same sweep config in about a minute")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="say what would be computed; compute nothing")] = False,
    storage: Annotated[str | None, typer.Option(help="run folder or URL  [default: results/<name>]")] = None,
    address: Annotated[
        str | None, typer.Option(help="address of a running Ray cluster  [default: $RAY_ADDRESS, else a local one]")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="ray or inline  [default: resources.engine]")] = None,
) -> None:
    """Search for the recipe that answers a sweep config, and write its report."""
    overrides = _pairs(set_ or []) | ({"resources.engine": engine} if engine else {})
    raise typer.Exit(guarded(lambda: run_sweep(space, overrides, smoke, plan, storage, address)))


def run_sweep(
    space: Path, overrides: dict[str, str], smoke: bool, plan_only: bool, storage: str | None, address: str | None
) -> int:
    """The command without its command line; returns the exit code."""
    sweep_config = load_config(space, overrides, smoke)
    if not plan_only:
        address = _address(address, sweep_config)  # before anything that takes seconds
    run_storage = Storage(storage or _usual_place(sweep_config.name))
    if plan_only:
        from sweep.planning.plan_report import print_plan

        print_plan(sweep_config, run_storage, _console, address or os.environ.get("RAY_ADDRESS"))
        return EXIT_COMPLETE
    from sweep.execution.engines import joined
    from sweep.store.run_folder import opened

    with joined(address, sweep_config.resources) as capacity, opened(run_storage, sweep_config) as still_ours:
        try:
            return _sweep(
                sweep_config, run_storage, space, _command(space, overrides, smoke, storage), capacity, still_ours
            )
        except Exception:
            still_ours()  # says so where the run was taken over: the reason of whatever else went wrong, and Tune wraps what is raised inside it
            raise


def _address(address: str | None, sweep_config: SweepConfig) -> str | None:
    """The Ray to join, None for one of this machine; the inline engine joins none, whatever $RAY_ADDRESS says."""
    if sweep_config.resources.engine != "inline":
        return usable(address)
    if address:
        raise InputError(
            "--address",
            "resources.engine: inline runs on this machine alone",
            "leave --address out, or set resources.engine: ray",
        )
    return None


def _usual_place(name: str) -> Path:
    """results/NAME here; under the home folder for a submitted job, whose own folder Ray deletes some time after it."""
    return (Path.home() if _JOB in os.environ else Path()) / "results" / name


def _sweep(
    sweep_config: SweepConfig,
    run_storage: Storage,
    space: Path,
    command: str,
    capacity: Capacity | None,
    still_ours: StillOurs,
) -> int:
    from sweep.data.datasets import prepare
    from sweep.pipeline.sample_images import GALLERY_FILE, write_samples
    from sweep.planning.plan import make_plan, notes
    from sweep.planning.preflight import check_models
    from sweep.planning.warm_start import earlier_results
    from sweep.store.ledger import Ledger, read_ledger

    begin = time.perf_counter()
    _console.print(f"{sweep_config.name}: preparing data")
    data = prepare(sweep_config.data, run_storage, sweep_config.directions)
    if not run_storage.exists(GALLERY_FILE):
        write_samples(data, run_storage)
    reading = read_ledger(run_storage)
    for damage in reading.damages:
        _console.print(f"records/{damage.file}:{damage.line}: {damage.reason}; the event is ignored")
    objectives = [objective.name for objective in sweep_config.objectives]
    warm = earlier_results(sweep_config.searcher.warm_start, objectives)
    plan = make_plan(sweep_config, data, reading, warm)
    for note in (
        *notes(sweep_config, plan, len(warm)),
        *check_models(space, plan.left, data, sweep_config.threats.attacks),
    ):
        _console.print(note, soft_wrap=True)
    ledger = Ledger(run_storage, still_ours)
    event = {
        "event": "sweep",
        "name": sweep_config.name,
        "objectives": _objectives(sweep_config),
        "trials": len(plan.foreseen),
        "seeds": sweep_config.seeds.min,
    }
    ledger.append(
        {
            **event,
            "algorithm": sweep_config.searcher.algorithm,
            "scheduler": sweep_config.scheduler.type,
            "warm": plan.warm,
            "defaults": dict(plan.defaults),
        }
    )
    for late in plan.late_events:
        ledger.append(late)
    plan.campaign.log = ledger.append
    try:
        if plan.campaign.has_work():
            _run_left(sweep_config, run_storage, plan, data, ledger, reading, capacity)
    except KeyboardInterrupt:
        _console.print(
            f"\nstopped; nothing finished is lost. Resume with:\n  {command}", highlight=False, soft_wrap=True
        )
        return EXIT_STOPPED
    still_ours()
    return _report(run_storage, plan, begin)


def _run_left(
    sweep_config: SweepConfig,
    run_storage: Storage,
    plan: Plan,
    data: Data,
    ledger: Ledger,
    before: Reading,
    capacity: Capacity | None,
) -> None:
    from sweep.execution.campaign_records import CampaignRecords
    from sweep.execution.engines import engine
    from sweep.execution.launch import Launch
    from sweep.planning.budget import budget_tracker_of
    from sweep.planning.plan import attacks_of
    from sweep.store.run_folder import note_overhead

    resources, rules = sweep_config.resources, plan.campaign.rules
    progress = _progress(sweep_config, plan)
    budget_tracker = budget_tracker_of(sweep_config, before)
    records = CampaignRecords(run_storage, ledger, progress, plan.campaign, budget_tracker)
    halving = rules.halving() if rules.halving else None
    launch = Launch(attacks_of(sweep_config), run_storage.url, resources, ledger.attempt, halving, rules.metrics)
    with engine(resources, capacity, (run_storage.url, data.source, data.target)) as (capacity, run_plan):
        begin = time.perf_counter()
        try:
            with progress:
                run_plan(launch, plan, data, capacity, records)
        finally:
            ledger.flush()
        worker_groups = min(capacity.concurrent_trials, plan.campaign.expected_records)  # no more are ever held
        overhead = note_overhead(run_storage, time.perf_counter() - begin, worker_groups, progress.finished)
        for line in filter(None, (budget_tracker.farewell, overhead)):
            _console.print(line, soft_wrap=True)


def _progress(sweep_config: SweepConfig, plan: Plan) -> Progress:
    from sweep.execution.live_table import Progress

    metrics = tuple(dict.fromkeys(objective.name for objective in sweep_config.objectives))
    maximize = sweep_config.objectives[0].goal == "maximize"
    records = plan.campaign.expected_records
    progress = Progress(sweep_config.name, records, plan.varied, metrics, maximize, _console)
    progress.reused = plan.settled()
    return progress


def _report(run_storage: Storage, plan: Plan, begin: float) -> int:
    from sweep.store.ledger import read_ledger

    reading = read_ledger(run_storage)
    ours = plan.campaign.candidates
    done, lost, stopped = (
        [record for record in records if record[0] in ours]
        for records in (reading.finished(), reading.failed(), reading.stopped())
    )
    early = f", {len(stopped)} stopped early" if stopped else ""
    whole = len(stopped) + len(done) == plan.campaign.expected_records
    _console.print(
        f"{len(done)} of {plan.campaign.expected_records} records finished, {len(lost)} failed{early}, in {time.perf_counter() - begin:.0f} s"
    )
    if not done:
        raise InputError(
            run_storage.url,
            "no record finished, so there is nothing to report",
            "read the failures above; the same command tries again",
        )
    from analysis.report import write_report

    path = write_report(run_storage.url, run_storage.address("report.html"))
    _console.print(f"report: {path}", soft_wrap=True)
    return EXIT_COMPLETE if whole else EXIT_FAILED_TRIALS


def _objectives(sweep_config: SweepConfig) -> list[dict]:
    return [{"metric": objective.name, "goal": objective.goal} for objective in sweep_config.objectives]


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
