"""The sweep config's shape: every section, its keys, types and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from sweep.config.distribution import Distribution
from sweep.config.hyperparameters import HYPERPARAMETERS
from sweep.config.section import Section
from sweep.config.written_values import Duration, TriedAdaptation, none_for_all, seconds_of, with_whole_fold
from sweep.core.acquisition_names import ACQUISITION_METRICS, SEVERITIES, AcquisitionName, acquisition_metric
from sweep.core.epsilon import epsilon_name, same_epsilon
from sweep.core.errors import InputError
from sweep.core.hyperparameter import Scalar
from sweep.core.metric_table import AUROC, DIRECTIONS, LOW, PREDICTED, ROBUST_ACCURACY, TARGET, WORST, metric_name
from sweep.search.sampling import bounds

PLACES = ("grid", "search", "fixed")  # where a hyperparameter may stand
NAME_PATTERN, MEMORY_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$", r"^[0-9]+(\.[0-9]+)?(MB|GB)$"
PSEUDO_HOSPITALS = 40  # of a sweep that may not read all target labels
FEWEST_HOSPITALS = 8  # one round of all families
BLIND_OBJECTIVE = metric_name(f"{PREDICTED}{AUROC}{LOW}", TARGET)

AttackedSplit = Literal["source", "target"]


def _both_splits() -> list[AttackedSplit]:
    return ["source", "target"]


def _target_or_hold_out(document: dict[str, Any]) -> None:
    document["required"] = ["source"]
    document["anyOf"] = [{"required": ["target"]}, {"required": ["hold_out"]}]


class DataSection(Section):
    """The data sets of both domains, image size, and how they are split."""

    model_config = ConfigDict(json_schema_extra=_target_or_hold_out)

    source: str = Field(
        min_length=1,
        description="a shard folder, or a simulated hospital: phantom-a, phantom-b or phantom:SCANNER[:POPULATION]",
    )
    target: str = Field(
        min_length=1,
        description="a shard folder, or a simulated hospital: phantom-a, phantom-b or phantom:SCANNER[:POPULATION]",
    )
    image_px: int = Field(128, ge=32, le=512, description="side in pixels of every network's input")
    train_images: Annotated[int | None, BeforeValidator(none_for_all)] = Field(
        None, ge=8, description="size of the training fold; all of it when left out, or all"
    )
    normals: Literal["drop", "benign"] = Field("drop", description="normal scans, treated alike in both domains")
    conflicts: Literal["drop", "train_only", "keep"] = Field(
        "drop", description="near-duplicates with different labels"
    )
    loading: Literal["auto", "resident", "stream"] = Field(
        "auto",
        description="resident: decoded once and shared by the trials of a node; stream: read from the shards; auto: by size",
    )
    fit: Literal["pad", "stretch"] = Field("pad", description="how an oblong image becomes square")
    split_seed: int = Field(0, ge=0)
    folds: int | None = Field(
        None,
        ge=3,
        le=100,
        description="cross-validation: the source is cut into so many parts; one is the test, the next one validation",
    )
    fold: int | None = Field(
        None, ge=0, description="which part is the source's test: 0 to folds - 1; one run for each"
    )
    hold_out: list[str] = Field(
        default_factory=list,
        description="scanners or hospitals (column domain) of the source folder that are the target; target is left out then",
    )
    target_labels: Literal["none", "sealed", "all"] | Annotated[int, Field(ge=1)] = Field(
        "all",
        description="which target labels the sweep may read: none; sealed (none until python -m analysis.unseal); so many images, of whole patients; or all",
    )
    pseudo_hospitals: Annotated[int, Field(ge=0, le=400)] | None = Field(
        None,
        description="labelled stand-ins for the target, made of source-validation images, that every trained model is evaluated on; 0: none; 40 when left out, and none with target_labels all",
    )
    try_adaptations: list[TriedAdaptation] = Field(
        default_factory=list,
        description="adaptations to judge on every trained model beside the configured one, each on eight pseudo-hospitals and the target",
    )
    phantom_patients: int = Field(120, ge=12, le=20_000, description="patients per simulated hospital")

    @property
    def hospitals(self) -> int:
        """Number of pseudo-hospitals that every trained model is evaluated on."""
        if self.pseudo_hospitals is not None:
            return self.pseudo_hospitals
        return 0 if self.target_labels == "all" else PSEUDO_HOSPITALS

    @model_validator(mode="before")
    @classmethod
    def _held_out_of_the_source(cls, value: Any) -> Any:
        return (
            {**value, "target": value["source"]}
            if isinstance(value, dict) and value.get("hold_out") and "source" in value and "target" not in value
            else value
        )

    @model_validator(mode="after")
    def _one_way_to_split(self) -> DataSection:
        if self.hold_out and self.target != self.source:
            raise ValueError(
                f"hold_out takes the target out of {self.source}, and target names {self.target}; keep one of them"
            )
        if (self.folds is None) != (self.fold is None):
            raise ValueError(
                f"{'fold' if self.folds is None else 'folds'} is given without the other; give both, like folds: 5 and fold: 0"
            )
        if self.folds is not None and self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} is none of {self.folds} folds; give 0 to {self.folds - 1}")
        if 0 < self.hospitals < FEWEST_HOSPITALS:
            raise ValueError(f"{self.hospitals} pseudo_hospitals are too few; give 0, or {FEWEST_HOSPITALS} or more")
        return self


class Objective(Section):
    """One metric to maximise or minimise."""

    metric: str
    goal: Literal["maximize", "minimize"]
    threat: str | None = None
    eps: str | float | None = None
    split: AttackedSplit = "target"

    @property
    def name(self) -> str:
        """The metric's full name in the records."""
        if self.metric in ACQUISITION_METRICS:
            return acquisition_metric(self.metric, self.split, self.threat)
        if self.metric != ROBUST_ACCURACY:
            return self.metric
        if self.eps is None:
            raise InputError(f"objective {self.metric}", "has no eps", "name one of threats.eps")
        return metric_name(self.metric, self.split, self.threat or WORST, epsilon_name(self.eps))


