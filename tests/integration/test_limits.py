"""What a sweep may use: what can never fit is refused at once, a worker with too much memory is ended, a GPU is shared by four."""

import subprocess
import sys

import pytest

from recipe_finder.__main__ import main
from sweep.store.ledger import read_ledger
from tests.fakes.sweep_config import TEXT, write_config
from tests.integration import sweep_process
from tests.integration.cluster_view import watched
from tests.integration.head_node import head_node
from tests.reliability.poison import poisoned_environment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
PLAIN = TEXT.replace("synthetic_per_real: [0, 0.5]", "synthetic_per_real: [0]")
ONE = PLAIN.replace("[none, pixelshuffle]", "[none]").replace("seeds: 2", "seeds: 1")


def refused(home, *arguments):
    """What a sweep that is refused says, and the modules that it imported before."""
    command = [sys.executable, "-X", "importtime", *sweep_process.command(*arguments)[1:]]
    done = subprocess.run(
        command, cwd=home, env=sweep_process.environment(home), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    return "\n".join(line for line in lines if not line.startswith("import time:")), imported


@pytest.mark.extended
def test_what_this_machine_will_never_have_is_refused_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sweep_config = write_config(tmp_path, ONE)
    said, imported = refused(tmp_path, sweep_config, "--set", "resources.gpus_per_worker=99")
    assert "99 GPUs" in said and "ask for less under resources:" in said
    assert "sweep.config" in imported and not {"ray", "torch", "timm", "sklearn"} & imported
    for setting, says in (("cpus_per_worker=9999", "one worker of 9999 CPUs"), ("workers=999", "999 workers")):
        assert main(["run", str(sweep_config), "--set", f"resources.{setting}"]) == 2
        said = capsys.readouterr().err
        assert says in said and "ask for less under resources:" in said
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "engine", [pytest.param("inline", marks=pytest.mark.extended), pytest.param("ray", marks=pytest.mark.slow)]
)
def test_more_memory_than_allowed_ends_the_trial_with_a_reason(tmp_path, engine):
    limits = ("--engine", engine, "--set", "resources.memory_per_worker=20MB", "--set", "resources.max_failures=1")
    done = sweep_process.run(
        tmp_path, write_config(tmp_path, ONE), "--storage", tmp_path / "run", *limits, timeout_s=200
    )
    assert done.returncode == 2, done.stdout + done.stderr
    (failed,) = read_ledger(tmp_path / "run").failed().values()
    assert failed["kind"] == "OOM" and "resources.memory_per_worker, 0.02 GB, 2 times" in failed["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["inline", "ray"])
def test_a_hung_job_is_ended_with_the_limit_and_its_place_in_the_code(tmp_path, engine):
    limits = ("--engine", engine, "--set", "resources.max_silence=25s", "--set", "resources.max_failures=0")
    variables = poisoned_environment(tmp_path, {0.002: "hang"}, "first step")
    arguments = write_config(tmp_path, ONE), "--storage", tmp_path / "run", *limits
    done = sweep_process.run(tmp_path, *arguments, timeout_s=250, **variables)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stdout + done.stderr
    (failed,) = read_ledger(tmp_path / "run").failed().values()
    assert failed["kind"] == "TIMEOUT" and "its job sent no report for 25s (resources.max_silence)" in failed["reason"]
    assert "at poison.py:" in failed["reason"] and failed["reason"].endswith(", once")


@pytest.mark.slow
def test_a_quarter_of_a_gpu_puts_four_trials_on_one(tmp_path):
    """Scheduling alone: the node declares a GPU that it does not have, and the workers find that they train on a CPU."""
    six = (
        PLAIN.replace("[none, pixelshuffle]", "[none, pixelshuffle, matching]\n  lr: [0.002, 0.003]")
        .replace(", lr: 0.002", "")
        .replace("seeds: 2", "seeds: 1")
    )
    sweep_config = write_config(
        tmp_path, six.replace("epochs: 2", "epochs: 30") + "resources: {gpus_per_worker: 0.25}\n"
    )
    with head_node(tmp_path, "--num-cpus", "16", "--num-gpus", "1") as head, watched(head, tmp_path) as view:
        done = subprocess.run(
            sweep_process.command(sweep_config, "--storage", tmp_path / "run", "--address", head.address),
            env=head.variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(read_ledger(tmp_path / "run").finished()) == 6
    assert max(sum(entry.values()) for entry in view.seen) == 4
