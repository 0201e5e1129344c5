"""Commands on shard folders.

python -m sweep.shards audit A [B ...] [--html [FILE]] [--json FILE]
python -m sweep.shards verify A [B ...]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sweep.audit.audit import audit
from sweep.audit.html_page import render_html
from sweep.audit.text import render
from sweep.core.atomic import write_text
from sweep.core.errors import InputError, guarded
from sweep.shards.reader import verify

_PAGE = "audit.html"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when done, 2 when a folder is no data set."""
    given = _parser().parse_args(argv)
    return guarded(lambda: given.run(given))


def _audit(given: argparse.Namespace) -> int:
    for option, path in (("--html", given.html), ("--json", given.json)):
        if path is not None:
            _check_writable(option, path)
    report = audit(given.folders)
    print(render(report))
    if given.html:
        write_text(given.html, render_html(report))
    if given.json:
        write_text(given.json, json.dumps(report.to_json(), indent=2))
    return 0


def _check_writable(option: str, path: Path) -> None:
    """InputError before the work when a file cannot be written after it."""
    if path.is_dir():
        raise InputError(option, f"{path} is a folder", f"write {option} FILE, after the folders")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as broken:
        raise InputError(
            option, f"{path} cannot be written ({broken.strerror or broken})", "choose another place"
        ) from None


def _verify(given: argparse.Namespace) -> int:
    for folder in given.folders:
        manifest = verify(folder)
        print(f"{folder}: {manifest.images} images in {len(manifest.parts)} parts, as written")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sweep.shards", description="Commands on shard folders.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    examine = commands.add_parser("audit", help="copies, leaks, label conflicts, balance, giveaways, licences")
    examine.add_argument("folders", nargs="+", metavar="FOLDER")
    examine.add_argument(
        "--html",
        type=Path,
        nargs="?",
        const=Path(_PAGE),
        metavar="FILE",
        help=f"also write one offline page with the pictures (default {_PAGE})",
    )
    examine.add_argument("--json", type=Path, metavar="FILE", help="also write every fact")
    examine.set_defaults(run=_audit)
    check = commands.add_parser("verify", help="hash every part, count its rows and compare with the manifest")
    check.add_argument("folders", nargs="+", metavar="FOLDER")
    check.set_defaults(run=_verify)
    return parser


if __name__ == "__main__":
    sys.exit(main())
