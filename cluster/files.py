"""The launcher files of this folder -> a folder of yours, to be edited there.

python -m cluster.files my-cluster
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from sweep.core.command_line import Command
from sweep.core.errors import EXIT_COMPLETE, InputError

_HERE = Path(__file__).parent
_PATTERNS = ("*.yaml", "*.sbatch", "Dockerfile", "spot_watch.py")


def launcher_files() -> list[Path]:
    """Every file that a cluster is started from: launcher and KubeRay files, the Slurm script, the Dockerfile, the spot watcher."""
    return sorted(path for pattern in _PATTERNS for path in _HERE.glob(pattern))


def files_command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to copy them to; made if absent.", show_default=False)
    ],
) -> int:
    """Copy the launcher files (AWS, Google Cloud, Azure, own machines, Kubernetes, Slurm) to a folder, and print their paths."""
    files = launcher_files()
    there = [folder / file.name for file in files if (folder / file.name).exists()]
    if there:
        raise InputError(folder, f"holds {there[0].name} already", "give a new folder; nothing is written over")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            typer.echo(shutil.copy(file, folder / file.name))
    except OSError as refused:
        raise InputError(folder, f"cannot be written ({refused.strerror})", "choose another place") from None
    return EXIT_COMPLETE


main = Command(files_command, examples=("{} my-cluster",))

if __name__ == "__main__":
    sys.exit(main())
