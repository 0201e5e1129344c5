"""Checks of a running Ray: address, token, versions, resources for one trial.

Ray joined at a dead address does not return for minutes, so a plain connection is tried first, and Ray is asked in a process
of its own that has a time limit: python -m sweep.doctor.ray_checks ADDRESS
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.config.sweep_config import Resources
from sweep.core.counts import counted
from sweep.core.errors import InputError
from sweep.core.ray_address import LOCAL, refuse_dashboard, refuse_dead
from sweep.doctor.machine_checks import Finding, Subject
from sweep.planning.capacity import capacity_of, declared, of_types, per_worker

_ASK_S = 60  # importing and joining Ray takes ten seconds on a busy machine
_TOKEN_FIX = "ray get-auth-token --generate here, the same file on every node, and: export RAY_AUTH_MODE=token"


@dataclass(frozen=True)
class Room:
    """Resources of a running Ray."""

    nodes: int
    cpus: float
    gpus: float
    machines: tuple[dict[str, float], ...] = ()
    to_come: tuple[tuple[dict[str, float], int], ...] | None = (
        None  # node types of an autoscaler, with their largest numbers
    )


def check_ray(subject: Subject, environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Address, token and resources, in this order: each check needs the one before. The inline engine joins no Ray."""
    if subject.engine == "inline":
        yield _inline(subject)
        yield _local_room(subject)
        return
    if subject.address in LOCAL:
        yield Finding("ray", "ok", "no address: a Ray of this machine will be started")
        yield _local_room(subject)
        return
    answered = _answers(subject.address)
    yield answered
    if answered.state == "FAIL":
        return
    token = _token(environment, Path(environment.get("HOME", "~")).expanduser())
    yield token
    if token.state == "FAIL" or answered.state == "warn":
        return
    yield from _room_there(subject)


def _inline(subject: Subject) -> Finding:
    if subject.address is not None:
        problem = f"the inline engine runs on this machine alone and does not join {subject.address}"
        return Finding("ray", "FAIL", problem, "leave --address out, or set resources.engine: ray")
    return Finding("ray", "ok", "not needed by the inline engine")


def _answers(address: str) -> Finding:
    if address == "auto":
        return Finding("ray", "ok", "address auto: the Ray that runs on this machine")
    try:
        refuse_dead(address)
    except InputError as mistake:
        return Finding("ray", "FAIL", mistake.problem, mistake.fix)
    try:
        refuse_dashboard(address)
    except InputError as mistake:
        return Finding("ray", "warn", mistake.problem, mistake.fix)
    return Finding("ray", "ok", f"{address} answers")


def _token(environment: Mapping[str, str], home: Path) -> Finding:
    """Ray's own order: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token."""
    mode = environment.get("RAY_AUTH_MODE", "").lower()
    if mode == "disabled":
        return Finding(
            "token", "warn", "RAY_AUTH_MODE=disabled: anyone who reaches the cluster runs code on it", _TOKEN_FIX
        )
    if environment.get("RAY_AUTH_TOKEN"):
        source = "RAY_AUTH_TOKEN"
    else:
        given = environment.get("RAY_AUTH_TOKEN_PATH")
        path = Path(given) if given else home / ".ray" / "auth_token"
        try:
            empty = not path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as mistake:
            return Finding("token", "FAIL", f"no token: {path} cannot be read ({type(mistake).__name__})", _TOKEN_FIX)
        if empty:
            return Finding("token", "FAIL", f"no token: {path} is empty", _TOKEN_FIX)
        if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            return Finding("token", "warn", f"{path} can be read by others", f"chmod 600 {path}")
        source = str(path)
    if mode != "token":
        return Finding(
            "token", "warn", f"a token in {source}, but RAY_AUTH_MODE is not token", "export RAY_AUTH_MODE=token"
        )
    return Finding("token", "ok", f"from {source}")


def _local_room(subject: Subject) -> Finding:
    if subject.sweep_config is None:
        return Finding("resources", "ok", f"{os.cpu_count() or 1} CPUs here")
    import torch

    gpus = torch.cuda.device_count() if subject.sweep_config.resources.gpus_per_worker else 0
    return _fits(subject.sweep_config.resources, Room(1, float(os.cpu_count() or 1), float(gpus)), spare_cpus=0)


def _room_there(subject: Subject) -> Iterator[Finding]:
    if subject.address is None:
        return
    try:
        room = ask(subject.address)
    except RuntimeError as mistake:
        yield Finding(
            "cluster",
            "FAIL",
            f"Ray at {subject.address}: {mistake}",
            "use the versions of requirements.lock and the cluster's token on both sides",
        )
        return
    yield Finding("cluster", "ok", f"{room.nodes} nodes, {room.cpus:g} CPUs, {room.gpus:g} GPUs; versions agree")
    if subject.sweep_config is not None:
        yield _fits(subject.sweep_config.resources, room, spare_cpus=1)


def _fits(resources: Resources, room: Room, spare_cpus: int) -> Finding:
    """Whether one trial fits, by the calculation that the sweep makes."""
    asked = resources
    there = list(room.machines) or [{"CPU": room.cpus, "GPU": room.gpus}]
    to_come = None if room.to_come is None else of_types(room.to_come)
    if to_come is None and asked.node_types:
        to_come = declared(asked)
    if (
        to_come is None and spare_cpus and room.cpus == 0
    ):  # a head that does no work is one that starts nodes when they are needed
        wish = f"a trial asks for {asked.workers} x {per_worker(asked)}"
        return Finding(
            "resources",
            "warn",
            f"{wish}; there are no workers now",
            "check that a worker type of the cluster file has them",
        )
    try:
        found = capacity_of(asked, there, to_come, spare_cpus)
    except InputError as mistake:
        return Finding("resources", "FAIL", mistake.problem, mistake.fix)
    return Finding("resources", "ok", f"{counted(found.concurrent_trials, 'trial')} at once")


def ask(address: str, wait_s: float = _ASK_S) -> Room:
    """Join the Ray at `address` in a process of its own; RuntimeError with its reason when that fails or takes too long."""
    command = [sys.executable, "-m", "sweep.doctor.ray_checks", address]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=wait_s, check=False, cwd=Path(__file__).parents[2]
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"did not let anyone join within {wait_s:g} s") from None
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if line.strip()]
        raise RuntimeError(reasons[-1].strip() if reasons else f"ended with code {done.returncode}")
    return Room(**json.loads(done.stdout.splitlines()[-1]))


def _join(address: str) -> dict[str, Any]:
    import ray

    from sweep.execution.ray.nodes import alive, node_types

    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    try:
        total, machines, types = ray.cluster_resources(), [node["Resources"] for node in alive()], node_types()
    finally:
        ray.shutdown()
    return {
        "nodes": len(machines),
        "cpus": total.get("CPU", 0.0),
        "gpus": total.get("GPU", 0.0),
        "machines": machines,
        "to_come": types,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_join(sys.argv[1])) + "\n")
