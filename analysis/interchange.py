"""records -> what other tools read: csv and parquet frames, or an Optuna study that optuna-dashboard shows.

python -m analysis.interchange results/ratio --to optuna --out ratio.db && optuna-dashboard sqlite:///ratio.db
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from analysis import metric_names
from analysis.frames import Run, load_run
from analysis.ranking import objectives
from sweep.core import atomic
from sweep.core.errors import InputError, guarded

COMPLETE, FAILED = TrialState.COMPLETE, TrialState.FAIL


def records_frame(run: Run) -> pd.DataFrame:
    """One row a record: signature, seed, settings as `config/...`, metrics under their own names, seconds as `seconds/...`."""
    configs = run.configs.add_prefix("config/")
    frame = run.records.reset_index().merge(configs, left_on="signature", right_index=True)
    return frame.merge(run.seconds.add_prefix("seconds/").reset_index(), on=["signature", "seed"], how="left")


def _to_csv(run: Run, out: Path) -> None:
    atomic.write_text(out, records_frame(run).to_csv(index=False))


def _to_parquet(run: Run, out: Path) -> None:
    frame = records_frame(run)
    for name in frame.columns[frame.dtypes == object]:  # a setting may be a number here and a word there
        frame[name] = frame[name].map(lambda value: None if value is None or value != value else str(value))
    atomic.write_bytes(out, frame.to_parquet(index=False))


def _to_optuna(run: Run, out: Path) -> None:
    if out.exists():
        raise InputError("--out", f"{out} exists", "give a new file; a study is not written over")
    goals = objectives(run)
    if not goals:
        raise InputError(run.storage.url, "no objective was recorded", "export csv or parquet instead")
    draft = out.with_name(f".{out.name}.draft")
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.unlink(missing_ok=True)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        directions = [run.goals.get(metric, metric_names.goal(metric)) for metric in goals]
        storage = optuna.storages.RDBStorage(f"sqlite:///{draft}")
        study = optuna.create_study(storage=storage, study_name=run.name, directions=directions)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # names of objectives: the dashboard shows them
            study.set_metric_names(list(goals))
        study.add_trials(_trials(run, goals))
        storage.remove_session()
        storage.engine.dispose()  # the file is closed before it takes its name
        draft.replace(out)
    finally:
        optuna.logging.set_verbosity(verbosity)
        draft.unlink(missing_ok=True)


def _trials(run: Run, goals: Sequence[str]) -> list[FrozenTrial]:
    distributions = {name: _distribution(run.configs[name].dropna()) for name in run.configs}
    trials = []
    for key, means in run.means.iterrows():
        config = run.configs.loc[key].dropna()
        params = {name: _plain(value, distributions[name]) for name, value in config.items()}
        values = [float(means[metric]) for metric in goals]
        whole = all(value == value for value in values)
        trials.append(create_trial(
            state=COMPLETE if whole else FAILED, values=values if whole else None, params=params,
            distributions={name: distributions[name] for name in params},
            user_attrs={"signature": key, "seeds": int(len(run.records.loc[[key]])), **{m: float(v) for m, v in means.items() if v == v}}))
    return trials


def _distribution(values: pd.Series) -> BaseDistribution:
    kinds = {type(value) for value in values}
    if kinds <= {int}:
        return IntDistribution(int(values.min()), int(values.max()))
    if kinds <= {int, float}:
        numbers = values.astype(float)
        low, high = float(numbers.min()), float(numbers.max())
        return FloatDistribution(low, high, log=low > 0 and high > 20 * low)
    return CategoricalDistribution(sorted({str(value) for value in values}))


def _plain(value: object, distribution: BaseDistribution) -> object:
    if isinstance(distribution, CategoricalDistribution):
        return str(value)
    return int(value) if isinstance(distribution, IntDistribution) else float(value)


WRITERS: dict[str, Callable[[Run, Path], None]] = {"csv": _to_csv, "parquet": _to_parquet, "optuna": _to_optuna}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file and print its path; exit code 2 with a message when the input is wrong."""
    parser = argparse.ArgumentParser(prog="python -m analysis.interchange", description="Hand a run's records to other tools.")
    parser.add_argument("run", help="run folder, e.g. results/quickstart")
    parser.add_argument("--to", choices=WRITERS, required=True)
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    options = parser.parse_args(arguments)

    def command() -> int:
        WRITERS[options.to](load_run(options.run), options.out)
        sys.stdout.write(f"{options.out}\n")
        return 0

    return guarded(command)


if __name__ == "__main__":
    sys.exit(main())
