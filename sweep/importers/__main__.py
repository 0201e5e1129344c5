"""Published data set -> shards.

python -m sweep.importers NAME SRC DST [--domain D] [--px 256]     (phantoms: NAME DST)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from sweep.core.errors import InputError, guarded, printable, suggestion
from sweep.importers.account import CHECKS, Account
from sweep.importers.progress import Counter
from sweep.importers.table import IMPORTERS, import_dataset
from sweep.shards.findings import present_counts, stacked
from sweep.shards.reader import read_metadata
from sweep.shards.schema import Manifest

_SHOWN = 20  # violations printed before the list is cut


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when the data set is written, 2 when the input is wrong."""
    return guarded(lambda: _import(list(sys.argv[1:] if argv is None else argv)))


def _import(argv: list[str]) -> int:
    name = _named(argv)
    given = vars(_parser(name).parse_args(argv))
    src, dst = _places(name, given["paths"])
    violations: list[InputError] = []
    accounts: list[Account] = []
    with _progress() as counter:
        manifest = import_dataset(
            name, src, dst, domain=given["domain"], import_px=given["px"], skip_bad=given["skip_bad"], depth=given["depth"],
            workers=given["workers"], accept=given["accept"], on_account=accounts.append,
            on_skip=_both(violations.append, counter.skip if counter else None),
            on_image=counter and counter.done, on_total=counter and counter.total,
            **{option: given[option] for option in IMPORTERS[name].options},
        )  # fmt: skip
    told = [line for account in accounts for line in account.lines()]
    notes = IMPORTERS[name].notes(Path(src), manifest.settings) if src is not None else ()
    print("\n".join(map(printable, [*_summary(dst, manifest), *told, *notes, *_skipped(violations)])))
    return 0


def _named(argv: list[str]) -> str:
    """The importer among the words of the command line: the first that is one, not a value of some option."""
    general = argparse.ArgumentParser(prog="python -m sweep.importers", add_help=False)
    _add_general(general)
    known, _ = general.parse_known_args([word for word in argv if word not in ("-h", "--help")])
    words = [word for word in known.words if not word.startswith("-")]
    name = next((word for word in words if word in IMPORTERS), None)
    if name is not None:
        return name
    if words:
        raise InputError("importer", f"{words[0]!r} is unknown", suggestion(words[0], IMPORTERS))
    _parser(None).parse_args(argv)  # prints the help, or what is missing, and ends
    raise InputError("importer", "none is named", suggestion("", IMPORTERS))


def _places(name: str, paths: Sequence[str]) -> tuple[str | None, str]:
    """Source and destination; InputError when there are too few paths or too many."""
    row = IMPORTERS[name]
    if len(paths) == 1 + row.needs_source:
        return (paths[0] if row.needs_source else None), paths[-1]
    fix = "give two: the source and the new shard folder" if row.needs_source else "give one: the new shard folder"
    raise InputError(f"importer {name}", f"{'one path' if len(paths) == 1 else f'{len(paths)} paths'} given", fix)


def _add_general(parser: argparse.ArgumentParser, words: bool = True) -> None:
    """The options of every importer."""
    if words:
        parser.add_argument("words", nargs="*")
    parser.add_argument("--domain", help="name of the hospital or scanner (default: the importer's)")
    parser.add_argument("--px", type=int, default=256, help="longest side of the stored images (default 256)")
    parser.add_argument(
        "--depth",
        type=int,
        metavar="BITS",
        help="bits of a grey in files deeper than eight, for the whole data set (default: what each file declares)",
    )
    parser.add_argument(
        "--skip-bad",
        type=int,
        default=0,
        metavar="N",
        help="leave out and list up to N images that are bad, missing or listed twice",
    )
    parser.add_argument(
        "--accept",
        type=_checks,
        default=(),
        metavar="CHECKS",
        help=f"comma-separated checks of the result to waive: {', '.join(CHECKS)}",
    )
    parser.add_argument(
        "--workers",
        type=_at_least_one,
        metavar="N",
        help="processes that decode (default: one per core from 8,192 files on)",
    )


def _parser(name: str | None) -> argparse.ArgumentParser:
    listing = "\n".join(f"  {key:<12} {row.describe}" for key, row in IMPORTERS.items())
    parser = argparse.ArgumentParser(
        prog="python -m sweep.importers",
        description="Published data set layout -> Parquet shards.",
        epilog=f"importers (NAME --help has the options of one):\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=IMPORTERS, metavar="NAME", help="one of the importers below")
    parser.add_argument("paths", nargs="+", metavar="[SRC] DST", help="source, and the shard folder to write")
    _add_general(parser, words=False)
    row = IMPORTERS[name] if name else None
    for option, default in (row.options if row else {}).items():
        allowed = row.choices.get(option, ()) if row else ()
        parser.add_argument(f"--{option.replace('_', '-')}", dest=option, type=type(default), default=default,
                            help=f"{', '.join(allowed)}; default {default}" if allowed else f"default {default!r}")  # fmt: skip
    return parser


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes; give 1 or more")
    return int(text)


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
    return [f"{dst}: {manifest.images} images ({counts}), domain {manifest.domain}, licence {manifest.licence}"]


def _skipped(violations: Sequence[InputError]) -> list[str]:
    """What was skipped, by its path, which the manifest of a clinic's files does not keep."""
    lines = [f"  {violation}" for violation in violations[:_SHOWN]]
    more = [f"  ... and {len(violations) - _SHOWN} more"] if len(violations) > _SHOWN else []
    return [f"skipped {len(violations)} bad images:", *lines, *more] if violations else []


if __name__ == "__main__":
    sys.exit(main())