class Seeds(Section):
    """How many seeds each configuration gets."""

    min: int = Field(2, ge=1, le=1000)
    max: int | None = Field(None, ge=1, le=1000, description="largest number of seeds, with race; min when left out")
    race: bool = Field(False, description="racing: more seeds only for configurations that could still be the best")

    @property
    def numbers(self) -> tuple[int, ...]:
        """The seeds that every configuration gets: 0, 1, ..."""
        return tuple(range(self.min))

    @model_validator(mode="after")
    def _race_has_room(self) -> Seeds:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max {self.max} is below min {self.min}; raise max")
        if self.race and (self.min < 2 or self.max is None):
            raise ValueError("a race compares seeds that two configurations share; give min of at least 2, and max")
        return self


class Searcher(Section):
    """How configurations are drawn inside a cell."""

    algorithm: Literal["grid", "random", "tpe", "nsga2", "gp"] = "grid"
    trials: int = Field(1, ge=1, le=100_000, description="configurations per cell of the grid")
    seed: int = Field(0, ge=0)
    warm_start: list[str] = Field(default_factory=list, description="run folders of earlier sweeps to learn from")


class Scheduler(Section):
    """When a configuration is stopped early."""

    type: Literal["none", "asha", "pareto_asha"] = Field(
        "none", description="asha halves by the first objective, pareto_asha by all of them"
    )
    grace_epochs: int = Field(1, ge=1, description="epochs before anything is stopped")
    eta: float = Field(3, gt=1, le=100, description="the best 1/eta go on at each rung")


class Threats(Section):
    """The attacks, their epsilons, and the images that are attacked."""

    attacks: list[str] = Field(default_factory=list)
    eps: list[str | float] = Field(default_factory=list)
    images: Annotated[int, Field(ge=1)] | Literal["all"] = "all"
    mode: Literal["exact", "fast"] = Field(
        "exact",
        description="exact: float32, every epsilon that one call per epsilon could break; fast: bfloat16 search, float32 verdicts",
    )
    masking_images: int = Field(
        0,
        ge=0,
        description="images of each first seed's battery against masked gradients; 0: only the alarms that the attacks raise",
    )
    splits: list[AttackedSplit] = Field(default_factory=_both_splits, min_length=1)
    acquisition: list[AcquisitionName] = Field(
        default_factory=list,
        description="acquisition changes that every model is evaluated under: how much of its accuracy and AUROC they leave",
    )
    severity: list[Annotated[int, Field(ge=1, le=5)]] = Field(
        default_factory=lambda: list(SEVERITIES),
        min_length=1,
        description="severities of the acquisition changes, 1 to 5",
    )


