"""Folders of images of one or two hospitals -> shards, an audit and a first sweep config that fits the data, the machine and the time.

python -m sweep.init PATH/TO/HERE --target PATH/TO/THERE --time 1h
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from sweep.core.atomic import write_text
from sweep.core.command_line import Command
from sweep.core.counts import counted
from sweep.core.errors import EXIT_COMPLETE, InputError, printable
from sweep.core.storage import Storage
from sweep.data.simulated import is_phantom
from sweep.importers import flags
from sweep.shards.schema import MANIFEST, Manifest

if TYPE_CHECKING:
    from sweep.config.sweep_config import SweepConfig
    from sweep.proposal.config_text import Place
    from sweep.proposal.layouts import Layout
    from sweep.proposal.settings import Proposal

_console = Console(highlight=False)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_KEY_BYTES = 32
_SHOWN = 3  # lines of a part of the audit in the terminal; the page has all
_KEY = "patients.key"
_OWN_LAYOUTS = ("folder", "csv", "dicom")  # of any clinic: one domain, unless a column of a table names several
_NO_LABELS = (
    "has no labels to train on",
    "give images in one subfolder a class, or a table with a column of labels",
)
_NO_TARGET = (
    "--target",
    "is not given, and all images are of one hospital",
    "give the images of the other hospital, with or without labels: --target FOLDER",
)


@dataclass(frozen=True)
class Asked:
    """What the command line decides about the imports and the sweep."""

    name: str
    time: str
    gpus: int | None
    weights: str | None
    shards: Path
    config: Path
    importer: str | None
    target_importer: str | None
    options: Mapping[str, Any]
    skip_bad: int

    @property
    def seconds(self) -> float:
        """The time given; InputError where it is no duration."""
        found = _DURATION.fullmatch(self.time)
        if found is None or not float(found[1]):
            raise InputError("--time", f"{self.time!r} is no duration", "write it like 90s, 30m, 2h or 1d")
        return float(found[1]) * _SECONDS[found[2]]


def init(
    src: Annotated[
        str,
        typer.Argument(
            help="Images to train on: a folder, a table, a published data set, or a shard folder.", show_default=False
        ),
    ],
    target: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Images of the hospital to deploy at, with or without labels.",
            show_default="a domain of SRC, where it has several",
        ),
    ] = None,
    time: Annotated[str, typer.Option(metavar="DURATION", help="Time for the sweep, like 30m, 2h or 1d.")] = "1h",
    gpus: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="GPUs to use.", show_default="those of this machine")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the sweep and its config, NAME.yaml.", show_default="of SRC")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Pretrained weights: imagenet (from timm's hub) or a file.", show_default="none")
    ] = None,
    shards: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the imported images go.")] = Path("shards"),
    importer: Annotated[str | None, typer.Option(help="Importer of SRC.", show_default="recognised")] = None,
    target_importer: Annotated[
        str | None, typer.Option(help="Importer of the target.", show_default="recognised")
    ] = None,
    patient_regex: flags.PatientRegex = None,
    patients: flags.Patients = None,
    path_column: Annotated[
        str | None, typer.Option(help="Table: column of image paths.", show_default="recognised")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Table: column of labels.", show_default="recognised")
    ] = None,
    patient_column: flags.PatientColumn = None,
    root: flags.Root = None,
    key_file: flags.KeyFile = None,
    burned_in: flags.BurnedIn = None,
    skip_bad: Annotated[int, typer.Option(metavar="N", help="Leave out up to N images that cannot be read.")] = 0,
) -> int:
    """Import and audit the images of one or two hospitals, and write a sweep config that fits them, this machine and the time.

    Patient ids of DICOM files are hashed with a new secret beside the shards, unless --key-file names one.
    """
    chosen = name or _name_of(src, target)
    given = {
        "patient_regex": patient_regex, "patients": patients, "path_column": path_column, "label_column": label_column,
        "patient_column": patient_column, "root": root, "key_file": key_file, "burned_in": burned_in,
    }  # fmt: skip
    options = {option: value for option, value in given.items() if value is not None}
    asked = Asked(
        chosen, time, gpus, weights, shards, Path(f"{chosen}.yaml"), importer, target_importer, options, skip_bad
    )
    with flags.flags_named(given):
        return _init(src, target, asked)


def _name_of(src: str, target: str | None) -> str:
    parts = [_slug(one) for one in (src, target) if one]
    return "-".join(dict.fromkeys(parts))[:60].strip("-_") or "mine"


def _slug(place: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", Path(place.rstrip("/")).stem.lower()).strip("-") or "images"


def _init(src: str, target: str | None, asked: Asked) -> int:
    from sweep.config.load import load_config
    from sweep.proposal.config_text import config_text
    from sweep.proposal.layouts import ROLES

    seconds = asked.seconds
    if asked.config.exists():
        raise InputError(asked.config, "exists already", "give another --name, or remove it")
    places = [src] if target is None else [src, target]
    layouts = _layouts(places, asked)
    _refuse_early(src, target, layouts[0])
    folders = [
        _shards_of(place, role, layout, asked) for place, role, layout in zip(places, ROLES, layouts, strict=False)
    ]
    if not _labelled(folders[0]):
        raise InputError(src, *_NO_LABELS)
    place = place_of(asked.name, folders)
    _audit([folder for folder in folders if not is_phantom(folder)], asked)
    proposal = proposal_of(folders[0], asked, seconds)
    proposal = fit_to_time(config_text(place, proposal, asked.time), proposal, seconds)
    write_text(asked.config, config_text(place, proposal, asked.time))
    load_config(asked.config)
    _say(*_outlook(proposal, asked))
    _say(
        f"sweep config: {asked.config}; every line has its reason beside it", f"next: recipe-finder run {asked.config}"
    )
    return EXIT_COMPLETE


def _refuse_early(src: str, target: str | None, layout: Layout | None) -> None:
    """InputError, before anything is imported, for a source without labels, and for one hospital alone."""
    if layout is not None and layout.unlabelled:
        raise InputError(src, *_NO_LABELS)
    one_domain = layout is not None and layout.importer in _OWN_LAYOUTS and not layout.options.get("domain_column")
    if target is None and (one_domain or is_phantom(src)):
        raise InputError(*_NO_TARGET)


def place_of(name: str, folders: Sequence[str]) -> Place:
    """What the config says of the data; with one folder its last domain is held out. Raises InputError where it has one alone."""
    from sweep.config.sweep_config import BLIND_OBJECTIVE
    from sweep.proposal.config_text import Place
    from sweep.shards.reader import read_metadata

    if len(folders) == 1:
        domains = read_metadata(folders[0])["domain"].value_counts()
        if len(domains) < 2:
            raise InputError(*_NO_TARGET)
        return Place(name, folders[0], str(domains.index[-1]), True, "auroc/target", held_out=True)
    labelled = _labelled(folders[1])
    return Place(name, folders[0], folders[1], labelled, "auroc/target" if labelled else BLIND_OBJECTIVE)


def _layouts(places: Sequence[str], asked: Asked) -> list[Layout | None]:
    """The layout of each hospital, None where it is imported already or simulated; InputError for an option that none of them has."""
    from sweep.proposal.layouts import ROLES, layout_of

    wanted = (asked.importer, asked.target_importer)
    found = [
        None if _imported(place) else layout_of(Path(place), importer, asked.options, role)
        for place, importer, role in zip(places, wanted, ROLES, strict=False)
    ]
    used = {option for layout in found if layout is not None for option in layout.options}
    for option in asked.options.keys() - used:
        kinds = " and ".join(layout.importer for layout in found if layout is not None) or "shard folders"
        fix = "leave it out, or name the importer: --importer, --target-importer"
        raise InputError(f"--{option.replace('_', '-')}", f"has no effect on {kinds}", fix)
    return found


def _imported(place: str) -> bool:
    return is_phantom(place) or Storage(place).exists(MANIFEST)


def _shards_of(place: str, role: str, layout: Layout | None, asked: Asked) -> str:
    """The shard folder of one hospital: `place` itself where it is one or a simulated one, else imported."""
    from sweep.importers.table import import_dataset

    if layout is None:
        _say(f"{role}: {place} is imported already")
        return place
    _say(f"{role}: {place}", *(f"  {line}" for line in layout.lines))
    if layout.others:
        flag = "--importer" if role == "source" else "--target-importer"
        _say(f"  other importers that would fit: {', '.join(layout.others)} ({flag} NAME)")
    dst = asked.shards / _slug(place)
    if dst.exists():
        raise InputError(dst, "exists already", f"give it in place of {place} if it is its import, or another --shards")
    options = dict(layout.options)
    if layout.importer == "dicom" and "key_file" not in options:
        options["key_file"] = str(_new_key(asked.shards))
    bad: list[InputError] = []
    domain = {} if layout.importer not in _OWN_LAYOUTS else {"domain": _slug(place)}
    manifest = import_dataset(
        layout.importer, place, dst, skip_bad=asked.skip_bad, on_skip=bad.append, **domain, **options
    )
    _say(f"  {dst}: {_counted(manifest)}", *(f"  skipped: {one}" for one in bad))
    return str(dst)


def _counted(manifest: Manifest) -> str:
    classes = ", ".join(manifest.classes) if manifest.labelled else "without labels"
    return f"{manifest.images} images ({classes})"


def _new_key(folder: Path) -> Path:
    """A key file of this machine's user alone; the one that is there is used again, so that patients keep their names."""
    path = folder / _KEY
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(secrets.token_hex(_KEY_BYTES) + "\n")
        _say(f"  {path}: a new secret that patient ids are hashed with; keep it, and do not share it")
    return path


