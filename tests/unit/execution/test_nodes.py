"""Node types are read from the file that `ray up` leaves on the head."""

import socket
from pathlib import Path

import pytest

from sweep.execution.ray import nodes
from sweep.execution.ray.nodes import _launcher_types

ROOT = Path(__file__).parents[3]


def test_types_of_a_launcher_file(tmp_path):
    file = tmp_path / "ray_bootstrap_config.yaml"
    assert _launcher_types(file) is None
    file.write_text("""\
max_workers: 5
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}, node_config: {}}
  spot: {resources: {CPU: 8, GPU: 1}, max_workers: 4, node_config: {}}
  demand: {resources: {CPU: 8, GPU: 1}, node_config: {}}
  unknown: {node_config: {}}
""")
    machine = {"CPU": 8, "GPU": 1}
    assert _launcher_types(file) == [(machine, 4), (machine, 5)]


def test_shipped_launcher_files_can_be_read_the_same_way():
    for file in (ROOT / "cluster").glob("ray-cluster.*.yaml"):
        if "kuberay" not in file.name and "on-prem" not in file.name:
            types = _launcher_types(file)
            assert types is None or all(count >= 0 for _, count in types)


@pytest.mark.parametrize(
    ("draining", "listens", "lost"), [(False, True, False), (True, True, True), (False, False, True)]
)
def test_a_node_is_lost_before_ray_says_so(monkeypatch, draining, listens, lost):
    """Ray counts a node as alive until its heartbeats have been missed for a while."""
    with socket.create_server(("127.0.0.1", 0)) as raylet:
        node = {
            "NodeID": "a",
            "Alive": True,
            "NodeManagerAddress": "127.0.0.1",
            "NodeManagerPort": raylet.getsockname()[1],
        }
        if not listens:
            raylet.close()
        monkeypatch.setattr(nodes.ray, "nodes", lambda: [node])
        monkeypatch.setattr(nodes, "draining_nodes", lambda: {"a"} if draining else set())
        assert nodes.is_lost("a") == lost
        assert nodes.is_leaving("a") == draining
        assert nodes.is_lost("gone") and not nodes.is_lost("")
