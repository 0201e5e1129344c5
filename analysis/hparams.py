"""records -> TensorBoard event files: scalars by epoch, sample images, precision-recall curves, and an HParams tab that loses nothing.

python -m analysis.hparams results/ratio && tensorboard --logdir results/ratio/tensorboard

A setting that a configuration does not have is written as '-', so that conditional settings keep their column.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from scipy import special
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.pr_curve import metadata as pr_metadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util import tensor_util

from analysis.estimates import Estimates
from analysis.frames import Run, load_run
from analysis.outcomes import Outcomes
from analysis.ranking import shown_metrics
from sweep.core.command_line import Command, run_as_program
from sweep.core.errors import EXIT_COMPLETE, InputError
from sweep.core.images import open_image
from sweep.core.storage import Storage

ABSENT = "-"
MARKER = ".written-by-analysis-hparams"
THRESHOLDS = 101
PICTURES = 8


def write_tensorboard(run: Run, out: Path) -> int:
    """Write one session a configuration below `out`, replacing what an earlier call wrote there; returns their number. InputError when other files are there."""
    _clear(out)
    metrics = shown_metrics(run)
    settings = {name: column_values(run.configs[name]) for name in run.configs}
    _write(out, [_summary_event(metadata.EXPERIMENT_TAG, _experiment(settings, metrics))])
    estimates = Estimates(run, draws=200)
    for key in run.means.index:
        row = run.configs.index.get_loc(key)
        session = _session(key, {name: values[row] for name, values in settings.items()})
        _write(
            out / key,
            [
                *session,
                *_numbers(run, key, metrics),
                *_epochs(run, key),
                *_curves(estimates, key),
                *_pictures(run.gallery(key)),
            ],
        )
    _write(out, list(_pictures(run.gallery())))
    return len(run.means)


def _clear(out: Path) -> None:
    # Only what an earlier call wrote is removed: the marker says so.
    if out.exists() and any(out.iterdir()):
        if not (out / MARKER).is_file():
            raise InputError("--out", f"{out} holds files that are not of this command", "give a new or empty folder")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()


def column_values(column: pd.Series) -> list[float | str | bool]:
    """A setting over all configurations in one type: numbers where all are, else words; absent is '-'."""
    present = column[column.notna()]
    numeric = len(present) == len(column) and all(
        isinstance(v, (int, float, np.number)) and not isinstance(v, bool) for v in present
    )
    if numeric:
        return [float(value) for value in column]
    return [
        ABSENT if pd.isna(value) else (f"{value:g}" if isinstance(value, float) else str(value)) for value in column
    ]


def _experiment(settings: dict[str, list], metrics: Sequence[str]) -> bytes:
    experiment = api_pb2.Experiment()
    for name, values in settings.items():
        info = experiment.hparam_infos.add(name=name, type=_type(values[0]))
        if isinstance(values[0], str):
            info.domain_discrete.extend(sorted(set(values)))
    for metric in metrics:
        experiment.metric_infos.add(name=api_pb2.MetricName(tag=metric))
    return plugin_data_pb2.HParamsPluginData(
        version=metadata.PLUGIN_DATA_VERSION, experiment=experiment
    ).SerializeToString()


def _type(value: float | str) -> int:
    return api_pb2.DATA_TYPE_STRING if isinstance(value, str) else api_pb2.DATA_TYPE_FLOAT64


def _session(key: str, values: dict[str, float | str]) -> Iterator[Event]:
    start = plugin_data_pb2.SessionStartInfo(group_name=key)
    for name, value in values.items():
        if isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS)
    for tag, data in (
        (metadata.SESSION_START_INFO_TAG, {"session_start_info": start}),
        (metadata.SESSION_END_INFO_TAG, {"session_end_info": end}),
    ):
        yield _summary_event(
            tag, plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **data).SerializeToString()
        )


def _summary_event(tag: str, content: bytes) -> Event:
    data = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=content))
    return Event(summary=Summary(value=[Summary.Value(tag=tag, metadata=data, tensor=metadata.NULL_TENSOR)]))


def _numbers(run: Run, key: str, metrics: Sequence[str]) -> Iterator[Event]:
    for metric in metrics:
        value = float(run.means.loc[key, metric])
        if np.isfinite(value):
            yield _scalar(metric, value, 0)


def _epochs(run: Run, key: str) -> Iterator[Event]:
    rows = run.epochs[run.epochs["signature"] == key] if len(run.epochs) else run.epochs
    for (seed, epoch), values in rows.groupby(["seed", "epoch"]) if len(rows) else ():
        for name in values.columns.difference(["signature", "seed", "epoch"]):
            value = float(values[name].iloc[-1])
            if np.isfinite(value):
                yield _scalar(f"by epoch/seed {seed}/{name}", value, int(epoch))


def _scalar(tag: str, value: float, step: int) -> Event:
    return Event(step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)]))


def _pictures(rows: pd.DataFrame) -> Iterator[Event]:
    for kind, group in rows.groupby("kind", sort=False) if len(rows) else ():
        for number, png in enumerate(group["png"].head(PICTURES)):
            with open_image(io.BytesIO(png), ("PNG",)) as picture:
                width, height, channels = *picture.size, len(picture.getbands())
            image = Summary.Image(width=width, height=height, colorspace=channels, encoded_image_string=png)
            yield Event(summary=Summary(value=[Summary.Value(tag=f"{kind}/{number}", image=image)]))


def _curves(estimates: Estimates, key: str) -> Iterator[Event]:
    for split in ("source", "target"):
        outcomes = estimates.outcomes(key, f"auroc/{split}")
        if outcomes is not None and outcomes.values.shape[2] == 2 and not outcomes.multi_label:
            tensor = tensor_util.make_tensor_proto(precision_recall(outcomes))
            value = Summary.Value(
                tag=f"precision recall/{split}",
                tensor=tensor,
                metadata=pr_metadata.create_summary_metadata(
                    f"Precision and recall, {split}", "All seeds pooled", THRESHOLDS
                ),
            )
            yield Event(summary=Summary(value=[value]))


def precision_recall(outcomes: Outcomes) -> np.ndarray:
    """float32 [6, T] over T thresholds: true positives, false positives, true negatives, false negatives, precision, recall."""
    logits = outcomes.values[outcomes.seen]
    positive = np.broadcast_to(outcomes.labels == 1, outcomes.seen.shape)[outcomes.seen]
    chance = special.expit(logits[:, 1] - logits[:, 0])
    said = chance[None, :] >= np.linspace(0, 1, THRESHOLDS)[:, None]
    tp, fp = (said & positive).sum(axis=1), (said & ~positive).sum(axis=1)
    tn, fn = (~said & ~positive).sum(axis=1), (~said & positive).sum(axis=1)
    precision = np.where(tp + fp > 0, tp / np.maximum(tp + fp, 1), 1.0)
    return np.stack([tp, fp, tn, fn, precision, tp / np.maximum(tp + fn, 1)]).astype(np.float32)


def _write(folder: Path, events: Sequence[Event]) -> None:
    if not events:
        return
    folder.mkdir(parents=True, exist_ok=True)
    writer = EventFileWriter(str(folder), filename_suffix=f".{len(list(folder.glob('events.*')))}")
    for number, event in enumerate(events):
        event.wall_time = float(number)  # the ledger has no clock for these; their order is what counts
        writer.add_event(event)
    writer.close()


def hparams_command(
    run: Annotated[str, typer.Argument(help="Run folder or URL, e.g. results/quickstart.", show_default=False)],
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder to write; what it holds is replaced.",
            show_default="RUN/tensorboard/configurations",
        ),
    ] = None,
) -> int:
    """Write a run's configurations as TensorBoard event files, with its HParams tab."""
    place, name = Storage.of_file(out) if out else (Storage(run), "tensorboard/configurations")
    with place.folder(name) as folder:
        count = write_tensorboard(load_run(run), folder)
    sys.stdout.write(f"{place.address(name)}: {count} configurations\n")
    return EXIT_COMPLETE


main = Command(hparams_command, examples=("{} results/ratio && tensorboard --logdir results/ratio/tensorboard",))

run_as_program(main, __name__)
