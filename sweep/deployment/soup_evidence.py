"""The weight soup of a configuration's seeds on the target and the pseudo-hospitals: what it is judged by without target labels."""

from __future__ import annotations

import json

import numpy as np

from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.data.datasets import FOLDS, Data
from sweep.deployment.combine import SOUP
from sweep.deployment.from_run import Source, new_predictions, soup_of
from sweep.pipeline.adaptation import after_training
from sweep.pipeline.blind_evaluation import evaluate_blind
from sweep.pipeline.train_and_evaluate import prepared
from sweep.pipeline.training_job import TrainingJob
from sweep.shift.stored import PREDICTIONS_FILE, SOUP_FILE, soup_folder, soup_seeds, write_hospitals
from sweep.store.trial import Attacks, Trial


def evaluate_soup(run: Storage, signature: str, seeds: tuple[int, ...]) -> bool:
    """Write the soup's predictions and its results on the pseudo-hospitals into its folder of the run; False where they lie there already.

    Raises InputError where the run has no pseudo-hospitals, and for seeds that share no start.
    """
    if soup_seeds(run, signature) == seeds:
        return False
    source = Source(run, signature, seeds, SOUP)
    data = Data.load(run).seen_by(source.config)
    if not data.pseudo_hospitals or data.multi_label:
        raise InputError(
            run.url,
            "its models were evaluated on no pseudo-hospital, so nothing can be predicted",
            "run the sweep with data.pseudo_hospitals above 0",
        )
    trial = Trial(source.config, data.hash, seeds, source.records[0]["study"])
    job = prepared(TrainingJob(trial, seeds[0], data, {fold: data.read(fold) for fold in FOLDS}, Attacks(), run))
    model = soup_of(source, data, job.folds["train"].images).eval()
    folds, models = after_training(job, model)
    frame = new_predictions(source, models, folds)
    logits = {split: np.stack(rows["logits"].to_list()) for split, rows in frame.groupby("split")}
    folder = soup_folder(signature)
    write_hospitals(run, folder, evaluate_blind(job, model, logits, alternatives=False).hospitals)
    run.write(f"{folder}/{PREDICTIONS_FILE}", frame.to_parquet(index=False))
    run.write(
        f"{folder}/{SOUP_FILE}", json.dumps({"seeds": list(seeds)}).encode()
    )  # last: it says that the others are whole
    return True
