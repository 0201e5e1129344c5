"""The seeds of a trial trained as one stack give the records that seeds trained one after another give."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load

from sweep.core.errors import Diverged
from sweep.core.storage import Storage
from sweep.execution import worker_loop
from sweep.execution.job import Work
from sweep.execution.worker_loop import Preempted, WorkerContext, serve
from sweep.pipeline import stacked_seeds
from sweep.store.trial import MODEL, RESULT, STATE, Attacks, Trial
from tests.fakes.seed_job import seed_job

SEEDS = (0, 1, 2)


class SameFolds(dict):
    def seen_by(self, config):
        return self


def served(folder, stack_seeds, interrupted=None, **config):
    """What the worker loop tells its engine, and the run's storage."""
    job = seed_job(folder, epochs=2, augment="flip", **config)
    trial = Trial(job.trial.config, job.trial.data_hash, SEEDS)
    context = WorkerContext(Storage(folder), job.data, SameFolds(job.folds), interrupted=interrupted)
    said = []
    serve(Work(trial, Attacks(), stack_seeds=stack_seeds), context, lambda report: said.append(report) or True)
    return trial, context.run, said


def records(trial, run):
    return [json.loads(run.read(f"{trial.seed_folder(seed)}/{RESULT}")) for seed in SEEDS]


def test_records_and_reports_equal_those_of_seeds_trained_alone(tmp_path):
    trial, run, said = served(tmp_path / "stacked", 3)
    same, other, told = served(tmp_path / "alone", "off")
    assert [(one["kind"], one["seed"], one.get("epoch")) for one in said] == [
        (one["kind"], one["seed"], one.get("epoch")) for one in told
    ]
    for ours, theirs in zip(said, told, strict=True):
        for name in set(ours) & {"loss/train", "loss/source_val"}:
            assert ours[name] == pytest.approx(theirs[name], abs=1e-4)
    for seed, ours, theirs in zip(SEEDS, records(trial, run), records(same, other), strict=True):
        assert ours["steps_ran"] == "eager, 3 seeds stacked" and "steps_ran" not in theirs
        assert ours["best_epoch"] == theirs["best_epoch"] and ours["train_images"] == theirs["train_images"]
        assert ours["metrics"]["log_loss/target"] == pytest.approx(theirs["metrics"]["log_loss/target"], abs=1e-3)
        first, second = (load(one.read(f"{trial.seed_folder(seed)}/{MODEL}")) for one in (run, other))
        assert max(float((first[name].float() - second[name].float()).abs().max()) for name in first) < 5e-3


def test_stacks_of_two_serve_three_seeds_and_the_last_trains_alone(tmp_path, monkeypatch):
    sizes = []
    original = stacked_seeds._stack
    monkeypatch.setattr(stacked_seeds, "_stack", lambda jobs: sizes.append(len(jobs)) or original(jobs))
    trial, run, said = served(tmp_path, 2)
    assert sizes == [2] and [one["seed"] for one in said if one["kind"] == "finish"] == [0, 1, 2]
    assert ["steps_ran" in one for one in records(trial, run)] == [True, True, False]


def test_auto_leaves_seeds_alone_on_a_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(stacked_seeds, "_stack", lambda jobs: pytest.fail("stacked"))
    trial, run, _ = served(tmp_path, "auto")
    assert all("steps_ran" not in one for one in records(trial, run))


def test_what_cannot_be_stacked_trains_one_after_another_and_says_why(tmp_path):
    with pytest.warns(RuntimeWarning, match="seeds train one after another: adversarial training"):
        trial, run, said = served(tmp_path, 3, train_eps=0.01, train_attack="fgsm")
    assert [one["seed"] for one in said if one["kind"] == "finish"] == [0, 1, 2]
    assert all("steps_ran" not in one for one in records(trial, run))


def test_a_seed_that_diverges_fails_alone(tmp_path, monkeypatch):
    original = stacked_seeds.fit_stacked

    def one_diverges(models, *given, **options):
        done = original(models, *given, **options)
        return [done[0], Diverged("train", 3, float("nan")), done[2]]

    monkeypatch.setattr(stacked_seeds, "fit_stacked", one_diverges)
    _, _, said = served(tmp_path, 3)
    assert [(one["kind"], one["seed"]) for one in said if one["kind"] != "epoch"] == [
        ("finish", 0), ("failed", 1), ("finish", 2),
    ]  # fmt: skip
    assert said[[one["kind"] for one in said].index("failed")]["failure"] == "DIVERGED"


def test_a_preempted_stack_saves_every_seed_and_goes_on_to_the_same_records(tmp_path):
    trial, whole, _ = served(tmp_path / "whole", 3)
    asked = []

    def interrupted():
        asked.append(1)
        return len(asked) == 6

    with pytest.raises(Preempted):
        served(tmp_path / "stopped", 3, interrupted=interrupted)
    run = Storage(tmp_path / "stopped")
    assert all(run.exists(f"{trial.seed_folder(seed)}/{STATE}") for seed in SEEDS)
    served(tmp_path / "stopped", 3)
    for seed, ours, theirs in zip(SEEDS, records(trial, run), records(trial, whole), strict=True):
        assert ours["metrics"] == theirs["metrics"] and not run.exists(f"{trial.seed_folder(seed)}/{STATE}")


def test_the_estimate_of_memory_decides_how_many_are_stacked(tmp_path, monkeypatch):
    jobs = [replace(seed_job(tmp_path, seed=seed), device="cuda") for seed in SEEDS]
    inputs = stacked_seeds.training_inputs(replace(jobs[0], device="cpu"))
    monkeypatch.setattr(stacked_seeds, "training_inputs", lambda job: inputs)
    each = stacked_seeds.bytes_of_member(inputs.model, inputs.recipe.batch_size, 32)
    for free, wanted in ((each * 4.2, 2), (each * 20, 10)):
        monkeypatch.setattr(stacked_seeds.torch.cuda, "mem_get_info", lambda device, free=free: (int(free), 0))
        assert stacked_seeds._most(jobs, "auto") == wanted
    monkeypatch.setattr(stacked_seeds.torch.cuda, "mem_get_info", lambda device: (each * 3, 0))
    with pytest.raises(stacked_seeds.NotStackable, match="GB of the GPU are free"):
        stacked_seeds._most(jobs, "auto")


def test_cancelled_reports_end_the_stack(tmp_path):
    job = seed_job(tmp_path, epochs=2)
    trial = Trial(job.trial.config, job.trial.data_hash, SEEDS)
    context = WorkerContext(Storage(tmp_path), job.data, SameFolds(job.folds))
    said = []
    with pytest.raises(worker_loop.Cancelled):
        serve(
            Work(trial, Attacks(), stack_seeds=3),
            context,
            lambda report: said.append(report) or report["kind"] != "epoch",
        )
    assert len(said) == 1 and np.isfinite(said[0]["loss/train"])
