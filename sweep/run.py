"""sweep config -> run folder with ledger, models and report; the same command again resumes.

python -m sweep.run search_spaces/quickstart.yaml [--set K=V] [--smoke] [--plan] [--storage URL] [--address A]
"""

from __future__ import annotations

if __name__ == "__main__":  # what follows takes seconds to import
    from sweep.core.stop_signals import stop_before_work

    stop_before_work()

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from sweep.config.load import load_config, name_of, places
from sweep.config.sweep_config import SweepConfig
from sweep.core.command_line import EXITS, Command, key_values, one_of
from sweep.core.durations import duration
from sweep.core.errors import EXIT_COMPLETE, EXIT_FAILED_TRIALS, EXIT_STOPPED, InputError, InputErrors, of_system
from sweep.core.ray_address import usable
from sweep.core.stop_signals import stoppable
from sweep.core.storage import Storage

if TYPE_CHECKING:
    from sweep.data.datasets import Data
    from sweep.planning.capacity import Capacity
    from sweep.planning.plan import Plan
    from sweep.store.ledger import Ledger, Reading
    from sweep.store.run_folder import StillOurs

_console = Console(highlight=False)
_NOT_FOR_OTHERS = 0o022  # group and others never write to what a sweep makes, whatever the user's umask allows
_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray sets it for the command of a submitted job


def run(
    config: Annotated[
        Path,
        typer.Argument(
            help="Sweep config: a YAML file, or the name of a shipped one such as quickstart.", show_default=False
        ),
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one key, e.g. data.image_px=64; may be repeated."),
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Apply the file's smoke section: the same sweep config in about a minute.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what would be computed, how long it takes and costs; compute nothing.")
    ] = False,
    storage: Annotated[str | None, typer.Option(help="Run folder: a path or URL.", show_default="results/NAME")] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Address of a running Ray cluster.", show_default="$RAY_ADDRESS, else a local one"),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            **one_of(("ray", "inline")),
            help="What runs the trials: a Ray cluster, or this process (inline).",
            show_default="resources.engine of the config",
        ),
    ] = None,
) -> int:
    """Run the sweep that a config describes, or resume it, and write its report."""
    overrides = key_values(set_) | ({"resources.engine": engine} if engine else {})
    return run_sweep(config, overrides, smoke, plan, storage, address)


def run_sweep(
    space: Path, overrides: dict[str, str], smoke: bool, plan_only: bool, storage: str | None, address: str | None
) -> int:
    """The command without its command line; returns the exit code."""
    os.umask(os.umask(0) | _NOT_FOR_OTHERS)
    with stoppable():
        try:
            return _run_or_plan(space, overrides, smoke, plan_only, storage, address)
        except KeyboardInterrupt:
            command = _command(space, overrides, smoke, storage)
            _console.print(
                f"\nstopped; nothing finished is lost. Resume with:\n  {command}", highlight=False, soft_wrap=True
            )
            return EXIT_STOPPED


def _run_or_plan(
    space: Path, overrides: dict[str, str], smoke: bool, plan_only: bool, storage: str | None, address: str | None
) -> int:
    if not plan_only:
        _refuse_if_running(space, overrides, smoke, storage)
    sweep_config = load_config(space, overrides, smoke)
    run_storage = Storage(storage or _usual_place(sweep_config.name))
    if plan_only:
        from sweep.planning.plan_report import print_plan

        where = places(space, overrides, smoke)
        print_plan(sweep_config, run_storage, _console, address or os.environ.get("RAY_ADDRESS"), where=where)
        return EXIT_COMPLETE
    address = _address(address, sweep_config)  # before anything that takes seconds
    from sweep.data.datasets import CARD_FILE
    from sweep.planning.named_files import missing_files

    where, prepared = places(space, overrides, smoke), run_storage.local is not None and run_storage.exists(CARD_FILE)
    if missing := missing_files(sweep_config, where, shards=not prepared):
        raise InputErrors(space, missing)
    from sweep.execution.engines import joined
    from sweep.store.run_folder import opened

    with joined(address, sweep_config.resources) as cluster, opened(run_storage, sweep_config) as still_ours:
        try:
            return _sweep(sweep_config, run_storage, space, cluster, still_ours)
        except Exception as error:
            still_ours()  # raises where another driver took the run over: the reason of whatever else went wrong, which Tune wraps
            if (reason := _input_error_behind(error)) is not None:
                raise reason from error
            raise


