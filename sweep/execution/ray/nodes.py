"""The nodes of a Ray cluster: which are alive, which may come, and whether all of them can read the run and its data."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from ruamel.yaml import YAML

from sweep.core.errors import InputError
from sweep.core.location import is_url, located
from sweep.core.ray_internals import autoscaler_node_groups, draining_nodes

HEAD = {
    "node:__internal_head__": 0.0001
}  # a resource that only the head has: what asks for it stays while workers come and go
LAUNCHER_FILE = "ray_bootstrap_config.yaml"
_LOOK_S = 60
_ANSWER_S = 3  # seconds for a connection to a node
_FIX = "give an s3:// or gs:// URL, or file:///PATH for a folder that every node mounts there"


def alive() -> list[dict[str, Any]]:
    """The nodes that are alive."""
    return [node for node in ray.nodes() if node["Alive"]]


def is_leaving(node: str) -> bool:
    """Whether a node, by its id, is being drained or no longer there."""
    return bool(node) and (node in draining_nodes() or node not in {other["NodeID"] for other in alive()})


def is_lost(node: str) -> bool:
    """Whether a node, by its id, is being drained, no longer there, or does not answer.

    Ray counts a node whose heartbeats stopped as alive for some 15 s more; what ran there is started again elsewhere before that.
    """
    return is_leaving(node) or any(not _answers(other) for other in alive() if other["NodeID"] == node)


def _answers(node: Mapping[str, Any]) -> bool:
    """Whether the Ray process of a node still accepts connections."""
    try:
        with socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), timeout=_ANSWER_S):
            return True
    except OSError:
        return False


def node_types() -> list[tuple[dict[str, float], int]] | None:
    """What the cluster's autoscaler may start: resources and largest number (-1: any); None where it is not known.

    Some autoscalers tell Ray; `ray up` leaves its file on the head, where submitted sweeps run.
    """
    if (groups := autoscaler_node_groups()) is not None:
        return groups
    here = ray.get_runtime_context().get_node_id()
    on_head = any(node["NodeID"] == here and "node:__internal_head__" in node["Resources"] for node in alive())
    return _launcher_types(Path.home() / LAUNCHER_FILE) if on_head else None


def _launcher_types(file: Path) -> list[tuple[dict[str, float], int]] | None:
    """The node types of a launcher file that declare their resources."""
    if not file.is_file():
        return None
    content = YAML(typ="safe", pure=True).load(file)
    most = content.get("max_workers", 2)
    kinds = [kind for name, kind in content["available_node_types"].items() if name != content["head_node_type"]]
    return [
        (kind["resources"], min(most, kind.get("max_workers", most))) for kind in kinds if kind.get("resources")
    ] or None


def check_places(places: Iterable[str]) -> None:
    """Raise InputError for a place that some node cannot read.

    With more than one node, alive or to come, a plain path is refused: the others have another disk. A URL, file:// included, is looked up on
    every node. Raises InputError.
    """
    nodes, more = alive(), bool(node_types())
    if len(nodes) < 2 and not more:
        return
    for place in dict.fromkeys(places):
        if not is_url(place):
            who = f"{len(nodes)} nodes are alive" if len(nodes) > 1 else "the autoscaler will start other nodes"
            raise InputError(place, f"is a folder of this machine, and {who}", _FIX)
        looks = {node["NodeManagerAddress"]: _look_from(node["NodeID"], place) for node in nodes}
        blind = [address for address, look in looks.items() if not _seen(look)]
        if blind:
            raise InputError(
                place, f"cannot be read on {', '.join(blind)}", "mount it there, or give that node the rights to it"
            )


def _look_from(node: str, place: str) -> ray.ObjectRef:
    return _look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(place)


def _seen(look: ray.ObjectRef) -> bool:
    try:
        return ray.get(look, timeout=_LOOK_S)
    except (ray.exceptions.RayError, TimeoutError):
        return False


@ray.remote(num_cpus=0, max_retries=0)
def _look(place: str) -> bool:
    """Whether this node can see `place`."""
    files, root = located(place)
    return files.get_file_info(root).type.name != "NotFound"
