"""Facts about a sweep -> the sentences that a reader acts on: what to use, or why nothing; what differs; what more data would buy.

A pure function: every sentence follows from `Facts` alone, so that each situation can be tested with its exact words.
`analysis.verdict_facts` takes the facts from a run.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis import metric_names
from analysis.comparisons import PowerNote
from analysis.figures.figure import counted, difference_text, number, p_text, points, with_interval
from analysis.intervals import Interval
from analysis.verdict_recipe import Recipe, always, listed, misses, misses_a_class, numbers, percent, seeds_of

ANY_SIZE = 0.5  # a margin or a detectable difference from which on nothing is said about sizes
NOTHING_LEFT = 0.05  # robust accuracy at or below which an attack leaves nothing
_THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"
NO_CAUSE = "with one seed each, the setting cannot be told from the luck of a training run, so no cause is named"


@dataclass(frozen=True)
class Difference:
    """A paired difference from one other configuration, more being better, and what it rests on."""

    against: str
    made: Interval
    p: float  # adjusted over the family
    seeds: int  # in common
    distinguishable: bool
    seed_noise_known: bool = True
    where: str = ""  # the grid cell, for a ratio of synthetic images
    ratio: float | None = None


@dataclass(frozen=True)
class Facts:
    """All that the sentences are made of."""

    rule: str
    chosen: Recipe | None  # None: the rule's metric is undefined everywhere
    chance: float = 0.5  # balanced accuracy of the constant predictor
    constant: float | None = None  # accuracy of the constant predictor on the target
    classes: tuple[str, str] = ("negative", "positive")  # of two
    configurations: int = 1
    beat_chance: tuple[str, ...] = ()  # labels of ranked configurations whose balanced accuracy is above chance
    balanced_known: bool = True
    dominated_by: str = ""  # a configuration that is at least as good in every objective and better in one
    oracle: bool = False
    metric: str = "auroc/target"  # that differences are in
    rivals: tuple[Difference, ...] = ()  # chosen minus each of the next, the runner-up first
    ratios: tuple[Difference, ...] = ()  # each ratio minus real only
    asks_ratio: bool = False
    margin: float | None = None  # that all ratio differences lie within
    power: PowerNote | None = None
    robust: tuple[str, Interval] | None = None  # name and value of a robustness objective
    finished: int = 0
    planned: int | None = None  # where records are still to come
    one_class: str = ""  # of all target images, where they are of a single one
    others: tuple[tuple[str, str], ...] = ()  # condition -> its leading configuration


@dataclass(frozen=True)
class Sentences:
    """The recommendation, the answer to the sweep's question, what more data would buy; and whether anything is recommended."""

    recommendation: str
    answer: str
    power: str
    usable: bool


def sentences(facts: Facts) -> Sentences:
    """The verdict in words."""
    recommendation, usable = _recommendation(facts)
    before = []
    if facts.planned:
        before.append(
            f"Unfinished: {facts.finished} of {facts.planned} records have finished, so all of this may still change."
        )
    after = [f"{condition} is judged apart: there {label} leads." for condition, label in facts.others]
    if facts.chosen is None or _all_one_class(facts):
        return Sentences(" ".join([*before, *recommendation, *after]), "", "", usable)
    answer = _ratio_answer(facts) if facts.asks_ratio else _rival_answer(facts)
    power = _power_text(facts.power) if facts.power else ""
    return Sentences(" ".join([*before, *recommendation, *after]), answer, power, usable)


def _recommendation(facts: Facts) -> tuple[list[str], bool]:
    chosen = facts.chosen
    if chosen is None:
        undefined = (
            f"No recipe can be chosen: the {facts.rule} is undefined, as it is where all images are of one class."
        )
        return [undefined, "Choose by another rule or give images of both classes."], False
    if facts.one_class or (facts.balanced_known and chosen.balanced is not None and _is_anything(chosen.balanced)):
        return _unknown(chosen, facts), False
    if facts.balanced_known and not facts.beat_chance:
        return [*_nothing_beats(facts), *_threshold(chosen, facts)], False
    faults = _faults(chosen, facts)
    if not faults:
        return [f"Use {chosen.label}: {_chosen_by(facts)}, {_reaches(chosen, facts)}.", *_notes(chosen, facts)], True
    said = [f"Do not use {chosen.label} as it is, though {_chosen_by(facts)}: {'; '.join(faults)}."]
    said += [f"It reaches {numbers(chosen)}."] if numbers(chosen) else []
    said += _threshold(chosen, facts) if misses_a_class(chosen) or not _beats(chosen, facts) else []
    if facts.balanced_known and not _beats(chosen, facts):
        better = listed(facts.beat_chance[:3])
        said.append(
            f"Read on the target itself (oracle), {better} {'does' if len(facts.beat_chance) == 1 else 'do'} beat the constant predictor."
        )
    return [*said, *_notes(chosen, facts)], False


