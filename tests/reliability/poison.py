"""Trials that raise, diverge, take all memory, crash, leave, hang or flood the log, in five phases: classed and shown, the others unharmed."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from pathlib import Path

from sweep.store.ledger import read_ledger
from tests.reliability.rows import Row
from tests.reliability.sweeps import PLAIN, facts, output, sweep, undisturbed

KINDS = ("raise", "nan", "inf", "memory", "segfault", "exit", "hang", "flood", "unpicklable", "device")
PHASES = ("before", "first step", "later step", "evaluation", "attack")
CLASSES = {"nan": {"DIVERGED", "FAILED"}, "inf": {"DIVERGED", "FAILED"}, "memory": {"OOM"}, "hang": {"TIMEOUT"}}
POISONED_LR = 0.002  # the second of three trials
_VARIABLE = "RELIABILITY_POISON"
_HOOK = """\
import os, sys
workers = ("inline_worker", "default_worker")  # of the inline engine, of Ray
if os.environ.get("RELIABILITY_POISON") and any(name in word for word in sys.orig_argv for name in workers):
    from tests.reliability.poison import arm
    arm(os.environ["RELIABILITY_POISON"])
"""
_FLOOD_BYTES = 20_000_000


def poisoned(number: int, folder: Path) -> None:
    """One kind in one phase; ten kinds in the first phase, then the next phase."""
    kind, phase = KINDS[number % 10], PHASES[(number // 10 + number) % 5]
    variables = poisoned_environment(folder, kind, phase)
    limits = {"resources__max_failures": "0", "resources__max_silence": "30s", "resources__memory_per_worker": "1500MB"}
    ended = sweep(folder, PLAIN, lambda: os.environ.update(variables), resources__max_concurrent_trials="2", **limits)
    said, reading = output(folder), read_ledger(folder / "run")
    assert "Traceback" not in said, said[-2000:]
    expected = facts(undisturbed(PLAIN))["finished"]
    healthy = {record for record, event in reading.finished().items() if event["config"]["lr"] != POISONED_LR}
    assert len(healthy) == 2, f"{len(healthy)} of the 2 other trials finished"
    found = facts(folder / "run")["finished"]
    assert all(found[record] == expected[record] for record in healthy), "another trial's numbers changed"
    failed = list(reading.failed().values())
    if kind in ("nan", "inf") and phase in ("evaluation", "attack") and not failed:
        assert ended == 0  # a number that is not finite is stored as null, which the report counts as undefined
        return
    assert ended == 3 and len(failed) == 1, f"exit code {ended}, {len(failed)} failed"
    assert failed[0]["kind"] in CLASSES.get(kind, {"FAILED"}), failed[0]
    assert failed[0]["reason"] and failed[0]["reason"] in said.replace("\n", " "), failed[0]
    assert (folder / "run" / "report.html").exists()


def poisoned_environment(folder: Path, kind: str, phase: str) -> dict[str, str]:
    """Environment variables for a sweep whose workers poison the trial of POISONED_LR; its hook is written to `folder`."""
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(_HOOK)
    path = (str(folder / "hook"), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))
    return {_VARIABLE: f"{kind}:{phase}", "PYTHONPATH": os.pathsep.join(filter(None, path))}


def arm(kind_and_phase: str) -> None:
    """In a worker process: poison the trial of POISONED_LR."""
    kind, phase = kind_and_phase.split(":")
    import torch

    import sweep.pipeline.train_and_evaluate as module
    from sweep.models.classifier import Classifier

    state = {"on": False, "steps": 0}
    run_seed = module.run_seed

    def poisoned_seed(job: object) -> object:
        state["on"], state["steps"] = job.trial.config["lr"] == POISONED_LR, 0  # type: ignore[attr-defined]
        if state["on"] and phase == "before":
            _act(kind, None)
        return run_seed(job)

    def before_forward(network: torch.nn.Module, given: tuple) -> tuple | None:
        if not (state["on"] and isinstance(network, Classifier)):
            return None
        state["steps"] += network.training
        now = {
            "before": kind in ("nan", "inf", "device"),  # which need a tensor
            "first step": network.training and state["steps"] == 1,
            "later step": network.training and state["steps"] == 3,
            "evaluation": not network.training,
            "attack": not network.training and given[0].requires_grad,
        }[phase]
        return (_act(kind, given[0]), *given[1:]) if now else None

    module.run_seed = poisoned_seed
    torch.nn.modules.module.register_module_forward_pre_hook(before_forward)


def _act(kind: str, images: object) -> object:
    if kind == "raise":
        raise RuntimeError("poisoned trial")
    if kind == "memory":
        held = []
        while True:
            held.append(bytearray(os.urandom(1 << 20)) * 64)
            time.sleep(0.05)
    if kind == "segfault":
        ctypes.string_at(0)
    if kind == "exit":
        os._exit(0)
    if kind == "hang":
        time.sleep(3600)
    if kind == "flood":
        os.write(1, b"flood of log lines\n" * (_FLOOD_BYTES // 19))
        raise RuntimeError("poisoned trial after a flood")
    if kind == "unpicklable":
        raise type("Unpicklable", (RuntimeError,), {"lock": threading.Lock()})("poisoned trial", threading.Lock())
    if images is None:
        return None
    return images.to("meta") if kind == "device" else images * float(kind)  # type: ignore[attr-defined]


ROWS = (
    Row(
        "R7",
        "poison trials, 10 kinds in 5 phases: classed, shown, the other trials bit-equal",
        50,
        10,
        150,
        poisoned,
        10,
    ),
)
