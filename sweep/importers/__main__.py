"""Published data set -> shards.

python -m sweep.importers NAME SRC DST [--domain D] [--px 256]     (simulated hospitals: phantom:SCANNER[:POPULATION] DST)
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from sweep.core.command_line import Command, CommandGroup, Row
from sweep.core.errors import EXIT_COMPLETE, InputError, printable
from sweep.importers.account import CHECKS, Account
from sweep.importers.flags import flags_named
from sweep.importers.progress import Counter
from sweep.importers.raw import Importer
from sweep.importers.table import IMPORTERS, import_dataset, row_of
from sweep.shards.findings import present_counts, stacked
from sweep.shards.reader import read_metadata
from sweep.shards.schema import Manifest

_SHOWN = 20  # violations printed before the list is cut


def command_of(name: str) -> Command:
    """The command of one importer: the options of all importers, and its own."""
    row = row_of(name)

    def import_command(paths: list[str], **given: Any) -> int:
        src, dst = _places(name, paths)
        violations: list[InputError] = []
        accounts: list[Account] = []
        with _progress() as counter, flags_named(row.options):
            manifest = import_dataset(
                name,
                src,
                dst,
                **given | {"accept": _checks(given["accept"])},
                on_account=accounts.append,
                on_skip=_both(violations.append, counter.skip if counter else None),
                on_image=counter.done if counter else None,
                on_total=counter.total if counter else None,
            )
        told = [line for account in accounts for line in account.lines()]
        notes = row.notes(Path(src), manifest.settings) if src is not None else ()
        typer.echo("\n".join(map(printable, [*_summary(dst, manifest), *told, *notes, *_skipped(violations)])))
        return EXIT_COMPLETE

    source = f"The source is {row.expects}." if row.needs_source else "It needs no source: the images are computed."
    doubt = f" Its layout was compared with {row.compared_with}." if row.compared_with else ""
    doubt += f" {_sentence(_doubt(row))}" if row.unconfirmed else ""
    import_command.__doc__ = f"{_sentence(row.describe)}\n\n{source} Licence: {row.licence}.{doubt}"
    import_command.__annotations__ = {}
    import_command.__signature__ = inspect.Signature([_PATHS[row.needs_source], *_GENERAL, *_own_options(row)])  # type: ignore[attr-defined]
    return Command(
        import_command,
        examples=_EXAMPLES.get(name)
        or (f"{{}} {'PATH/TO/SOURCE ' if row.needs_source else ''}shards/{name.replace(':', '-')}",),
    )


_EXAMPLES = {  # of layouts that have to be told something; a published data set needs its two paths alone
    "folder": ("{} PATH/TO/IMAGES shards/clinic", r"{} PATH/TO/IMAGES shards/clinic --patient-regex '^(p\d+)_'"),
    "csv": (
        "{} images.csv shards/clinic --path-column file --label-column diagnosis --patient-column person",
        "{} images.csv shards/there --path-column file --unlabelled",
    ),
    "dicom": (
        "{} PATH/TO/SCANS shards/clinic --key-file PATH/TO/clinic.key",
        "{} PATH/TO/SCANS shards/clinic --key-file PATH/TO/clinic.key --burned-in blank --frames middle",
    ),
    "volumes": ("{} PATH/TO/VOLUMES shards/clinic --plane axial --step 4",),
}


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _places(name: str, paths: Sequence[str]) -> tuple[str | None, str]:
    """Source and destination; InputError when there are too few paths or too many."""
    row = row_of(name)
    if len(paths) == 1 + row.needs_source:
        return (paths[0] if row.needs_source else None), paths[-1]
    fix = "give two: the source and the new shard folder" if row.needs_source else "give one: the new shard folder"
    raise InputError(f"importer {name}", f"{'one path' if len(paths) == 1 else f'{len(paths)} paths'} given", fix)


def _parameter(name: str, kind: Any, default: Any, typer_info: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=Annotated[kind, typer_info]
    )


def _paths(metavar: str, about: str) -> inspect.Parameter:
    info = typer.Argument(metavar=metavar, help=about, show_default=False)
    return _parameter("paths", list[str], inspect.Parameter.empty, info)


_PATHS = {
    True: _paths("SRC DST", "The data set as published, and the new shard folder (a path or URL)."),
    False: _paths("DST", "The new shard folder (a path or URL)."),
}
_GENERAL = (
    _parameter(
        "domain",
        str | None,
        None,
        typer.Option(help="Name of the hospital or scanner.", show_default="the importer's"),
    ),
    _parameter(
        "import_px", int, 256, typer.Option("--px", metavar="PIXELS", help="Longest side of the stored images.")
    ),
    _parameter(
        "depth",
        int | None,
        None,
        typer.Option(
            metavar="BITS",
            help="Bits of a grey value in files deeper than eight, for the whole data set.",
            show_default="what each file declares",
        ),
    ),
    _parameter(
        "skip_bad",
        int,
        0,
        typer.Option(metavar="N", help="Leave out and list up to N images that are bad, missing or listed twice."),
    ),
    _parameter(
        "accept",
        str,
        "",
        typer.Option(
            metavar="CHECKS",
            help=f"Comma-separated checks of the result to waive: {', '.join(CHECKS)}.",
            show_default=False,
        ),
    ),
    _parameter(
        "workers",
        int | None,
        None,
        typer.Option(
            metavar="N", min=1, help="Processes that decode.", show_default="one per core from 8,192 files on"
        ),
    ),
)


def _own_options(row: Importer) -> list[inspect.Parameter]:
    """What only this importer can be told, with what each option may be."""
    return [
        _parameter(
            option,
            type(default),
            default,
            typer.Option(
                f"--{option.replace('_', '-')}", help=_about(row, option), show_default=default not in ("", None)
            ),
        )
        for option, default in row.options.items()
    ]


def _about(row: Importer, option: str) -> str:
    allowed = row.choices.get(option, ())
    return " ".join(filter(None, [row.help.get(option, ""), f"One of {', '.join(allowed)}." if allowed else ""]))


def _name_first(words: Sequence[str]) -> list[str]:
    """The importer's name moved before the options, where it may stand behind."""
    booleans = {
        option for row in IMPORTERS.values() for option, default in row.options.items() if isinstance(default, bool)
    }
    switches = {"--help", "--list", *(f"--{option.replace('_', '-')}" for option in booleans)}
    value_follows = False
    for place, word in enumerate(words):
        if value_follows:
            value_follows = False
        elif word.startswith("-"):
            value_follows = word not in switches and "=" not in word
        else:
            return [word, *words[:place], *words[place + 1 :]]
    return list(words)