def _labelled(folder: str) -> bool:
    from sweep.shards.reader import read_manifest

    return is_phantom(folder) or read_manifest(folder).labelled


def _audit(folders: list[str], asked: Asked) -> None:
    """Audit the imported folders; the page is written beside the sweep config and its headings are printed."""
    from sweep.audit.audit import audit
    from sweep.audit.html_page import render_html
    from sweep.audit.text import sections

    if not folders:
        return
    report = audit(list(dict.fromkeys(folders)))
    page = Path(f"{asked.name}-audit.html")
    write_text(page, render_html(report, str(page)))
    parts = sections(report)
    facts = [f"  {title}: {'; '.join(lines[:3])}" for title, lines in parts[: len(report.sets)]]
    found = [line for title, lines in parts[len(report.sets) :] for line in (f"  {title}", *_first(lines))]
    _say("audit:", *facts, *found, f"  page with all of it: {page}")


def _first(lines: Sequence[str]) -> list[str]:
    """The first lines of a part of the audit, and that there are more."""
    more = len(lines) - _SHOWN
    return [f"    {line}" for line in lines[:_SHOWN]] + ([f"    and {more} more"] if more > 0 else [])


def proposal_of(source: str, asked: Asked, seconds: float) -> Proposal:
    """The settings that follow from the source's shards and the machine, before anything was timed."""
    import numpy as np

    from sweep.planning.capacity import gpus_here
    from sweep.proposal.settings import DataFacts, Machine, propose
    from sweep.shards.reader import read_manifest, read_metadata

    if is_phantom(source):
        facts = DataFacts(images=300, patients=120, side=128)
    else:
        rows = read_metadata(source)
        side = int(np.median(np.maximum(rows["height"], rows["width"])))
        patients = int(rows["patient"].replace("", np.nan).nunique())
        facts = DataFacts(len(rows), patients, side, read_manifest(source).multi_label)
    gpus = gpus_here() if asked.gpus is None else asked.gpus
    return propose(facts, Machine(os.cpu_count() or 1, gpus), seconds, asked.weights)


