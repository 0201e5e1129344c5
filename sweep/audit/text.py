"""An audit as lines of text: worst news first within each part, long lists cut with their length told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sweep.audit.audit import AuditReport, Copy, DataSetFacts
from sweep.audit.shortcut_features import Tell
from sweep.core.counts import counted, percent

_NOTHING = "none: neither tint nor transparency nor size nor lettering"
_NAMED = 2  # shortcut features that the verdict names
_EXAMPLES = 5  # images named where many are counted
SHOWN = 20  # lines of a list before it is cut


def render(report: AuditReport) -> str:
    """The report for a terminal."""
    return "\n".join(_lines(report))


def sections(report: AuditReport) -> list[tuple[str, list[str]]]:
    """Titles and lines, without layout."""
    parts = [(facts.name, list(_facts(facts))) for facts in report.sets]
    conflicts = [_copy(copy) for copy in report.conflicts]
    parts.append((f"copies with different labels: {counted(len(conflicts), 'pair')}", conflicts))
    inside = [copy for copy in report.copies if not copy.crosses and not copy.conflicts]
    parts.append((f"other copies inside a data set: {counted(len(inside), 'pair')}", _by_rarity(inside)))
    several = "data set" if len(report.sets) > 1 else "domain" if report.sets[0].domains else ""
    if len(report.sets) > 1:
        crossing = [_copy(copy) for copy in report.crossing]
        parts.append((f"copies between data sets: {counted(len(crossing), 'pair')}", crossing))
    if several:
        tells = [_tell(tell) for tell in report.domain_tells]
        parts.append((f"features that predict the {several}: {len(tells)}", tells or [_NOTHING]))
    for pair, patients in report.shared_patients.items():
        parts.append((f"patient ids in both {pair}: {len(patients)}", list(patients)))
    return parts


def verdict(report: AuditReport) -> str:
    """What was found, the worst first: what to mend before any training, then what to keep in mind, or nothing."""
    shared = sum(map(len, report.shared_patients.values()))
    unknown = [facts.name for facts in report.sets if not facts.patients]
    must = [
        (len(report.conflicts), "pairs of copies with different labels"),
        (len(report.crossing) if len(report.sets) > 1 else 0, "copies between the data sets"),
        (shared, "patient ids in two data sets"),
    ]
    found = ", ".join(f"{count} {words}" for count, words in must if count)
    notes = [
        f"{', '.join(unknown)} without patient ids, so that images of one patient may fall into different folds"
        if unknown
        else "",
        _shortcuts([*(tell for facts in report.sets for tell in facts.tells), *report.domain_tells]),
    ]
    kept_in_mind = "; ".join(filter(None, notes))
    first = f"Mend before training: {found}." if found else "Nothing to mend was found."
    return f"{first} Keep in mind: {kept_in_mind}." if kept_in_mind else first


def _shortcuts(tells: Sequence[Tell]) -> str:
    """The strongest features that predict a class or a hospital without the anatomy."""
    strongest = sorted(tells, key=lambda tell: -tell.auroc)[:_NAMED]
    return "a model could learn a shortcut, as " + ", ".join(map(_tell, strongest)) if strongest else ""


def _lines(report: AuditReport) -> Iterator[str]:
    yield verdict(report)
    for title, lines in sections(report):
        yield title
        yield from (f"  {line}" for line in _cut(lines))


def _facts(facts: DataSetFacts) -> Iterator[str]:
    without = " (normal scans left out)" if facts.normals_left_out else ""
    yield f"{facts.images} images, domain {facts.domain}, {facts.folder}"
    if facts.unlabelled:
        yield f"{facts.unlabelled} images without a label"
    if facts.constant_class:
        yield "classes: " + ", ".join(f"{name} {count}" for name, count in facts.classes.items())
        yield f"always answering {facts.constant_class!r} is right for {percent(facts.constant_accuracy, 1)}{without}"
    for domain in facts.domains:
        classes = ", ".join(f"{name} {count}" for name, count in domain.classes.items())
        yield f"domain {domain.name}: {domain.images} images ({classes}), {domain.patients} patients, {domain.constant_class!r} is right for {percent(domain.constant_accuracy, 1)}"
    yield f"{facts.pictures} groups remain when copies count once ({facts.images - facts.pictures} fewer)"
    if facts.patients:
        yield f"{facts.patients} patients, {facts.without_patient} images without one"
    else:
        yield "no patient ids: copies cannot stand in for cases, images of one patient may fall into different folds"
    yield f"licence: {facts.licence or 'unknown'}" + (f"; cite {facts.citation}" if facts.citation else "")
    if facts.written_on:
        more = ", ..." if len(facts.written_on) > _EXAMPLES else ""
        yield f"text seems to be burned into {len(facts.written_on)} images: {', '.join(facts.written_on[:_EXAMPLES])}{more}"
    yield from (_tell(tell) for tell in facts.tells)


def _tell(tell: Tell) -> str:
    return f"{tell.feature} alone predicts {tell.target}: AUROC {tell.auroc:.2f}"


def _copy(copy: Copy) -> str:
    first, second = (f"{name}: " if copy.crosses else "" for name in (copy.first_set, copy.second_set))
    sign = "=" if copy.how == "identical" else "~"
    known = [label or "unknown" for label in (copy.first_label, copy.second_label)]
    labels = "" if known[0] == known[1] else f", labels {known[0]} / {known[1]}"
    patient = ", same patient" if copy.same_patient else ""
    return f"{first}{copy.first} {sign} {second}{copy.second} ({copy.how}, {copy.score:.2f}{patient}{labels})"


def _by_rarity(copies: Iterable[Copy]) -> list[str]:
    """Identical and turned ones before those that are merely near."""
    return [_copy(copy) for copy in sorted(copies, key=lambda copy: (copy.how == "near", -copy.score))]


def _cut(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:SHOWN]
    if len(lines) > SHOWN:
        yield f"... and {len(lines) - SHOWN} more (--json FILE lists all)"
