"""The launcher files of this folder -> a folder of yours, to be edited there.

python -m cluster.files my-cluster
"""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Annotated

import typer

from cluster.versions import LOCK, ROOT
from sweep.core.command_line import Command, run_as_program
from sweep.core.errors import EXIT_COMPLETE, InputError

_HERE = Path(__file__).parent
_SENT = ("requirements.lock", "cluster/spot_watch.py")  # as the launcher files name them
_PATTERNS = ("*.yaml", "*.sbatch", "Dockerfile", "spot_watch.py")


def launcher_files() -> list[Path]:
    """Every file that a cluster is started from: launcher and KubeRay files, the Slurm script, the Dockerfile, the spot watcher."""
    return sorted(path for pattern in _PATTERNS for path in _HERE.glob(pattern))


def lock_file() -> Path:
    """requirements.lock of the checkout, or as it was installed with the package; InputError where there is neither."""
    places = [ROOT / LOCK, Path(sysconfig.get_path("data")) / "share" / "recipe-finder" / LOCK]
    for place in places:
        if place.is_file():
            return place
    raise InputError(LOCK, f"is neither {places[0]} nor {places[1]}", "install the wheel again, or use a checkout")


def files_command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to copy them to; made if absent.", show_default=False)
    ],
) -> int:
    """Copy the launcher files (AWS, Google Cloud, Azure, own machines, Kubernetes, SkyPilot, Slurm) to a folder, and print their paths."""
    files = [*launcher_files(), lock_file()]
    there = [folder / file.name for file in files if (folder / file.name).exists()]
    if there:
        raise InputError(folder, f"holds {there[0].name} already", "give a new folder; nothing is written over")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            text = file.read_text(encoding="utf-8")
            for name in _SENT:  # paths of what a launcher sends are relative to where `ray up` is called: here
                text = text.replace(f": {name}\n", f": {(folder / Path(name).name).as_posix()}\n")
            (folder / file.name).write_text(text, encoding="utf-8")
            typer.echo(folder / file.name)
    except OSError as refused:
        raise InputError(folder, f"cannot be written ({refused.strerror})", "choose another place") from None
    return EXIT_COMPLETE


main = Command(files_command, examples=("{} my-cluster",))

run_as_program(main, __name__)
