"""This checkout's code and one command -> a job on a running cluster; its output comes here, and its exit code is this command's.

python -m cluster.submit [--address http://127.0.0.1:8265] -- python -m sweep.run search_spaces/ratio.yaml --storage s3://bucket/ratio

`ray job submit` does the same and ends with 0 or 1 only. The token comes from where Ray looks: RAY_AUTH_TOKEN,
RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token, with RAY_AUTH_MODE=token.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.versions import ROOT, is_checkout
from sweep.core.command_line import EXITS, Command, run_as_program
from sweep.core.errors import EXIT_COMPLETE, EXIT_STOPPED, InputError, first_line
from sweep.core.ray_address import refuse_dead
from sweep.core.ray_internals import package_folder

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_USUAL = "http://127.0.0.1:8265"
_PACKAGES = ("recipe_finder", "sweep", "analysis", "cluster", "search_spaces")
_MOST_BYTES = 50e6  # the code is under one megabyte: more means that data or results are on their way
_FAILED = 1  # Ray could not run the command at all


def submit_command(
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="-- COMMAND...", help="Behind --: the command, as it would be typed here.", show_default=False
        ),
    ],
    address: Annotated[
        str | None,
        typer.Option(
            help="Address of the cluster's dashboard.",
            show_default=f"$RAY_API_SERVER_ADDRESS, $RAY_ADDRESS, {_USUAL}",
        ),
    ] = None,
) -> int:
    """Send this code and one command to a running Ray cluster, print its output as it comes, and end with its exit code."""
    given = address or os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS") or _USUAL
    return submit(given, command)


def submit(address: str, command: Sequence[str], checkout: Path = ROOT) -> int:
    """Send the checkout, run `command` in it on the cluster, print what it prints; its exit code."""
    if not address.startswith(("http://", "https://")):
        raise InputError(
            "--address",
            f"{address} is no dashboard's address",
            f"write it like {_USUAL}; ray dashboard FILE opens a tunnel there",
        )
    refuse_dead(address)
    client = _client(address)
    with tempfile.TemporaryDirectory() as folder:
        code = checkout if is_checkout(checkout) else _installed_code(checkout, command, Path(folder) / "code")
        package = pack(code, Path(folder) / "code.zip")
        job = client.submit_job(entrypoint=shlex.join(command), runtime_env={"working_dir": str(package)})
    _say(f"job {job}: {shlex.join(command)}")
    try:
        asyncio.run(_follow(client, job))
    except KeyboardInterrupt:
        _say(f"\nthe job goes on; follow it with: ray job logs --follow {job}\nend it with: ray job stop {job}")
        return EXIT_STOPPED
    return _exit_code(client, job)


def pack(checkout: Path, package: Path) -> Path:
    """The files that neither .gitignore nor .rayignore names, as one archive; says its size.

    Raises InputError when they are far more than code.
    """
    package_folder(checkout, package)
    size = package.stat().st_size
    with zipfile.ZipFile(package) as archive:
        _say(f"sending {len(archive.namelist())} files of {checkout}, {size / 1e6:.2f} MB")
        if size > _MOST_BYTES:
            largest = max(archive.infolist(), key=lambda item: item.file_size)
            raise InputError(
                checkout,
                f"{size / 1e6:.0f} MB to send, the largest file is {largest.filename}",
                "name what is no code in .rayignore",
            )
    return package


def _installed_code(site: Path, command: Sequence[str], staged: Path) -> Path:
    """The packages of an installed recipe finder, and the files of this folder that the command names, in a new folder."""
    for name in _PACKAGES:
        shutil.copytree(site / name, staged / name, ignore=shutil.ignore_patterns("__pycache__"))
    for word in command:
        path = Path(word)
        if path.is_file() and not path.is_absolute() and ".." not in path.parts:
            (staged / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, staged / path)
    return staged


def _client(address: str) -> JobSubmissionClient:
    from ray.exceptions import RayError
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except (RuntimeError, ConnectionError, RayError) as refused:
        fix = "export RAY_AUTH_MODE=token with the cluster's token in ~/.ray/auth_token, and use the versions of requirements.lock"
        raise InputError("--address", f"{address}: {first_line(refused)}", fix) from None


async def _follow(client: JobSubmissionClient, job: str) -> None:
    async for lines in client.tail_job_logs(job):
        sys.stdout.write(lines)
        sys.stdout.flush()


def _exit_code(client: JobSubmissionClient, job: str) -> int:
    found = client.get_job_info(job)
    if found.driver_exit_code is None:  # stopped by hand, or never started
        _say(f"job {job} {found.status}: {found.message or 'no reason given'}")
        return EXIT_STOPPED if str(found.status) == "STOPPED" else _FAILED
    return found.driver_exit_code if found.driver_exit_code >= 0 else EXIT_STOPPED


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


main = Command(
    submit_command,
    examples=("{} -- python -m sweep.run search_spaces/ratio.yaml --storage s3://my-bucket/ratio",),
    exits={
        **EXITS,
        EXIT_COMPLETE: "the command ended with 0; any other code of the command is passed on, too",
        _FAILED: "Ray could not run the command",
        EXIT_STOPPED: "stopped by hand: the job goes on where Ctrl-C ended only this command",
    },
)

run_as_program(main, __name__)