class NodeType(Section):
    """One kind of machine that the cluster may add."""

    cpus: float = Field(gt=0)
    gpus: float = Field(0, ge=0)
    max_nodes: int = Field(1, ge=1, le=10_000)
    price_per_hour: float | None = Field(None, ge=0, description="in the currency that the plan prints")


class Resources(Section):
    """What one trial requests of the cluster."""

    engine: Literal["ray", "inline"] = Field(
        "ray",
        description="ray: on this machine or a cluster; inline: in this process, or in max_concurrent_trials subprocesses, without Ray",
    )
    workers: int = Field(
        1, ge=1, le=1024, description="workers that train one trial together, each batch shared among them"
    )
    cpus_per_worker: float = Field(1, gt=0)
    gpus_per_worker: float = Field(0, ge=0)
    max_concurrent_trials: int | None = Field(None, ge=1)
    reuse_workers: bool = Field(
        True, description="worker groups serve one trial after another; false: a Train run for each trial"
    )
    stack_seeds: Literal["auto", "off"] | Annotated[int, Field(ge=2, le=1024)] = Field(
        "auto", description="seeds of a trial trained as one stacked model; auto: on a GPU, as many as fit; or so many"
    )
    capture: Literal["auto", "off"] = Field("auto", description="auto: a GPU's steps as one CUDA graph; off: never")
    memory_per_worker: str | None = Field(
        None, pattern=MEMORY_PATTERN, description="like 500MB or 4GB; a worker that exceeds it is ended"
    )
    niceness: int = Field(
        0, ge=0, le=19, description="of workers on this machine; Ray's default, 15, leaves them little time"
    )
    max_trial_time: Duration = Field(
        "7d", description="like 90m or 2d; a worker process whose job or artifact takes longer is ended, a failure"
    )
    max_silence: Duration = Field(
        "12h", description="like 30m; a worker whose job reports no epoch or seed's end for so long is ended, a failure"
    )
    max_failures: int = Field(2, ge=0, description="times a trial's workers may die before the trial counts as failed")
    max_preemptions: int = Field(
        20, ge=0, description="times a trial may be preempted, counted apart from its failures"
    )
    node_types: dict[str, NodeType] = Field(
        default_factory=dict, description="machines that an autoscaler may add; for --plan and the check of requests"
    )

    @property
    def threads(self) -> int:
        """Threads of a worker: its whole CPUs, at least one."""
        return max(1, int(self.cpus_per_worker))

    @property
    def max_trial_s(self) -> float:
        """Seconds that one job may run."""
        return seconds_of(self.max_trial_time)

    @property
    def max_silence_s(self) -> float:
        """Seconds that a job may go without a report."""
        return seconds_of(self.max_silence)

    @property
    def limits_asked(self) -> bool:
        """Whether the sweep config itself limits the memory or time of a worker process."""
        return bool({"memory_per_worker", "max_trial_time", "max_silence"} & self.model_fields_set)

    @property
    def memory_bytes(self) -> float | None:
        """Memory limit of one worker in bytes; None without one."""
        text = self.memory_per_worker
        return None if text is None else float(text[:-2]) * {"MB": 1e6, "GB": 1e9}[text[-2:]]


class Budget(Section):
    """When no more trials are launched."""

    wall: Duration | None = Field(None, description="like 90s, 30m, 2h or 1d")
    gpu_hours: float | None = Field(None, gt=0, description="no trial is launched that would exceed it")

    @property
    def wall_s(self) -> float | None:
        """Seconds, or None without a limit."""
        return None if self.wall is None else seconds_of(self.wall)


