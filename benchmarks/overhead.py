"""What the platform costs beside the training: seconds per trial, scheduling of many trials, and the driver's memory.

python -m benchmarks.overhead trial                      # one worker group; against the same jobs run bare in one process
python -m benchmarks.overhead scheduling --trials 10000  # jobs that train nothing, to the ledger and back
python -m benchmarks.overhead campaign --trials 10000    # the search logic alone
python -m benchmarks.overhead startup                    # from the command to the first epoch, on both engines
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray

from sweep.config.sweep_config import SweepConfig
from sweep.core.storage import Storage
from sweep.data.datasets import FOLDS, Data, prepare
from sweep.store.ledger import Ledger, read_ledger

SWEEP_CONFIG = """\
name: overhead
data: {{source: phantom-a, target: phantom-b, image_px: 32, phantom_patients: 40}}
search: {{lr: {{distribution: log_uniform, min: 1e-4, max: 1e-2}}}}
fixed: {{backbone: small_cnn, epochs: 3, batch_size: 16}}
searcher: {{algorithm: random, trials: {trials}}}
seeds: 1
resources: {{max_concurrent_trials: {worker_groups}, reuse_workers: {reuse}}}
"""


def sweep_config(trials: int, worker_groups: int = 1) -> SweepConfig:
    """The sweep config of `trials` tiny configurations."""
    from sweep.config.load import load_config

    with tempfile.TemporaryDirectory() as folder:
        return load_config(_written(folder, trials, worker_groups))


def _written(folder: str, trials: int, worker_groups: int = 1, reuse: bool = True) -> Path:
    path = Path(folder) / "overhead.yaml"
    path.write_text(SWEEP_CONFIG.format(trials=trials, worker_groups=worker_groups, reuse=str(reuse).lower()))
    return path


def sweep_seconds(trials: int, reuse: bool) -> float:
    """Wall seconds of a sweep's Ray part: first job taken to last result written, start-up included."""
    from sweep.run import run_sweep

    with tempfile.TemporaryDirectory() as folder:
        run_sweep(_written(folder, trials, reuse=reuse), {}, False, False, f"{folder}/run", None)
        return json.loads((Path(folder) / "run" / "environment.json").read_text())["overhead"]["wall_s"]


def bare_seconds(trials: int) -> float:
    """Median seconds of the same jobs without Ray, one after another in this process."""
    import torch

    from sweep.config.hyperparameters import complete
    from sweep.pipeline.train_and_evaluate import run_seed
    from sweep.pipeline.training_job import TrainingJob
    from sweep.planning.grid import studies
    from sweep.store.trial import Attacks, Trial

    torch.set_num_threads(1)
    asked = sweep_config(trials)
    with tempfile.TemporaryDirectory() as folder:
        run = Storage(folder)
        data = prepare(asked.data, run)
        folds = {fold: data.read(fold) for fold in FOLDS}
        lengths = []
        for config in studies({}, asked.search, asked.fixed, trials)[0].configs:
            begin = time.perf_counter()
            run_seed(TrainingJob(Trial(complete(config), data.hash, (0,)), 0, data, folds, Attacks(), run))
            lengths.append(time.perf_counter() - begin)
    return statistics.median(lengths)


def trial_cost(few: int, many: int) -> None:
    """Seconds that one more trial costs, by worker groups and by a Train run of its own, against the job itself."""
    bare = bare_seconds(many)
    rows = [("worker groups", True, few, many), ("a Train run for each trial", False, 1, 3)]
    sys.stdout.write(f"the job itself, bare: {bare:.2f} s\n")
    for label, reuse, first, last in rows:
        walls = [sweep_seconds(count, reuse) for count in (first, last)]
        each = (walls[1] - walls[0]) / (last - first)
        sys.stdout.write(
            f"{label}: {each:.2f} s per further trial, of which {each - bare:.2f} s are the platform's; the first {first} took {walls[0]:.1f} s with start-up\n"
        )


@ray.remote(num_cpus=0.001)
def serve_nothing(job_queue: Any, worker_group: str, run_url: str) -> None:
    """A worker group that trains nothing: every job gets one epoch and one made-up result a seed."""
    from sweep.execution.job import DONE
    from sweep.store.trial import RESULT

    run = Storage(run_url)
    while (work := ray.get(job_queue.take.remote(worker_group))) is not None:
        trial = work.trial
        for seed in trial.seeds:
            metrics = {"auroc/target": trial.config["lr"] * 50 + 0.01 * seed, "auroc/source_val": 0.5}
            ray.get(
                job_queue.report.remote(
                    worker_group, trial.signature, {"kind": "epoch", "seed": seed, "epoch": 1, **metrics}
                )
            )
            result = {
                "signature": trial.signature,
                "seed": seed,
                "config": dict(trial.config),
                "study": {},
                "metrics": metrics,
                "alarms": [],
                "seconds": {"total": 0.0},
            }
            run.write(f"{trial.seed_folder(seed)}/{RESULT}", json.dumps(result).encode())
            ray.get(job_queue.report.remote(worker_group, trial.signature, {"kind": "finish", "seed": seed}))
        ray.get(job_queue.report.remote(worker_group, trial.signature, {"kind": DONE}))


