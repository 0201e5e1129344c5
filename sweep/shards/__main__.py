"""Commands on shard folders.

python -m sweep.shards audit A [B ...] [--html [FILE]] [--json FILE]
python -m sweep.shards verify A [B ...]
python -m sweep.shards inpaint A DST
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from sweep.audit.audit import audit
from sweep.audit.html_page import render_html
from sweep.audit.inpaint import inpaint_folder
from sweep.audit.text import render
from sweep.core.atomic import write_text
from sweep.core.command_line import Command, CommandGroup, Row
from sweep.core.errors import EXIT_COMPLETE, InputError
from sweep.shards.reader import verify
from sweep.shards.schema import MANIFEST

_PAGE = "audit.html"
_FOLDERS = typer.Argument(metavar="FOLDER...", help="Shard folders, one for each hospital.", show_default=False)


def audit_command(
    folders: Annotated[list[str], _FOLDERS],
    html: Annotated[
        Path | None,
        typer.Option(metavar="[FILE]", help=f"Also write one offline page with the images; without FILE, {_PAGE}."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write every fact as JSON.")
    ] = None,
) -> int:
    """Look for what would spoil a study: near-duplicates, leaks, label conflicts, imbalance, shortcut features, licences."""
    for option, path in (("--html", html), ("--json", json_file)):
        if path is not None:
            _check_writable(option, path)
    if html is not None and json_file is not None and html.absolute() == json_file.absolute():
        raise InputError("--json", f"{json_file} is the file of --html, too", "choose another name")
    report = audit(folders)
    typer.echo(render(report))
    if html:
        write_text(html, render_html(report, str(html)))
        typer.echo(f"page: {html}")
    if json_file:
        write_text(json_file, json.dumps(report.to_json(), indent=2))
    return EXIT_COMPLETE


def verify_command(folders: Annotated[list[str], _FOLDERS]) -> int:
    """Hash every part of shard folders, count its rows and compare with the manifest."""
    for folder in folders:
        manifest = verify(folder)
        count = len(manifest.parts)
        typer.echo(f"{folder}: {manifest.images} images in {count} {'part' if count == 1 else 'parts'}, as written")
    return EXIT_COMPLETE


def inpaint_command(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A shard folder.", show_default=False)],
    destination: Annotated[str, typer.Argument(metavar="DST", help="The new shard folder.", show_default=False)],
) -> int:
    """Write a copy of a shard folder with burned-in letters and callipers filled in from their surroundings; look at the result: it is a guess."""
    manifest = inpaint_folder(folder, destination)
    counts = manifest.settings["inpainted"]
    typer.echo(f"{destination}: {counts['marks']} marks filled in, in {counts['images']} of {manifest.images} images")
    return EXIT_COMPLETE


def _check_writable(option: str, path: Path) -> None:
    """InputError before the work when a file cannot be written after it."""
    if path.is_dir():
        raise InputError(option, f"{path} is a folder", f"write {option} FILE, after the folders")
    if path.name == MANIFEST or path.suffix.lower() == ".parquet":
        raise InputError(option, f"{path} is a file of a data set, and would be lost", "choose another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as broken:
        raise InputError(
            option, f"{path} cannot be written ({broken.strerror or broken})", "choose another place"
        ) from None


audit_main = Command(
    audit_command,
    examples=("{} shards/busi shards/brest", "{} shards/busi --html busi.html --json busi.json"),
    optional_values={"--html": _PAGE},
)
verify_main = Command(verify_command, examples=("{} shards/busi",))
inpaint_main = Command(inpaint_command, examples=("{} shards/busi shards/busi-clean",))
main = CommandGroup(
    "Commands on shard folders.",
    __name__,
    {
        "Commands": {
            "audit": Row("near-duplicates, leaks, label conflicts, balance, shortcut features, licences", audit_main),
            "verify": Row("hash every part, count its rows and compare with the manifest", verify_main),
            "inpaint": Row("a copy without burned-in letters and callipers", inpaint_main),
        }
    },
    examples=("{} audit shards/busi shards/brest --html audit.html", "{} verify shards/busi"),
)

if __name__ == "__main__":
    sys.exit(main())
