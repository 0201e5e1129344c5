"""What an import saw and what it did with it: every file read, refused or ignored, and checks that the result can be meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError
from sweep.importers.raw import Ignored, RawImage, storable
from sweep.importers.walk import listing, split_masks, why_no_image
from sweep.shards.schema import ShardRow

CHECKS = ("one-class", "lost-class", "label-per-image", "few-patients", "same-subfolders")
_UNUSED = "images that this layout does not use"
_FILES_OF_ONE_PATIENT = 4  # images per patient from which one patient a class is no accident
_PLACEHOLDER_IMAGES = 20  # images of one patient id from which more than half of a set is suspected to be a placeholder
_PLACEHOLDER_STUDIES = 10  # studies that one patient id may cover before it is suspected to be a placeholder


@dataclass
class Account:
    """Counts of one import; `ignored` holds, by reason, how many and one example."""

    read: int = 0
    refused: int = 0
    ignored: dict[str, tuple[int, str]] = field(default_factory=dict)
    grouped_by: str = ""  # what the column patient holds where it is no patient: "runs of similar slices"
    dark: tuple[int, str] = (0, "")  # images of deep files that span hardly any greys: how many, and one of them
    flat: tuple[int, str] = (0, "")  # images of a single grey: how many, and one of them
    warned: tuple[int, str, str] = (
        0,
        "",
        "",
    )  # images read under a decoder's warning: how many, one of them, its warning
    files: int | None = None  # below the source folder; None where the source is no folder
    _used: set[str] = field(default_factory=set)
    _offered: set[str] = field(default_factory=set)
    _written: Counter[str] = field(default_factory=Counter)
    _left_out: set[str] = field(default_factory=set)
    _patients: dict[str, set[str]] = field(default_factory=dict)  # patient -> labels
    _with_patient: int = 0
    _images_of_patient: Counter[str] = field(default_factory=Counter)
    _studies: dict[str, set[str]] = field(default_factory=dict)  # patient -> studies

    def images(self, events: Iterable[RawImage | Ignored]) -> Iterator[RawImage]:
        """The images among an importer's events; what it ignores is counted."""
        for event in events:
            if isinstance(event, Ignored):
                self.ignore(event.reason, event.where)
                if event.path is not None:
                    self._used.add(str(event.path))
                if event.label:
                    self._left_out.add(storable(event.label))
                if event.missed:
                    self._offered.add(storable(event.missed))
                continue
            if event.path is not None:
                self._used.add(str(event.path))
            self._used.update(str(mask) for mask in event.masks)
            if event.label:
                self._offered.add(storable(event.label))
            if event.study and event.patient:
                self._studies.setdefault(event.patient, set()).add(event.study)
            yield event

    def ignore(self, reason: str, example: str, count: int = 1) -> None:
        """Count something that is left out."""
        before, first = self.ignored.get(reason, (0, example))
        self.ignored[reason] = before + count, first

    def take(self, row: ShardRow) -> None:
        """Count a row that is written."""
        self.read += 1
        label = row.label or ""
        self._written[label] += 1
        if row.patient:
            self._with_patient += 1
            self._patients.setdefault(row.patient, set()).add(label)
            self._images_of_patient[row.patient] += 1

    def close(self, root: Path | None) -> None:
        """Account for every file below `root` that no image was made of."""
        if root is None:
            return
        found = listing(root)
        for path, reason in found.passed:
            self.ignore(reason, _shown(path, root))
        rest = [path for path in found.files if str(path) not in self._used]
        reasons = {path: why_no_image(path) for path in rest}
        masks = set(split_masks(root, (path for path in found.files if not reasons.get(path)))[1])
        for path, reason in reasons.items():
            self.ignore(reason or ("masks by their names" if path in masks else _UNUSED), _shown(path, root))
        self.files = len(found.files) + len(found.passed)

    @property
    def patients(self) -> int:
        """Different patient ids of the rows written."""
        return len(self._patients)

    @property
    def without_patient(self) -> int:
        """Rows written without a patient id."""
        return self.read - self._with_patient

    def to_json(self) -> dict[str, Any]:
        """For the manifest: counts alone, since paths of a clinic's files may name patients."""
        ignored = {reason: count for reason, (count, _) in sorted(self.ignored.items())}
        return {"read": self.read, "refused": self.refused, "ignored": ignored}

    def lines(self) -> list[str]:
        """For the terminal: what was seen, read, refused and ignored, each reason with an example."""
        ignored = sum(count for count, _ in self.ignored.values())
        seen = f"saw {self.files:,} files: " if self.files is not None else ""
        first = f"{seen}{self.read:,} images read, {self.refused:,} refused, {ignored:,} ignored"
        reasons = sorted(self.ignored.items(), key=lambda item: -item[1][0])
        return [
            first,
            *(f"  {count:,} {reason}, like {example}" for reason, (count, example) in reasons),
            *self._warnings(),
            self._people(),
        ]

    def _warnings(self) -> Iterator[str]:
        count, example = self.dark
        if count:
            yield (
                f"warning: {count:,} images of files deeper than eight bits are nearly of one grey, like {example}: "
                "look at them, their depth may be another one than they declare"
            )

        count, example, told = self.warned
        if count:
            yield f"warning: {count:,} images were read with a warning of their decoder, like {example}: {told}"

        count, example = self.flat
        if count:
            yield f"warning: {count:,} images are of a single grey, like {example}: nothing can be learnt from them"

    def _people(self) -> str:
        if not self.patients:
            return "no patient ids: only near-duplicates are kept together when the set is split"
        if self.grouped_by:
            groups = f"{self.patients:,} {self.grouped_by}, each kept on one side of a split"
            return f"{groups}; no patient ids: groups cannot stand in for cases"
        rest = f"; {self.without_patient:,} images without a patient id" if self.without_patient else ""
        return f"{self.patients:,} patients{rest}"

    def check(self, where: Path | str, classes: Sequence[str], accepted: Sequence[str], one_class_each: bool) -> None:
        """InputError when the result cannot be meant; `classes` are those that the layout is known to have."""
        for name, problem, fix in self._suspicions(classes, one_class_each):
            if name not in accepted:
                raise InputError(where, problem, f"{fix}; if it is meant, pass --accept {name}")

    def _suspicions(self, classes: Sequence[str], one_class_each: bool) -> Iterator[tuple[str, str, str]]:
        if one_class_each:
            yield from self._class_suspicions(classes)
        yield from self._patient_suspicions()

    def _class_suspicions(self, classes: Sequence[str]) -> Iterator[tuple[str, str, str]]:
        written = set(self._written)
        lost = sorted(({*classes, *self._offered}) - written - self._left_out)
        if lost and written:
            yield (
                "lost-class",
                f"no image of the class {', '.join(map(repr, lost))} is left ({self.read:,} images of {_names(written)})",
                "restore its files",
            )
        if len(written) == 1:
            yield (
                "one-class",
                f"all {self.read:,} images have the one label {next(iter(written))!r}",
                "give the folder or the column that holds the classes",
            )
        if len(written) >= 3 and len(written) * 2 > self.read:
            yield (
                "label-per-image",
                f"{len(written):,} labels for {self.read:,} images, like {_names(written)}",
                "give the column or the folders that hold the class",
            )

    def _patient_suspicions(self) -> Iterator[tuple[str, str, str]]:
        fix = "correct how patients are named" + (", or group by study: --patient-from study" if self._studies else "")
        if self.patients == 1 and self._with_patient > 1:
            yield "few-patients", f"all {self._with_patient:,} images have the same patient id", fix
        several = self._with_patient > _FILES_OF_ONE_PATIENT * self.patients
        alone = all(len(labels) == 1 for labels in self._patients.values())
        if (
            1 < self.patients == len({label for labels in self._patients.values() for label in labels})
            and alone
            and several
        ):
            problem = f"{self.patients} patient ids for {self.patients} classes: each class is one patient"
            yield "few-patients", problem, fix
        name, most = self._images_of_patient.most_common(1)[0] if self._images_of_patient else ("", 0)
        if self.patients > 2 and most >= max(_PLACEHOLDER_IMAGES, self._with_patient / 2):
            problem = (
                f"the patient id {name!r} covers {most:,} of {self._with_patient:,} images, as a placeholder would"
            )
            yield "few-patients", problem, fix
        studies = len(set().union(*self._studies.values())) if self._studies else 0
        most = max(map(len, self._studies.values()), default=0)
        if most > max(_PLACEHOLDER_STUDIES, studies / 2):
            problem = f"one patient id covers {most:,} of {studies:,} studies, as a placeholder would"
            yield "few-patients", problem, "restore the ids, or group by study: --patient-from study"


def _names(labels: Iterable[str]) -> str:
    ordered = sorted(labels)
    return ", ".join(map(repr, ordered[:3])) + (", ..." if len(ordered) > 3 else "")


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
