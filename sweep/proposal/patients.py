"""Who the patients are, guessed from file names or from the columns of a table, with the evidence for it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Tried in this order; each has one group, the patient. Numbers are taken whole, as the importer demands.
_PATTERNS = (
    r"(?i)(?:patient|pat|case|subject|subj|sub|person|pid)[-_ ]?([a-z]*\d+)(?!\d)",
    r"^([A-Za-z]{1,6}\d+)[-_. ]",
    r"^(\d+)[-_. ]",
    r"^([A-Za-z]+[-_ ]?\d+)[-_ ]\d+\.[A-Za-z]+$",
)
_LARGEST_SHARE = 0.5  # of all images; a "patient" with more is a class, a device or a date
PATIENT_NAMES = (
    "patient",
    "patient_id",
    "patientid",
    "pid",
    "person",
    "subject",
    "subject_id",
    "case",
    "case_id",
    "study_id",
)
LABEL_NAMES = ("label", "class", "diagnosis", "pathology", "target", "finding", "category", "classification")
PATH_NAMES = ("path", "file", "filename", "file_name", "image", "image_path", "image_id", "img")
MOST_CLASSES = 20


@dataclass(frozen=True)
class PatientGuess:
    """A pattern or column ('' where none is believed in), how many patients it gives, and one example."""

    value: str
    patients: int = 0
    example: str = ""


def by_pattern(names: Sequence[str]) -> PatientGuess:
    """The first pattern that matches every file name and puts several images, but never half of all, under one patient."""
    for pattern in _PATTERNS:
        compiled = re.compile(pattern)
        found = [match.group(1) if (match := compiled.search(name)) else "" for name in names]
        counts = Counter(found)
        if "" in counts or not _plausible(counts, len(names)):
            continue
        patient = counts.most_common(1)[0][0]
        examples = [name for name, one in zip(names, found, strict=True) if one == patient][:2]
        return PatientGuess(pattern, len(counts), f"{' and '.join(examples)} are of patient {patient}")
    return PatientGuess("")


def _plausible(counts: Mapping[str, int], images: int) -> bool:
    most = max(counts.values())
    return 2 <= len(counts) < images and most > 1 and most <= max(2, _LARGEST_SHARE * images)


def patient_column(columns: Mapping[str, Sequence[str]]) -> PatientGuess:
    """The column called like a patient's, if it repeats; else none is believed in."""
    for name in _named(columns, PATIENT_NAMES):
        values = [value for value in columns[name] if value]
        counts = Counter(values)
        if values and 2 <= len(counts) < len(values):
            return PatientGuess(
                name, len(counts), f"{counts.most_common(1)[0][1]} rows have {counts.most_common(1)[0][0]!r}"
            )
    return PatientGuess("")


def label_column(columns: Mapping[str, Sequence[str]]) -> str:
    """The column called like a label's with 2 to 20 values; '' where there is none."""
    fitting = [name for name, values in columns.items() if 2 <= len({*values} - {""}) <= MOST_CLASSES]
    return next(iter(_named({name: columns[name] for name in fitting}, LABEL_NAMES)), "")


def _named(columns: Mapping[str, Sequence[str]], names: Sequence[str]) -> list[str]:
    """Columns by how early their name stands in `names`; capitals and spaces do not count."""
    folded = {name: name.strip().casefold().replace(" ", "_") for name in columns}
    return sorted((name for name in columns if folded[name] in names), key=lambda name: names.index(folded[name]))


def path_column(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Columns that may hold paths, likeliest first: by name, then those whose every value is different."""
    named = _named(columns, PATH_NAMES)
    unique = [name for name, values in columns.items() if name not in named and len(set(values)) == len(values)]
    return [*named, *unique]
