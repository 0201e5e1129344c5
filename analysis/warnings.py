"""What a reader must know before believing the numbers: each with its weight and how to look further."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import metric_names
from analysis.figures.figure import counted, number
from analysis.frames import Run
from analysis.ranking import goodness, objectives
from sweep.core.pareto import dominated_by_any

FEW_SEEDS = 3
RISE = 0.02  # accuracy that rises this much with epsilon is a sign of masked gradients
NEAR_CONSTANT = 0.01


@dataclass(frozen=True)
class ResultWarning:
    """One warning: severity 'serious' or 'note', a headline, and the particulars."""

    severity: str
    headline: str
    detail: str


def warnings(run: Run) -> tuple[ResultWarning, ...]:
    """All warnings of a run, serious ones first."""
    found = [warning for check in CHECKS for warning in check(run)]
    return tuple(sorted(found, key=lambda warning: warning.severity != "serious"))


def _damage(run: Run) -> list[ResultWarning]:
    if not run.damages:
        return []
    places = ", ".join(f"{damage.file} line {damage.line}" for damage in run.damages[:3])
    return [
        ResultWarning(
            "serious",
            f"{counted(len(run.damages), 'damaged ledger line')} left out",
            f"{places}. A driver that was killed tears at most its last line.",
        )
    ]


def _constant(run: Run) -> list[ResultWarning]:
    found = []
    for split in ("source", "target"):
        accuracy, constant = f"accuracy/{split}", f"constant_accuracy/{split}"
        balanced = f"balanced_accuracy/{split}"
        if {accuracy, constant, balanced} <= set(run.metrics):
            flat = (run.records[balanced] - 0.5).abs() < NEAR_CONSTANT / 2
            count = int(flat[flat].index.get_level_values("signature").nunique())
            if count:
                text = f"Their balanced accuracy is 0.5, so their accuracy near {number(float(run.records[constant].mean()))} says nothing."
                found.append(
                    ResultWarning(
                        "serious",
                        f"{counted(count, 'configuration')} predict one class only on the {metric_names.SPLITS[split]}",
                        text,
                    )
                )
    return found


def _masking(run: Run) -> list[ResultWarning]:
    if not len(run.alarms):
        return []
    counts = run.alarms["alarm"].value_counts()
    detail = "; ".join(f"{text} ({counted(count, 'record')})" for text, count in counts.head(3).items())
    on = run.alarms["signature"].nunique()
    return [
        ResultWarning(
            "serious",
            f"The robustness of {counted(on, 'configuration')} is in doubt",
            f"{detail}. Read their robust accuracy as an upper bound.",
        )
    ]


def _rising(run: Run) -> list[ResultWarning]:
    rising = set()
    names = [(metric_names.parse(name), name) for name in run.metrics if name.startswith(metric_names.ROBUST)]
    for threat in {parts.threat for parts, _ in names if parts.split == "target"}:
        row = sorted(
            (metric_names.epsilon(parts.eps), name)
            for parts, name in names
            if parts.threat == threat and parts.split == "target"
        )
        steps = run.means[[name for _, name in row]].diff(axis=1).max(axis=1)
        rising |= set(steps.index[steps > RISE])
    if not rising:
        return []
    return [
        ResultWarning(
            "serious",
            f"Accuracy rises with epsilon in {counted(len(rising), 'configuration')}",
            "A stronger attack cannot help a model; its gradient is masked or the attack has not converged.",
        )
    ]


def _seeds(run: Run) -> list[ResultWarning]:
    per_config = run.records.groupby(level="signature").size()
    few = int((per_config < FEW_SEEDS).sum())
    if not few:
        return []
    return [
        ResultWarning(
            "note",
            f"{few} of {len(per_config)} configurations ran fewer than {FEW_SEEDS} seeds",
            "Their intervals say little about another training run.",
        )
    ]


def _failed(run: Run) -> list[ResultWarning]:
    if not len(run.failures):
        return []
    kinds = ", ".join(f"{count} {kind.lower()}" for kind, count in run.failures["kind"].value_counts().items())
    return [
        ResultWarning(
            "note", f"{counted(len(run.failures), 'record')} failed ({kinds})", str(run.failures["reason"].iloc[0])
        )
    ]


def _stopped(run: Run) -> list[ResultWarning]:
    if not len(run.stopped):
        return []
    ways = ", ".join(f"{count} by {by}" for by, count in run.stopped["by"].value_counts().items())
    text = f"After {run.stopped['epoch'].median():.0f} epochs in the median; they are not ranked. The first: {run.stopped['reason'].iloc[0]}."
    return [ResultWarning("note", f"{counted(len(run.stopped), 'record')} stopped early ({ways})", text)]


def _uneven(run: Run) -> list[ResultWarning]:
    if not run.marks:
        return []
    text = "They are marked in the leaderboard; their intervals are as wide as their few seeds make them."
    return [
        ResultWarning(
            "note", f"{counted(len(run.marks), 'ranked configuration')} rest on fewer seeds than the others", text
        )
    ]


def _unfinished(run: Run) -> list[ResultWarning]:
    done = len(run.records) + len(run.failures) + len(run.stopped)
    if not run.planned_records or done >= run.planned_records:
        return []
    return [
        ResultWarning(
            "note",
            f"{len(run.records)} of {run.planned_records} records have finished",
            "The same command again runs the rest; the order may still change.",
        )
    ]


def _leaks(run: Run) -> list[ResultWarning]:
    found = [(name, value) for name, value in _numbers(run.data_card.get("audit", {})) if value > 0]
    leaks = [f"{name}: {value}" for name, value in found if "leak" in name or "both domains" in name]
    conflicts = [f"{name}: {value}" for name, value in found if "conflict" in name]
    made = (
        [ResultWarning("serious", "The audit found images on both sides of a split", "; ".join(leaks))] if leaks else []
    )
    shared = [
        f"{name.removeprefix('left out of ')}: {value}" for name, value in found if name.startswith("left out of")
    ]
    if shared:
        text = f"{'; '.join(shared)}. They stand in no training, validation or test fold of that direction, and its target is whole."
        made.append(
            ResultWarning(
                "note", "Images were left out because the other hospital has their picture or patient too", text
            )
        )
    if conflicts:
        text = f"{'; '.join(conflicts)}. What became of them is the split's setting `conflicts`."
        made.append(ResultWarning("note", "Near copies with different labels are in the data", text))
    return made


def _numbers(card: object, name: str = "") -> list[tuple[str, int]]:
    if isinstance(card, dict):
        return [
            pair for key, value in card.items() for pair in _numbers(value, f"{name} {key}".strip().replace("_", " "))
        ]
    return [(name, card)] if isinstance(card, int) and not isinstance(card, bool) else []


def _oracle(run: Run) -> list[ResultWarning]:
    if "auroc/source_val" not in run.means or "auroc/target" not in run.means or len(run.means) < 2:
        return []
    chosen, best = run.means["auroc/source_val"].idxmax(), run.means["auroc/target"].idxmax()
    lost = float(run.means.loc[best, "auroc/target"] - run.means.loc[chosen, "auroc/target"])
    if lost < 0.005:
        return []
    text = f"Choosing on the target itself (oracle) would read {number(float(run.means.loc[best, 'auroc/target']))}; part of that is luck of the draw, and no deployment can choose so."
    return [ResultWarning("note", f"Source validation forgoes {100 * lost:.1f} points of target AUROC", text)]


def _transferred(run: Run) -> list[ResultWarning]:
    count = _configured(run, "colorizer_from", "other_domain")
    if not count:
        return []
    text = "It was trained on part of the target's images and labels, so their target figures are optimistic; what they reach on the source is sound."
    return [
        ResultWarning("serious", f"The colour module of {counted(count, 'configuration')} has seen the target", text)
    ]


def _matched(run: Run) -> list[ResultWarning]:
    count = _configured(run, "adapt", "histogram_to_target")
    if not count:
        return []
    text = "Training images were given the grey levels of the target's images, test images among them but no label: an unsupervised adaptation, not a source-free one."
    return [ResultWarning("note", f"{counted(count, 'configuration')} trained on the target's grey levels", text)]


def _configured(run: Run, name: str, value: str) -> int:
    """How many configurations have this value."""
    return int((run.configs[name] == value).sum()) if name in run.configs else 0


def _front(run: Run) -> list[ResultWarning]:
    metrics = objectives(run)
    if len(metrics) < 2 or len(run.means) < 3:
        return []
    share = float((~dominated_by_any(goodness(run, metrics))).mean())
    if share < 0.5:
        return []
    return [
        ResultWarning(
            "note",
            f"{100 * share:.0f} % of the configurations are on the front",
            "With this many objectives the front hardly chooses; state a constraint or weights.",
        )
    ]


CHECKS = (
    _damage,
    _leaks,
    _transferred,
    _matched,
    _constant,
    _masking,
    _rising,
    _failed,
    _stopped,
    _uneven,
    _unfinished,
    _seeds,
    _oracle,
    _front,
)
