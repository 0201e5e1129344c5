"""A second machine, as a process group of this one: `ray start --address` with its own ports."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.head_node import Head, end_group


@contextmanager
def worker_node(head: Head, home: Path, *options: str) -> Iterator[None]:
    """A node with two CPUs, or with what `options` say, until the block ends."""
    home.mkdir(parents=True, exist_ok=True)
    command = [
        *(
            str(Path(sys.executable).with_name("ray")),
            "start",
            "--block",
            "--address",
            head.address,
            "--node-ip-address",
            "127.0.0.1",
        ),
        *("--num-cpus", "2", "--object-store-memory", "200000000", *options),
    ]
    # Ray gives a raylet 15 s to start, which a busy machine exceeds: a node that did not come up is started again.
    again = "for attempt in 1 2 3; do " + shlex.join(command) + " && exit; done"
    with open(home / "node.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            ["sh", "-c", again],
            env=head.variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=home,
            start_new_session=True,
        )
    try:
        yield
    finally:
        end_group(process)