def _refuse_if_running(space: Path, overrides: dict[str, str], smoke: bool, storage: str | None) -> None:
    """InputError where another driver has the run folder, before the seconds that checking the sweep config takes."""
    from sweep.store.run_folder import refuse_if_held

    if place := storage or ((name := name_of(space, overrides, smoke)) and _usual_place(name)):
        refuse_if_held(Storage(place))


def _input_error_behind(error: BaseException | None) -> InputError | None:
    """The bad input, failed write or failed storage that an engine wrapped in an exception of its own; None where there is none."""
    while error is not None:
        if isinstance(error, InputError):
            return error
        if isinstance(error, OSError):
            return of_system(error)
        error = error.__cause__ or error.__context__
    return None


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
    sweep_config: SweepConfig, run_storage: Storage, space: Path, cluster: Capacity | None, still_ours: StillOurs
) -> int:
    from sweep.data.datasets import prepare
    from sweep.execution.heartbeat import waiting
    from sweep.planning.plan import make_plan
    from sweep.planning.warm_start import earlier_results
    from sweep.store.ledger import Ledger, read_ledger

    begin = time.perf_counter()
    _console.print(f"{sweep_config.name}: preparing data")
    with waiting(_console, "preparing data"):
        data = prepare(sweep_config.data, run_storage, sweep_config.directions)
        reading = read_ledger(run_storage)
    for damage in reading.damages:
        _console.print(f"records/{damage.file}:{damage.line}: {damage.reason}; the event is ignored")
    objectives = [objective.name for objective in sweep_config.objectives]
    warm = earlier_results(sweep_config.searcher.warm_start, objectives)
    plan, ledger = make_plan(sweep_config, data, reading, warm), Ledger(run_storage, still_ours)

    def begin_ledger() -> None:
        """Checks what is left to run, then attaches the ledger to the campaign: a refused sweep writes no event."""
        _check(sweep_config, space, run_storage, plan, data, len(warm))
        _write_head(sweep_config, plan, ledger, data)

    if plan.campaign.has_work():
        _run_left(sweep_config, run_storage, plan, data, ledger, reading, cluster, begin_ledger)
    else:
        begin_ledger()
        _console.print(f"nothing left to do: all {plan.campaign.expected_records} records are there")
    still_ours()
    return _report(run_storage, plan, begin)


def _check(sweep_config: SweepConfig, space: Path, run_storage: Storage, plan: Plan, data: Data, offered: int) -> None:
    """Build the models of the trials that are left and print what a user should know; imports torch where there are any.

    Raises InputErrors. `offered` is the number of results of earlier sweeps.
    """
    from sweep.planning.plan import notes
    from sweep.planning.preflight import check_models

    checked = check_models(space, plan.left, data, sweep_config.threats.attacks)
    for note in (*notes(sweep_config, plan, offered), *checked):
        _console.print(note, soft_wrap=True)
    from sweep.pipeline.sample_images import GALLERY_FILE, write_samples

    if not run_storage.exists(GALLERY_FILE):
        write_samples(data, run_storage)


