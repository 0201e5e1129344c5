"""records -> what other tools read: csv and parquet frames, an Optuna study that optuna-dashboard shows, or MLflow runs.

python -m analysis.interchange results/ratio --to optuna --out ratio.db && optuna-dashboard sqlite:///ratio.db
python -m analysis.interchange results/ratio --to mlflow --out mlflow.db && mlflow ui --backend-store-uri sqlite:///mlflow.db
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import optuna
import pandas as pd
import typer
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from analysis import metric_names
from analysis.csv_cells import cell
from analysis.frames import Run, load_run, settings_frame
from analysis.ranking import objectives, unranked
from sweep.core import atomic
from sweep.core.command_line import Command, one_of, run_as_program
from sweep.core.errors import EXIT_COMPLETE, InputError

COMPLETE, FAILED, PRUNED = TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED


def records_frame(run: Run) -> pd.DataFrame:
    """One row a record: signature, seed, state, settings as `config/...`, metrics under their own names, seconds as `seconds/...`.

    `state` is finished or stopped; a stopped record has the metrics of the epoch it was stopped at.
    """
    configs = pd.concat([run.configs, stopped_configs(run)]).add_prefix("config/")
    rows = [{"signature": event["signature"], "seed": event["seed"], **event.get("metrics", {})} for event in run.stops]
    frames = [
        run.records.reset_index().assign(state="finished"),
        *([pd.DataFrame(rows).assign(state="stopped")] if rows else []),
    ]
    configs = configs.infer_objects()
    frame = pd.concat(frames, ignore_index=True).merge(configs, left_on="signature", right_index=True, how="left")
    return frame.merge(run.seconds.add_prefix("seconds/").reset_index(), on=["signature", "seed"], how="left")


def text_columns(frame: pd.DataFrame) -> list[str]:
    """Columns of which some value is no number: a setting may be a number here and a word there."""
    return [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]


def stopped_configs(run: Run) -> pd.DataFrame:
    """Settings of the configurations that were given up before any seed finished, indexed by signature."""
    return settings_frame(unranked(run))


def _to_csv(run: Run, out: Path) -> None:
    frame = records_frame(run)
    for name in text_columns(frame):
        frame[name] = frame[name].map(cell)
    atomic.write_text(out, frame.to_csv(index=False))


def _to_parquet(run: Run, out: Path) -> None:
    frame = records_frame(run)
    for name in text_columns(frame):
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
            warnings.simplefilter(
                "ignore", optuna.exceptions.ExperimentalWarning
            )  # names of objectives: the dashboard shows them
            study.set_metric_names(list(goals))
        study.add_trials(_trials(run, goals))
        storage.remove_session()
        storage.engine.dispose()  # the file is closed before it takes its name
        draft.replace(out)
    finally:
        optuna.logging.set_verbosity(verbosity)
        draft.unlink(missing_ok=True)


def _trials(run: Run, goals: Sequence[str]) -> list[FrozenTrial]:
    given_up = stopped_configs(run)
    configs = pd.concat([run.configs, given_up])
    given = {name: configs[name].dropna() for name in configs}
    # A setting that no configuration gives a value has no range.
    distributions = {name: _distribution(values) for name, values in given.items() if len(values)}
    trials = []
    for key, means in run.means.iterrows():
        config = run.configs.loc[key].dropna()
        params = _params(config, distributions)
        values = [float(means[metric]) for metric in goals]
        whole = all(math.isfinite(value) for value in values)
        trials.append(
            create_trial(
                state=COMPLETE if whole else FAILED,
                values=values if whole else None,
                params=params,
                distributions={name: distributions[name] for name in params},
                user_attrs={
                    "signature": key,
                    "seeds": len(run.records.loc[[key]]),
                    **{m: float(v) for m, v in means.items() if math.isfinite(v)},
                },
            )
        )
    for event in unranked(run):
        params = _params(given_up.loc[event["signature"]].dropna(), distributions)
        attrs = {
            "signature": event["signature"],
            "stopped by": event["by"],
            "why": event["reason"],
            "epoch": event["epoch"],
            **event.get("metrics", {}),
        }
        trials.append(
            create_trial(
                state=PRUNED,
                params=params,
                distributions={name: distributions[name] for name in params},
                user_attrs=attrs,
            )
        )
    return trials


def _params(config: pd.Series, distributions: dict[str, BaseDistribution]) -> dict[str, object]:
    return {str(name): _plain(value, distributions[str(name)]) for name, value in config.items()}


def _distribution(values: pd.Series) -> BaseDistribution:
    kinds = {type(value) for value in values}
    if kinds <= {int}:
        return IntDistribution(int(min(values)), int(max(values)))
    if kinds <= {int, float}:
        numbers = values.astype(float)
        low, high = float(numbers.min()), float(numbers.max())
        return FloatDistribution(low, high, log=low > 0 and high > 20 * low)
    return CategoricalDistribution(sorted({str(value) for value in values}))


def _plain(value: object, distribution: BaseDistribution) -> object:
    if isinstance(distribution, CategoricalDistribution):
        return str(value)
    return int(str(value)) if isinstance(distribution, IntDistribution) else float(str(value))


def _to_mlflow(run: Run, out: Path) -> None:
    from analysis.mlflow_runs import write_mlflow  # an extra: only this row needs it

    write_mlflow(run, out)


WRITERS: dict[str, Callable[[Run, Path], None]] = {
    "csv": _to_csv,
    "parquet": _to_parquet,
    "optuna": _to_optuna,
    "mlflow": _to_mlflow,
}


def interchange_command(
    run: Annotated[str, typer.Argument(help="Run folder or URL, e.g. results/quickstart.", show_default=False)],
    to: Annotated[str, typer.Option(**one_of(WRITERS), help="What to write.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write.", show_default=False)],
) -> int:
    """Write a run's records for other tools: CSV, Parquet, an Optuna study or MLflow runs."""
    WRITERS[to](load_run(run), out)
    sys.stdout.write(f"{out}\n")
    return EXIT_COMPLETE


main = Command(
    interchange_command,
    examples=("{} results/ratio --to csv --out ratio.csv", "{} results/ratio --to optuna --out ratio.db"),
)

run_as_program(main, __name__)
