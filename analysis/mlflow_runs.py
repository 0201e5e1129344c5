"""records -> an MLflow store in one SQLite file: a run a configuration with its means over seeds, and below it a run a record.

MLflow 3 takes no plain folder any more, so the store is a database. Its names know no '@': robust_accuracy/target/worst@1/255 becomes
'robust_accuracy/target/worst at 1/255'. Curves by epoch are under 'epoch/...'.
"""

from __future__ import annotations

import logging
import math
import os
import re
import uuid
import warnings
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.frames import Run
from sweep.core.errors import InputError

if TYPE_CHECKING:
    from mlflow import MlflowClient

METRICS_AT_ONCE, PARAMS_AT_ONCE = 1000, 100  # what MLflow takes in one call
_REFUSED = re.compile(r"[^\w\-. :/]")
MOST_LETTERS = 6000  # of a setting, as MLflow allows


def write_mlflow(run: Run, out: Path) -> None:
    """Write every record of `run` to the new file `out`; InputError when it exists or MLflow is not installed."""
    if out.exists():
        raise InputError("--out", f"{out} exists", "give a new file; a store is not written over")
    draft = out.with_name(
        f".{out.name}.{uuid.uuid4().hex[:8]}"
    )  # MLflow keeps connections by address, so no address serves twice
    draft.parent.mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of MLflow's own database code
            _fill(_client(draft), run, out)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def _fill(client: MlflowClient, run: Run, out: Path) -> None:
    experiment = client.create_experiment(
        run.name, artifact_location=(out.parent / f"{out.name}.artifacts").absolute().as_uri()
    )
    names = run.labels
    curves = dict(list(run.epochs.groupby(["signature", "seed"]))) if len(run.epochs) else {}
    parents = {key: _parent(client, experiment, run, key, names[key]) for key in run.means.index}
    for event in (*run.finishes, *run.stops):
        _record(
            client, experiment, event, curves.get((event["signature"], event["seed"])), parents.get(event["signature"])
        )


def _client(file: Path) -> MlflowClient:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would report its use to its makers
    try:
        from mlflow import MlflowClient
    except ImportError:
        raise InputError("--to mlflow", "MLflow is not installed", "pip install 'recipe-finder[mlflow]'") from None
    for chatter in ("alembic", "mlflow"):
        logging.getLogger(chatter).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=f"sqlite:///{file}")


def _parent(client: MlflowClient, experiment: str, run: Run, key: str, label: str) -> str:
    tags = {"signature": key, "seeds": str(len(run.records.loc[[key]])), "state": "FINISHED"} | (
        {"mark": run.marks[key]} if key in run.marks else {}
    )
    made = client.create_run(experiment, run_name=label, tags=tags, start_time=0).info.run_id
    _log(
        client,
        made,
        run.configs.loc[key].dropna().to_dict(),
        [(name, value, 0) for name, value in run.means.loc[key].items()],
    )
    client.set_terminated(made, "FINISHED", end_time=0)
    return made


def _record(client: MlflowClient, experiment: str, event: Mapping[str, Any], curve: Any, parent: str | None) -> None:
    stopped = event["event"] == "stopped"
    tags = {"signature": event["signature"], "seed": str(event["seed"])} | (
        {"mlflow.parentRunId": parent} if parent else {}
    )
    tags |= {"stopped by": str(event["by"]), "why": str(event["reason"])} if stopped else {}
    time = _milliseconds(event)
    made = client.create_run(
        experiment, run_name=f"{event['signature'][:6]} seed {event['seed']}", tags=tags, start_time=time
    ).info.run_id
    numbers = [(name, value, 0) for name, value in event.get("metrics", {}).items()]
    numbers += [(f"seconds/{name}", value, 0) for name, value in event.get("seconds", {}).items()]
    for row in curve.to_dict("records") if curve is not None else ():
        numbers += [
            (f"epoch/{name}", value, int(row["epoch"]))
            for name, value in row.items()
            if name not in ("signature", "seed", "epoch")
        ]
    _log(client, made, event["config"], numbers)
    client.set_terminated(made, "KILLED" if stopped else "FINISHED", end_time=time)


def _log(client: MlflowClient, run_id: str, config: Mapping[str, Any], numbers: Iterable[tuple[str, Any, int]]) -> None:
    from mlflow.entities import Metric, Param

    params = [Param(name, str(value)[:MOST_LETTERS]) for name, value in config.items() if value is not None]
    metrics = [
        Metric(_name(name), float(value), 0, step)
        for name, value, step in numbers
        if isinstance(value, (int, float)) and math.isfinite(value)
    ]
    for start in range(0, len(params), PARAMS_AT_ONCE):
        client.log_batch(run_id, params=params[start : start + PARAMS_AT_ONCE])
    for start in range(0, len(metrics), METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS_AT_ONCE])


def _name(metric: str) -> str:
    """`metric` with what MLflow refuses in names of classes and findings written as its code: 'cyst (a)' -> 'cyst _28_a_29_'."""
    return _REFUSED.sub(lambda found: f"_{ord(found[0]):x}_", metric.replace("@", " at "))


def _milliseconds(event: Mapping[str, Any]) -> int:
    return round(datetime.fromisoformat(event["time"]).timestamp() * 1000) if "time" in event else 0
