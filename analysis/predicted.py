"""run -> what each configuration is expected to do at the target, without its labels: the models of a condition predicted together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.conditions import grouped
from analysis.drift import TITLES
from analysis.frames import Run
from analysis.record_evidence import evidence_of_rows
from analysis.target_assessment import Assessment, assess
from analysis.tried_forms import Tried, soup_evidence, tried_adaptations
from sweep.core.metric_table import PREDICTED
from sweep.shift.pooled_performance import ModelEvidence
from sweep.shift.shift_kind import Tables
from sweep.shift.stored import StoredHospital, read_hospitals

_LEAST_IMAGES = 10  # with measured properties on each side, for a comparison of the two sets


@dataclass(frozen=True)
class PredictedTarget:
    """The assessment of one condition's configurations; `hospitals` are those of one record, for figures and pictures.

    `tried` are configurations under the adaptations that were tried on their trained models, empty without `data.try_adaptations`; `soups` are
    those whose seeds' mean weights were evaluated (`sweep.soups`).
    """

    assessment: Assessment
    evidence: dict[str, tuple[ModelEvidence, ...]]
    seeds: dict[str, tuple[int, ...]]
    hospitals: tuple[StoredHospital, ...]
    images: int
    tried: dict[str, Tried]
    soups: dict[str, Tried]

    def models_of(self, signature: str, form: str) -> tuple[ModelEvidence, ...]:
        """The models behind a form of a configuration that is in its candidate's `tried`."""
        return (self.tried.get(signature, {}) | self.soups.get(signature, {}))[form]

    @property
    def records(self) -> int:
        """Trained models that the predictions rest on."""
        return sum(map(len, self.evidence.values()))


def predicted_target(run: Run) -> PredictedTarget | None:
    """The assessment of the run's first condition, kept in the run's cache; None where no record was evaluated on pseudo-hospitals.

    Predictions of more than two classes or of several findings are not made.
    """
    if "predicted target" not in run.cache:
        run.cache["predicted target"] = _predicted(run, next(iter(grouped(run).values())))
    found: PredictedTarget | None = run.cache["predicted target"]
    return found


def _predicted(run: Run, signatures: Sequence[str]) -> PredictedTarget | None:
    if run.findings or len(run.classes) not in (0, 2) or not _evaluated(run):
        return None
    evidence: dict[str, tuple[ModelEvidence, ...]] = {}
    seeds: dict[str, tuple[int, ...]] = {}
    hospitals: tuple[StoredHospital, ...] = ()
    tried: dict[str, Tried] = {}
    soups: dict[str, Tried] = {}
    for signature in signatures:
        found = {}
        for seed in run.records.loc[[signature]].index.get_level_values("seed"):
            held = tuple(read_hospitals(run.storage, f"trials/{signature}/seed-{seed}"))
            if held:
                found[int(seed)] = _evidence(run, signature, int(seed), held)
                hospitals = hospitals or held
        if found:
            evidence[signature], seeds[signature] = tuple(found.values()), tuple(found)
            tried |= {signature: ways} if (ways := tried_adaptations(run, signature, found)) else {}
            soups |= {signature: ways} if (ways := soup_evidence(run, signature, found)) else {}
    if not evidence or len({one.family for one in hospitals}) < 2:
        return None
    nearest = min(one.target_distance for one in hospitals)
    assessment = assess(evidence, run.labels, _tables(run, nearest), (tried, soups))
    images = len(next(iter(evidence.values()))[0].target_logits)
    return PredictedTarget(assessment, evidence, seeds, hospitals, images, tried, soups)


def _evaluated(run: Run) -> bool:
    """Whether any record was evaluated on pseudo-hospitals: it then holds predicted metrics, so that no file need be looked for."""
    return any(name.startswith(PREDICTED) for name in run.records)


def _evidence(run: Run, signature: str, seed: int, hospitals: Sequence[StoredHospital]) -> ModelEvidence:
    rows = run.predictions(signature)
    return evidence_of_rows(rows[rows["seed"] == seed], hospitals)


def _tables(run: Run, nearest: float) -> Tables | None:
    """Measured properties of both sides' images; None where the run measured too few."""
    table = run.properties()
    names = [name for name in TITLES if name in table]
    if not names:
        return None
    source, target = (table.loc[table["role"] == role, names].dropna().to_numpy(float) for role in ("source", "target"))
    if min(len(source), len(target)) < _LEAST_IMAGES:
        return None
    return Tables(source, target, [TITLES[name] for name in names], nearest)
