"""What evaluating a model on pseudo-hospitals costs, in CPU seconds of one trial: made once a worker, predicted for every model.

    python -m benchmarks.blind_cost                  # default hyperparameters, 64 px, 240 patients: about three CPU minutes

Prints a JSON line a configuration: CPU seconds of the whole trial without attacks, of its evaluation on pseudo-hospitals, of making them
(which later trials of the worker do not pay), and the share of the evaluation in the trial. Goal: under 20 %.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from sweep.config.hyperparameters import complete
from sweep.config.sweep_config import DataSection
from sweep.core.storage import Storage
from sweep.data.datasets import FOLDS, prepare
from sweep.pipeline import blind_evaluation, train_and_evaluate
from sweep.pipeline.blind_evaluation import BlindResult, evaluate_blind, hospital_set
from sweep.pipeline.training_job import TrainingJob
from sweep.planning.preflight import with_file_identities
from sweep.store.trial import Attacks, Trial

CONFIGURATIONS = ({"backbone": "small_cnn"}, {"backbone": "small_cnn", "adapt": "batch_norm"}, {"backbone": "resnet18"})


def main() -> None:
    """Measure each configuration and print its line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=240)
    parser.add_argument("--px", type=int, default=64)
    parser.add_argument("--epochs", type=int, help="instead of the default number")
    parser.add_argument("--only", type=int, choices=range(len(CONFIGURATIONS)), help="one configuration")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        run = Storage(Path(place) / "run")
        section = DataSection(
            source="phantom:a",
            target="phantom:b",
            image_px=arguments.px,
            phantom_patients=arguments.patients,
            target_labels="sealed",
        )
        data = prepare(section, run)
        folds = {fold: data.read(fold) for fold in FOLDS}
        chosen = CONFIGURATIONS if arguments.only is None else CONFIGURATIONS[arguments.only : arguments.only + 1]
        for config in chosen:
            settings = complete(config | ({"epochs": arguments.epochs} if arguments.epochs else {}))
            trial = Trial(with_file_identities(settings), data.hash, (0,))
            job = TrainingJob(trial, 0, data, folds, Attacks(threats=()), run)
            sys.stdout.write(json.dumps({**config, **measured(job)}) + "\n")
            sys.stdout.flush()


def measured(job: TrainingJob) -> dict[str, float | int]:
    """CPU seconds of one trial, whose pseudo-hospitals are there, and of its evaluation on them."""
    begin = time.process_time()
    hospitals = len(hospital_set(job).hospitals)
    made = time.process_time() - begin
    spent: list[float] = []

    def timed(*given: Any, **named: Any) -> BlindResult:
        start = time.process_time()
        found = evaluate_blind(*given, **named)
        spent.append(time.process_time() - start)
        return found

    blind_evaluation.evaluate_blind = timed  # type: ignore[assignment]
    try:
        begin = time.process_time()
        result = train_and_evaluate.run_seed(job)
        whole = time.process_time() - begin
    finally:
        blind_evaluation.evaluate_blind = evaluate_blind
    if not spent:
        raise RuntimeError("the trial was not evaluated on pseudo-hospitals")
    return {
        "pseudo_hospitals": hospitals,
        "epochs_run": result["epochs_run"],
        "trial_cpu_s": round(whole, 2),
        "on_pseudo_hospitals_cpu_s": round(sum(spent), 2),
        "making_them_cpu_s": round(made, 2),
        "share": round(sum(spent) / whole, 3),
    }


if __name__ == "__main__":
    main()