class SweepConfig(Section):
    """The whole file."""

    name: Annotated[str, Field(pattern=NAME_PATTERN, description="lower case letters, digits, - and _")]
    data: DataSection
    objectives: list[Objective] = Field(
        default_factory=lambda: [Objective(metric="auroc/target", goal="maximize")], min_length=1
    )
    grid: dict[str, list[Scalar]] = Field(
        default_factory=dict, description="crossed: each cell of the grid is a study of its own"
    )
    search: dict[str, Distribution] = Field(default_factory=dict, description="sampled in every study")
    fixed: dict[str, Scalar] = Field(default_factory=dict, description="the same in all configurations")
    seeds: Annotated[Seeds, BeforeValidator(whole_seeds)] = Field(default_factory=Seeds)
    searcher: Searcher = Field(default_factory=Searcher)
    scheduler: Scheduler = Field(default_factory=Scheduler)
    threats: Threats = Field(default_factory=Threats)
    resources: Resources = Field(default_factory=Resources)
    budget: Budget = Field(default_factory=Budget)
    smoke: dict[str, Any] = Field(default_factory=dict, description="overrides for --smoke, keys like a.b")

    @property
    def directions(self) -> tuple[str, ...]:
        """The directions of all trials, and of the models trained on the other domain that they start from."""
        named = [str(value) for value in self.values_of("direction")]
        both = DIRECTIONS if "other_domain" in self.values_of("colorizer_from") else ()
        return tuple(dict.fromkeys([*named, *both]))

    def values_of(self, name: str) -> list[Scalar]:
        """The values that a hyperparameter may take in this sweep: listed ones, the ends of a distribution of numbers, or its default.

        One given in several places, which the checks refuse, has the values of all of them.
        """
        found = [*self.grid.get(name, []), *([self.fixed[name]] if name in self.fixed else [])]
        if name in self.search:
            searched = self.search[name]
            found += searched.values or bounds(searched) or []
        return found or [HYPERPARAMETERS[name].default]

    @model_validator(mode="before")
    @classmethod
    def _all_training_images(cls, value: Any) -> Any:
        """`all` among the values of train_images under grid, search and fixed is the whole fold (null)."""
        if not isinstance(value, dict):
            return value
        return {
            key: with_whole_fold(part) if key in PLACES and isinstance(part, dict) and "train_images" in part else part
            for key, part in value.items()
        }

    @model_validator(mode="before")
    @classmethod
    def _objectives_without_labels(cls, value: Any) -> Any:
        """Without objectives, a sweep that may not read all target labels maximises the lower end of the predicted target AUROC."""
        data = value.get("data") if isinstance(value, dict) else None
        allowed = data.get("target_labels", "all") if isinstance(data, dict) else getattr(data, "target_labels", "all")
        if allowed == "all" or "objectives" in value:
            return value
        return {**value, "objectives": [{"metric": BLIND_OBJECTIVE, "goal": "maximize"}]}

    @model_validator(mode="before")
    @classmethod
    def _attacked_epsilons(cls, value: Any) -> Any:
        """An objective's epsilon is given the spelling of the equal one in threats.eps, by which records name it."""
        return (
            {**value, "objectives": _named_as_attacked(value)}
            if isinstance(value, dict) and isinstance(value.get("objectives"), list)
            else value
        )


def whole_seeds(value: Any) -> Any:
    """`seeds: 3` is short for `seeds: {min: 3}`."""
    if isinstance(value, (Mapping, Seeds)):
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is no number of seeds; give a whole number, or {{min: 2, max: 5, race: true}}")
    return {"min": value}


def _named_as_attacked(value: Mapping[str, Any]) -> list[Any]:
    threats = value.get("threats")
    attacked = threats.get("eps") if isinstance(threats, Mapping) else None

    def named(one: Any) -> Any:
        if not isinstance(one, Mapping) or not isinstance(attacked, list):
            return one
        same = [eps for eps in attacked if _same(one.get("eps"), eps)]
        return {**one, "eps": same[0]} if same else one

    return [named(one) for one in value["objectives"]]


def _same(one: Any, other: Any) -> bool:
    """Whether both are epsilons and equal; what is no epsilon is reported by the checks of the fields."""
    try:
        return same_epsilon(one, other)
    except InputError:
        return False
