"""sweep config or nothing -> one line for everything a sweep needs: ok, warn or FAIL, and what to do about it.

python -m sweep.doctor [search_spaces/ratio.yaml] [--set K=V] [--storage URL] [--address A]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sweep.core.command_line import Command, key_values, one_of
from sweep.core.errors import EXIT_BAD_INPUT, EXIT_COMPLETE, InputError, InputErrors
from sweep.doctor.machine_checks import (
    Finding,
    Subject,
    check_data,
    check_disk,
    check_storage,
    check_versions,
    check_weights,
)
from sweep.doctor.ray_checks import check_ray

CHECKS: dict[str, Callable[[Subject], Iterator[Finding]]] = {
    "versions": check_versions,
    "ray": check_ray,
    "storage": check_storage,
    "disk": check_disk,
    "data": check_data,
    "weights": check_weights,
}
_COLOURS = {"ok": "green", "warn": "yellow", "FAIL": "red"}


def doctor(
    config: Annotated[
        Path | None,
        typer.Argument(
            help="Sweep config, a file or the name of a shipped one; without it, only what every sweep needs is checked.",
            show_default=False,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one key, e.g. data.image_px=64; may be repeated."),
    ] = None,
    storage: Annotated[str | None, typer.Option(help="Run folder: a path or URL.", show_default="results/NAME")] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Address of a running Ray cluster.", show_default="$RAY_ADDRESS, else a local one"),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            **one_of(("ray", "inline")),
            help="What will run the trials; the inline engine needs no Ray.",
            show_default="resources.engine of the config",
        ),
    ] = None,
) -> int:
    """Check what a sweep needs before it starts: versions, cluster, storage, disk, data, weights."""
    console = Console(highlight=False, soft_wrap=True)
    worst = EXIT_COMPLETE
    for finding in examine(config, key_values(set_), storage, address, engine):
        console.print(f"[{_COLOURS[finding.state]}]{finding.state:4}[/]  {finding.check:9}  ", end="")
        console.print(finding.text + (f"\n      {'':9}  -> {finding.fix}" if finding.fix else ""), markup=False)
        worst = EXIT_BAD_INPUT if finding.state == "FAIL" else worst
    return worst


def examine(
    space: Path | None,
    overrides: dict[str, str],
    storage: str | None,
    address: str | None,
    engine: str | None = None,
) -> Iterator[Finding]:
    """Every finding, in the order of CHECKS; a sweep config that cannot be read is a finding, and the rest is looked at without it."""
    sweep_config = None
    if space is not None:
        overrides = overrides | ({"resources.engine": engine} if engine else {})
        from sweep.config.load import load_config

        try:
            sweep_config = load_config(space, overrides)
        except InputErrors as mistakes:
            yield from (
                Finding("sweep_config", "FAIL", f"{space}, {error.where}: {error.problem}", error.fix)
                for error in mistakes.errors
            )
        except InputError as mistake:
            yield Finding("sweep_config", "FAIL", f"{mistake.where}: {mistake.problem}", mistake.fix)
        else:
            yield Finding("sweep_config", "ok", f"{space}: {sweep_config.name}")
    default = Path("results") / sweep_config.name if sweep_config else Path("results")
    engine = sweep_config.resources.engine if sweep_config else engine
    joined = address if engine == "inline" else address or os.environ.get("RAY_ADDRESS")
    subject = Subject(sweep_config, storage or str(default), joined, engine)
    for name, check in CHECKS.items():
        try:
            yield from check(subject)
        except InputError as mistake:
            yield Finding(name, "FAIL", f"{mistake.where}: {mistake.problem}", mistake.fix)


main = Command(
    doctor,
    examples=("{}", "{} search_spaces/ratio.yaml --storage s3://my-bucket/ratio"),
    exits={EXIT_COMPLETE: "nothing would stop the sweep", EXIT_BAD_INPUT: "at least one check says FAIL"},
)

if __name__ == "__main__":
    sys.exit(main())
