"""A whole sweep of 40 short records on one GPU: seconds until the first epoch and to the end, with everything that starts.

    python -m benchmarks.gpu_sweep                        # 20 configurations x 2 seeds, MobileNetV2 at 128 px, 8 trials at a time
    python -m benchmarks.gpu_sweep --set resources.stack_seeds=off
    python -m benchmarks.gpu_sweep --rehearse             # 2 x 2 records of small_cnn at 32 px on the CPU: tests the script, measures nothing

One JSON line. The sweep runs in a process of its own, as a user starts it; the times are those of its ledger. Goal on one H100 or H200: 40 records
within 45 s, start-up included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sweep.core.devices import cpu_features
from sweep.store.ledger import read_ledger

BAR_S = 45
CONFIG = """\
name: gpu_sweep
data: {{source: phantom-a, target: phantom-b, image_px: {px}, train_images: {images}}}
objectives: [{{metric: auroc/source_val, goal: maximize}}]
search: {{lr: {{distribution: log_uniform, min: 0.0001, max: 0.01}}}}
fixed: {{backbone: {backbone}, colorizer: none, weights: null, epochs: {epochs}, batch_size: 16}}
seeds: {{min: 2, max: 2}}
searcher: {{algorithm: random, trials: {trials}}}
threats: {{attacks: [fgsm, pgd], eps: [1/255], images: {attacked}}}
resources: {{engine: inline, gpus_per_worker: {gpus}, max_concurrent_trials: {together}}}
"""
FULL = {
    "px": 128, "images": 240, "backbone": "mobilenetv2_100", "epochs": 6, "trials": 20, "attacked": 100, "gpus": 0.125,
    "together": 8,
}  # fmt: skip
REHEARSAL = {
    "px": 32, "images": 32, "backbone": "small_cnn", "epochs": 1, "trials": 2, "attacked": 4, "gpus": 0, "together": 1,
}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run the sweep and print its line; the exit code of the sweep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="K=V", help="as of the sweep command")
    options = parser.parse_args(arguments)
    sizes = REHEARSAL if options.rehearse else FULL
    with tempfile.TemporaryDirectory() as folder:
        config, run = Path(folder) / "gpu_sweep.yaml", Path(folder) / "run"
        config.write_text(CONFIG.format(**sizes), encoding="utf-8")
        command = [sys.executable, "-m", "sweep.run", str(config), "--storage", str(run)]
        command += [part for one in options.set for part in ("--set", one)]
        begin = time.time()
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        print(json.dumps(line(run, begin, time.time()) | {"rehearsal": options.rehearse, "exit": done.returncode}))
    return done.returncode


def line(run: Path, begin: float, end: float) -> dict[str, object]:
    """The figures of a finished run folder; `begin` and `end` in seconds since the epoch."""
    ledger = read_ledger(run)
    finished, epochs = ledger.of_kind("finish"), ledger.of_kind("epoch")
    devices = {json.dumps(event["device"], sort_keys=True) for event in finished if "device" in event}
    return {
        "records": len(finished),
        "seconds_to_first_epoch": round(min(map(_seconds, epochs)) - begin, 1) if epochs else None,
        "seconds": round(end - begin, 1),
        "bar_s": BAR_S,
        "steps_ran": sorted({event.get("steps_ran", "eager") for event in finished}),
        "train_s": round(sum(event["seconds"]["train"] for event in finished), 1),
        "attack_s": round(sum(event["seconds"]["attack"] for event in finished), 1),
        "devices": [json.loads(device) for device in sorted(devices)],
        "host": cpu_features(),
    }


def _seconds(event: Mapping[str, Any]) -> float:
    """When an event was written, in seconds since the epoch."""
    return datetime.fromisoformat(event["time"]).timestamp()


if __name__ == "__main__":
    sys.exit(main())
