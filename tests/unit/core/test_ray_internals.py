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
    tree = json.loads(json.dumps(YAML(typ="safe", pure=True).load(file)))
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


def test_error_messages_of_ray_are_cut_to_their_first_sentence_and_retried_tasks_are_not_shown(monkeypatch):
    import ray._private.worker as worker

    shown = []
    monkeypatch.setattr(worker, "print_to_stdstream", lambda data, ignore_prefix: shown.extend(data["lines"]))
    ray_internals.shorten_error_messages()
    ray_internals.shorten_error_messages()  # once is enough
    show = worker.print_to_stdstream
    retried = "Task f failed. There are infinite retries remaining, so the task will be retried. Error:\nTraceback ..."
    lost = "Raylet is terminated. Termination is unexpected. Last 20 lines of the Raylet logs:\n [state-dump]"
    for line in (retried, lost):
        show({"pid": "raylet", "is_err": False, "lines": [line]}, ignore_prefix=False)
    show({"pid": 7, "is_err": False, "lines": ["a worker. Its own"]}, ignore_prefix=False)
    assert shown == ["Raylet is terminated", "a worker. Its own"]


def test_ray_prints_error_messages_through_that_function():
    import inspect

    import ray._private.worker as worker

    assert "print_to_stdstream(" in inspect.getsource(worker.listen_error_messages)


def test_clean_up_actors_end_their_process_when_their_controller_is_gone(monkeypatch):
    from ray.train.v2._internal.callbacks import placement_group_callback
    from ray.train.v2.api import data_parallel_trainer

    monkeypatch.setattr(data_parallel_trainer, "PlacementGroupCleanerCallback", None)
    monkeypatch.setattr(
        placement_group_callback, "PlacementGroupCleaner", placement_group_callback.PlacementGroupCleaner
    )
    started, ended = [], []
    monkeypatch.setattr(
        placement_group_callback.PlacementGroupCleanerCallback,
        "after_controller_start",
        lambda self, context: started.append(placement_group_callback.PlacementGroupCleaner("id", 0.01, 1.0, 1.0)),
    )
    monkeypatch.setattr(
        "ray.train.v2._internal.execution.controller.placement_group_cleaner.is_actor_alive", lambda **of: False
    )
    monkeypatch.setattr(ray_internals.os, "_exit", ended.append)
    ray_internals.end_cleaners_with_their_runs()
    data_parallel_trainer.PlacementGroupCleanerCallback().after_controller_start(None)
    (cleaner,) = started
    monkeypatch.setattr(type(cleaner).__mro__[1], "_exit", lambda self: None)
    cleaner.start_monitoring()
    while cleaner._monitor_thread is not None:
        pass
    assert ended == [0]
    cleaner.stop()  # asked by the controller: as before
    assert ended == [0]
