"""The GPU benchmark as a script: its lines, its parts' independence, and what it needs installed. Its figures need a GPU."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from benchmarks import gpu, gpu_sizes, gpu_sweep
from sweep.core.storage import Storage
from sweep.store.ledger import Ledger

NOT_NEEDED = ("ray", "optuna", "torchattacks", "pydantic", "ruamel")


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_rehearsal_writes_a_line_for_each_figure(capsys):
    assert gpu.main(["--rehearse", "--only", "train", "seeds"]) == 0
    found = lines(capsys.readouterr().out)
    assert found[0]["part"] == "device" and found[0]["rehearsal"] and found[0]["features"]
    (train,) = [one for one in found if one["part"] == "train" and "model" in one]
    assert set(train["images_per_s"]) == {"usual", "careful", "graph", "fit eager", "fit", "fit, ultrasound"}
    assert min(train["images_per_s"].values()) > 0 and train["steps"]["fit"] == "eager"
    (seeds,) = [one for one in found if one["part"] == "seeds" and "model" in one]
    assert seeds["steps"] == "eager, 2 seeds stacked" and seeds["images_per_s"]["stacked"] > 0


def test_a_part_that_fails_leaves_the_others_and_the_exit_code_says_so(capsys, monkeypatch):
    def broken(sizes):
        yield {"figure": 1}
        raise RuntimeError("no such kernel")

    monkeypatch.setitem(gpu.PARTS, "train", broken)
    monkeypatch.setitem(gpu.PARTS, "seeds", lambda sizes: iter([{"figure": 2}]))
    assert gpu.main(["--rehearse", "--only", "train", "seeds"]) == 1
    found = lines(capsys.readouterr().out)
    assert {"part": "train", "figure": 1} in found and {"part": "seeds", "figure": 2} in found
    assert {"part": "train", "error": "RuntimeError: no such kernel"} in found


def test_without_a_gpu_and_rehearsal_it_says_what_to_do(capsys, monkeypatch):
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2 and "--rehearse" in capsys.readouterr().err


@pytest.mark.slow  # a process for each part
def test_it_imports_without_the_packages_that_a_gpu_machine_may_lack():
    code = f"""
import sys
for name in {NOT_NEEDED!r}:
    sys.modules[name] = None
import benchmarks.gpu
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("part", ["texture", "epsilon", "generator"])
def test_every_other_part_is_rehearsed_too(part, capsys, monkeypatch):
    monkeypatch.setattr(gpu, "REHEARSAL", replace(gpu_sizes.REHEARSAL, attacked=2, px=32))
    assert gpu.main(["--rehearse", "--only", part]) == 0
    found = [one for one in lines(capsys.readouterr().out) if one["part"] == part]
    assert len(found) > 1 and not any("error" in one for one in found)


@pytest.mark.gpu
def test_every_part_runs_on_this_gpu(gpu, capsys):
    from benchmarks import gpu as script

    assert script.main(["--only", "train"]) == 0 and "captured" in capsys.readouterr().out


def test_the_line_of_a_sweep_is_read_from_its_ledger(tmp_path):
    run, begin = Storage(tmp_path), time.time()
    ledger = Ledger(run)
    ledger.append({"event": "epoch", "signature": "a", "seed": 0, "epoch": 1, "metrics": {}})
    device = {"type": "cuda", "name": "NVIDIA H100"}
    for seed in (0, 1):
        facts = {"metrics": {}, "config": {}, "study": {}, "device": device, "steps_ran": "captured"}
        ledger.append(
            {"event": "finish", "signature": "a", "seed": seed, "seconds": {"train": 2.0, "attack": 1.0}, **facts}
        )
    ledger.flush()
    found = gpu_sweep.line(tmp_path, begin, begin + 9)
    assert (found["records"], found["seconds"], found["train_s"], found["attack_s"]) == (2, 9.0, 4.0, 2.0)
    assert found["devices"] == [device] and found["steps_ran"] == ["captured"]
    assert 0 <= found["seconds_to_first_epoch"] < 60


@pytest.mark.slow
def test_the_sweep_is_rehearsed_too(capfd):
    assert gpu_sweep.main(["--rehearse"]) == 0
    (found,) = lines(capfd.readouterr().out)
    assert found["records"] == 4 and found["rehearsal"] and found["devices"][0]["type"] == "cpu"
