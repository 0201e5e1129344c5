"""Each private interface of Ray that is used, by itself: a release that moves or changes one fails here first."""

import importlib
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("ray")

from sweep.core import ray_internals

ROOT = Path(__file__).parents[3]
YAML = pytest.importorskip("ruamel.yaml").YAML


def test_throttle_is_a_callback_of_ray_data_and_pauses(monkeypatch):
    from ray.data._internal.execution.execution_callback import ExecutionCallback

    pauses = []
    monkeypatch.setattr(ray_internals, "time", SimpleNamespace(sleep=pauses.append))
    throttle = ray_internals.throttle_class()
    assert issubclass(throttle, ExecutionCallback)
    throttle().on_execution_step(object())
    assert pauses == [ray_internals.THROTTLE_PAUSE_S]


def test_a_throttled_data_set_has_the_callback_beside_its_own():
    context = SimpleNamespace(custom_execution_callback_classes=[int])
    rows = SimpleNamespace(context=context)
    assert ray_internals.throttled(rows) is rows
    assert context.custom_execution_callback_classes == [int, ray_internals.throttle_class()]


def test_ray_data_knows_callbacks_by_that_name():
    from ray.data import DataContext

    assert isinstance(DataContext.get_current().custom_execution_callback_classes, list)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator", "get_or_create_autoscaling_coordinator"),
        ("ray.data._internal.stats", "get_or_create_stats_actor"),
    ],
)  # fmt: skip
def test_both_actors_of_ray_data_are_created(monkeypatch, module, name):
    created = []
    for place, function in (
        ("ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator", "get_or_create_autoscaling_coordinator"),
        ("ray.data._internal.stats", "get_or_create_stats_actor"),
    ):  # fmt: skip
        monkeypatch.setattr(
            importlib.import_module(place), function, lambda function=function: created.append(function)
        )
    ray_internals.start_data_actors()
    assert name in created and callable(getattr(importlib.import_module(module), name))


def test_draining_nodes_are_asked_of_the_state(monkeypatch):
    from ray._private.state import state

    monkeypatch.setattr(type(state), "get_draining_nodes", lambda self: {"a1b2": 1234})
    assert "a1b2" in ray_internals.draining_nodes()


def test_node_groups_are_read_from_the_message_that_autoscalers_send(monkeypatch):
    from ray._private.state import state
    from ray.core.generated.autoscaler_pb2 import ClusterConfig

    message = ClusterConfig()
    message.node_group_configs.add(name="gpu", max_count=4).resources.update({"CPU": 8, "GPU": 1})
    message.node_group_configs.add(name="any", max_count=-1).resources.update({"CPU": 2})
    answers = iter([message, ClusterConfig(), None])
    monkeypatch.setattr(type(state), "get_cluster_config", lambda self: next(answers))
    assert ray_internals.autoscaler_node_groups() == [({"CPU": 8, "GPU": 1}, 4), ({"CPU": 2}, -1)]
    assert ray_internals.autoscaler_node_groups() is None and ray_internals.autoscaler_node_groups() is None


def test_launcher_files_are_checked_by_ray_itself():
    from ray.autoscaler._private.util import fillout_defaults  # what prepare_config fills in

    assert callable(fillout_defaults)
    file = next(path for path in (ROOT / "cluster").glob("ray-cluster.*.yaml") if "aws" in path.name)
    tree = json.loads(json.dumps(YAML(typ="safe").load(file)))
    ray_internals.validate_launcher_file(tree)
    with pytest.raises(Exception, match="max_workers"):
        ray_internals.validate_launcher_file({**tree, "max_workers": "many"})


def test_a_packaged_folder_leaves_out_what_git_ignores(tmp_path):
    folder, package = tmp_path / "folder", tmp_path / "package.zip"
    (folder / "results").mkdir(parents=True)
    for name, text in ((".gitignore", "results/\n"), ("kept.py", ""), ("results/large.bin", "x")):
        (folder / name).write_text(text)
    ray_internals.package_folder(folder, package)
    names = {Path(name).name for name in zipfile.ZipFile(package).namelist()}
    assert "kept.py" in names and "large.bin" not in names


def test_files_that_a_job_leaves_out_are_found_as_the_tests_expect(tmp_path):
    from ray._private.runtime_env.packaging import get_excludes_from_ignore_files

    (tmp_path / ".gitignore").write_text("*.bin\n")
    (excludes,) = get_excludes_from_ignore_files(tmp_path, include_gitignore=True)
    assert excludes(tmp_path / "large.bin") and not excludes(tmp_path / "kept.py")


def test_the_template_of_azure_machines_is_in_the_wheel():
    template = json.loads(ray_internals.azure_template().read_text())
    assert any(one["type"] == "Microsoft.Compute/virtualMachines" for one in template["resources"])


def test_the_provider_that_simulates_nodes_is_there():
    from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider
    from ray.autoscaler.node_provider import NodeProvider

    assert issubclass(FakeMultiNodeProvider, NodeProvider)
