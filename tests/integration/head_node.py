"""A real Ray head on loopback, in a process group of its own, with a token: started and ended without touching any other Ray."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.fakes.patience import patient
from tests.integration.sweep_process import environment

TOKEN = "loopback-only-0123456789abcdef0123456789abcdef"
_START_S = 60
_FAKE_HEAD = "f" * 51 + "00000"
_FAKE_NODES = {
    "RAY_FAKE_CLUSTER": "1",
    "RAY_enable_autoscaler_v2": "1",
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_CLOUD_INSTANCE_ID": _FAKE_HEAD,
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": _FAKE_HEAD,
}
_IDLE_MINUTES = 0.1


@dataclass(frozen=True)
class Head:
    """Where a head answers, and the environment that may speak to it."""

    address: str
    dashboard: str
    variables: dict[str, str]


@contextmanager
def head_node(
    home: Path, *options: str, node_types: Mapping[str, Mapping] | None = None, **variables: str
) -> Iterator[Head]:
    """`ray start --head --block` until the block ends; `options` are those of `ray start`.

    With `node_types` (name -> resources and max_workers) Ray's own fake provider starts and ends worker nodes on this machine.
    """
    port, dashboard, client, agent, agent_grpc, metrics = _free_ports(6)
    ours = {
        **environment(home),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_USAGE_STATS_ENABLED": "0",
        **variables,
    }
    ours["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{ours['PATH']}"
    if node_types is not None:
        ours |= _FAKE_NODES
        options = (
            "--num-cpus",
            "0",
            "--autoscaling-config",
            str(_autoscaling(home, f"127.0.0.1:{port}", node_types)),
            *options,
        )
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as session:  # Ray's sockets need short paths
        command = [
            *(
                str(Path(sys.executable).with_name("ray")),
                "start",
                "--head",
                "--block",
                "--node-ip-address",
                "127.0.0.1",
            ),
            *("--port", str(port), "--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard)),
            *("--ray-client-server-port", str(client), "--dashboard-agent-listen-port", str(agent)),
            *("--dashboard-agent-grpc-port", str(agent_grpc), "--metrics-export-port", str(metrics)),
            *("--temp-dir", session, "--object-store-memory", "300000000", *options),
        ]
        with open(home / "head.log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(
                command, env=ours, stdout=log, stderr=subprocess.STDOUT, cwd=home, start_new_session=True
            )
        try:
            _wait_for(dashboard, process, home / "head.log")
            yield Head(f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}", ours)
        finally:
            end_group(process)


def _autoscaling(home: Path, address: str, node_types: Mapping[str, Mapping]) -> Path:
    """The autoscaler's file: a head without CPUs and these worker nodes, simulated as processes of this machine."""
    empty_lists = (
        "initialization_commands",
        "setup_commands",
        "head_setup_commands",
        "worker_setup_commands",
        "head_start_ray_commands",
        "worker_start_ray_commands",
        "cluster_synced_files",
        "rsync_exclude",
        "rsync_filter",
    )
    head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    workers = {name: {"node_config": {}, "min_workers": 0, **row} for name, row in node_types.items()}
    provider = {
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "head_node_id": _FAKE_HEAD,
        "launch_multiple": True,
        "gcs_address": address,
    }
    content = {
        "cluster_name": "fake", "max_workers": 8, "idle_timeout_minutes": _IDLE_MINUTES, "provider": provider, "auth": {}, "docker": {},
        "file_mounts": {}, "available_node_types": {"ray.head.default": head, **workers}, "head_node_type": "ray.head.default",
        **{name: [] for name in empty_lists},
    }  # fmt: skip
    path = home / "autoscaling.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _free_ports(count: int) -> list[int]:
    """Ports outside the range that Ray gives to its workers (10002-19999)."""
    sockets = []
    while len(sockets) < count:
        one = socket.create_server(("127.0.0.1", 0))
        if not 10_000 <= one.getsockname()[1] < 20_000:
            sockets.append(one)
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + patient(_START_S)
    while True:
        assert process.poll() is None, log.read_text()
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)


def end_group(process: subprocess.Popen) -> None:
    """Everything that came of it: its own process group, and what Ray's daemons started under it. A head asked politely drains for 30 s."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(family, timeout=10)
    process.wait(timeout=10)


def without_token(variables: Mapping[str, str], home: Path) -> dict[str, str]:
    """The same environment for somebody who was not given the token."""
    return {name: value for name, value in variables.items() if name != "RAY_AUTH_TOKEN"} | {"HOME": str(home)}
