"""What a configuration says is what training is given; what training says is what the ledger holds."""

import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load

from sweep.config.hyperparameters import complete
from sweep.config.sweep_config import Resources
from sweep.core.storage import Storage
from sweep.execution import worker_loop
from sweep.execution.campaign_records import CampaignRecords
from sweep.execution.launch import Launch
from sweep.losses.glcm import GLCMLoss, KeptTargets
from sweep.pipeline import train_and_evaluate, training_inputs
from sweep.pipeline.adaptation import before_training
from sweep.pipeline.texture_loss import texture_loss
from sweep.store.ledger import Ledger, read_ledger
from sweep.training import fit as fitting
from sweep.training.adapt import grey_histogram
from sweep.training.hooks import TrainingHooks
from tests.fakes.seed_job import seed_job
from tests.fakes.tape import Tape

UNEQUAL = np.repeat([0, 1], [32, 8])


class Stop(Exception):
    pass


@pytest.fixture
def given(monkeypatch):
    """What `fit` is called with; nothing is trained."""
    seen = {}

    def fit(model, batches, val, recipe, **options):
        seen.update(vars(options["options"]), model=model, batches=batches, val=val, recipe=recipe)
        raise Stop

    monkeypatch.setattr(train_and_evaluate, "fit", fit)

    def of(job):
        with pytest.raises(Stop):
            train_and_evaluate.run_seed(job)
        return dict(seen)

    return of


@pytest.mark.parametrize("balanced", [False, True])
def test_balanced_sampling_reaches_the_batches(given, tmp_path, balanced):
    batches = given(seed_job(tmp_path, labels=UNEQUAL, balanced_sampling=balanced))["batches"]
    shares = [labels.float().mean().item() for epoch in range(4) for _, labels in batches(epoch)]
    assert (np.array(shares) == 0.5).all() if balanced else np.mean(shares) < 0.35


