"""NVIDIA's Multi-Process Service for worker processes that share a GPU: their kernels then run side by side instead of in turns.

The daemon that this starts is this sweep's own: its pipe and log folders are not the machine's, so a daemon of somebody else is neither
used nor ended. Without the control program, or where it does not start, workers share the GPU in turns, as before.
See NVIDIA's guide "Multi-Process Service", sections on nvidia-cuda-mps-control and its environment variables.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

CONTROL = "nvidia-cuda-mps-control"
PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
_TIMEOUT_S = 20


@contextmanager
def shared_gpu(wanted: bool) -> Iterator[Mapping[str, str]]:
    """Environment variables for processes that share a GPU inside the block; empty where they share it in turns.

    A daemon that runs already, which the environment names, serves as it is.
    """
    program = shutil.which(CONTROL) if wanted else None
    if program is None or PIPES in os.environ:
        yield {}
        return
    # The paths of its sockets must be short, so not below the run folder.
    with tempfile.TemporaryDirectory(prefix="mps-") as folder:
        places = {PIPES: str(Path(folder) / "pipe"), LOGS: str(Path(folder) / "log")}
        for place in places.values():
            Path(place).mkdir()
        problem = _told([program, "-d"], places)
        if problem is not None:
            warnings.warn(
                f"workers share a GPU in turns: {CONTROL} did not start ({problem})", RuntimeWarning, stacklevel=3
            )
            yield {}
            return
        try:
            yield places
        finally:
            problem = _told([program], places, "quit\n")
            if problem is not None:
                warnings.warn(f"{CONTROL} was not ended ({problem}); end it by hand", RuntimeWarning, stacklevel=3)


def _told(command: list[str], places: Mapping[str, str], message: str = "") -> str | None:
    """Run the control program; why it failed, or None."""
    try:
        done = subprocess.run(
            command, input=message, env={**os.environ, **places}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return next(iter(done.stderr.strip().splitlines()), f"exit code {done.returncode}")