def listing() -> list[str]:
    """One line per data set for `--list`: name, body part and kind of image, licence, and what it is."""
    rows = [(name, row.modality or "any", row.licence, row.describe) for name, row in IMPORTERS.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    ]
    doubts = [f" ({_doubt(row)})" if row.unconfirmed else "" for row in IMPORTERS.values()]
    return [line + doubt for line, doubt in zip(lines, doubts, strict=True)]


def _doubt(row: Importer) -> str:
    """What of a row was written from publications alone."""
    return f"unconfirmed: {' and '.join(row.unconfirmed)}, not compared with the original archive"


def _checks(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _progress() -> AbstractContextManager[Counter | None]:
    """A bar on a terminal, nothing elsewhere."""
    return Counter() if sys.stderr.isatty() else nullcontext()


def _both(
    first: Callable[[InputError], None], second: Callable[[InputError], None] | None
) -> Callable[[InputError], None]:
    def tell(violation: InputError) -> None:
        first(violation)
        if second is not None:
            second(violation)

    return tell


def _summary(dst: str, manifest: Manifest) -> list[str]:
    frame = read_metadata(dst)
    found = (
        present_counts(stacked(frame["labels"]))
        if manifest.multi_label
        else [frame["label"].eq(name).sum() for name in manifest.classes]
    )
    counts = ", ".join(f"{name} {count}" for name, count in zip(manifest.classes, found, strict=True))
    if not manifest.labelled:
        counts = "without labels"
    unknown = int((frame["patient"].fillna("") == "").sum()) if "patient" in frame else manifest.images
    leak = (
        f"warning: {unknown} of {manifest.images} images have no patient id: images of one patient may fall into training and test, "
        "which makes results too good; name the patients where the importer can (see its --help)"
    )
    warned = [leak] if unknown else []
    return [
        f"{dst}: {manifest.images} images ({counts}), domain {manifest.domain}, licence {manifest.licence}",
        *warned,
    ]


def _skipped(violations: Sequence[InputError]) -> list[str]:
    """What was skipped, by its path, which the manifest of a clinic's files does not keep."""
    lines = [f"  {violation}" for violation in violations[:_SHOWN]]
    more = [f"  ... and {len(violations) - _SHOWN} more"] if len(violations) > _SHOWN else []
    return [f"skipped {len(violations)} bad images:", *lines, *more] if violations else []


main = CommandGroup(
    "Read a data set as published and write Parquet shards with a manifest.",
    __name__,
    {"Data sets and layouts": {name: Row(row.describe, command_of(name)) for name, row in IMPORTERS.items()}},
    examples=("{} busi PATH/TO/BUSI shards/busi", "{} busi --help"),
    listing=lambda: "\n".join(listing()),
    arrange=_name_first,
    unlisted=command_of,  # a simulated hospital, of which there are more than rows
)

if __name__ == "__main__":
    sys.exit(main())
