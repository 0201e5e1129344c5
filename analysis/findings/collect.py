"""Run folders -> the records of docs/findings/; every statistic is that of the report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np

from analysis.comparisons import compare_family, equivalence_margin, power_note, split_mean
from analysis.conditions import CONDITIONS, conditions, grouped
from analysis.derived import labels, varying_settings
from analysis.estimates import Estimates
from analysis.figures.importance import importances
from analysis.findings.questions import Part, part_of
from analysis.findings.records import Against, Arm, Blind, Family, FoldMean, RunRecord
from analysis.frames import Run, load_run
from analysis.intervals import Interval, Resampled
from analysis.predicted import predicted_target
from analysis.ranking import constants
from analysis.selection import is_unlabelled
from analysis.tables import make_tables
from analysis.unseal import score_run
from sweep.core.errors import InputError
from sweep.core.hyperparameter import Scalar

DRAWS = 2000
_REASONS = 3  # of refusals that are kept
_PLACES = ("weights", "colorizer_from")  # settings that may hold a path of this machine


def collect(folder: str, *, draws: int = DRAWS) -> RunRecord:
    """The record of one run folder, finished or not. InputError when it is no run of a shipped findings config or nothing has finished."""
    run = load_run(folder)
    part, estimates = _part(run), Estimates(run, draws=draws)
    groups = grouped(run)
    # Within a condition, whose direction and training size all labels would repeat.
    names = {key: name for keys in groups.values() for key, name in labels(run.configs.loc[keys], run.studies).items()}
    where = {key: condition.text for key, condition in conditions(run).items()}
    settings = _settings(run)
    shown = _matching(part.shown, run)
    arms = tuple(
        Arm(names[key], where[key], settings[key], {metric: estimates.of(key, metric) for metric in shown})
        for keys in groups.values()
        for key in keys
    )
    record = _frame(run, part.name)
    return replace(
        record,
        constants={one.text: constants(run.within(keys), shown) for one, keys in groups.items()},
        arms=arms,
        families=tuple(
            made
            for metric in part.compared
            if part.control and (made := _family(run, estimates, part, metric, (names, where, settings))) is not None
        ),
        importance={metric: importances(run, metric) for metric in _matching(part.importance, run)},
        tables=make_tables(run, draws=draws),
        blind=_blind(run) if part.blind else None,
    )


def collect_folds(folders: Sequence[str], *, draws: int = DRAWS) -> RunRecord:
    """The record of a cross-validation from the run folders of its folds that are there."""
    runs = [load_run(folder) for folder in folders]
    part = _part(runs[0])
    frames = [_frame(run, part.name) for run in runs]
    base = replace(
        frames[0],
        finished=sum(one.finished for one in frames),
        planned=sum(one.planned for one in frames),
        failed=sum(one.failed for one in frames),
        stopped=sum(one.stopped for one in frames),
        seconds=sum(one.seconds for one in frames),
    )
    return replace(base, folds=tuple(_fold_means(runs, part)))


def _part(run: Run) -> Part:
    part = part_of(run.name)
    if part is None:
        fix = "give run folders of the sweep configs in search_spaces/findings"
        raise InputError(run.storage.url, f"{run.name} is no run of the findings", fix)
    return part


def _frame(run: Run, name: str) -> RunRecord:
    """A record without its results."""
    sides = [str(run.data_card.get(side, {}).get("domain", side)) for side in ("source", "target")]
    stages = run.stages[~run.stages["reused"].astype(bool)] if len(run.stages) else run.stages
    spent = stages.drop_duplicates("hash").groupby("stage")["seconds"].sum() if len(stages) else {}
    return RunRecord(
        name=name,
        source=sides[0],
        target=sides[1],
        image_px=int(run.data_card.get("data", {}).get("image_px", 0)),
        finished=len(run.records),
        planned=run.planned_records or len(run.records),
        failed=len(run.failures),
        stopped=len(run.stopped),
        seconds=float(run.seconds["total"].sum()) if "total" in run.seconds else math.nan,
        constants={},
        stage_seconds={str(stage): float(seconds) for stage, seconds in dict(spent).items()},
    )


def _settings(run: Run) -> dict[str, dict[str, Scalar]]:
    """The settings that vary, by signature; absent ones are left out, and of a path only its last part is kept."""
    names = varying_settings(run.configs)
    rows = run.configs[[*names, *(name for name in CONDITIONS if name in run.configs and name not in names)]]
    found = {}
    for key, row in zip(rows.index, rows.to_dict("records"), strict=True):
        known = {name: value for name, value in row.items() if value == value and (value is not None or name in names)}
        found[key] = {name: _shown(name, value) for name, value in known.items()}
    # A setting that is absent by choice (colorizer_from: null) is a value where others name one.
    for name in _PLACES:
        if name in run.configs and run.configs[name].notna().any() and run.configs[name].isna().any():
            for key in found:
                found[key][name] = _shown(name, run.configs.loc[key].get(name))
    return found


def _shown(name: str, value: object) -> Scalar:
    if value is None or value != value:
        return None
    if name in _PLACES:
        return str(value).replace("\\", "/").rpartition("/")[2]
    return value.item() if isinstance(value, np.generic) else value  # type: ignore[return-value]


def _matching(patterns: Iterable[str], run: Run) -> tuple[str, ...]:
    known = [name for name in run.metrics if name not in run.undefined]
    found = (name for pattern in patterns for name in known if fnmatchcase(name, pattern))
    return tuple(dict.fromkeys(found))


def _family(
    run: Run,
    estimates: Estimates,
    part: Part,
    metric: str,
    about: tuple[dict[str, str], dict[str, str], dict[str, dict[str, Scalar]]],
) -> Family | None:
    """Every arm against its control; None where the metric was not recorded or nothing pairs up."""
    names, where, settings = about
    if metric not in set(run.metrics) - set(run.undefined):
        return None
    pairs: list[tuple[str, str, Resampled]] = []
    for keys in grouped(run).values():  # a control of another training size has had other data
        cells = {key: _of_cell(settings[key], run.studies.get(key, {})) for key in keys}
        for a, b in control_pairs(cells, part.control):
            sample = estimates.paired(a, b, metric)
            if sample is not None and np.isfinite(sample.point).all():
                pairs.append((a, b, sample))
    if not pairs:
        return None
    samples = sorted((sample for _, _, sample in pairs), key=lambda one: float(one.mean.std()))
    rows = tuple(
        Against(
            names[one.a],
            names[one.b],
            where[one.a],
            settings[one.a],
            one.interval,
            one.p,
            one.p_adjusted,
            len(one.seeds),
            one.distinguishable,
            one.seed_noise_known,
        )
        for one in compare_family(pairs)
    )
    return Family(metric, rows, equivalence_margin(samples), power_note(samples[len(samples) // 2]))


def _of_cell(settings: Mapping[str, Scalar], cell: Mapping[str, object]) -> Mapping[str, Scalar]:
    """The settings that the grid crosses; all of them where nothing is crossed."""
    return {name: value for name, value in settings.items() if name in cell} if cell else settings


def control_pairs(settings: Mapping[str, Mapping[str, Scalar]], control: Mapping[str, Scalar]) -> list[tuple[str, str]]:
    """(arm, its control) by signature: the control has the values of `control`, and all its other settings are the arm's.

    What a control does not hold has no effect in it (a generator without synthetic images), so it agrees with any value.
    """
    controls = [
        key
        for key, row in settings.items()
        if all(name in row and _same(row[name], value) for name, value in control.items())
    ]
    found = []
    for key, row in settings.items():
        if key in controls:
            continue
        match = next(
            (
                one
                for one in controls
                if all(name in control or _same(row.get(name), value) for name, value in settings[one].items())
            ),
            None,
        )
        if match is not None:
            found.append((key, match))
    return found


def _same(a: Scalar, b: Scalar) -> bool:
    return a == b or str(a) == str(b)


def _fold_means(runs: Sequence[Run], part: Part) -> Iterable[FoldMean]:
    for metric in part.shown:
        by_condition: dict[str, list[tuple[float, int, int, int]]] = {}
        for run in runs:
            for condition, keys in grouped(run).items():
                key = keys[0]
                outcomes = Estimates(run).outcomes(key, metric)
                images = len(outcomes.images) if outcomes is not None else 0
                seeds = len(run.records.loc[[key]])
                row = (float(run.means.loc[key, metric]), images, run.real_images[key], seeds)
                by_condition.setdefault(condition.text, []).append(row)
        for condition_text, rows in by_condition.items():
            values = [row[0] for row in rows]
            tested, trained = (float(np.mean([row[n] for row in rows])) for n in (1, 2))
            mean, low, high = split_mean(values, round(tested), round(trained))
            images = sum(row[1] for row in rows)
            made = Interval(mean, max(0.0, low), min(1.0, high), 0.95, images, images, min(row[3] for row in rows))
            yield FoldMean(condition_text, metric, made, tuple(values))


def _blind(run: Run) -> Blind | None:
    """The predictions scored by the labels; None where no record was evaluated on pseudo-hospitals or the labels are not to be had."""
    made = predicted_target(run)
    if made is None:
        return None
    found = score_run(run)
    refused = [one.refused for one in made.assessment.candidates.values() if one.refused]
    errors = {
        name: {key: None if value != value else value for key, value in scores["auroc"].items()}
        for name, scores in found.estimators.items()
        if "auroc" in scores
    }
    pairs = tuple(
        (*(row.estimated["auroc"][end] for end in ("value", "low", "high")), row.true["auroc"]) for row in found.recipes
    )
    return Blind(
        is_unlabelled(run),
        next(iter(grouped(run))).text,
        found.images,
        len(found.recipes),
        len(refused),
        tuple(dict.fromkeys(refused))[:_REASONS],
        errors,
        found.coverage["auroc"],
        found.regret,
        found.chosen,
        pairs,  # type: ignore[arg-type]  # four numbers each
    )