def scheduling(trials: int, worker_groups: int) -> None:
    """Trials a second through searcher, Tune, job queue and ledger, in tenths of the sweep, and what the driver's memory grew by."""
    from sweep.execution.campaign_records import CampaignRecords
    from sweep.execution.launch import Launch
    from sweep.execution.live_table import Progress
    from sweep.execution.ray.run_trials import run_trials
    from sweep.execution.ray.session import ray_session
    from sweep.planning.budget import BudgetTracker
    from sweep.planning.capacity import Capacity
    from sweep.planning.plan import attacks_of, make_plan

    asked = sweep_config(trials, worker_groups)
    marks: list[tuple[float, float]] = []

    class Watched(Progress):
        def on_finish(self, event: Any) -> None:
            self.finished.append(event)
            if len(self.finished) % max(1, trials // 10) == 0:
                marks.append((time.perf_counter(), _memory_mb()))

    def serve(setup: Any, name: str) -> ray.ObjectRef:
        return serve_nothing.remote(setup.job_queue, name, setup.run_url)

    with tempfile.TemporaryDirectory() as folder:
        run = Storage(folder)
        data: Data = prepare(asked.data, run)
        plan, ledger = make_plan(asked, data, read_ledger(run)), Ledger(run)
        plan.campaign.log = ledger.append
        with ray_session(None, asked.resources):
            begin = time.perf_counter()
            launch = Launch(attacks_of(asked), run.url, asked.resources, ledger.attempt)
            run_trials(
                launch,
                plan,
                data,
                Capacity(worker_groups, 0, worker_groups),
                CampaignRecords(run, ledger, Watched("overhead", trials, (), ()), plan.campaign, BudgetTracker()),
                serve=serve,
            )
        wall = time.perf_counter() - begin
        finished = len(read_ledger(run).finished())
    paces = [round((trials // 10) / (after[0] - before[0]), 1) for before, after in itertools.pairwise(marks)]
    grown = (marks[-1][1] - marks[0][1]) / (trials * 0.9)
    sys.stdout.write(
        f"{finished} of {trials} trials in {wall:.0f} s: {1000 * wall / trials:.1f} ms each; trials a second by tenth {paces}; the driver grew by {grown:.3f} MB per trial\n"
    )


def campaign(trials: int) -> None:
    """The search logic alone: asks and results of `trials` configurations in 20 cells, then the replay of their ledger."""
    from sweep.search.campaign import Campaign
    from sweep.search.candidate import Rules

    rules = Rules(sweep_config(1).search, ("maximize",), ("score",), draws=trials // 20, seeds=1)

    def fresh() -> Campaign:
        return Campaign(
            [{"cell": number} for number in range(20)],
            {},
            rules,
            lambda config: (f"{config['cell']}-{config['lr']}", dict(config)),
        )

    events: list[dict[str, Any]] = []
    one, begin = fresh(), time.perf_counter()
    one.log = events.append
    while (job := one.next_job()) is not None:
        one.settle(job.signature, 0, [job.config["lr"]])
        events.append(
            {"event": "finish", "signature": job.signature, "seed": 0, "metrics": {"score": job.config["lr"]}}
        )
    played = time.perf_counter()
    fresh().replay(events)
    sys.stdout.write(
        f"{trials} configurations: {1e6 * (played - begin) / trials:.0f} us each asked and told; replayed in {time.perf_counter() - played:.2f} s\n"
    )


def startup() -> None:
    """Seconds per phase, processes and CPU seconds from the command to the first epoch of a sweep of two worker groups."""
    from benchmarks.startup import profile

    for engine in ("inline", "ray"):
        with tempfile.TemporaryDirectory() as folder:
            found = profile(_written(folder, 4, 2 if engine == "ray" else 1), Path(folder) / "run", engine)
            sys.stdout.write("\n".join(found.lines(engine)) + "\n")


def _memory_mb() -> float:
    """Resident memory of this process now; its peak where /proc is not there."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    """Run what is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("trial", "scheduling", "campaign", "startup"))
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--worker-groups", type=int, default=4)
    options = parser.parse_args()
    if options.what == "trial":
        trial_cost(4, 24)
    elif options.what == "startup":
        startup()
    elif options.what == "scheduling":
        scheduling(options.trials, options.worker_groups)
    else:
        campaign(options.trials)


if __name__ == "__main__":
    main()
