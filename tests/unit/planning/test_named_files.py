"""Files and folders that a sweep config names are looked for before anything is computed, all of them in one message."""

import os
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sweep.config.sweep_config import SweepConfig
from sweep.core.errors import InputErrors
from sweep.planning.named_files import missing_files
from sweep.run import run_sweep

TEXT = """\
name: files
data: {source: phantom-a, target: shards/none}
grid:
  weights: [imagenet, absent.pth, /etc/passwd, broken.safetensors, sound.pth, sound.safetensors]
  colorizer_from: [nobody/3f2a91c04b7e, absent.safetensors]
fixed: {colorizer: coloru}
resources: {memory_per_worker: 1000000GB}
"""


@pytest.fixture(params=["plan", "run"])
def message(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    Path("files.yaml").write_text(TEXT)
    Path("broken.safetensors").write_bytes(struct.pack("<Q", 10) + b"no JSON at all")
    torch.save({"a": torch.zeros(1)}, "sound.pth")
    save_file({"a": torch.zeros(1)}, "sound.safetensors")
    with pytest.raises(InputErrors) as refused:
        run_sweep(Path("files.yaml"), {}, False, request.param == "plan", str(tmp_path / "run"), None)
    assert not (tmp_path / "run").exists()
    return str(refused.value)


def test_every_file_that_is_not_there_is_named_with_its_line(message):
    for part in (
        "line 2, data.target: shards/none: no such shard folder; make it with: python -m sweep.importers",
        "line 4, grid.weights[1]: absent.pth: no such weights file; give imagenet",
        "line 4, grid.weights[2]: /etc/passwd: not a readable weights file",
        "line 4, grid.weights[3]: broken.safetensors: not a readable weights file",
        "line 5, grid.colorizer_from[0]: nobody/3f2a91c04b7e: no colorizer at ",
        "line 5, grid.colorizer_from[1]: absent.safetensors: no colorizer at ",
    ):
        assert part in message, message
    assert "sound" not in message.replace("is it sound", "")


def test_more_memory_than_this_machine_has_is_in_the_same_message_of_a_plan(message, request):
    if "run" in request.node.name:
        assert "a trial asks for" not in message  # a run looks at machines after files
    else:
        assert "line 7, resources: a trial asks for one worker of 1 CPUs + 1,000,000 GB; there are 1 x " in message


def test_what_a_sweep_makes_is_never_writable_by_others(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("sweep.run._run_or_plan", lambda *words: seen.append(os.umask(0o022)) or 0)
    before = os.umask(0)
    try:
        run_sweep(tmp_path / "any.yaml", {}, False, False, None, None)
    finally:
        os.umask(before)
    assert seen == [0o022]


@pytest.mark.parametrize(
    ("target", "wrong"),
    [
        ("phantom:coarse", None),
        ("phantom:coarse:screening", None),
        ("phantom:corse", "data.target: phantom:corse: scanner 'corse' is unknown; did you mean coarse?"),
        ("phantom:coarse:scrning", "population 'scrning' is unknown; did you mean screening?"),
    ],
)
def test_simulated_hospitals_are_known_by_scanner_and_population(target, wrong):
    found = missing_files(SweepConfig.model_validate({"name": "x", "data": {"source": "phantom-a", "target": target}}))
    assert [str(one) for one in found] == [] if wrong is None else wrong in str(found[0])
