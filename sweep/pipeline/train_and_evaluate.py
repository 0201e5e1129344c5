"""One configuration and seed -> trained model, predictions, attack outcomes, result.

Without Ray: `sweep.execution.worker_loop` calls this in every engine's workers, `sweep.replay` in its own process.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import save

from sweep.attacks import outcomes
from sweep.attacks.attack_options import AttackOptions
from sweep.attacks.epsilon_sweep import epsilon_sweep
from sweep.attacks.masking import MaskingBattery, alarms_of, check_masking
from sweep.attacks.methods.transfer import transfer_from
from sweep.attacks.names import TRANSFER
from sweep.attacks.threat import Threat
from sweep.core.acquisition_names import ACQUISITION_METRICS
from sweep.core.activity import doing
from sweep.core.devices import device_facts
from sweep.core.errors import Diverged
from sweep.core.metric_table import AUROC, PREDICTED
from sweep.core.seeds import named_seed, rng
from sweep.data.domains import FOLD_OF_SPLIT
from sweep.data.target_labels import known
from sweep.evaluation.domain_gap import domain_gap
from sweep.evaluation.evaluate import predict
from sweep.evaluation.metrics import auroc_by_class, classification_metrics
from sweep.models.classifier import Classifier
from sweep.pipeline import acquisition, sample_images
from sweep.pipeline.adaptation import after_training, before_training
from sweep.pipeline.log_curves import log_curves
from sweep.pipeline.saved_models import load_trained
from sweep.pipeline.stages import (
    EPOCHS_FILE,
    model_stage,
    read_model,
)
from sweep.pipeline.texture_loss import texture_loss
from sweep.pipeline.training_inputs import TrainingInputs, training_inputs
from sweep.pipeline.training_job import StackedSeed, TrainingJob, decided, rebuilt, tensors
from sweep.shards.image_set import ImageSet
from sweep.store.artifact_store import ArtifactStore
from sweep.store.trial import COLORIZER, MODEL, RESULT, TRAINING_FACTS
from sweep.training.fit import FitOptions, FitResult, fit
from sweep.training.hooks import TrainingHooks
from sweep.training.logbook import Logbook
from sweep.training.parts import has_learned_colorizer
from sweep.training.precision import resolved_precision
from sweep.training.recipe import FEATURE_HEADS
from sweep.training.transfer import colorizer_bytes
from sweep.training.workers import agreed, mean_over_workers, shared_by_all

_PREDICT_BATCH = 128
ROBUST = "robust_accuracy/"


def run_seed(job: TrainingJob) -> dict[str, Any]:
    """Train, evaluate and attack; returns the result, which is also written last into the seed's folder.

    Several workers call this together; those that do not lead only train and return nothing.

    Raises Diverged when a loss is not finite.
    """
    if not job.leader:
        return _run(job)
    with job.run.folder(f"tensorboard/{job.trial.signature}/seed-{job.seed}") as folder, Logbook(folder) as logbook:
        return _run(replace(job, logbook=logbook))


def _run(job: TrainingJob) -> dict[str, Any]:
    begin = time.perf_counter()
    job = prepared(job)
    model, facts = _trained(job)
    if not job.leader:
        return {}
    _keep(job, model)
    trained = time.perf_counter()
    folds, models = after_training(job, model)
    as_trained, job = job, replace(job, folds=folds)
    doing("evaluating")
    logits = {
        split: predict(models[split], job.folds[fold].images, _PREDICT_BATCH, job.device)
        for split, fold in FOLD_OF_SPLIT.items()
    }
    metrics = _clean_metrics(job, logits)
    job.write_frame("predictions.parquet", _predictions(job, logits))
    log_curves(job, logits, facts["epochs_run"])
    evaluated = time.perf_counter()
    doing("estimating without target labels")
    from sweep.pipeline.blind_evaluation import evaluate_blind  # here: training starts without waiting for SciPy

    blind = evaluate_blind(as_trained, model, logits)
    blind.write(job)
    metrics |= blind.metrics
    judged = time.perf_counter()
    alarms: list[str] = []
    if job.attacks.threats and _attacked_splits(job):
        robustness, alarms = _attack(job, models)
        metrics |= robustness
    if job.attacks.acquisition:
        metrics |= acquisition.measure(job, _attacked_splits(job), models, attacked, _rows)
    if job.seed == 0:  # one gallery per configuration
        sample_images.write_trial(job, model, blind.samples)
    done = time.perf_counter()
    seconds = {
        "train": trained - begin,
        "evaluate": evaluated - trained,
        "pseudo_hospitals": judged - evaluated,
        "attack": done - judged,
        "total": done - begin,
    }
    result = {
        "signature": job.trial.signature,
        "seed": job.seed,
        "config": dict(job.trial.config),
        "study": dict(job.trial.cell),
        "metrics": {name: _finite(value) for name, value in metrics.items()},
        "alarms": alarms,
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "device": device_facts(job.device, resolved_precision(job.device, job.trial.config["precision"])),
        **facts,
        **blind.facts,
    }
    job.run.write(f"{job.folder}/{RESULT}", json.dumps(result, sort_keys=True).encode())
    return result


def trained_anew(job: TrainingJob) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Train without evaluation: the model files of a finished seed, and the facts of its training."""
    model, facts = _train(prepared(job))
    return _files(model), facts


