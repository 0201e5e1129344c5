"""run folder -> frames: one row per (signature, seed), images' outcomes read only when asked for."""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import derived, metric_names
from sweep.core.errors import InputError
from sweep.core.metric_table import metric_row
from sweep.core.storage import Storage
from sweep.store.ledger import Damage, Reading, no_collection, read_ledger

Event = dict[str, Any]
KEY = ["signature", "seed"]
_KINDS = ("sweep", "finish", "failed", "stopped", "race")


@dataclass(frozen=True)
class Objective:
    """One goal of the sweep: a recorded metric name and its direction."""

    metric: str
    goal: str


@dataclass(frozen=True)
class Run:
    """What a run folder holds; frames are indexed by signature, or by (signature, seed)."""

    storage: Storage
    name: str
    objectives: tuple[Objective, ...]
    records: pd.DataFrame  # index (signature, seed), one column a metric
    configs: pd.DataFrame  # index signature, one column a setting, values as recorded; absent settings are NaN
    studies: dict[str, dict]  # signature -> grid cell
    finishes: list[Event] = field(repr=False)
    failures: pd.DataFrame  # signature, seed, kind, reason of records that never finished
    stops: list[Event] = field(repr=False)  # records given up early: neither finished nor failed
    verdicts: list[Event] = field(repr=False)  # why the race gives a configuration no more seeds
    damages: tuple[Damage, ...]  # ledger lines that could not be trusted
    planned_records: int | None
    data_card: dict
    environment: dict
    algorithm: str = ""  # of the searcher
    seeds_each: int = 1  # planned for every configuration
    weights_past: tuple[
        str, ...
    ] = ()  # data sets that the pretrained weights have seen or may have seen, a sentence each
    partners: dict[str, str] = field(
        default_factory=dict
    )  # signature -> the real-only configuration it is held against
    cache: dict = field(default_factory=dict, repr=False)

    @property
    def metrics(self) -> list[str]:
        """Names of all recorded and derived metrics."""
        return list(self.records.columns)

    @property
    def goals(self) -> dict[str, str]:
        """Directions that the sweep itself states."""
        return {objective.metric: objective.goal for objective in self.objectives}

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their index; empty where the data card names none."""
        card = self.data_card.get("target", {})
        folds = next((row for row in (card.get("folds") or {}).values() if isinstance(row, dict)), None)
        return tuple(self.data_card.get("data", {}).get("classes", ()) or folds or card.get("classes", ()))

    @property
    def findings(self) -> tuple[str, ...]:
        """What an image may show at once, in the order of the logits; empty where it has one class."""
        card = self.data_card.get("target", {})
        return tuple(card.get("classes", ())) if card.get("task") == "multi-label" else ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """What AUROC is recorded of one by one: the findings, or each of three or more classes against the rest; empty with two classes."""
        return self.findings or (self.classes if len(self.classes) > 2 else ())

    def within(self, signatures: Sequence[str]) -> Run:
        """The same run with the records of these configurations alone."""
        kept = self.records[self.records.index.get_level_values("signature").isin(list(signatures))]
        return replace(self, records=kept, configs=self.configs.loc[[*signatures]])

    @property
    def unfinished(self) -> int:
        """Planned records that have neither finished nor failed nor been stopped; a configuration that was stopped runs no further seed."""
        of_records = self.records.index.get_level_values("signature")
        settled = Counter([*of_records, *self.failures["signature"], *self.stopped["signature"]])
        dropped = sum(max(0, self.seeds_each - settled[signature]) for signature in set(self.stopped["signature"]))
        return max(0, (self.planned_records or 0) - settled.total() - dropped)

    @cached_property
    def undefined(self) -> tuple[str, ...]:
        """Recorded metrics that no record defines, e.g. AUROC where all images are of one class."""
        return tuple(self.records.columns[self.records.isna().all()])

    @cached_property
    def labels(self) -> dict[str, str]:
        """signature -> what people call the configuration."""
        return derived.labels(self.configs, self.studies).to_dict()

    @cached_property
    def means(self) -> pd.DataFrame:
        """Mean over seeds, one row a signature; NaN where no seed defines the metric."""
        return self.records.groupby(level="signature", sort=False).mean()

    @cached_property
    def epochs_seen(self) -> list[Event]:
        """The epoch events, read when they are asked for: most of a ledger's lines, which a ranking does not need."""
        return read_ledger(self.storage, ("epoch",)).events

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """Columns signature, seed, epoch and one column a metric."""
        rows = ({**_key(event), "epoch": event["epoch"], **event["metrics"]} for event in self.epochs_seen)
        return pd.DataFrame(rows, columns=None if self.epochs_seen else [*KEY, "epoch"])

    @cached_property
    def real_images(self) -> dict[str, int]:
        """signature -> real images in its training set, where the records say so."""
        counts = ((event["signature"], event.get("train_images")) for event in self.finishes)
        return {key: int(made["real"]) for key, made in counts if isinstance(made, dict) and "real" in made}

    @cached_property
    def seconds(self) -> pd.DataFrame:
        """Seconds per part of the work, indexed by (signature, seed)."""
        return _indexed([{**_key(event), **event.get("seconds", {})} for event in self.finishes])

    @cached_property
    def stages(self) -> pd.DataFrame:
        """One row a stage of a record: signature, seed, stage, hash, reused, seconds spent, saved_s."""
        rows = [{**_key(event), **stage} for event in self.finishes for stage in event.get("stages", [])]
        frame = pd.DataFrame(rows, columns=[*KEY, "stage", "hash", "reused", "seconds", "saved_s"])
        # A trial prepares its stages once and every seed's record repeats them.
        return frame.drop_duplicates(["signature", "stage", "hash", "reused", "seconds"])

    @cached_property
    def stopped(self) -> pd.DataFrame:
        """One row a record that was given up early: signature, seed, epoch, by (halving, race, budget), reason."""
        rows = [
            {**_key(event), **{name: event.get(name) for name in ("epoch", "by", "reason")}} for event in self.stops
        ]
        return pd.DataFrame(rows, columns=[*KEY, "epoch", "by", "reason"])

    @cached_property
    def marks(self) -> dict[str, str]:
        """What sets a ranked configuration apart from those that ran to the end: signature -> words."""
        marks = {
            event["signature"]: f"dropped from the race, seeds {event['seeds']}: {event['reason']}"
            for event in self.verdicts
            if event["state"] == "dropped"
        }
        for row in self.stopped.itertuples():
            marks[row.signature] = f"seed {row.seed} stopped after epoch {row.epoch} by {row.by}: {row.reason}"
        return {key: words for key, words in marks.items() if key in self.means.index}

    @cached_property
    def alarms(self) -> pd.DataFrame:
        """One row an alarm: signature, seed, alarm."""
        rows = [
            {**_key(event), "alarm": _alarm_text(alarm)} for event in self.finishes for alarm in event.get("alarms", [])
        ]
        return pd.DataFrame(rows, columns=[*KEY, "alarm"])

    def predictions(self, signature: str) -> pd.DataFrame:
        """Logits per image, split and seed of one configuration; empty when none were kept."""
        return self._per_seed(signature, "predictions.parquet")

    def attacks(self, signature: str) -> pd.DataFrame:
        """Smallest epsilon that breaks each image, per threat, split and seed; empty when none were kept."""
        return self._per_seed(signature, "attacks.parquet")

    def acquisition(self, signature: str) -> pd.DataFrame:
        """Logits per image under each acquisition change and severity, split and seed; empty when none were kept."""
        return self._per_seed(signature, "acquisition.parquet")

    def gallery(self, signature: str | None = None) -> pd.DataFrame:
        """Sample images of the run, or of one configuration; empty when none were kept."""
        if signature is not None:
            return self._per_seed(signature, "gallery.parquet")
        return self._frame("gallery.parquet") if self.storage.exists("gallery.parquet") else pd.DataFrame()

    def properties(self) -> pd.DataFrame:
        """Grey level, contrast, sharpness, speckle size and text of images of both domains; empty in runs of older versions."""
        return self._frame("properties.parquet") if self.storage.exists("properties.parquet") else pd.DataFrame()

    def _per_seed(self, signature: str, file: str) -> pd.DataFrame:
        if (signature, file) not in self.cache:
            seeds = sorted(self.records.loc[[signature]].index.get_level_values("seed"), key=str)
            names = [f"trials/{signature}/seed-{seed}/{file}" for seed in seeds]
            frames = [self._frame(name) for name in names if self.storage.exists(name)]
            self.cache[signature, file] = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
        return self.cache[signature, file]

    def _frame(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(io.BytesIO(self.storage.read(name)))


def load_run(folder: str | Path) -> Run:
    """Read a run folder's ledger and cards; InputError when it is no run folder or nothing has finished in it."""
    storage = Storage(folder)
    if not storage.exists("records"):
        fix = "give the folder or URL that `recipe-finder run` printed, e.g. results/quickstart"
        raise InputError(folder, "is no run folder: it has no records/", fix)
    with no_collection():
        return _run(storage, read_ledger(storage, _KINDS))


def _run(storage: Storage, ledger: Reading) -> Run:
    finished, stopped = ledger.finished(), ledger.stopped()
    finishes = _seeds_in_order(list(finished.values()))
    if not finishes:
        raise InputError(
            storage.url, "no record has finished yet", "run the sweep's command again; it resumes where it stopped"
        )
    sweep = (ledger.of_kind("sweep") or [{}])[-1]
    records = _indexed([{**_key(event), **_metrics(event)} for event in finishes]).astype(float)
    configs = settings_frame(finishes)
    partners: dict[str, str] = {}
    studies = {event["signature"]: event.get("study", {}) for event in finishes}
    if {"auroc/source", "auroc/target"} <= set(records) and derived.RATIO in configs:
        quality = records.get("auroc/source_val", records["auroc/source"]).groupby(level="signature").mean()
        recorded = {event["signature"]: event["config"] for event in finishes}
        partners = derived.real_only_partner(recorded, studies, quality)
        records["domain_gap_vs_real_only"] = derived.gap_vs_real_only(records, partners)
    seeds_each = _seed_count(sweep.get("seeds", 1))
    planned = sweep.get("trials", 0) * seeds_each
    return Run(
        storage=storage,
        name=sweep.get("name", storage.url.rstrip("/").rpartition("/")[2]),
        objectives=_objectives(sweep.get("objectives", []), list(records.columns)),
        records=records,
        configs=configs,
        studies=studies,
        finishes=finishes,
        failures=_failures([event for record, event in ledger.failed().items() if record not in stopped]),
        stops=[event for record, event in stopped.items() if record not in finished],
        verdicts=ledger.of_kind("race"),
        damages=tuple(ledger.damages),
        planned_records=planned or None,
        data_card=_json(storage, "data.json"),
        environment=_json(storage, "environment.json"),
        algorithm=str(sweep.get("algorithm", "")),
        seeds_each=seeds_each,
        weights_past=tuple(
            dict.fromkeys(line for event in ledger.of_kind("sweep") for line in event.get("weights_past", ()))
        ),
        partners=partners,
    )


def _seeds_in_order(finishes: list[Event]) -> list[Event]:
    """The records of each configuration together, by seed: a mean must not depend, in its last digit, on which seed finished first."""
    place = {key: number for number, key in enumerate(dict.fromkeys(event["signature"] for event in finishes))}
    return sorted(finishes, key=lambda event: (place[event["signature"]], event["seed"]))


def settings_frame(events: Iterable[Event]) -> pd.DataFrame:
    """The configurations of some events, indexed by signature; values keep their type, since None beside 240 would make a float of it."""
    configs = {event["signature"]: event["config"] for event in events}
    return pd.DataFrame(list(configs.values()), index=list(configs), dtype=object)


def _metrics(event: Event) -> dict[str, float | None]:
    """The metrics of a finish event. A number that was not finite is null there: an epsilon that nothing broke was infinite."""
    return {name: math.inf if value is None and _beyond(name) else value for name, value in event["metrics"].items()}


def _beyond(name: str) -> bool:
    row = metric_row(name)
    return row is not None and row.form == "split/threat"


def _failures(failed: list[Event]) -> pd.DataFrame:
    rows = [{**_key(event), "kind": event.get("kind", "FAILED"), "reason": event.get("reason", "")} for event in failed]
    return pd.DataFrame(rows, columns=[*KEY, "kind", "reason"])


def _objectives(rows: list[dict], known: list[str]) -> tuple[Objective, ...]:
    found = []
    for row in rows:
        threat, eps = row.get("threat"), row.get("eps")
        spec = row["metric"] + (
            f"/{row.get('split', metric_names.DEFAULT_SPLIT)}/{threat}@{eps}"
            if threat and "@" not in row["metric"]
            else ""
        )
        try:
            metric = metric_names.resolve(spec, known)
        except InputError:
            continue  # an objective that no finished record carries yet cannot be ranked by
        found.append(Objective(metric, row.get("goal", metric_names.goal(metric))))
    return tuple(found)


def _seed_count(seeds: Any) -> int:
    if isinstance(seeds, dict):
        return int(seeds.get("min", 1))
    return len(seeds) if isinstance(seeds, list) else int(seeds)


def _indexed(rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(rows).set_index(KEY)


def _key(event: Event) -> dict:
    return {"signature": event["signature"], "seed": event["seed"]}


def _alarm_text(alarm: Any) -> str:
    if isinstance(alarm, dict):
        return str(alarm.get("message") or alarm.get("name") or alarm)
    return str(alarm)


def _json(storage: Storage, name: str) -> dict:
    if not storage.exists(name):
        return {}
    try:
        return json.loads(storage.read(name))
    except ValueError as broken:
        raise InputError(
            storage.address(name), f"is not JSON ({broken})", "restore it or delete it; the report then goes without"
        ) from None
