"""remaining steps + measured durations -> estimated seconds, hours and price, with the basis of the estimate; plain arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.config.sweep_config import NodeType, Resources
from sweep.core.counts import counted
from sweep.core.durations import duration
from sweep.planning.capacity import Capacity, amounts, machine_of, request, trials_on

_HOUR = 3600.0


@dataclass(frozen=True)
class StepCost:
    """One kind of step: how many are left, and the seconds of each finished one; with `probed`, the foreseen seconds of those left."""

    kind: str
    left: int
    measured: Sequence[float] = ()
    probed: bool = False

    @property
    def mean_s(self) -> float:
        """Mean seconds of a finished one."""
        return sum(self.measured) / len(self.measured)

    @property
    def summary(self) -> str:
        """How many are left, and the mean and count of the measured ones."""
        basis = "foreseen from a few steps here" if self.probed else f"mean of {len(self.measured)}"
        return f"{self.count} of {duration(self.mean_s)} ({basis})"

    @property
    def count(self) -> str:
        """How many are left, in words."""
        return counted(self.left, self.kind.replace("_", " "))


def outlook(works: Sequence[StepCost], trials: int, resources: Resources, here: Capacity | None) -> list[str]:
    """Estimated time and price of the remaining steps, per node type or on this machine, with its basis and what it leaves out.

    `trials` is how many of the remaining ones could run concurrently; `here` is the capacity of this machine, where the sweep would run on it.
    """
    left = [work for work in works if work.left]
    timed = [work for work in left if work.measured]
    untimed = ", ".join(work.count for work in left if not work.measured)
    if not left:
        return ["nothing is left to compute"]
    seconds = sum(work.left * work.mean_s for work in timed)
    if timed:
        measured_on = "" if all(work.probed for work in timed) else ", on the machines that those ran on"
        lines = [
            f"about {duration(seconds)} of work left over all workers: {', '.join(work.summary for work in timed)}{measured_on}"
        ]
        lines += [f"not counted, for none has been timed yet: {untimed}"] if untimed else []
    else:
        lines = [
            f"nothing of this sweep has been timed yet ({untimed} to do), so there is no time or price to tell: the first finished records give one"
        ]
    longest = max((work.mean_s for work in timed), default=0.0)
    for name, node in resources.node_types.items():
        lines.append("  " + _on_nodes(name, node, seconds, longest, trials, resources))
    if here and not resources.node_types and timed:
        at_once = counted(_places(trials, here), "trial")
        lines.append(f"  on this machine: {at_once} at once, about {duration(seconds_here(works, trials, here))}")
    return lines


def seconds_here(works: Sequence[StepCost], trials: int, here: Capacity) -> float:
    """Foreseen seconds of the timed steps on this machine, of which `trials` could run at the same time: no less than the longest step."""
    timed = [work for work in works if work.left and work.measured]
    longest = max((work.mean_s for work in timed), default=0.0)
    return max(sum(work.left * work.mean_s for work in timed) / _places(trials, here), longest)


def _places(trials: int, here: Capacity) -> int:
    return max(1, min(here.concurrent_trials, trials))


def _on_nodes(name: str, node: NodeType, seconds: float, longest: float, trials: int, resources: Resources) -> str:
    """One node type: as many nodes as the remaining trials can fill."""
    machine = machine_of(node)
    places = trials_on(resources, [machine] * node.max_nodes, spare_cpus=0)
    if not places:
        return f"on {node.max_nodes} x {name}: no trial fits; one asks for {request(resources)}, a node has {amounts(machine)}"
    used = max(1, min(places, trials, resources.max_concurrent_trials or places))
    nodes = math.ceil(used * node.max_nodes / places)
    hours = max(seconds / used, longest) / _HOUR
    words = [f"on {nodes} x {name}: {counted(used, 'trial')} at once"]
    words += [f"about {duration(hours * _HOUR)}"] if seconds else []
    if node.price_per_hour is not None:
        hourly = nodes * node.price_per_hour
        words.append(f"price {hours * hourly:.2f}" if seconds else f"price {hourly:.2f} an hour")
    return ", ".join(words)