def fit_to_time(text: str, proposal: Proposal, seconds: float) -> Proposal:
    """The proposal with as many trials as fit, by timing a few steps of a record of each backbone on the prepared data."""
    from sweep.config.load import load_config
    from sweep.planning.plan_report import foreseen_seconds
    from sweep.proposal.settings import fitted

    _say("timing a few steps of each backbone")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "draft.yaml"
        path.write_text(text, encoding="utf-8")
        config: SweepConfig = load_config(path)
        return fitted(proposal, foreseen_seconds(config, None)["record"], seconds)


def _outlook(proposal: Proposal, asked: Asked) -> list[str]:
    return [
        f"{counted(len(proposal.backbones), 'backbone')} x {counted(proposal.trials, 'learning rate')} x {counted(proposal.seeds, 'seed')} "
        f"= {counted(proposal.records, 'record')}, {proposal.why['trials']}",
        f"to time it again: recipe-finder plan {asked.config} --measure",
    ]


def _say(*lines: str) -> None:
    for line in lines:
        _console.print(printable(line), soft_wrap=True, markup=False)


main = Command(
    init,
    examples=(
        "{} PATH/TO/IMAGES --target PATH/TO/OTHER --time 30m",
        "{} images.csv --patient-column person --time 2h --gpus 1",
        "{} PATH/TO/DICOM --burned-in blank --time 1h",
    ),
)

if __name__ == "__main__":
    sys.exit(main())
