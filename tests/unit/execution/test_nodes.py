"""Node types are read from the file that `ray up` leaves on the head."""

from pathlib import Path

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
