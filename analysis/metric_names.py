"""Metric names and what they say: family, split, threat, epsilon, direction, the words a person reads.

A recorded name is `family/split`, `family/split/finding` or `robust_accuracy/split/threat@eps`; a person may leave parts out
(`robust_accuracy@2/255`, `auroc`), and the target split and the worst case over threats are meant.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sweep.core.errors import InputError, suggestion

ROBUST, ROBUST_AUROC = "robust_accuracy", "robust_auroc"
WORST = "worst"
DEFAULT_SPLIT = "target"
SPLITS = {"source_val": "source validation", "source": "source test", "target": "target"}
MINIMIZED = ("domain_gap", "loss", "ece", "brier", "seconds", "nll")
TITLES = {
    "auroc": "AUROC",
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "constant_accuracy": "Constant predictor",
    "domain_gap": "Domain gap",
    "domain_gap_vs_real_only": "Domain gap against real only",
    "domain_gap/accuracy": "Domain gap (accuracy)",
    ROBUST: "Robust accuracy",
    ROBUST_AUROC: "Robust AUROC",
    "loss": "Loss",
    "ece": "Calibration error",
}


@dataclass(frozen=True)
class MetricName:
    """The parts of a recorded name; None where the name has no such part."""

    family: str
    split: str | None = None
    threat: str | None = None
    eps: str | None = None
    finding: str | None = None

    def __str__(self) -> str:
        rest = f"/{self.threat}@{self.eps}" if self.threat else f"/{self.finding}" if self.finding else ""
        return self.family + (f"/{self.split}" if self.split else "") + rest


def parse(name: str) -> MetricName:
    """Parts of a full recorded name, e.g. robust_accuracy/target/pgd@2/255."""
    head, _, eps = name.partition("@")
    parts = head.split("/")
    if parts[0] in (ROBUST, ROBUST_AUROC) and eps:
        split, threat = ([*parts[1:], None, None])[:2]
        return MetricName(parts[0], split, threat, eps)
    if len(parts) == 2 and parts[1] in (*SPLITS, "train"):
        return MetricName(parts[0], parts[1])
    if len(parts) == 3 and parts[0] == "auroc" and parts[1] in SPLITS:
        return MetricName(parts[0], parts[1], finding=parts[2])
    return MetricName(name)


def epsilon(text: str) -> float:
    """'2/255' or '0.01' as a number in [0, 1] pixel units; InputError when it is neither."""
    top, slash, bottom = str(text).partition("/")
    try:
        return float(top) / float(bottom) if slash else float(top)
    except (ValueError, ZeroDivisionError):
        raise InputError("eps", f"{text!r} is not a number", "write 2/255 or 0.0078") from None


def goal(name: str) -> str:
    """'minimize' for gaps, losses and calibration errors, else 'maximize'."""
    return "minimize" if name.startswith(MINIMIZED) else "maximize"


def sign(name: str, goals: dict[str, str] | None = None) -> int:
    """+1 where more is better, -1 where less is better; a sweep's own `goals` are heard first."""
    return -1 if (goals or {}).get(name, goal(name)) == "minimize" else 1


def title(name: str) -> str:
    """Words for a heading, e.g. 'Robust accuracy, worst case at 2/255 (target)'."""
    parts = parse(name)
    words = TITLES.get(parts.family, parts.family.replace("_", " "))
    if parts.threat:
        threat = "worst case" if parts.threat == WORST else parts.threat
        words = f"{words}, {threat} at {parts.eps}"
    if parts.finding:
        words = f"{words}, {parts.finding}"
    return f"{words} ({SPLITS.get(parts.split, parts.split)})" if parts.split else words


def heading(name: str) -> tuple[str, str]:
    """Two short lines for a column, e.g. ('Worst case at 2/255', 'target')."""
    parts = parse(name)
    words = TITLES.get(parts.family, parts.family.replace("_", " "))
    if parts.threat:
        words = f"{'Worst case' if parts.threat == WORST else parts.threat} at {parts.eps}"
    if parts.finding:
        words = f"{words}, {parts.finding}"
    if parts.family in ("domain_gap", "domain_gap/accuracy"):
        return words, "source \N{MINUS SIGN} target"
    return words, SPLITS.get(parts.split, parts.split or "")


def short(name: str) -> str:
    """One short line for an axis, e.g. 'Worst case at 2/255, target'."""
    words, split = heading(name)
    return f"{words}, {split}" if split in SPLITS.values() else words


def resolve(spec: str, known: Iterable[str], *, where: str = "metric") -> str:
    """The recorded name that `spec` means; InputError with a suggestion when there is none.

    Missing parts are filled in: the target split, the worst case over threats, an epsilon written another way.
    """
    names = list(known)
    spec = spec.strip()
    if spec in names:
        return spec
    if f"{spec}/{DEFAULT_SPLIT}" in names:
        return f"{spec}/{DEFAULT_SPLIT}"
    if spec.startswith((ROBUST, ROBUST_AUROC)):
        return _resolve_robust(spec, names, where)
    raise InputError(where, f"{spec!r} is not a recorded metric", suggestion(spec, names))


def _resolve_robust(spec: str, names: list[str], where: str) -> str:
    wanted = parse(spec)
    split, threat = wanted.split or DEFAULT_SPLIT, wanted.threat or WORST
    if split not in SPLITS:  # robust_accuracy/pgd@2/255 leaves the split out
        split, threat = DEFAULT_SPLIT, split
    robust = [(name, parse(name)) for name in names if name.startswith(f"{wanted.family.partition('/')[0]}/")]
    for name, parts in robust:
        same_eps = wanted.eps and abs(epsilon(parts.eps) - epsilon(wanted.eps)) < 1e-9
        if (parts.split, parts.threat) == (split, threat) and same_eps:
            return name
    tried = sorted(
        {f"{parts.threat}@{parts.eps}" for _, parts in robust if parts.split == split},
        key=lambda text: text.partition("@")[0] != WORST,
    )
    fix = (
        f"recorded on {split}: {', '.join(tried[:12])}"
        if tried
        else "this sweep attacked nothing there; add threats: to its file"
    )
    raise InputError(where, f"{spec!r} was not recorded", fix)