def prepared(job: TrainingJob) -> TrainingJob:
    """The job with its labels resolved and its source images transformed as the configuration says."""
    return before_training(replace(job, folds=decided(job.folds, job.trial.config.get("uncertain"))))


def _trained(job: TrainingJob) -> tuple[Classifier, dict[str, Any]]:
    """The job's model: trained with other seeds, or the shared one where a stage of the run made it, else trained here, as in every replay."""
    if job.trained is not None:
        return _trained_together(job, job.trained)
    store, stage = ArtifactStore(job.run), model_stage(job.trial.config, job.data, job.seed)
    note = store.meta(stage)
    if not agreed(note is not None) or note is None:
        return _train(job)
    model = rebuilt(job.trial.config, job.data, job.seed, read_model(store, stage))
    for metrics in json.loads(store.read(stage, EPOCHS_FILE)):
        report_epoch(job, metrics)
    return model.to(job.device), {name: note[name] for name in TRAINING_FACTS if name in note}


def _trained_together(job: TrainingJob, trained: StackedSeed) -> tuple[Classifier, dict[str, Any]]:
    """The model of a seed that was trained in a stack; its epochs are reported now unless they were while it trained."""
    if isinstance(trained.outcome, Diverged):
        raise trained.outcome
    for metrics in trained.outcome.history:
        report_epoch(job if not trained.reported else replace(job, hooks=TrainingHooks()), metrics)
    return trained.model, facts_of(job, trained.outcome, trained.synthetic)


def report_epoch(job: TrainingJob, metrics: dict[str, Any], model: Classifier | None = None) -> None:
    """Report one epoch to TensorBoard and the engine; of a `model` in training with the objectives where its epoch is a rung."""
    if model is not None and job.leader and metrics["epoch"] in job.rungs.epochs:
        metrics = {**_at_rung(job, model), **metrics}
    for name, value in metrics.items():
        if name != "epoch" and isinstance(value, (int, float)):
            job.logbook.scalar(name, value, metrics["epoch"])
    if job.hooks.on_epoch:
        job.hooks.on_epoch(metrics)


def _train(job: TrainingJob) -> tuple[Classifier, dict[str, Any]]:
    inputs = training_inputs(job)
    return inputs.model, facts_of(job, _fitted(job, inputs), inputs.synthetic)


