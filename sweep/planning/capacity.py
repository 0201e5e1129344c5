"""requested resources + available or declared machines -> concurrent trials, or an error that shows the calculation.

Plain arithmetic, no Ray: a machine is a mapping from resource names to amounts.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sweep.config.sweep_config import NodeType, Resources
from sweep.core.errors import InputError

Machine = Mapping[str, float]
_FIX = "ask for less under resources:, or add machines (resources.node_types, where an autoscaler brings them)"
_MANY = 10_000  # for node types without a limit


@dataclass(frozen=True)
class Capacity:
    """Resources of the cluster and the concurrent trials they allow; `contested` where an idle worker group keeps others from running."""

    cpus: float
    gpus: float
    concurrent_trials: int
    contested: bool = False


def per_worker(resources: Resources) -> dict[str, float]:
    """Resources of one worker, by Ray's names."""
    asked = {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker, "memory": resources.memory_bytes}
    return {name: amount for name, amount in asked.items() if amount}


def declared(resources: Resources) -> list[Machine]:
    """The machines that the sweep config declares."""
    return _each((machine_of(kind), kind.max_nodes) for kind in resources.node_types.values())


def machine_of(kind: NodeType) -> Machine:
    """One machine of a node type of the sweep config."""
    return {"CPU": kind.cpus} | ({"GPU": kind.gpus} if kind.gpus else {})


def of_types(types: Iterable[tuple[Machine, int]]) -> list[Machine]:
    """Machines of an autoscaler's node types with their largest counts (-1: no limit)."""
    return _each((machine, _MANY if count < 0 else count) for machine, count in types)


def capacity_of(
    resources: Resources, there: Sequence[Machine], to_come: Sequence[Machine] | None, spare_cpus: int
) -> Capacity:
    """Concurrent trials on the machines that are there, or on those that may be added where that is more.

    `to_come` is None where it is unknown; `max_concurrent_trials` is then used as given. `spare_cpus` are reserved for reading data.
    Raises InputError when no trial can ever fit.
    """
    best = max((there, to_come or []), key=lambda machines: trials_on(resources, machines, spare_cpus))
    fitting = trials_on(resources, best, spare_cpus)
    by_hand = resources.max_concurrent_trials
    if fitting < 1 and to_come is None and by_hand and spare_cpus:
        fitting = by_hand
    if fitting < 1:
        raise InputError("resources", _refusal(resources, there, to_come, spare_cpus), _FIX)
    cpus, gpus = (sum(machine.get(name, 0.0) for machine in there) for name in ("CPU", "GPU"))
    return Capacity(
        cpus, gpus, min(fitting, by_hand or fitting), contested=bool(spare_cpus or resources.gpus_per_worker)
    )


def trials_on(resources: Resources, machines: Sequence[Machine], spare_cpus: int) -> int:
    """Concurrent trials on `machines`; a worker needs one machine, a trial may span several."""
    asked = per_worker(resources)
    workers = sum(_fit(machine, asked) for machine in machines)
    by_workers = workers // resources.workers
    free = sum(machine.get("CPU", 0.0) for machine in machines) - spare_cpus
    return min(by_workers, math.floor(free / (resources.workers * resources.cpus_per_worker) + 1e-9))


def _fit(machine: Machine, asked: Mapping[str, float]) -> int:
    """Workers on one machine; memory is no limit where a machine does not report it."""
    known = {name: amount for name, amount in asked.items() if name != "memory" or name in machine}
    return min(math.floor(machine.get(name, 0.0) / amount + 1e-9) for name, amount in known.items())


def request(resources: Resources) -> str:
    """The request of a trial, in words."""
    workers = "one worker" if resources.workers == 1 else f"{resources.workers} workers"
    return f"{workers} of {amounts(per_worker(resources))}"


def _refusal(resources: Resources, there: Sequence[Machine], to_come: Sequence[Machine] | None, spare_cpus: int) -> str:
    kept = " (one CPU is kept for reading data)" if spare_cpus else ""
    later = f", and at most {_listing(to_come)} can come" if to_come else ""
    return f"a trial asks for {request(resources)}; there are {_listing(there)}{later}{kept}"


def _listing(machines: Sequence[Machine]) -> str:
    kinds: dict[str, int] = {}
    for machine in machines:
        kinds[amounts(machine)] = kinds.get(amounts(machine), 0) + 1
    return ", ".join(f"{count} x {kind}" for kind, count in kinds.items()) or "no machines"


def amounts(machine: Machine) -> str:
    """The resources of a machine, in words."""
    counts = {"CPUs": machine.get("CPU", 0.0), "GPUs": machine.get("GPU", 0.0)}
    words = [f"{amount:g} {name}" for name, amount in counts.items() if amount or name == "CPUs"]
    memory = machine.get("memory", 0.0) / 1e9
    return " + ".join([*words, *([f"{memory:{',.0f' if memory >= 100 else '.3g'}} GB"] if memory else [])])


def _each(types: Iterable[tuple[Machine, int]]) -> list[Machine]:
    return [machine for machine, count in types for _ in range(min(count, _MANY))]


def capacity_here(resources: Resources) -> Capacity:
    """Capacity of a local Ray on this machine. Raises InputError when one trial can never fit."""
    gpus = gpus_here() if resources.gpus_per_worker else 0
    here = {"CPU": float(os.cpu_count() or 1), "GPU": float(gpus)}
    if resources.memory_bytes:
        here["memory"] = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return capacity_of(resources, [here], [], spare_cpus=0)


def gpus_here() -> int:
    """CUDA devices visible to a new process, counted by the driver: importing torch for that takes seconds.

    https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__DEVICE.html
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
