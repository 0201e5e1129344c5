"""Commands on shard folders.

python -m sweep.shards audit A [B ...] [--html FILE] [--json FILE]
python -m sweep.shards verify A [B ...]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from sweep.core.atomic import write_text
from sweep.core.errors import guarded
from sweep.shards.audit import audit
from sweep.shards.audit_html import render_html
from sweep.shards.audit_text import render
from sweep.shards.reader import verify


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when done, 2 when a folder is no data set."""
    given = _parser().parse_args(argv)
    return guarded(lambda: given.run(given))


def _audit(given: argparse.Namespace) -> int:
    report = audit(given.folders)
    print(render(report))
    if given.html:
        write_text(given.html, render_html(report))
    if given.json:
        write_text(given.json, json.dumps(report.to_json(), indent=2))
    return 0


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
    examine.add_argument("--html", type=Path, metavar="FILE", help="also write one offline page with the pictures")
    examine.add_argument("--json", type=Path, metavar="FILE", help="also write every fact")
    examine.set_defaults(run=_audit)
    check = commands.add_parser("verify", help="hash every part and compare with the manifest")
    check.add_argument("folders", nargs="+", metavar="FOLDER")
    check.set_defaults(run=_verify)
    return parser


if __name__ == "__main__":
    sys.exit(main())