def _fitted(job: TrainingJob, inputs: TrainingInputs) -> FitResult:
    """The model trained by the loop, or its head alone on frozen features."""
    val, train = (job.folds["val"].images, job.folds["val"].labels), inputs.train
    hooks = replace(job.hooks, on_epoch=partial(report_epoch, job, model=inputs.model), reduce=mean_over_workers)
    with ExitStack() as stack:
        for batches in (inputs.batches, *([inputs.pretraining.batches] if inputs.pretraining else [])):
            stack.enter_context(closing(batches))
        options = FitOptions(
            job.device,
            inputs.labels,
            texture_loss(job.trial.config),
            job.state,
            capture=job.capture,
            pretraining=inputs.pretraining,
        )
        if inputs.recipe.procedure in FEATURE_HEADS:
            from sweep.training.feature_head import fit_head

            return fit_head(
                inputs.model, (train.images, train.labels), val, inputs.recipe, options=options, hooks=hooks
            )
        model = shared_by_all(inputs.model, job.device)
        seed = named_seed(job.seed, "fit")
        return fit(model, inputs.batches, val, inputs.recipe, seed=seed, options=options, hooks=hooks)


def facts_of(job: TrainingJob, outcome: FitResult, synthetic: int) -> dict[str, Any]:
    """What a record says of its training."""
    counts = {"real": len(job.folds["train"]), "synthetic": synthetic}
    facts = {"best_epoch": outcome.best_epoch, "epochs_run": outcome.epochs_run, "train_images": counts}
    if outcome.overfitting is not None:
        facts["overfitting"] = dict(outcome.overfitting)
    return facts | ({} if outcome.steps_ran == "eager" else {"steps_ran": outcome.steps_ran})


def _keep(job: TrainingJob, model: Classifier) -> None:
    for name, content in _files(model).items():
        job.run.write(f"{job.folder}/{name}", content)


def _files(model: Classifier) -> dict[str, bytes]:
    """The trained weights, and the colorizer by itself, so that another run can start from it."""
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    return {MODEL: save(state)} | ({COLORIZER: colorizer_bytes(model)} if has_learned_colorizer(model) else {})


