"""What a reader must know before believing the numbers: each with its weight and how to look further."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import metric_names
from analysis.figures.figure import counted, number
from analysis.frames import Run
from analysis.one_class_calls import one_class_calls
from analysis.ranking import goodness, objectives
from analysis.selection import best_first, is_unlabelled
from sweep.core.epsilon import parse_epsilon
from sweep.core.metric_table import reads_target_labels
from sweep.core.pareto import dominated_by_any

FEW_SEEDS = 3
RISE = 0.02  # accuracy that rises this much with epsilon is a sign of masked gradients
FEW_OF_A_CLASS = 20  # images


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
    """Records whose model calls (nearly) every image of a split the same."""
    return [ResultWarning("serious", found.headline(), found.detail(run)) for found in one_class_calls(run)]


def _few_patients(run: Run) -> list[ResultWarning]:
    """Test sets of which some class has few images."""
    found = []
    for role, fold in (("source", "test"), ("target", "target")):
        counts = run.data_card.get(role, {}).get("folds", {}).get(fold)
        if not isinstance(counts, dict) or run.findings:
            continue
        name, least = min(counts.items(), key=lambda pair: pair[1])
        if least < FEW_OF_A_CLASS:
            place = metric_names.SPLITS["source" if role == "source" else "target"]
            text = (
                f"{counted(least, 'image')} of {name}: one of them more or less moves its recall by {100 / max(least, 1):.0f} points, and "
                "only large differences between recipes can be seen."
            )
            found.append(ResultWarning("note", f"The {place} has few images of one class", text))
    return found


def _undefined(run: Run) -> list[ResultWarning]:
    hidden = is_unlabelled(run)  # then metrics that need the target's labels are empty on purpose
    names = [
        name
        for name in run.undefined
        if metric_names.parse(name).class_name is None and not (hidden and reads_target_labels(name))
    ]
    if not names:
        return []
    shown = ", ".join(metric_names.title(name) for name in names[:4]) + (
        f" and {len(names) - 4} more" if len(names) > 4 else ""
    )
    text = f"{shown}. No record defines them, as where all images of a split are of one class; they are left out everywhere."
    return [ResultWarning("serious", f"{counted(len(names), 'metric')} undefined", text)]


def _survivors(run: Run) -> list[ResultWarning]:
    """Ranked configurations of which some seeds failed: their means are those of the runs that survived."""
    lost = run.failures[run.failures["signature"].isin(run.means.index)] if len(run.failures) else run.failures
    if not len(lost):
        return []
    count = int(lost["signature"].nunique())
    text = (
        "Their means and intervals are over the seeds that survived, which is the better part of what that recipe does."
    )
    return [ResultWarning("serious", f"{counted(count, 'ranked configuration')} lost seeds to failures", text)]


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


def _overfitted(run: Run) -> list[ResultWarning]:
    """Records of adversarial training in which the model came to withstand the training's single step alone."""
    found = [event for event in run.finishes if event.get("overfitting")]
    if not found:
        return []
    worst = min((event["overfitting"] for event in found), key=lambda facts: facts["pgd"] - facts["fgsm"])
    count = len({event["signature"] for event in found})
    detail = (
        f"In {counted(len(found), 'record')}, at worst after epoch {worst['epoch']}: {number(worst['fgsm'])} of a few validation images withstood "
        f"one step at the budget of training, {number(worst['pgd'])} a short PGD. Set fgsm_start: noise, grad_align above 0, a smaller train_eps or "
        "train_attack: pgd; stop_overfitting ends such a training before it overfits."
    )
    return [
        ResultWarning(
            "serious",
            f"Catastrophic overfitting in the adversarial training of {counted(count, 'configuration')}",
            detail,
        )
    ]


def _rising(run: Run) -> list[ResultWarning]:
    rising = set()
    names = [
        (metric_names.parse(name), name)
        for name in run.metrics
        if metric_names.parse(name).family == metric_names.ROBUST
    ]
    names = [(parts, name) for parts, name in names if parts.split == "target" and parts.eps]
    for threat in {parts.threat for parts, _ in names}:
        row = sorted((parse_epsilon(parts.eps or 0), name) for parts, name in names if parts.threat == threat)
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
    if not run.unfinished:
        return []
    return [
        ResultWarning(
            "serious",
            f"Unfinished: {len(run.records)} of {run.planned_records} records have finished",
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
    if {"auroc/source_val", "auroc/target"} & set(run.undefined):
        return []
    chosen, best = (best_first(run.means[name])[0] for name in ("auroc/source_val", "auroc/target"))
    lost = float(run.means.loc[best, "auroc/target"] - run.means.loc[chosen, "auroc/target"])
    if lost < 0.005:
        return []
    text = f"Choosing on the target itself (oracle) would read {number(float(run.means.loc[best, 'auroc/target']))}; part of that is luck of the draw, and no deployment can choose so."
    return [ResultWarning("note", f"Source validation forgoes {100 * lost:.1f} points of target AUROC", text)]


def _weights_past(run: Run) -> list[ResultWarning]:
    """Data sets that the pretrained weights have seen: serious where it is certain."""
    certain = [
        line
        for line in run.weights_past
        if "have seen" in line and "may have seen" not in line and "unknown" not in line
    ]
    doubtful = [line for line in run.weights_past if line not in certain]
    made = []
    if certain:
        made.append(ResultWarning("serious", "The weights have seen a data set of this run", ". ".join(certain) + "."))
    if doubtful:
        made.append(
            ResultWarning("note", "The weights may have seen a data set of this run", ". ".join(doubtful) + ".")
        )
    return made


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
    _unfinished,
    _damage,
    _leaks,
    _weights_past,
    _transferred,
    _matched,
    _undefined,
    _constant,
    _survivors,
    _few_patients,
    _masking,
    _overfitted,
    _rising,
    _failed,
    _stopped,
    _uneven,
    _seeds,
    _oracle,
    _front,
)
