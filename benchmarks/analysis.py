"""How long ranking and reporting take on a large run, and how large the page is.

python -m benchmarks.analysis --trials 10000 --seeds 5
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sweep.config.hyperparameters import complete
from sweep.core.seeds import rng
from tests.fakes.run_folder import EPS, FakeSweep, signature_of, write_fake_run, write_ledger

BACKBONES = ("resnet18", "resnet50", "vit_tiny_patch16_224", "cnn_transformer")
COLORIZERS = ("none", "deconv", "pixelshuffle", "coloru")
RATIOS = (0, 0.25, 0.5, 0.75, 1)
EPOCHS_LOGGED = 2


def main() -> None:
    """Write the run, time both commands as a user would call them, print one line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = write_large_run(Path(folder) / "large", options.trials, options.seeds)
        size = sum(file.stat().st_size for file in (run / "records").iterdir()) / 1e6
        sys.stdout.write(f"{options.trials} trials x {options.seeds} seeds, ledger {size:.0f} MB\n")
        _time("rank", "analysis.rank", str(run), "--top", "10")
        _time("report", "analysis.report", str(run), "--out", str(Path(folder) / "report.html"))
        sys.stdout.write(f"page    {(Path(folder) / 'report.html').stat().st_size / 1e6:6.2f} MB\n")


def write_large_run(folder: Path, trials: int, seeds: int) -> Path:
    """A ledger of made-up metrics; every record links to the images of one small real fake, so that reading costs what it costs."""
    sample = write_fake_run(
        folder.parent / "sample",
        FakeSweep(backbones=("resnet18",), colorizers=("none",), ratios=(0,), images=200, seeds=seeds, failed=0),
    )
    source = next((sample / "trials").iterdir())
    folder.mkdir()
    events: list[dict] = [
        {
            "event": "sweep",
            "name": "large",
            "trials": trials,
            "seeds": seeds,
            "objectives": [
                {"metric": "auroc/target", "goal": "maximize"},
                {"metric": "domain_gap", "goal": "minimize"},
                {"metric": "robust_accuracy", "goal": "maximize", "threat": "worst", "eps": "2/255"},
            ],
        }
    ]
    cells = itertools.cycle(itertools.product(BACKBONES, COLORIZERS, RATIOS))
    for number, (backbone, colorizer, ratio) in zip(range(trials), cells, strict=False):
        draw = rng(0, "trial", number)
        study = {"backbone": backbone, "colorizer": colorizer, "synthetic_per_real": ratio}
        drawn = {"lr": 10 ** draw.uniform(-5, -3), "weight_decay": 10 ** draw.uniform(-6, -2)}
        weight = {"glcm_weight": float(draw.uniform(0.01, 0.9))}
        config = complete({**study, **{name: float(value) for name, value in drawn.items()}, **weight, "epochs": 20})
        signature, level = signature_of(config), draw.normal(0.75, 0.04)
        for seed in range(seeds):
            events += _record(signature, seed, config, study, level, draw)
            place = folder / "trials" / signature / f"seed-{seed}"
            place.mkdir(parents=True)
            for file in ("predictions.parquet", "attacks.parquet"):
                os.link(source / f"seed-{seed}" / file, place / file)
    write_ledger(folder, events)
    return folder


def _record(signature: str, seed: int, config: dict, study: dict, level: float, draw) -> list[dict]:
    head = {"signature": signature, "seed": seed, "config": config, "study": study}
    auroc = float(level + draw.normal(0, 0.01))
    metrics = {
        "auroc/source_val": auroc + 0.1,
        "auroc/source": auroc + 0.1,
        "auroc/target": auroc,
        "domain_gap": 0.1 + float(draw.normal(0, 0.02)),
    }
    for family, split in itertools.product(
        ("accuracy", "balanced_accuracy", "constant_accuracy"), ("source", "target")
    ):
        metrics[f"{family}/{split}"] = 0.6 if "constant" in family else auroc - 0.03
    for threat, (place, eps) in itertools.product(("fgsm", "pgd20", "square", "worst"), enumerate(EPS)):
        metrics[f"robust_accuracy/target/{threat}@{eps}"] = max(0.0, auroc - 0.15 * (place + 1))
    epochs = [
        {
            "event": "epoch",
            "signature": signature,
            "seed": seed,
            "epoch": epoch,
            "metrics": {"loss/train": 0.6, "auroc/source_val": auroc},
        }
        for epoch in range(EPOCHS_LOGGED)
    ]
    work = {
        "seconds": {"train": 8.0, "attack": 2.0, "total": 10.0},
        "stages": [{"stage": "model", "hash": signature, "reused": False, "seconds": 8.0}],
        "alarms": [],
    }
    return [{"event": "start", **head}, *epochs, {"event": "finish", **head, "metrics": metrics, **work}]


def _time(name: str, module: str, *arguments: str) -> None:
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    sys.stdout.write(
        f"{name:7} {time.perf_counter() - start:6.1f} s ({cpu:.1f} s of one core, {used.ru_maxrss / 1e6:.2f} GB)\n"
    )


if __name__ == "__main__":
    main()