def test_classes_are_weighed_by_all_training_images_in_every_worker_and_seed(given, tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(training_inputs, "world_size", lambda: 2)
    for place in range(2):
        for seed in range(2):
            monkeypatch.setattr(training_inputs, "rank", lambda place=place: place)
            found.append(
                given(seed_job(tmp_path, labels=UNEQUAL, seed=seed, class_weighting="balanced", batch_size=12))[
                    "train_labels"
                ]
            )
    assert all(np.array_equal(labels, UNEQUAL) for labels in found)


def test_draws_that_are_balanced_already_are_not_weighed_again(given, tmp_path):
    labels = given(seed_job(tmp_path, labels=UNEQUAL, class_weighting="balanced", balanced_sampling=True))[
        "train_labels"
    ]
    assert np.bincount(labels).tolist() == [20, 20]


def test_the_weights_and_the_focus_of_a_sweep_config_are_those_of_its_loss(tmp_path, monkeypatch):
    objectives = []
    original = fitting.build_objective
    monkeypatch.setattr(
        fitting, "build_objective", lambda *given: objectives.append(original(*given)) or objectives[-1]
    )
    train_and_evaluate.run_seed(
        seed_job(tmp_path, labels=UNEQUAL, class_weighting="balanced", focal_gamma=1.5, label_smoothing=0.1)
    )
    (objective,) = objectives
    assert objective.class_weights.tolist() == pytest.approx([40 / (2 * 32), 40 / (2 * 8)])  # 0.625 and 2.5
    assert (objective.focal_gamma, objective.label_smoothing) == (1.5, 0.1)


def test_mixup_blends_inside_the_step(tmp_path, monkeypatch):
    from sweep.training import step

    alphas, original = [], step.mix
    monkeypatch.setattr(
        step,
        "mix",
        lambda inputs, target, alpha, generator: alphas.append(alpha) or original(inputs, target, alpha, generator),
    )
    train_and_evaluate.run_seed(seed_job(tmp_path, mixup=0.3))
    assert alphas == [0.3] * 4
    train_and_evaluate.run_seed(seed_job(tmp_path / "plain"))
    assert len(alphas) == 4


def test_the_texture_loss_is_set_as_the_sweep_config_says():
    texture = {"colorizer": "matching", "glcm_weight": 0.1}
    plain = texture_loss(complete(texture))
    assert (plain.levels, plain.window, plain.gap_unit, plain.times) == (32, 20, 31, 2) and (0, 3) in plain.offsets
    loss = texture_loss(
        complete(
            {
                **texture,
                "glcm_levels": 64,
                "glcm_window": 0,
                "glcm_normalised": False,
                "glcm_orientations": 4,
                "glcm_distance": 1,
            }
        )
    )
    assert (
        isinstance(loss, GLCMLoss)
        and (loss.levels, loss.window, loss.gap_unit, loss.times) == (64, None, 1, 1)
        and (0, 1) in loss.offsets
    )
    assert isinstance(texture_loss(complete({**texture, "augment": "none"})), KeptTargets)
    assert texture_loss(complete({"glcm_weight": 0.1})) is None  # nothing to compare without a learned colorizer


def test_training_on_the_target_s_grey_levels_leaves_the_target_as_it_is(given, tmp_path):
    plain, matched = given(seed_job(tmp_path)), given(seed_job(tmp_path, adapt="histogram_to_target"))
    job = before_training(seed_job(tmp_path, adapt="histogram_to_target"))
    target = seed_job(tmp_path).folds["target"].images
    levels = np.arange(256)
    mean = lambda images: float(grey_histogram(images) @ levels)
    assert abs(mean(plain["val"][0]) - mean(target)) > 20
    for images in (
        matched["val"][0],
        job.folds["train"].images,
        job.folds["test"].images,
        job.image_transform(np.array(plain["val"][0])),
    ):
        assert mean(images) == pytest.approx(mean(target), abs=3)
    assert np.array_equal(job.folds["target"].images, target)
    (batch, _), *_ = matched["batches"](0)
    assert batch.float().mean().item() == pytest.approx(mean(target), abs=6)


def test_synthetic_images_get_the_target_s_grey_levels_with_the_real_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(training_inputs, "pool_stages", lambda *_: {0: None, 1: None})
    monkeypatch.setattr(
        training_inputs,
        "read_pool",
        lambda store, stage, px, count: np.random.default_rng(0).integers(200, 256, (count, px, px)).astype(np.uint8),
    )
    brightness = []
    for way in ("none", "histogram_to_target"):
        job = seed_job(tmp_path, synthetic_per_real=1, adapt=way)
        mixed = training_inputs._mixed(before_training(job))
        brightness.append(mixed.images[mixed.synthetic].mean())
    assert brightness[0] > 220 and brightness[1] < 120


def test_a_loss_that_is_not_a_number_is_in_the_ledger_with_its_optimiser_step(tmp_path):
    job = seed_job(tmp_path, lr=100.0, optimizer="sgd", grad_clip=0.0, schedule="none", epochs=20)
    said = []
    assert not worker_loop._settled(job, lambda report: said.append(report) or True)
    (report,) = [one for one in said if one["kind"] == "failed"]
    assert report["failure"] == "DIVERGED" and ("at step" in report["reason"])
    event = _in_the_ledger(tmp_path, job, report)
    assert (event["kind"], event["reason"]) == ("DIVERGED", report["reason"])


def test_logits_that_are_not_finite_on_validation_are_in_the_ledger_too(tmp_path, monkeypatch):
    job = seed_job(tmp_path)
    original = training_inputs.build

    def build(*given):
        model = original(*given)
        model.head.register_forward_hook(
            lambda module, _inputs, logits: logits if module.training else logits * float("nan")
        )
        return model

    monkeypatch.setattr(training_inputs, "build", build)
    said = []
    worker_loop._settled(job, lambda report: said.append(report) or True)
    assert said[-1]["failure"] == "DIVERGED" and "validation: loss is nan at step 4" in said[-1]["reason"]
    assert _in_the_ledger(tmp_path, job, said[-1])["kind"] == "DIVERGED"
    assert not job.run.exists(f"{job.folder}/result.json")


@pytest.mark.parametrize(("way", "ran"), [("auto", "captured"), ("off", "eager")])
def test_resources_capture_decides_whether_steps_are_recorded(tmp_path, monkeypatch, way, ran):
    monkeypatch.setattr("sweep.training.fit.recorder_for", lambda device: Tape())
    job = seed_job(tmp_path)
    work = Launch(job.attacks, str(tmp_path), Resources(capture=way), 1).work(job.trial)
    folds = SimpleNamespace(seen_by=lambda config: job.folds)
    context = worker_loop.WorkerContext(job.run, job.data, folds)
    found = worker_loop._training_job(work, job.seed, context, lambda report: True)
    assert train_and_evaluate.run_seed(found).get("steps_ran", "eager") == ran


def _in_the_ledger(folder, job, report):
    """The event that a worker's report becomes."""
    run = Storage(folder)
    campaign = SimpleNamespace(settle=lambda *_: None, expected_records=1, candidates={})
    progress = SimpleNamespace(on_failed=lambda event: None, total=0)
    CampaignRecords(run, ledger := Ledger(run), progress, campaign, SimpleNamespace()).take(job.trial, report)
    ledger.flush()
    return read_ledger(run).failed()[job.trial.signature, job.seed]


def test_the_best_weights_of_a_seed_are_what_it_keeps(tmp_path):
    job = seed_job(tmp_path, epochs=3, lr=5e-3)
    result = train_and_evaluate.run_seed(job)
    kept = load(job.run.read(f"{job.folder}/model.safetensors"))
    states = []
    again = replace(seed_job(tmp_path / "again", epochs=3, lr=5e-3), hooks=TrainingHooks(save_state=states.append))
    train_and_evaluate.run_seed(again)
    best = torch.load(io.BytesIO(states[-1]), weights_only=True)["progress"]
    assert best["best_epoch"] == result["best_epoch"]
    assert all(torch.equal(value, kept[name]) for name, value in best["best_weights"].items())