def _write_head(sweep_config: SweepConfig, plan: Plan, ledger: Ledger, data: Data) -> None:
    """The sweep event, then what the campaign has decided so far; later decisions go straight to the ledger."""
    from sweep.planning.preflight import weights_past

    ledger.append(
        {
            "event": "sweep",
            "name": sweep_config.name,
            "objectives": _objectives(sweep_config),
            "trials": plan.configurations,
            "seeds": sweep_config.seeds.min,
            "algorithm": sweep_config.searcher.algorithm,
            "scheduler": sweep_config.scheduler.type,
            "warm": plan.warm,
            "defaults": dict(plan.defaults),
            "weights_past": weights_past(plan.foreseen, data.datasets),
        }
    )
    for event in plan.late_events:
        ledger.append(event)
    plan.campaign.log = ledger.append


def _run_left(
    sweep_config: SweepConfig,
    run_storage: Storage,
    plan: Plan,
    data: Data,
    ledger: Ledger,
    before: Reading,
    cluster: Capacity | None,
    begin_ledger: Callable[[], None],
) -> None:
    from sweep.execution.campaign_records import CampaignRecords
    from sweep.execution.engines import engine
    from sweep.execution.launch import Launch
    from sweep.execution.progress_of import progress_of
    from sweep.planning.budget import budget_tracker_of
    from sweep.planning.plan import attacks_of
    from sweep.store.run_folder import note_overhead

    resources, rules = sweep_config.resources, plan.campaign.rules
    progress = progress_of(sweep_config, plan, data, _console)
    budget_tracker = budget_tracker_of(sweep_config, before)
    records = CampaignRecords(run_storage, ledger, progress, plan.campaign, budget_tracker)
    halving = rules.halving() if rules.halving else None
    launch = Launch(attacks_of(sweep_config), run_storage.url, resources, ledger.attempt, halving, rules.metrics)
    starting = "checking the models" if resources.engine == "inline" else "starting Ray and checking the models"
    with (
        progress.beating(starting),
        engine(resources, cluster, (run_storage.url, data.source, data.target)) as (capacity, run_plan),
    ):
        begin = time.perf_counter()
        try:
            run_plan(launch, plan, data, capacity, records, begin_ledger)
        finally:
            ledger.flush()
        worker_groups = min(capacity.concurrent_trials, plan.campaign.expected_records)  # no more are ever held
        overhead = note_overhead(run_storage, time.perf_counter() - begin, worker_groups, progress.finished)
        cut_short = None if plan.campaign.finished else budget_tracker.farewell
        for line in filter(None, (cut_short, overhead)):
            _console.print(line, soft_wrap=True)


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
        f"{len(done)} of {plan.campaign.expected_records} records finished, {len(lost)} failed{early}, in {duration(time.perf_counter() - begin)}"
    )
    if not done:
        again = "raise budget.wall, or shorten the trials by fixed.epochs; the same command resumes"
        fix = "read the failures above; the same command tries again" if lost else again
        raise InputError(run_storage.url, "no record finished, so there is nothing to report", fix)
    from analysis.report import write_report
    from sweep.execution.heartbeat import waiting

    with waiting(_console, "writing the report"):
        path = write_report(run_storage.url, run_storage.address("report.html"))
    _console.print(f"report: {path}", soft_wrap=True)
    return EXIT_COMPLETE if whole else EXIT_FAILED_TRIALS


def _objectives(sweep_config: SweepConfig) -> list[dict]:
    return [{"metric": objective.name, "goal": objective.goal} for objective in sweep_config.objectives]


def _command(space: Path, overrides: dict[str, str], smoke: bool, storage: str | None) -> str:
    words = ["python -m sweep.run", str(space), *(f"--set {key}={value}" for key, value in overrides.items())]
    words += ["--smoke"] if smoke else []
    words += [f"--storage {storage}"] if storage else []
    return " ".join(words)


main = Command(
    run,
    examples=(
        "{} search_spaces/quickstart.yaml",
        "{} search_spaces/ratio.yaml --smoke --set name=try --set seeds=2",
        "{} search_spaces/ratio.yaml --plan",
    ),
    exits={**EXITS, EXIT_COMPLETE: "complete", EXIT_FAILED_TRIALS: "complete, but some trials failed"},
)

if __name__ == "__main__":
    sys.exit(main())
