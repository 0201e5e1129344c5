"""What the commands do, as functions of Python: arguments instead of flags, values instead of printed lines.

All raise `sweep.core.errors.InputError` for wrong input: its text names the place, the value and the fix.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.core.errors import EXIT_STOPPED, InputError

if TYPE_CHECKING:
    import pandas as pd

    from sweep.deployment.combine import Ensemble
    from sweep.models.classifier import Classifier

Config = str | Path | Mapping[str, Any]  # a file, the name of a shipped sweep config, or the keys themselves
Metrics = dict[str, tuple[float | None, float | None]]


def plan(
    config: Config,
    *,
    overrides: Mapping[str, object] | None = None,
    smoke: bool = False,
    storage: str | Path | None = None,
    address: str | None = None,
    measure: bool = False,
) -> str:
    """What a sweep would compute, what its run folder holds already, and time and cost of the rest, as text; computes nothing.

    With `measure` a few steps are timed here where nothing has been timed yet.
    """
    from rich.console import Console

    from sweep.config.load import load_config
    from sweep.core.storage import Storage
    from sweep.planning.plan_report import print_plan

    with _as_file(config) as path:
        sweep_config = load_config(path, _texts(overrides), smoke)
    text = io.StringIO()
    place = Storage(storage or Path("results") / sweep_config.name)
    console = Console(file=text, width=110, highlight=False)
    print_plan(sweep_config, place, console, address or os.environ.get("RAY_ADDRESS"), measure)
    return text.getvalue()


def run(
    config: Config,
    *,
    overrides: Mapping[str, object] | None = None,
    smoke: bool = False,
    storage: str | Path | None = None,
    address: str | None = None,
) -> str:
    """Run a sweep, or resume it, and write its report; returns the run folder (results/NAME by default).

    `overrides` are those of --set: {"data.image_px": 64}. Trials that fail do not raise: `read_ledger(folder).failed()` has them.
    KeyboardInterrupt is raised on after the ledger is written; the same call resumes.
    """
    from sweep.config.load import load_config
    from sweep.run import run_sweep

    with _as_file(config) as path:
        name = load_config(path, _texts(overrides), smoke).name
        folder = str(storage or Path("results") / name)
        if run_sweep(path, _texts(overrides), smoke, False, folder, address) == EXIT_STOPPED:
            raise KeyboardInterrupt
    return folder


def rank(
    run: str | Path, by: str = "source_val", *, constraints: Sequence[str] = (), top: int | None = None
) -> pd.DataFrame:
    """The ranking of a run folder, a row a configuration: its settings, and each metric with `:low` and `:high`, its 95 % interval.

    `by` and `constraints` are those of `recipe-finder rank`; columns are those of its --format csv.
    """
    import pandas as pd

    from analysis import ranking
    from analysis.frames import load_run
    from analysis.rank import as_csv

    made = ranking.rank(load_run(str(run)), by, constraints, top)
    return pd.read_csv(
        io.StringIO(as_csv(made)), dtype={"signature": str}, keep_default_na=False, na_values=["", "nan"]
    )


def report(run: str | Path, out: str | Path | None = None, *, rule: str = "source_val") -> str:
    """Write the report of a run folder as one HTML file, RUN/report.html by default; returns its path or URL."""
    from analysis.report import write_report
    from sweep.core.storage import Storage

    return write_report(str(run), out or Storage(str(run)).address("report.html"), rule)


def replay(run: str | Path, trial: str = "best", *, seed: int = 0, keep: str | Path | None = None) -> Metrics:
    """Train, evaluate and attack one record again; metric -> (recorded, computed now). `keep` is a folder for what it writes.

    `trial` is the start of a signature, a row number of the ranking, or "best".
    """
    from analysis.trial_names import trial_signature
    from sweep.core.storage import Storage
    from sweep.replay import run_again
    from sweep.store.ledger import finished_record

    place = Storage(str(run))
    recorded = finished_record(place, trial_signature(str(run), trial), seed)
    with tempfile.TemporaryDirectory() as folder:
        now = run_again(place, recorded, Storage(keep or folder))
    return {name: (value, now.get(name)) for name, value in recorded["metrics"].items()}


def predict(model: str | Path, images: str | Path, **options: Any) -> pd.DataFrame:
    """Predictions of an exported model, a row an image: probabilities, decision, and whether the image is unlike the training images.

    `images` is a folder of images or DICOM files, a table, or a shard folder; `options` are those of the command (patient_regex, key_file, ...).
    Files that cannot be read are left out; `frame.attrs` has them as bad_files, a row a patient as patients, and as familiarity one sentence
    on how far the images are from the training images.
    """
    from sweep.deployment.images import Reading
    from sweep.deployment.model_folder import read_exported
    from sweep.deployment.predictions import predict_new

    bad: list[InputError] = []
    made = predict_new(read_exported(model), Reading(str(images), options, bad.append))
    made.images.attrs.update(
        bad_files=[str(one) for one in bad], patients=made.patients.to_dict("list"), familiarity=made.familiarity
    )
    return made.images


def load_model(place: str | Path, trial: str | None = None, *, seed: int = 0) -> Classifier | Ensemble:
    """A trained classifier in eval mode: float [N, 1, H, W], grey in [0, 1], to logits [N, classes].

    `place` is a folder that `recipe-finder export` wrote (of several seeds: an ensemble as one model); with `trial` (named as for `replay`) it is a run folder.
    """
    from sweep.deployment.model_folder import load_exported

    if trial is None:
        return load_exported(place)
    from analysis.trial_names import trial_signature
    from sweep.config.hyperparameters import restored
    from sweep.core.storage import Storage
    from sweep.data.datasets import Data
    from sweep.pipeline.saved_models import load_trained
    from sweep.store.ledger import finished_record

    signature = trial_signature(str(place), trial)
    record = finished_record(Storage(str(place)), signature, seed)
    data = Data.load(Storage(str(place))).seen_by(restored(record["config"]))
    return load_trained(f"{str(place).rstrip('/')}/{signature}", data, seed)


class _as_file:
    """A sweep config as a path: keys are written to a file that goes away again."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Path:
        if not isinstance(self._config, Mapping):
            return Path(self._config)
        from ruamel.yaml import YAML

        if "name" not in self._config:
            raise InputError("name", "is absent from the sweep config", "give the keys of a sweep config, name first")
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "config.yaml"
        YAML(typ="safe", pure=True).dump(dict(self._config), path)
        return path

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()


def _texts(overrides: Mapping[str, object] | None) -> dict[str, str]:
    """Overrides as they would be written after --set."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in (overrides or {}).items()}
