"""One configuration and seed without Ray: the same job gives the same numbers, whatever ran before it."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch
from safetensors.torch import load

from sweep.config.hyperparameters import complete
from sweep.config.sweep_config import DataSection
from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.data.datasets import FOLDS, prepare
from sweep.pipeline.train_and_evaluate import run_seed
from sweep.pipeline.training_job import TrainingJob
from sweep.planning.preflight import check_models, with_file_identities
from sweep.store.trial import Attacks, Trial
from sweep.training.hooks import TrainingHooks

torch.set_num_threads(1)
BASE = {"backbone": "small_cnn", "epochs": 2, "batch_size": 16, "lr": 0.002}
ATTACKS = Attacks(("fgsm",), ("1/255", "8/255"), 8, ("target",))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    run = Storage(tmp_path_factory.mktemp("run"))
    data = prepare(DataSection(source="phantom-a", target="phantom-b", image_px=32, phantom_patients=40), run)
    return run, data, {fold: data.read(fold) for fold in FOLDS}


def job(prepared, seed=0, run=None, **config):
    own, data, folds = prepared
    trial = Trial(with_file_identities(complete({**BASE, **config})), data.hash, (seed,))
    return TrainingJob(trial, seed, data, folds, ATTACKS, run or own)


def test_first_and_later_runs_of_a_job_are_bit_equal(prepared, tmp_path):
    first = run_seed(job(prepared))
    run_seed(job(prepared, seed=1, colorizer="matching"))
    torch.manual_seed(123)
    again = run_seed(job(prepared, run=Storage(tmp_path)))
    assert first["metrics"] == again["metrics"]
    folder = job(prepared).folder
    kept = [load(storage.read(f"{folder}/model.safetensors")) for storage in (prepared[0], Storage(tmp_path))]
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


def test_interrupted_seed_goes_on_exactly(prepared, tmp_path):
    whole = run_seed(job(prepared, epochs=3))
    states = []
    hooks = TrainingHooks(save_state=states.append)
    run_seed(replace(job(prepared, run=Storage(tmp_path), epochs=3), hooks=hooks))
    resumed = replace(job(prepared, run=Storage(tmp_path / "again"), epochs=3), state=states[0])
    assert run_seed(resumed)["metrics"] == whole["metrics"]


def test_colour_module_of_one_trial_starts_another(prepared, tmp_path):
    run, data, _ = prepared
    first = job(prepared, colorizer="matching")
    run_seed(first)
    taken = load(run.read(f"{first.folder}/colorizer.safetensors"))
    second = job(
        prepared,
        colorizer="matching",
        colorizer_from=f"{run.local}/{first.trial.signature}",
        procedure="head_only",
        epochs=1,
    )
    assert (
        second.trial.signature != job(prepared, colorizer="matching", procedure="head_only", epochs=1).trial.signature
    )
    run_seed(second)
    kept = load(run.read(f"{second.folder}/colorizer.safetensors"))
    assert all(torch.equal(taken[name], kept[name]) for name in taken)  # head_only leaves the module as it came
    absent = job(prepared, colorizer="matching", colorizer_from=str(tmp_path / "no" / "trial"))
    with pytest.raises(InputError, match="name RUN/SIGNATURE or RUN/SIGNATURE/seed-K of a finished trial"):
        check_models("sweep_config", [absent.trial], data)


def test_attack_from_another_trial_s_model(prepared):
    run, data, _ = prepared
    first = job(prepared, seed=0)
    if not run.exists(f"{first.folder}/model.safetensors"):
        run_seed(first)
    name = f"transfer:{run.local}/{first.trial.signature}"
    second = job(prepared, lr=0.004)
    second = replace(second, attacks=Attacks((name, "noise"), ("8/255", "32/255"), 8, ("target",)))
    metrics = run_seed(second)["metrics"]
    assert metrics[f"robust_accuracy/target/{name}@32/255"] <= metrics["robust_accuracy/target/noise@32/255"]
    with pytest.raises(InputError, match="no trained model"):
        check_models("sweep_config", [], data, [f"transfer:{run.local}/nobody"])


@pytest.mark.parametrize("way", ["batch_norm", "histogram"])
def test_source_free_help_changes_the_target_alone(prepared, way):
    plain, helped = run_seed(job(prepared))["metrics"], run_seed(job(prepared, adapt=way))["metrics"]
    assert plain["auroc/source"] == helped["auroc/source"]
    assert plain["log_loss/target"] != helped["log_loss/target"]


def test_tensorboard_reads_curves_images_and_precision_recall(prepared):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, _, _ = prepared
    ours = job(prepared, lr=0.001)
    run_seed(ours)
    events = EventAccumulator(str(run.local / "tensorboard" / ours.trial.signature / "seed-0"))
    events.Reload()
    tags = events.Tags()
    assert len(events.Scalars("loss/train")) == 2
    assert "samples/target" in tags["images"] and "pr/target" in tags["tensors"]


def test_result_is_written_last_and_outcomes_are_whole(prepared):
    run, data, _ = prepared
    ours = job(prepared)
    result = run_seed(ours)
    assert json.loads(run.read(f"{ours.folder}/result.json"))["metrics"] == result["metrics"]
    predictions = pd.read_parquet(run.local / ours.folder / "predictions.parquet")
    assert len(predictions) == sum(len(data.fold(fold)) for fold in ("val", "test", "target"))
    attacks = pd.read_parquet(run.local / ours.folder / "attacks.parquet")
    by_hand = (attacks["breaking_eps"] > 1 / 255).mean()
    assert result["metrics"]["robust_accuracy/target/fgsm@1/255"] == pytest.approx(by_hand)


def test_the_sweep_config_chooses_the_engine_s_mode(prepared, monkeypatch):
    from sweep.config.sweep_config import SweepConfig
    from sweep.pipeline import train_and_evaluate
    from sweep.planning.plan import attacks_of

    asked = {
        "name": "q",
        "data": {"source": "phantom-a", "target": "phantom-b"},
        "threats": {"attacks": ["fgsm"], "eps": ["1/255"], "mode": "fast"},
    }
    assert attacks_of(SweepConfig.model_validate(asked)).mode == "fast" and Attacks().mode == "exact"
    modes, engine = [], train_and_evaluate.epsilon_sweep
    monkeypatch.setattr(
        train_and_evaluate,
        "epsilon_sweep",
        lambda *args: modes.append(args[-1].mode) or engine(*args),
    )
    ours = job(prepared, epochs=1)
    ours = replace(ours, attacks=Attacks(("fgsm",), ("1/255",), 4, ("target",), mode="fast"))
    run_seed(ours)
    assert modes == ["fast"]


def test_smaller_training_sets_lie_in_larger_ones_and_leave_the_rest_alone(prepared, tmp_path):
    _, data, folds = prepared
    small, large = data.seen_by({"train_images": 16}), data.seen_by({"train_images": 32})
    ids = [set(view.fold("train")["image_id"]) for view in (small, large, data)]
    assert ids[0] < ids[1] < ids[2] and [len(one) for one in ids[:2]] == [16, 32]
    assert [min(view.class_counts("train")) for view in (small, large)] == [6, 12]  # as in the whole fold: 22 of 57
    assert len({small.hash, large.hash, data.hash}) == 3
    assert all(small.fold_hash(fold) == data.fold_hash(fold) for fold in ("val", "test", "target"))
    with pytest.raises(InputError, match="100000 asked for, the training fold holds"):
        data.seen_by({"train_images": 100_000})
    ours = job(prepared, run=Storage(tmp_path), epochs=1, train_images=16)
    ours = replace(ours, data=small, folds={**folds, "train": small.read("train")})
    assert run_seed(ours)["train_images"] == {"real": 16, "synthetic": 0}