def _clean_metrics(job: TrainingJob, logits: Mapping[str, np.ndarray]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    by_split = {
        split: _metrics_of(logits[split], job.folds[fold].labels, len(job.data.classes))
        for split, fold in FOLD_OF_SPLIT.items()
    }
    for split, values in by_split.items():
        metrics |= {f"{name}/{split}": value for name, value in values.items()}
        if job.data.multi_label or len(job.data.classes) > 2:
            fold = job.folds[FOLD_OF_SPLIT[split]]
            there = known(fold.labels)
            by_class = auroc_by_class(logits[split][there], fold.labels[there], fold.classes)
            metrics |= {f"{AUROC}/{split}/{name}": value for name, value in by_class.items()}
    return metrics | domain_gap(by_split["source"], by_split["target"])


def _metrics_of(logits: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, float]:
    """Metrics of the images whose label is known; NaN where there are none."""
    return classification_metrics(logits[known(labels)], labels[known(labels)], classes)


def _at_rung(job: TrainingJob, model: Classifier) -> dict[str, float]:
    """The objectives of a model in training at a rung: computed as at the end, but attacked on few images."""
    folds, models = after_training(job, model)
    under_changes = {name for name in job.rungs.metrics if name.startswith(ACQUISITION_METRICS)}
    clean = {name for name in job.rungs.metrics if not name.startswith(ROBUST)} - under_changes
    metrics: dict[str, float] = {}
    if clean:
        logits = {
            split: predict(models[split], folds[fold].images, _PREDICT_BATCH, job.device)
            for split, fold in FOLD_OF_SPLIT.items()
        }
        metrics = _clean_metrics(replace(job, folds=folds), logits)
        if any(name.startswith(PREDICTED) for name in clean):
            from sweep.pipeline.blind_evaluation import evaluate_blind

            metrics |= evaluate_blind(job, model, logits, alternatives=False).metrics
    if under_changes:
        splits = sorted({name.split("/")[1] for name in under_changes})
        metrics |= acquisition.at_rung(job, splits, folds, models, attacked)
    for name in set(job.rungs.metrics) - clean - under_changes:
        _, split, rest = name.split("/", 2)
        threat, eps = rest.rsplit("@", 1)
        fold = folds[FOLD_OF_SPLIT[split]]
        images, labels = tensors(fold, attacked(fold, job.rungs.images), job.device)
        threats = {key: row for key, row in _threats(job).items() if threat in (key, "worst")}
        metrics |= outcomes.metrics(
            epsilon_sweep(
                models[split],
                images,
                labels,
                threats,
                [eps],
                AttackOptions(seed=named_seed(job.seed, "rung"), capture=job.capture),
            ),
            split,
        )
    return {name: metrics[name] for name in job.rungs.metrics}


def _predictions(job: TrainingJob, logits: Mapping[str, np.ndarray]) -> pd.DataFrame:
    frames = [
        _rows(job, split, np.arange(len(logits[split]))).assign(logits=list(logits[split])) for split in FOLD_OF_SPLIT
    ]
    return pd.concat(frames, ignore_index=True)


def _rows(job: TrainingJob, split: str, chosen: np.ndarray) -> pd.DataFrame:
    fold = job.folds[FOLD_OF_SPLIT[split]]
    labels = {"labels": list(fold.labels[chosen])} if fold.multi_label else {"label": fold.labels[chosen]}
    columns = {
        "image_id": fold.ids[chosen],
        "group": fold.groups[chosen],
        "domain": fold.domain,
        "split": split,
        **labels,
        "seed": job.seed,
    }
    return pd.DataFrame(columns)


def attacked(fold: ImageSet, images: int | str) -> np.ndarray:
    """Which images of a fold are attacked: all, or the same random ones in every trial and seed."""
    order = rng(0, "attacked", fold.domain).permutation(len(fold))
    order = order[known(fold.labels[order])]  # an image of which nothing is known can neither stand nor fall
    return np.sort(order if images == "all" else order[: int(images)])


def _attacked_splits(job: TrainingJob) -> tuple[str, ...]:
    """The splits to attack in which some image has a known label: whether an attack succeeds is measured against it."""
    return tuple(split for split in job.attacks.splits if known(job.folds[FOLD_OF_SPLIT[split]].labels).any())


def _attack(job: TrainingJob, models: Mapping[str, Classifier]) -> tuple[dict[str, float], list[str]]:
    """Robustness on every attacked split: metrics, per-image outcomes on file, and the alarms that the outcomes raise."""
    metrics: dict[str, float] = {}
    frames, alarms = [], []
    for split in _attacked_splits(job):
        fold = job.folds[FOLD_OF_SPLIT[split]]
        chosen = attacked(fold, job.attacks.images)
        images, labels = tensors(fold, chosen, job.device)
        seed = named_seed(job.seed, "attack", split)
        outcome = epsilon_sweep(
            models[split],
            images,
            labels,
            _threats(job),
            list(job.attacks.eps),
            AttackOptions(seed=seed, mode=job.attacks.mode, capture=job.capture),
        )
        metrics |= outcomes.metrics(outcome, split)
        found = alarms_of(outcome)
        if job.seed == 0 and job.attacks.masking_images:
            few = slice(job.attacks.masking_images)
            found += check_masking(
                models[split], images[few], labels[few], battery=MaskingBattery(named_seed(job.seed, "masking", split))
            )
        alarms += [f"{split}: {alarm}" for alarm in dict.fromkeys(found)]
        for threat in outcome.threats:
            breaking = outcome.breaking_epsilon[threat].cpu().numpy()
            frames.append(_rows(job, split, chosen).assign(threat=threat, breaking_eps=breaking))
    job.write_frame("attacks.parquet", pd.concat(frames, ignore_index=True))
    return metrics, alarms


def _threats(job: TrainingJob) -> dict[str, str | Threat]:
    """Threats by name; transfer:RUN/SIGNATURE attacks that trial's model and tries the result here."""
    rows: dict[str, str | Threat] = {name: name for name in job.attacks.threats}
    for name in rows:
        if name.startswith(TRANSFER):
            surrogate = load_trained(name.removeprefix(TRANSFER), job.data).to(job.device)
            rows[name] = transfer_from(surrogate, name)
    return rows


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
