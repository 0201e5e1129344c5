"""Check sweep configs, or print their JSON Schema for editors or the reference page of their hyperparameters.

python -m sweep.space search_spaces/ratio.yaml        # check only
python -m sweep.space --schema > sweep.schema.json    # for editors
python -m sweep.space --reference > docs/hyperparameters.md
"""

from __future__ import annotations

import json
import sys

from sweep.config.load import load_config
from sweep.core.errors import InputError, guarded


def _main(arguments: list[str]) -> int:
    if arguments == ["--schema"]:
        from sweep.config.json_schema import schema

        print(json.dumps(schema(), indent=2))
        return 0
    if arguments == ["--reference"]:
        from sweep.config.reference import reference

        sys.stdout.write(reference())
        return 0
    if not arguments:
        raise InputError("python -m sweep.space", "no file given", "give sweep configs, --schema or --reference")
    for argument in arguments:
        sweep_config = load_config(argument)
        print(f"{argument}: {sweep_config.name}, no mistakes")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: _main(sys.argv[1:])))
