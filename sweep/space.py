"""Check sweep configs, or print their JSON Schema for editors or the reference page of their hyperparameters.

python -m sweep.space search_spaces/ratio.yaml        # check only
python -m sweep.space --schema > sweep.schema.json    # for editors
python -m sweep.space --reference > docs/hyperparameters.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from sweep.config.effect_checks import without_effect
from sweep.config.load import load_config
from sweep.core.command_line import Command
from sweep.core.errors import EXIT_COMPLETE, InputError


def space(
    configs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CONFIG...", help="Sweep configs to check: files, or names of shipped ones.", show_default=False
        ),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of sweep configs; editors check and complete by it.")
    ] = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="Print the reference page of all hyperparameters, as Markdown.")
    ] = False,
) -> int:
    """Check sweep configs, their smoke sections too, and name every mistake with its line, value and fix."""
    if schema:
        from sweep.config.json_schema import schema as json_schema

        typer.echo(json.dumps(json_schema(), indent=2))
        return EXIT_COMPLETE
    if reference:
        from sweep.config.reference import reference as reference_page

        typer.echo(reference_page(), nl=False)
        return EXIT_COMPLETE
    if not configs:
        raise InputError("CONFIG", "no file given", "give sweep configs, --schema or --reference")
    for config in configs:
        sweep_config = load_config(config)
        typer.echo("\n  note: ".join([f"{config}: {sweep_config.name}, no mistakes", *without_effect(sweep_config)]))
    return EXIT_COMPLETE


main = Command(space, examples=("{} search_spaces/ratio.yaml", "{} --schema > sweep.schema.json"))

if __name__ == "__main__":
    sys.exit(main())
