"""Records -> ten sentences: what a user should take from all questions. A pure function: every number in them is read from a record.

Each sentence says what it rests on, and says "not run" or "undecided" where that is so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.comparisons import WORTH_SEEING
from analysis.figures.figure import counted, difference_text, number, points, with_interval
from analysis.findings.questions import (
    AUROC_SOURCE,
    AUROC_TARGET,
    AUROC_VAL,
    GAP,
    ROBUST_SOURCE,
)
from analysis.findings.records import Against, Arm, Blind, Family, Findings, RunRecord
from analysis.intervals import Interval

ANSWERED, UNDECIDED, NOT_RUN, UNFINISHED = "answered", "undecided", "not run", "unfinished"
HOME_BAR, WHOLE_BAR, ROI_BAR = (
    0.90,
    0.74,
    0.80,
)  # AUROC: BUSI by grouped folds; BUSI -> BrEaST on whole images, on the lesion
PUBLISHED_FROZEN = 0.05  # AUROC, of the poster's colour modules with a frozen network
FORWARD, FEW = "source_to_target", 100  # the direction and the number of labelled images that the question is about


@dataclass(frozen=True)
class Sentence:
    """One sentence with its state and the sweep configs and sizes that it rests on."""

    topic: str
    text: str
    state: str
    rests_on: str = ""


def ten_sentences(findings: Findings) -> tuple[Sentence, ...]:
    """The recommendation, always ten, in the order of the questions."""
    return tuple(_stated(topic, make(findings), findings) for topic, make in _SENTENCES.items())


def _stated(topic: str, made: Sentence | None, findings: Findings) -> Sentence:
    """With its topic; an answer that rests on an unfinished sweep is not yet one."""
    if made is None:
        return Sentence(topic, "Nothing was run that could tell.", NOT_RUN)
    named = [run for name, run in findings.runs.items() if name in made.rests_on.split("; ")[0].split(", ")]
    unfinished = any(not run.whole for run in named)
    return Sentence(topic, made.text, UNFINISHED if unfinished else made.state, made.rests_on)


def chosen(record: RunRecord, **settings: object) -> Arm | None:
    """The arm of best source validation among those with these settings; None where there is none."""
    fitting = [
        arm
        for arm in record.arms
        if AUROC_VAL in arm.numbers and all(arm.settings.get(name) == value for name, value in settings.items())
    ]
    return max(fitting, key=lambda arm: arm.numbers[AUROC_VAL].estimate, default=None)


def against_bar(made: Interval, bar: float) -> str:
    """Where an interval lies beside a bar: above, below, or around it."""
    if made.low >= bar:
        return "above"
    return "below" if made.high < bar else "not told apart from"


def effect(rows: Sequence[Against], worth: float = WORTH_SEEING) -> tuple[str, Against | None]:
    """What comparisons say together: 'better', 'worse', 'both', 'equal' (all within +-worth) or 'undecided'; and the row to name.

    A difference counts after Holm's correction alone; it is worth more than `worth` only where its whole interval is.
    """
    if not rows:
        return "undecided", None
    seen = [row for row in rows if row.distinguishable]
    up, down = ([row for row in seen if (row.made.estimate > 0) is way] for way in (True, False))
    largest = max(seen or rows, key=lambda row: abs(row.made.estimate))
    if up and down:
        return "both", largest
    if seen:
        return ("better" if up else "worse"), largest
    within = all(max(abs(row.made.low), abs(row.made.high)) <= worth for row in rows)
    return ("equal" if within else "undecided"), max(rows, key=lambda row: abs(row.made.estimate))


def in_words(rows: Sequence[Against], family: Family, what: str) -> tuple[str, str]:
    """A sentence on a set of comparisons of one family, and its state."""
    verdict, row = effect(rows)
    if row is None:
        return f"{what} was compared with nothing.", UNDECIDED
    largest = f"the largest difference in {counted(len(rows), 'comparison')} is {difference_text(row.made)} ({row.arm})"
    if verdict in ("better", "worse"):
        sure = (
            "surely more than"
            if abs(row.made.low if row.made.estimate > 0 else row.made.high) > WORTH_SEEING
            else "not surely more than"
        )
        return f"{what} is {verdict}: {largest}, {sure} {_points(WORTH_SEEING)}.", ANSWERED
    if verdict == "both":
        return f"{what} helps in some and hurts in other cases: {largest}.", ANSWERED
    if verdict == "equal":
        return f"{what} makes no difference worth {_points(WORTH_SEEING)}: {largest}.", ANSWERED
    margin = (
        f"; all lie within {points(family.margin).lstrip('+')} points"
        if family.margin is not None and family.margin == family.margin
        else ""
    )
    power = (
        f"; a difference below {points(family.power.detectable).lstrip('+')} points would not have been seen reliably"
        if family.power
        else ""
    )
    return f"{what} is not told apart from its control: {largest}{margin}{power}.", UNDECIDED


def _points(share: float) -> str:
    return f"{100 * share:.0f} points"


def _basis(records: Sequence[RunRecord], made: Interval | None = None) -> str:
    names = ", ".join(record.name for record in records)
    sizes = (
        f"{counted(made.images, 'test image')}, {counted(made.seeds, 'seed')}"
        if made is not None and made.images
        else ""
    )
    return "; ".join(filter(None, (names, sizes, f"{records[0].image_px} px")))


def _first(findings: Findings, *names: str) -> RunRecord | None:
    """The first of these records that is finished, else the first that is there."""
    there = [findings.runs[name] for name in names if name in findings.runs]
    return next((record for record in there if record.whole), there[0] if there else None)


def _how(record: RunRecord) -> str:
    return "a head on frozen features" if "-frozen" in record.name else "a fine-tuned network"


def _family(record: RunRecord | None, metric: str) -> Family | None:
    return next((family for family in record.families if family.metric == metric), None) if record else None


def _home(findings: Findings) -> Sentence | None:
    record = _first(findings, "gap-tuned-folds", "gap-frozen-folds")
    if record is None or not record.folds:
        return None
    rows = [(record.target if "target to" in row.condition else record.source, row) for row in record.folds]
    parts = [f"{name} {with_interval(row.made)}" for name, row in rows]
    first = rows[0][1]
    verdict = against_bar(first.made, HOME_BAR)
    text = f"At home, by {counted(len(first.folds), 'grouped fold')}, {_how(record)} reaches AUROC {' and '.join(parts)}; {rows[0][0]} is {verdict} the bar of {HOME_BAR:.2f}."
    return Sentence("", text, UNDECIDED if "not told" in verdict else ANSWERED, _basis([record], first.made))


def _away(findings: Findings) -> Sentence | None:
    record = _first(findings, "gap-tuned", "gap-frozen")
    arms = [] if record is None else [(way, chosen(record, direction=way)) for way in (FORWARD, "target_to_source")]
    known = [
        (way, arm) for way, arm in arms if arm is not None and {AUROC_TARGET, AUROC_SOURCE, GAP} <= arm.numbers.keys()
    ]
    if record is None or not known:
        return None
    parts = []
    for way, arm in known:
        names = (record.source, record.target) if way == FORWARD else (record.target, record.source)
        lost, made = arm.numbers[GAP], arm.numbers
        parts.append(
            f"from {names[0]} to {names[1]} AUROC falls from {number(made[AUROC_SOURCE].estimate)} to {with_interval(made[AUROC_TARGET])}, by {difference_text(lost)}"
        )
    first = known[0][1].numbers
    verdict = against_bar(first[AUROC_TARGET], WHOLE_BAR)
    text = f"Sent to the other hospital, {_how(record)} loses: {'; '.join(parts)}; whole images are {verdict} the bar of {WHOLE_BAR:.2f}."
    sure = all(arm.numbers[GAP].low > 0 for _, arm in known)
    return Sentence("", text, ANSWERED if sure else UNDECIDED, _basis([record], first[AUROC_TARGET]))


def _lesion(findings: Findings) -> Sentence | None:
    for kind in ("tuned", "frozen"):
        whole, cropped = (_first(findings, f"gap-{kind}{end}") for end in ("", "-roi"))
        if whole and cropped and (a := chosen(whole, direction=FORWARD)) and (b := chosen(cropped, direction=FORWARD)):
            of_whole, of_lesion = a.numbers[AUROC_TARGET], b.numbers[AUROC_TARGET]
            apart = of_lesion.low > of_whole.high or of_whole.low > of_lesion.high
            verdict = against_bar(of_lesion, ROI_BAR)
            text = (
                f"Cropped to the lesion, {_how(whole)} reaches AUROC {with_interval(of_lesion)} at the other hospital against {with_interval(of_whole)} "
                f"on whole images ({'the intervals are apart' if apart else 'the intervals overlap'}); it is {verdict} the bar of {ROI_BAR:.2f}."
            )
            return Sentence("", text, ANSWERED if apart else UNDECIDED, _basis([whole, cropped], of_lesion))
    return None


def _ratio(findings: Findings) -> Sentence | None:
    return _of_family(findings, "ratio-added", AUROC_TARGET, "Adding synthetic images")


def _cost(findings: Findings) -> Sentence | None:
    classical, mixed = (findings.runs.get(name) for name in ("ratio-classical", "ratio-mixed"))
    said, states, used = [], [], []
    for record, what in (
        (classical, "Stronger or longer classical augmentation"),
        (mixed, "Synthetic images in the place of real ones, or before them,"),
    ):
        family = _family(record, AUROC_TARGET)
        if record is not None and family is not None:
            words, state = in_words(family.rows, family, what)
            said.append(words)
            states.append(state)
            used.append(record)
    if not used:
        return None
    family = _family(used[0], AUROC_TARGET)
    state = ANSWERED if set(states) == {ANSWERED} and len(used) == 2 else UNDECIDED
    return Sentence("", " ".join(said), state, _basis(used, family.rows[0].made if family else None))


def _colour(findings: Findings) -> Sentence | None:
    record = findings.runs.get("colour-modules")
    family = _family(record, AUROC_SOURCE)
    if record is None or family is None:
        return None
    said, states = [], []
    for procedure, what in (
        ("colorizer_head", "With the network frozen, a learned colour module"),
        ("joint", "With everything trained, a colour module"),
    ):
        rows = [row for row in family.rows if row.settings.get("procedure") == procedure]
        words, state = in_words(rows, family, what)
        said.append(words)
        states.append(state)
        if procedure == "colorizer_head" and rows:
            reach = [row for row in rows if row.made.low >= PUBLISHED_FROZEN]
            missed = all(row.made.high < PUBLISHED_FROZEN for row in rows)
            said.append(
                f"The published gain of {_points(PUBLISHED_FROZEN)} is {'there' if reach else 'not there' if missed else 'neither shown nor excluded'}."
            )
    state = ANSWERED if set(states) == {ANSWERED} else UNDECIDED
    return Sentence("", " ".join(said), state, _basis([record], family.rows[0].made))


def _robust(findings: Findings) -> Sentence | None:
    records = [
        findings.runs[f"robustness-{pair}"] for pair in ("breast", "chest") if f"robustness-{pair}" in findings.runs
    ]
    said, states = [], []
    for record in records:
        family = _family(record, ROBUST_SOURCE)
        if family is None:
            continue
        for trained, what in ((False, "colour and texture modules"), (True, "adversarial training")):
            rows = [row for row in family.rows if (float(str(row.settings.get("train_eps") or 0)) > 0) is trained]
            words, state = in_words(rows, family, f"On {record.source}, {what}, in the worst case at 1/255,")
            said.append(words)
            states.append(state)
    if not said:
        return None
    first = _family(records[0], ROBUST_SOURCE)
    state = ANSWERED if set(states) == {ANSWERED} else UNDECIDED
    return Sentence("", " ".join(said), state, _basis(records, first.rows[0].made if first else None))


POOLED, HOME = "pooled pseudo-hospitals", "as on source validation"


def blind_records(findings: Findings) -> list[tuple[RunRecord, Blind]]:
    """The records whose target AUROC was predicted without labels and is now known."""
    return [(record, record.blind) for record in findings.runs.values() if record.blind is not None]


def _blind(findings: Findings) -> Sentence | None:
    found = blind_records(findings)
    if not found:
        return None
    recipes = sum(blind.recipes for _, blind in found)
    errors = {name: _weighted(found, name) for name in (POOLED, HOME)}
    refused = sum(blind.refused for _, blind in found)
    costs = [
        f"{rule} {number(sum(regrets) / len(regrets))}"
        for rule in ("blind", "source_val")
        if (regrets := [blind.regret[rule] for _, blind in found if rule in blind.regret])
    ]
    text = (
        f"Without a target label, AUROC was predicted with a mean error of {number(errors[POOLED])} (taking source validation's for it: {number(errors[HOME])}) over "
        f"{counted(recipes, 'recipe')}, {refused} of which {'was' if refused == 1 else 'were'} refused; mean regret of the choice: {', '.join(costs)}."
    )
    sealed = any(record.name == "blind" for record, _ in found)
    tail = "" if sealed else " The sealed sweep itself was not run."
    ours, theirs = errors[POOLED], errors[HOME]
    better = ours is not None and theirs is not None and ours < theirs
    return Sentence(
        "", text + tail, ANSWERED if sealed and better else UNDECIDED, _basis([record for record, _ in found])
    )


def _weighted(found: Sequence[tuple[RunRecord, Blind]], estimator: str) -> float | None:
    rows = [
        (error, blind.recipes)
        for _, blind in found
        if (error := blind.errors.get(estimator, {}).get("error")) is not None
    ]
    total = sum(count for _, count in rows)
    return sum(error * count for error, count in rows) / total if total else None


def _importance(findings: Findings) -> Sentence | None:
    record = _first(findings, "recipe-breast", "recipe-chest")
    rows = record.importance.get(AUROC_TARGET, ()) if record else ()
    if record is None or not rows:
        return None
    first = rows[0]
    sure = [row.setting for row in rows if row.low > 0]
    rest = [row.setting for row in rows if row.low <= 0]
    text = (
        f"In the joint search {first.setting} explains most of the target AUROC, {100 * first.share:.0f} % [{100 * first.low:.0f}, {100 * first.high:.0f}] over "
        f"{counted(first.among, 'configuration')}; surely above nothing: {', '.join(sure) or 'none'}; not: {', '.join(rest) or 'none'}."
    )
    return Sentence("", text, ANSWERED if first.low > 0 else UNDECIDED, _basis([record]))


def _advice(findings: Findings) -> Sentence | None:
    parts, used, states = [], [], []
    frozen, added = findings.runs.get("gap-frozen"), findings.runs.get("ratio-added")
    for record, pick, what in (
        (frozen, {"direction": FORWARD}, "matching grey levels to the unlabelled hospital (adapt: histogram)"),
        (added, {"train_images": FEW}, "adding synthetic images to 100 labelled ones"),
    ):
        family = _family(record, AUROC_TARGET)
        rows = (
            [row for row in family.rows if all(row.settings.get(key) == value for key, value in pick.items())]
            if family
            else []
        )
        if record is None or family is None or not rows:
            parts.append(f"whether {what} pays was not run")
            states.append(NOT_RUN)
            continue
        verdict, row = effect(rows)
        word = {
            "better": "do",
            "worse": "avoid",
            "equal": "save yourself",
            "both": "test",
            "undecided": "expect nothing sure of",
        }[verdict]
        parts.append(f"{word} {what}" + (f" ({difference_text(row.made)})" if row else ""))
        states.append(ANSWERED if verdict != "undecided" else UNDECIDED)
        used.append(record)
    found = blind_records(findings)
    if found:
        recipes, refused = sum(one.recipes for _, one in found), sum(one.refused for _, one in found)
        parts.append(
            f"label some target images before sending a model, since {refused} of {recipes} recipes could not be vouched for blind"
            if refused
            else "send what the blind rule chooses"
        )
        used += [record for record, _ in found if record not in used]
    if not used:
        return None
    state = ANSWERED if set(states) == {ANSWERED} and found else UNDECIDED
    return Sentence(
        "", f"With {FEW} labelled images and an unlabelled hospital: {'; '.join(parts)}.", state, _basis(used)
    )


_SENTENCES: dict[str, Callable[[Findings], Sentence | None]] = {
    "At home": _home,
    "At the other hospital": _away,
    "Lesion crop": _lesion,
    "Synthetic images": _ratio,
    "The same cost otherwise": _cost,
    "Colour modules": _colour,
    "Attacks": _robust,
    "Blind prediction": _blind,
    "What mattered": _importance,
    "100 labelled images, an unlabelled hospital": _advice,
}


def _of_family(findings: Findings, name: str, metric: str, what: str) -> Sentence | None:
    record = findings.runs.get(name)
    family = _family(record, metric)
    if record is None or family is None:
        return None
    words, state = in_words(family.rows, family, what)
    return Sentence("", words, state, _basis([record], family.rows[0].made))