def _is_anything(made: Interval) -> bool:
    return made.low <= 0 and made.high >= 1


def _unknown(chosen: Recipe, facts: Facts) -> list[str]:
    """What is said where the data cannot tell whether anything beats the constant predictor."""
    if facts.one_class:
        why = f"all images of the target are {facts.one_class}, so how well the classes are told apart there cannot be measured"
    else:
        why = "one seed without kept images gives no interval, so whether anything here beats the constant predictor is not known"
    said = [f"No recipe can be recommended: {why}."]
    return said + (
        [f"{_upper_first(_chosen_by(facts))}, {chosen.label} reaches {numbers(chosen)}."] if numbers(chosen) else []
    )


def _nothing_beats(facts: Facts) -> list[str]:
    level = number(facts.chance)
    said = ["Nothing here beats the constant predictor."]
    if facts.configurations == 1:
        said.append(f"The balanced accuracy on the target of the one configuration is not above {level}.")
    else:
        said.append(
            f"None of the {facts.configurations} configurations has a balanced accuracy on the target that is surely above {level}."
        )
    said.append("Do not deploy any of these.")
    chosen = facts.chosen
    if chosen is None:
        return said
    said.append(
        f"{_upper_first(_chosen_by(facts))}, {chosen.label} reaches {numbers(chosen)}." if numbers(chosen) else ""
    )
    named = always(chosen, facts.classes, facts.constant)
    said += [f"It {named}."] if named else []
    return [one for one in said if one]


def _chosen_by(facts: Facts) -> str:
    if facts.oracle:
        return f"chosen on the target itself (oracle, so the number is optimistic) by {facts.rule.replace(' (oracle)', '')}"
    return f"chosen by {facts.rule}"


def _faults(chosen: Recipe, facts: Facts) -> list[str]:
    """Why the chosen configuration is not to be used; empty where nothing speaks against it."""
    faults = []
    if facts.balanced_known and not _beats(chosen, facts):
        faults.append("its balanced accuracy on the target is not surely above the constant predictor's")
    named = always(chosen, facts.classes, facts.constant)
    if named:
        faults.append(f"it {named}")
    elif misses_a_class(chosen):
        faults.append(misses(chosen, facts.classes))
    if chosen.front > 1:
        by = (
            f": {facts.dominated_by} is at least as good in every objective and better in one"
            if facts.dominated_by
            else ""
        )
        faults.append(f"it is dominated (front {chosen.front}){by}")
    if chosen.failed_seeds and chosen.failed_seeds >= seeds_of(chosen):
        faults.append(_survivors(chosen))
    return faults


def _notes(chosen: Recipe, facts: Facts) -> list[str]:
    """What must be known of a configuration beside its numbers."""
    notes = []
    if 0 < chosen.failed_seeds < seeds_of(chosen):
        notes.append(f"{_survivors(chosen).capitalize()}.")
    if seeds_of(chosen) == 1:
        notes.append("It was trained once: how far another training run would be from it is not known.")
    if facts.robust and facts.robust[1].estimate <= NOTHING_LEFT:
        name, made = facts.robust
        left = "nothing" if made.estimate == 0 else "almost nothing"
        notes.append(f"Under attack {left} is left of it: {_lower_first(name)} is {with_interval(made)}.")
    return notes


def _survivors(chosen: Recipe) -> str:
    planned = chosen.failed_seeds + seeds_of(chosen)
    return f"{chosen.failed_seeds} of its {planned} seeds failed, so its numbers are those of the runs that survived"


def _beats(chosen: Recipe, facts: Facts) -> bool:
    return chosen.balanced is not None and chosen.balanced.low > facts.chance


def _all_one_class(facts: Facts) -> bool:
    chosen = facts.chosen
    flat = chosen is not None and (
        chosen.called_positive in (0.0, 1.0) or (chosen.most_called is not None and chosen.most_called[1] == 1)
    )
    return flat and not facts.beat_chance and all(one.made.estimate == 0 for one in (*facts.rivals, *facts.ratios))


def _threshold(chosen: Recipe, facts: Facts) -> list[str]:
    """The threshold that would help, where the ranking is better than the calls made of it."""
    made = chosen.threshold
    if made is None or chosen.auroc is None or chosen.auroc.low <= 0.5:
        return []
    unsure = "" if made.balanced.low > facts.chance else ", which is not surely above the constant predictor's either"
    return [
        f"The fault is the threshold, not the order: AUROC is {with_interval(chosen.auroc)}. Calling {facts.classes[1]} from a probability of "
        f"{number(made.probability)} on, so that the share of {facts.classes[1]} is the source's {percent(made.share)} (no target label is needed for that), "
        f"it would have a balanced accuracy of {with_interval(made.balanced)}{unsure}."
    ]


