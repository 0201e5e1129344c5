"""Published data set -> shards.

python -m sweep.importers NAME SRC DST [--domain D] [--px 256]     (phantoms: NAME DST)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from sweep.core.errors import InputError, guarded, suggestion
from sweep.importers.table import IMPORTERS, import_dataset
from sweep.shards.findings import present_counts, stacked
from sweep.shards.reader import read_metadata
from sweep.shards.schema import Manifest


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when the data set is written, 2 when the input is wrong."""
    return guarded(lambda: _import(list(sys.argv[1:] if argv is None else argv)))


def _import(argv: list[str]) -> int:
    name = next((word for word in argv if not word.startswith("-")), None)
    if name is not None and name not in IMPORTERS:
        raise InputError("importer", f"{name!r} is unknown", suggestion(name, IMPORTERS))
    given = vars(_parser(name).parse_args(argv))
    src, dst = (given["paths"][0], given["paths"][-1]) if len(given["paths"]) == 2 else (None, given["paths"][0])
    if src is None and IMPORTERS[name].needs_source:
        raise InputError(f"importer {name}", "one path given", "give two: the source and the new shard folder")
    with _progress() as advance:
        manifest = import_dataset(
            name, src, dst, domain=given["domain"], import_px=given["px"], skip_bad=given["skip_bad"],
            on_image=advance, workers=given["workers"], **{option: given[option] for option in IMPORTERS[name].options},
        )  # fmt: skip
    print(_summary(dst, manifest))
    return 0


def _parser(name: str | None) -> argparse.ArgumentParser:
    listing = "\n".join(f"  {key:<12} {row.describe}" for key, row in IMPORTERS.items())
    parser = argparse.ArgumentParser(
        prog="python -m sweep.importers",
        description="Published data set layout -> Parquet shards.",
        epilog=f"importers:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=IMPORTERS, metavar="NAME", help="one of the importers below")
    parser.add_argument("paths", nargs="+", metavar="[SRC] DST", help="source, and the shard folder to write")
    parser.add_argument("--domain", help="name of the hospital or scanner (default: the importer's)")
    parser.add_argument("--px", type=int, default=256, help="longest side of the stored images (default 256)")
    parser.add_argument("--skip-bad", type=int, default=0, metavar="N", help="tolerate and list up to N bad images")
    parser.add_argument("--workers", type=_at_least_one, metavar="N", help="processes that decode (default: one per core from 8,192 images on)")
    for option, default in (IMPORTERS[name].options if name else {}).items():
        parser.add_argument(f"--{option.replace('_', '-')}", dest=option, type=type(default), default=default,
                            help=f"default {default!r}")  # fmt: skip
    return parser


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes; give 1 or more")
    return int(text)


def _progress() -> Any:
    """A counter on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        return nullcontext()
    return _Counter()


class _Counter:
    def __enter__(self):
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), "images", MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.start()
        task = self._bar.add_task("images", total=None)
        return lambda done: self._bar.update(task, completed=done)

    def __exit__(self, *raised) -> None:
        self._bar.stop()


def _summary(dst: str, manifest: Manifest) -> str:
    frame = read_metadata(dst)
    found = present_counts(stacked(frame["labels"])) if manifest.multi_label else [frame["label"].eq(name).sum() for name in manifest.classes]
    counts = ", ".join(f"{name} {count}" for name, count in zip(manifest.classes, found, strict=True))
    lines = [f"{dst}: {manifest.images} images ({counts}), domain {manifest.domain}, licence {manifest.licence}"]
    skipped = manifest.settings.get("skipped", [])
    if skipped:
        lines += [f"skipped {len(skipped)} bad images:", *(f"  {complaint}" for complaint in skipped)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
