"""Many askers on two nodes and one artifact: computed once, again exactly once when its process is killed, and a failure told to all."""

import os
import signal
import time

import pytest
import ray
from ray.cluster_utils import Cluster

from sweep.core.errors import Diverged
from sweep.core.storage import Storage
from sweep.execution.job import failure
from sweep.execution.ray.artifact_server import ArtifactServer
from sweep.execution.worker_limits import UNLIMITED, WorkerLimits
from sweep.store.artifact_store import ArtifactStore, Stage

pytestmark = [pytest.mark.e2e, pytest.mark.extended, pytest.mark.timeout(180)]
ASKERS = 6  # processes, on each of two nodes


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two nodes on this machine, and no environment of its own left behind."""
    nodes = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 4, "resources": {"first": 100}, "include_dashboard": False}
    )
    nodes.add_node(num_cpus=4, resources={"second": 100})
    ray.init(address=nodes.address, log_to_driver=False)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


def note(store, word):
    """One line in a file that all processes append to."""
    with open(store.run.local / "calls", "a", encoding="utf-8") as calls:
        calls.write(f"{word} {os.getpid()}\n")


def slow(stage, store):
    note(store, stage.kind)
    time.sleep(1)
    store.write(stage, "data", b"made")
    return {"made_by": os.getpid()}


def killed_the_first_time(stage, store):
    note(store, stage.kind)
    if len((store.run.local / "calls").read_text().splitlines()) == 1:
        store.write(stage, "data", b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    return slow(stage, store)


def diverging(stage, store):
    note(store, stage.kind)
    raise Diverged("generator wgan", 7, float("nan"))


def hanging(stage, store):
    note(store, stage.kind)
    time.sleep(3600)


WORK = {"hanging": hanging, "generator": slow, "pool": slow, "killed": killed_the_first_time, "diverging": diverging}


@ray.remote(num_cpus=0.01, max_retries=0)
def ask(artifact_server, stage):
    """One asker in a process of its own: what it obtained, or the reason that it did not."""
    try:
        return [
            vars(item) for item in ray.get(artifact_server.ensure.remote(stage))
        ], ray.get_runtime_context().get_node_id()
    except Exception as error:
        return failure(getattr(error, "cause", None) or error), ray.get_runtime_context().get_node_id()


def everybody(run, stage, limits=UNLIMITED):
    """The answers to twelve askers on both nodes, asking at once."""
    artifact_server = ArtifactServer.remote(run.url, 1, 0, WORK, limits)
    asked = [
        ask.options(resources={node: 1}).remote(artifact_server, stage)
        for node in ("first", "second")
        for _ in range(ASKERS)
    ]
    answers = ray.get(asked, timeout=120)
    assert len({node for _, node in answers}) == 2
    return [answer for answer, _ in answers]


def calls(run):
    return [line.split()[0] for line in (run.local / "calls").read_text().splitlines()]


def test_computed_once_for_all_who_ask_at_once(cluster, tmp_path):
    run, generator = Storage(tmp_path), Stage("generator", 1, {"seed": 0})
    pool = Stage("pool", 1, {"images": 64}, (generator,))
    answers = everybody(run, pool)
    assert sorted(calls(run)) == ["generator", "pool"]
    for kind in (0, 1):
        made = [answer[kind] for answer in answers]
        assert sum(not item["reused"] for item in made) == 1
        assert len({item["facts"]["made_by"] for item in made}) == 1
        assert all(item["saved_s"] >= 1 for item in made if item["reused"])


def test_what_is_there_needs_nothing_more(cluster, tmp_path):
    run, generator = Storage(tmp_path), Stage("generator", 1, {"seed": 0})
    pool = Stage("pool", 1, {"images": 64}, (generator,))
    everybody(run, pool)
    run.delete(ArtifactStore(run).folder(generator))
    answers = everybody(run, pool)
    assert sorted(calls(run)) == ["generator", "pool"]
    assert all([item["stage"] for item in answer] == ["pool"] and answer[0]["reused"] for answer in answers)


def test_killed_computation_is_made_again_once_and_all_get_it(cluster, tmp_path):
    run, stage = Storage(tmp_path), Stage("killed", 1, {})
    answers = everybody(run, stage)
    assert len(calls(run)) == 3  # the one that was killed, and the one that notes its beginning and its work
    assert len({answer[0]["facts"]["made_by"] for answer in answers}) == 1
    assert sum(not answer[0]["reused"] for answer in answers) == 1
    assert ArtifactStore(run).read(stage, "data") == b"made"


def test_failure_is_computed_once_and_told_to_all_with_its_reason(cluster, tmp_path):
    run = Storage(tmp_path)
    answers = everybody(run, Stage("pool", 1, {}, (Stage("diverging", 1, {}),)))
    assert calls(run) == ["diverging"]
    reason = "generator wgan: loss is nan at step 7; lower the learning rate, or set grad_clip if it is 0"
    assert answers == [{"failure": "DIVERGED", "reason": reason}] * (2 * ASKERS)


@pytest.mark.slow  # four processes that load torch
def test_hanging_computation_is_ended_by_the_time_limit_and_all_are_told(cluster, tmp_path):
    run = Storage(tmp_path)
    answers = everybody(run, Stage("hanging", 1, {}), WorkerLimits(trial_s=1.0, silence_s=0.1))
    assert calls(run) == ["hanging"] * 4  # an artifact has three retries
    assert len({str(answer) for answer in answers}) == 1 and answers[0]["failure"] == "TIMEOUT"
    reason = answers[0]["reason"]
    assert reason.startswith("its job ran for more than 1s (resources.max_trial_time), at ") and reason.endswith(
        ", 4 times"
    )
