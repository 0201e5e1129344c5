"""The sweep as a job on a running head with a token: code alone is sent, output comes back, and the exit code with it."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweep.store.ledger import read_ledger
from tests.fakes.sweep_config import TEXT
from tests.integration.cluster_view import left_on
from tests.integration.head_node import head_node, without_token
from tests.integration.sweep_process import REPOSITORY

pytestmark = [pytest.mark.e2e, pytest.mark.extended, pytest.mark.timeout(400)]
ONE = TEXT.replace("[none, pixelshuffle]", "[none]").replace("[0, 0.5]", "[0]").replace("seeds: 2", "seeds: 1")
SWEEP_CONFIGS = {
    "good": ONE,
    "bad": ONE.replace("seeds:", "seds:"),
    # Decay times learning rate multiplies the weights by 999 a step: they overflow on every processor.
    "partly": ONE.replace("grid:", "grid:\n  lr: [0.002, 100]").replace(
        "epochs: 2, batch_size: 16, lr: 0.002",
        "epochs: 8, batch_size: 16, optimizer: sgd, grad_clip: 0, weight_decay: 10",
    ),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The tracked files, and beside them what must stay at home."""
    copy = tmp_path_factory.mktemp("clean") / "checkout"
    code = [
        name
        for name in ("sweep", "analysis", "cluster", "pyproject.toml", "requirements.lock", ".gitignore", ".rayignore")
    ]
    copy.mkdir()
    for name in code:
        source = REPOSITORY / name
        copied = (
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            if source.is_dir()
            else shutil.copy(source, copy / name)
        )
        assert copied
    for place in (".git/objects/pack", "results/old/trials", ".venv/lib", "shards/busi"):
        (copy / place).mkdir(parents=True)
        (copy / place / "big.bin").write_bytes(bytes(3_000_000))
    (copy / "search_spaces").mkdir()
    for name, text in SWEEP_CONFIGS.items():
        (copy / "search_spaces" / f"{name}.yaml").write_text(text.replace("name: tiny", f"name: {name}"))
    return copy


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    with head_node(tmp_path_factory.mktemp("home"), "--num-cpus", "8") as running:
        yield running


def submit(head, checkout, tool, name, variables=None, timeout_s=200):
    command = [*tool, "--", "python", "-m", "sweep.run", f"search_spaces/{name}.yaml"]
    return subprocess.run(
        command,
        cwd=checkout,
        env=head.variables | {"PYTHONPATH": str(checkout)} if variables is None else variables,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def ours(head):
    return [sys.executable, "-m", "cluster.submit", "--address", head.dashboard]


def test_ray_s_own_command_runs_the_sweep(head, checkout):
    ray = str(Path(sys.executable).with_name("ray"))
    done = submit(head, checkout, [ray, "job", "submit", "--address", head.dashboard, "--working-dir", "."], "good")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "1 of 1 records finished, 0 failed" in done.stdout


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        pytest.param("partly", 3, "1 of 2 records finished, 1 failed", marks=pytest.mark.slow),
        ("bad", 2, "did you mean seeds?"),
    ],
)
def test_exit_code_and_output_are_the_sweep_s(head, checkout, name, code, says):
    done = submit(head, checkout, ours(head), name)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-2000:]
    assert says in done.stdout
    sent = next(line for line in done.stderr.splitlines() if line.startswith("sending"))
    assert float(sent.split()[-2]) < 4, sent  # MB: neither .git nor results nor environments


def job(head, checkout, *words):
    """Ray's own command for jobs."""
    ray = str(Path(sys.executable).with_name("ray"))
    command = [ray, "job", words[0], "--address", head.dashboard, *words[1:]]
    return subprocess.run(
        command, cwd=checkout, env=head.variables, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.slow  # the scorecard runs it
def test_a_stopped_job_leaves_nothing_on_the_cluster_and_its_run_is_resumed(head, checkout, tmp_path):
    run = tmp_path / "run"
    sweep = ["--", "python", "-m", "sweep.run", "search_spaces/good.yaml", "--storage", str(run)]
    words = ["--working-dir", ".", "--no-wait", "--submission-id", "stopped", *sweep, "--set", "fixed.epochs=200"]
    assert job(head, checkout, "submit", *words).returncode == 0
    deadline = time.monotonic() + 180
    while not read_ledger(run).of_kind("epoch"):
        assert time.monotonic() < deadline, job(head, checkout, "logs", "stopped").stdout[-2000:]
        time.sleep(0.5)
    assert job(head, checkout, "stop", "stopped").returncode == 0
    assert "was stopped" in job(head, checkout, "status", "stopped").stdout
    deadline = time.monotonic() + 60
    while left := left_on(head):
        assert time.monotonic() < deadline, left
        time.sleep(1)
    before = len(read_ledger(run).of_kind("epoch"))
    assert read_ledger(run).damages == [] and 0 < before < 200
    words = ["--working-dir", ".", *sweep, "--set", "fixed.epochs=200"]
    done = job(head, checkout, "submit", *words)
    assert done.returncode == 0 and "1 of 1 records finished, 0 failed" in done.stdout, done.stdout[-3000:]


def test_without_the_token_nothing_runs(head, checkout, tmp_path):
    stranger = without_token(head.variables, tmp_path) | {"PYTHONPATH": str(checkout)}
    done = submit(head, checkout, ours(head), "good", stranger, timeout_s=60)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr, done.stderr


@pytest.mark.slow
def test_dashboard_address_is_no_place_to_join_and_a_dead_one_is_told_at_once(head, checkout):
    command = [sys.executable, "-m", "sweep.run", "search_spaces/good.yaml"]
    for address, says in ((head.dashboard, "is the dashboard's address"), ("127.0.0.1:1", "did not answer within 3 s")):
        done = subprocess.run(
            [*command, "--address", address],
            cwd=checkout,
            env=head.variables,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 2 and says in done.stderr, done.stderr
    assert not (checkout / "results" / "good").exists()
