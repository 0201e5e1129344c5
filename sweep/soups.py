"""Seeds of each configuration of a run -> the model with their mean weights, evaluated without target labels.

python -m sweep.soups results/blind
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from analysis.trial_names import TRIAL_HELP, trial_signature
from sweep.core.command_line import Command
from sweep.core.errors import EXIT_COMPLETE, InputError
from sweep.core.storage import Storage
from sweep.store.ledger import read_ledger

_SHORT = 8  # characters of a signature that are printed


def soups(
    run: Annotated[str, typer.Argument(help="Run folder or URL, e.g. results/blind.", show_default=False)],
    trial: Annotated[str | None, typer.Argument(help=TRIAL_HELP, show_default="every trial with several seeds")] = None,
) -> int:
    """Average the weights of each configuration's seeds and evaluate that model on the target and the pseudo-hospitals.

    The ranking with --forms and the verdict then choose among these models too, and recipe-finder export --combine soup exports one.
    """
    from sweep.deployment.soup_evidence import evaluate_soup

    place = Storage(run)
    seeds: dict[str, list[int]] = {}
    for signature, seed in read_ledger(place).finished():
        seeds.setdefault(signature, []).append(seed)
    chosen = [trial_signature(run, trial)] if trial is not None else list(seeds)
    several = {signature: tuple(sorted(seeds[signature])) for signature in chosen if len(seeds[signature]) > 1}
    if not several:
        raise InputError(run, "no configuration has two finished seeds", "run the sweep with more seeds")
    for signature, of_trial in several.items():
        name = f"{signature[:_SHORT]}: mean weights of seeds {', '.join(map(str, of_trial))}"
        try:
            made = evaluate_soup(place, signature, of_trial)
        except InputError as refused:
            if trial is not None:
                raise
            typer.echo(f"{name}: left out, {refused.problem}")
        else:
            typer.echo(f"{name}: {'evaluated' if made else 'was evaluated before'}")
    return EXIT_COMPLETE


main = Command(soups, examples=("{} results/blind", "{} results/blind best"))

if __name__ == "__main__":
    sys.exit(main())
