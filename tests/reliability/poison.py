"""Trials that raise, diverge, take all memory, crash, leave, hang or flood the log, in five phases: classed and shown, the others unharmed."""

from __future__ import annotations

import ctypes
import json
import os
import threading
import time
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from sweep.store.ledger import read_ledger
from tests.fakes.patience import patient
from tests.reliability.rows import Row
from tests.reliability.sweeps import PLAIN, facts, output, prepared, sweep, undisturbed

KINDS = ("raise", "nan", "inf", "memory", "segfault", "exit", "hang", "flood", "unpicklable", "device")
PHASES = ("before", "first step", "later step", "evaluation", "attack")
CLASSES = {"nan": {"DIVERGED", "FAILED"}, "inf": {"DIVERGED", "FAILED"}, "memory": {"OOM"}, "hang": {"TIMEOUT"}}
FIRST_LR = 0.002  # of the first poisoned trial; each further one has a ten-thousandth more
HEALTHY_LRS = (0.001, 0.003)
_VARIABLE = "RELIABILITY_POISON"
_HOOK = """\
import os, sys
workers = ("inline_worker", "default_worker")  # of the inline engine, of Ray
if os.environ.get("RELIABILITY_POISON") and any(name in word for word in sys.orig_argv for name in workers):
    from tests.reliability.poison import arm
    arm(os.environ["RELIABILITY_POISON"])
"""
_FLOOD_BYTES = 20_000_000


def lr_of(kind: str) -> float:
    """The learning rate of the trial that is poisoned in this way."""
    return round(FIRST_LR + KINDS.index(kind) * 1e-4, 6)


def poisoned(number: int, folder: Path) -> None:
    """One kind in one phase; the ten kinds of a phase are trials of one sweep, between two trials that are left alone."""
    kind, phase = KINDS[number % 10], PHASES[number // 10]
    run, ended = _swept(phase)
    said, reading = output(run.parent), read_ledger(run)
    assert "Traceback" not in said, said[-2000:]
    expected, found = facts(undisturbed(PLAIN))["finished"], facts(run)["finished"]
    healthy = [record for record, event in reading.finished().items() if event["config"]["lr"] in HEALTHY_LRS]
    assert len(healthy) == 2, f"{len(healthy)} of the 2 other trials finished"
    assert all(found[record] == expected[record] for record in healthy), "another trial's numbers changed"
    assert ended == 3 and (run / "report.html").exists(), f"exit code {ended}"
    events = [event for event in reading.failed().values() if event["config"]["lr"] == lr_of(kind)]
    if kind in ("nan", "inf") and phase in ("evaluation", "attack") and not events:
        return  # a number that is not finite is stored as null, which the report counts as undefined
    (failed,) = events
    assert failed["kind"] in CLASSES.get(kind, {"FAILED"}), failed
    assert failed["reason"] and failed["reason"] in said.replace("\n", " "), failed


@cache
def _swept(phase: str) -> tuple[Path, int]:
    """Run folder and exit code of the sweep whose trials are poisoned in this phase."""
    folder = Path(mkdtemp(prefix="poisoned-"))
    kinds = {lr_of(kind): kind for kind in KINDS}
    variables = poisoned_environment(folder, kinds, phase)
    rates = ", ".join(f"{rate:g}" for rate in (HEALTHY_LRS[0], *kinds, HEALTHY_LRS[1]))
    text = PLAIN.replace("[0.001, 0.002, 0.003]", f"[{rates}]")
    silence = f"{patient(30):.0f}s"  # a worker that imports torch on a busy machine is silent too
    limits = {
        "resources__max_failures": "0",
        "resources__max_silence": silence,
        "resources__memory_per_worker": "1500MB",
    }
    prepared(folder, PLAIN)
    (folder / "run" / "space.yaml").unlink()  # of another grid
    ended = sweep(folder, text, lambda: os.environ.update(variables), resources__max_concurrent_trials="2", **limits)
    return folder / "run", ended


def poisoned_environment(folder: Path, kinds: dict[float, str], phase: str) -> dict[str, str]:
    """Environment variables for a sweep whose workers poison the trials of these learning rates; their hook is written to `folder`."""
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(_HOOK)
    path = (str(folder / "hook"), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))
    return {_VARIABLE: json.dumps([list(kinds.items()), phase]), "PYTHONPATH": os.pathsep.join(filter(None, path))}


def arm(kinds_and_phase: str) -> None:
    """In a worker process: poison the trials that `poisoned_environment` names."""
    pairs, phase = json.loads(kinds_and_phase)
    kinds = dict(pairs)
    import torch

    import sweep.pipeline.train_and_evaluate as module
    from sweep.models.classifier import Classifier

    steps, kind = 0, ""
    run_seed = module.run_seed

    def poisoned_seed(job: object) -> object:
        nonlocal steps, kind
        steps, kind = 0, kinds.get(job.trial.config["lr"], "")  # type: ignore[attr-defined]
        if kind and phase == "before":
            _act(kind, None)
        return run_seed(job)

    def before_forward(network: torch.nn.Module, given: tuple) -> tuple | None:
        nonlocal steps
        if not (kind and isinstance(network, Classifier)):
            return None
        steps += network.training
        now = {
            "before": kind in ("nan", "inf", "device"),  # which need a tensor
            "first step": network.training and steps == 1,
            "later step": network.training and steps == 2,  # one step an epoch: of the second epoch
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
        40,
        poisoned,
        10,
    ),
)