def _reaches(chosen: Recipe, facts: Facts) -> str:
    first = next((one for one in (chosen.auroc, chosen.balanced, chosen.accuracy) if one is not None), None)
    text = f"it reaches {numbers(chosen)}"
    return f"{text} {_rests_on(first)}" if first else text


def _rests_on(made: Interval) -> str:
    seeds = counted(made.seeds, "seed")
    if not made.images:
        return f"over {seeds}; images were not kept, so this is seed noise alone"
    patients = f" of {counted(made.groups, 'patient')}" if made.groups < made.images else ""
    return f"(95 % intervals; {counted(made.images, 'image')}{patients}, {seeds})"


def _ratio_answer(facts: Facts) -> str:
    compared = facts.ratios
    if not compared:
        return "Whether synthetic images help cannot be said: no real-only configuration was tested on the same images."
    if not all(one.seed_noise_known for one in compared):
        largest = max(compared, key=lambda one: abs(one.made.estimate))
        return (
            f"Whether synthetic images help cannot be said from one seed each: the largest difference from real only is {_ratio_text(largest)}, "
            f"but {NO_CAUSE}."
        )
    seen = [one for one in compared if one.distinguishable]
    if not seen:
        within = _within(facts.margin)
        return f"No ratio of synthetic images is distinguishable from real only in {counted(len(compared), 'comparison')}{within}."
    up = [one for one in seen if one.made.estimate > 0]
    down = [one for one in seen if one.made.estimate < 0]
    best = max(seen, key=lambda one: abs(one.made.estimate))
    if up and down:
        head = f"Synthetic images help in {len(up)} and hurt in {len(down)} of {counted(len(compared), 'comparison')}: most"
    else:
        head = f"Synthetic images {'help' if up else 'hurt'} in {len(seen)} of {counted(len(compared), 'comparison')}: most"
    return f"{head} with {_ratio_text(best)}, {p_text(best.p)} after Holm's correction{_one_seed(best)}."


def _within(margin: float | None) -> str:
    if margin is None or margin != margin:
        return ""
    if margin >= ANY_SIZE:
        return "; with so few images and seeds the differences may be of any size"
    return f"; every difference lies within \N{PLUS-MINUS SIGN}{100 * margin:.1f} points (equivalence tests at 5 %)"


def _ratio_text(one: Difference) -> str:
    return f"{one.ratio:g} per real image ({one.where}), {difference_text(one.made)} against real only"


def _rival_answer(facts: Facts) -> str:
    if not facts.rivals:
        return "It has no rival that was tested on the same images."
    first, title = facts.rivals[0], metric_names.title(facts.metric)
    gap = f"the difference is {difference_text(first.made)}"
    if not first.seed_noise_known:
        return f"Against the runner-up, {first.against}, {gap} in {title}; but {NO_CAUSE}."
    better = sum(one.distinguishable and one.made.estimate > 0 for one in facts.rivals)
    worse = sum(one.distinguishable and one.made.estimate < 0 for one in facts.rivals)
    count = len(facts.rivals)
    tail = f"from the runner-up, {first.against}, {gap}, {p_text(first.p)}{_one_seed(first)}"
    if count == 1:
        word = "better than" if better else "worse than" if worse else "not distinguishable from"
        return f"It is {word} the runner-up, {first.against}, in {title}: {gap}, {p_text(first.p)}{_one_seed(first)}."
    if not better and not worse:
        return f"It is not distinguishable from the next {count} in {title}; {tail}."
    parts = [f"better than {better}"] if better else []
    parts += [f"worse than {worse}"] if worse else []
    return f"It is {' and '.join(parts)} of the next {count} in {title} after Holm's correction; {tail}."


def _one_seed(one: Difference) -> str:
    return " (it rests on one common seed, so on the luck of two training runs)" if one.seeds == 1 else ""


def _power_text(note: PowerNote) -> str:
    effect = f"{100 * note.effect:.0f} points"
    if note.detectable <= note.effect:
        return f"This sweep would see a difference of {effect} four times in five."
    ways = [f"{note.images:,} test images".replace(",", _THIN_SPACE)] if note.images else []
    ways += [f"{note.seeds} seeds"] if note.seeds else []
    fix = f"{' or '.join(ways)} would do" if ways else "neither more images nor more seeds alone would do"
    if note.detectable >= ANY_SIZE:
        return f"With so few images and seeds no difference is seen reliably here; to see {effect} four times in five, {fix}."
    return f"Differences below {points(note.detectable).lstrip('+')} points are not seen reliably here; to see {effect} four times in five, {fix}."


def _upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
