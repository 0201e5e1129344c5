"""What trials share, computed without Ray: pools that leak or cannot be filled are refused, models are trained for both who want them."""

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load

from sweep.config.hyperparameters import complete
from sweep.config.sweep_config import DataSection
from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.data.datasets import DIRECTIONS, FOLDS, prepare
from sweep.pipeline import compute_stages, synthetic_pools, train_and_evaluate
from sweep.pipeline.stages import (
    GENERATOR_FILE,
    donor_stage,
    generator_stages,
    labeller_stage,
    model_stage,
    own_models,
    pool_stages,
    read_pool,
    shared_models,
)
from sweep.pipeline.train_and_evaluate import run_seed
from sweep.pipeline.training_job import TrainingJob, build
from sweep.shards.mixing import synthetic_counts
from sweep.store.artifact_store import ArtifactStore, Stage, with_dependencies
from sweep.store.trial import COLORIZER, MODEL, RESULT, Attacks, Trial
from sweep.synth.train import train_generator
from sweep.synth.watch import Collapsed
from sweep.training.hooks import TrainingHooks

torch.set_num_threads(1)
BASE = {
    "backbone": "small_cnn",
    "epochs": 2,
    "batch_size": 16,
    "lr": 0.002,
    "synthetic_per_real": 1,
    "generator": "cgan",
    "generator_networks": "shared",
    "generator_px": 32,
    "generator_steps": 4,
    "generator_width": 4,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare(
        DataSection(source="phantom-a", target="phantom-b", image_px=32, phantom_patients=40),
        Storage(tmp_path_factory.mktemp("data")),
    )


@pytest.fixture
def store(data, tmp_path):
    run = Storage(tmp_path)
    data.save(run, {})
    return ArtifactStore(run)


RELABELLED = {"relabel": "pseudo", "epochs": 1}


@pytest.fixture
def opinionated(monkeypatch):
    """A model that takes the brighter half of all images for malignant, whatever it learned: a generator of four steps convinces none."""

    def by_brightness(model, images, *how):
        brightness = images.mean((1, 2))
        return np.stack([np.median(brightness) - brightness, brightness - np.median(brightness)], 1)

    monkeypatch.setattr(synthetic_pools, "predict", by_brightness)


def config(**changes):
    return complete({**BASE, **changes})


def have(store, *stages):
    """Compute stages with all that they need; how many of each kind were not there."""
    made = []
    for stage in with_dependencies(stages):
        if store.meta(stage) is None:
            store.compute(stage, compute_stages.STAGES[stage.kind])
            made.append(stage.kind)
    return sorted(made)


def job(store, data, seed=0, **changes):
    return TrainingJob(
        Trial(config(**changes), data.hash, (seed,)),
        seed,
        data,
        {fold: data.read(fold) for fold in FOLDS},
        Attacks(),
        store.run,
    )


def test_pool_is_the_generator_s_images_and_says_what_they_are_worth(store, data):
    pools = pool_stages(config(), data, 0)
    assert have(store, *pools.values()) == ["generator", "pool", "pool"]
    facts = store.meta(pools[1])
    assert (facts["class"], facts["generator"], facts["images"], facts["drawn"], facts["held_out_copies"]) == (
        "malignant",
        "cgan",
        64,
        64,
        0,
    )
    for figures in (facts["quality"], facts["quality_of_real"]):
        assert figures["kid_low/texture"] <= figures["kid/texture"] <= figures["kid_high/texture"]
    for figure in ("kid/texture", "frechet/radiomics"):
        assert facts["quality"][figure] > facts["quality_of_real"][figure], figure
    assert 0 <= facts["real_copy_rate"] <= 1
    assert np.array_equal(read_pool(store, pools[1], 32, 5), read_pool(store, pools[1], 32)[:5])
    assert read_pool(store, pools[1], 48, 0).shape == (0, 48, 48)
    assert store.meta(generator_stages(config(), data)[None])["last_check"]["step"] == 4


def test_generator_that_saw_a_test_image_is_refused(store, data):
    pool = pool_stages(config(), data, 0)[0]
    train, test = data.read("train", 32), data.read("test", 32)
    images, labels = np.concatenate([train.images, test.images[:2]]), np.concatenate([train.labels, test.labels[:2]])
    leaking = train_generator("cgan", images, labels, num_classes=2, settings={"steps": 1, "width": 4}, seed=0)
    store.compute(
        pool.dependencies[0], lambda stage, store: store.write(stage, GENERATOR_FILE, leaking.to_bytes()) or {}
    )
    with pytest.raises(
        InputError, match=r"seen 2 images outside the training fold \(2 in test\); its images would leak"
    ):
        have(store, pool)
    assert store.meta(pool) is None


def test_copies_of_held_out_images_are_counted(store, data):
    pool = pool_stages(config(), data, 0)[0]
    test = data.read("test", 32).images

    class Copying:
        name, image_px, seen = "copying", 32, frozenset()

        def stream(self, n, **where):
            yield from (test[np.arange(start, start + 32) % len(test)] for start in range(0, n, 32))

    have(store, pool.dependencies[0])
    sieve = synthetic_pools.Sieve(
        synthetic_pools.Originals(data.read("train", 32).images), synthetic_pools.Compared(test), False, None
    )
    list(
        synthetic_pools._chosen(
            pool, synthetic_pools._in_blocks(synthetic_pools._candidates(pool, store, Copying()), 64), sieve
        )
    )
    assert sieve.held_out_copies > 32


def test_pools_of_the_narrow_search_for_copies_keep_their_names(data):
    def inputs(**chosen):
        return pool_stages(config(**chosen), data, 0)[0].inputs

    assert inputs(drop_copies=True)["copy_views"] == "all"
    assert "copy_views" not in inputs(drop_copies=True, copy_views="shifted") and "copy_views" not in inputs()


def test_pool_that_cannot_be_filled_ends_with_its_reason(store, data):
    pool = pool_stages(config(drop_copies=True), data, 0)[1]
    train = data.read("train", 32).images
    sieve = synthetic_pools.Sieve(
        synthetic_pools.Originals(train), synthetic_pools.Compared(train), True, lambda block: np.arange(3)
    )
    with pytest.raises(
        Collapsed, match=r"pool of malignant: of 160 images drawn, 160 copy .* takes 48 for malignant; choose another"
    ):
        list(synthetic_pools._chosen(pool, (train[:10] for _ in range(16)), sieve))


@pytest.mark.extended
def test_pool_is_never_in_memory_as_a_whole(store, data, monkeypatch):
    pool = pool_stages(config(), data, 0)[0]
    have(store, *pool.dependencies)
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 32), dtype=np.uint8)
    monkeypatch.setattr(synthetic_pools, "_JUDGED", {"texture": 64, "radiomics": 64})
    monkeypatch.setattr(synthetic_pools.TrainedGenerator, "stream", lambda *where, **more: (noise for _ in range(1000)))
    count = 8192
    big = Stage(pool.kind, pool.version, {**pool.inputs, "images": count}, pool.dependencies)
    tracemalloc.start()
    store.compute(big, compute_stages.STAGES["pool"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read_pool(store, big, 32).shape == (count, 32, 32)
    assert peak < 0.6 * count * 32 * 32


def test_relabelled_pool_holds_what_the_real_only_model_takes_for_its_class(store, data, opinionated):
    ours = config(**RELABELLED)
    pools = pool_stages(ours, data, 0)
    assert have(store, *pools.values()) == ["generator", "pool", "pool", "pool", "pool", "shared_model"]
    assert have(store, *pool_stages(ours, data, 1).values()) == [
        "pool",
        "pool",
        "shared_model",
    ]  # another seed's model judges the same images
    kept, candidates = read_pool(store, pools[0], 32), read_pool(store, pools[0].dependencies[1], 32)
    brighter = np.concatenate(
        [half.mean((1, 2)) < np.median(half.mean((1, 2))) for half in (candidates[:64], candidates[64:])]
    )
    assert np.array_equal(kept, candidates[brighter][:64])
    assert store.meta(pools[0])["agreement"] == 0.5


def test_relabelling_keeps_counts_and_balance(store, data, opinionated):
    have(store, *pool_stages(config(**RELABELLED), data, 0).values())
    result = run_seed(job(store, data, **RELABELLED))
    counts = synthetic_counts(data.fold("train")["label"].to_numpy(), 1)
    assert result["train_images"] == {"real": len(data.fold("train")), "synthetic": sum(counts.values())}


def test_model_made_for_others_is_taken_over_by_its_own_trial(store, data, monkeypatch, tmp_path):
    ours = {"synthetic_per_real": 0}
    trained = run_seed(job(ArtifactStore(Storage(tmp_path / "alone")), data, **ours))
    have(store, model_stage(config(**ours), data, 0))
    monkeypatch.setattr(train_and_evaluate, "fit", None)  # nothing is trained any more
    told = []
    taken = run_seed(replace(job(store, data, **ours), hooks=TrainingHooks(on_epoch=told.append)))
    assert taken["metrics"] == trained["metrics"] and taken["best_epoch"] == trained["best_epoch"]
    assert [epoch["epoch"] for epoch in told] == [1, 2]


def test_synthetic_images_are_judged_by_a_model_that_learnt_their_own_look(data):
    judges = {
        way: labeller_stage(config(relabel="pseudo", adapt=way), data, 0)
        for way in ("none", "histogram_to_target", "batch_norm")
    }
    assert judges["histogram_to_target"] == judges["none"] != judges["batch_norm"]


def test_model_of_a_finished_trial_is_taken_over_by_the_stage(store, data, monkeypatch):
    done = job(store, data, synthetic_per_real=0)
    run_seed(done)
    monkeypatch.setattr(train_and_evaluate, "fit", None)
    stage = labeller_stage(config(relabel="pseudo"), data, 0)
    assert have(store, stage) == ["shared_model"]
    kept = store.run.read(f"{done.folder}/{MODEL}")
    assert store.read(stage, MODEL) == kept and load(kept)
    assert store.meta(stage)["epochs_run"] == json.loads(store.run.read(f"{done.folder}/{RESULT}"))["epochs_run"]


def test_only_models_that_somebody_takes_are_made_as_stages(data):
    real = Trial(config(synthetic_per_real=0), data.hash, (0, 1))
    other = Trial(config(synthetic_per_real=0, lr=0.1), data.hash, (0,))
    taker = Trial(config(relabel="pseudo"), data.hash, (0,))
    wanted = shared_models([real, other, taker], data)
    assert [stage.inputs["seed"] for stage in own_models(real, data, wanted)] == [0]
    assert own_models(other, data, wanted) == [] == own_models(taker, data, wanted)
    assert shared_models([real, other], data) == frozenset()


def test_looking_on_changes_no_generator_unless_it_stops_on_what_it_sees(data):
    def names(**changes):
        return generator_stages(config(**changes), data)[None].hash

    assert names() == names(generator_check_every=2)
    assert len({names(), names(generator_patience=1), names(generator_patience=1, generator_check_every=2)}) == 3
    assert names(generator_lr=0.0002) == names() != names(generator_lr=0.001)
    settings = generator_stages(config(generator_lr=0.001, generator_lipschitz="gp"), data)[None].inputs["settings"]
    assert (settings["lr"], settings["critic_lr"], settings["lipschitz"]) == (0.001, 0.002, "gp")


def test_training_is_watched_and_stops_on_kid(store, data, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from sweep.synth import watch

    distances = iter([3.0, 1.0, 2.0, 2.5, 0.5])
    monkeypatch.setattr(watch.Watch, "_distance", lambda self, samples: {self._kid: next(distances)})
    stage = generator_stages(config(generator_steps=50, generator_check_every=10, generator_patience=2), data)[None]
    have(store, stage)
    assert store.meta(stage)["last_check"]["step"] == 40
    events = EventAccumulator(str(store.run.local / "tensorboard" / f"cgan-{stage.hash}"))
    events.Reload()
    assert [point.step for point in events.Scalars("kid/texture+layout")] == [10, 20, 30, 40]
    assert [point.step for point in events.Scalars("critic_gap")] == [10, 20, 30, 40]
    assert len(events.Scalars("loss/critic")) == len(events.Scalars("loss/generator")) == 4
    assert [image.step for image in events.Images("samples")] == [10, 20, 30, 40]


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory):
    section = DataSection(source="phantom-a", target="phantom-b", image_px=32, phantom_patients=40)
    return prepare(section, Storage(tmp_path_factory.mktemp("both")), DIRECTIONS)


def test_colour_module_of_the_other_hospital_starts_this_one(both_ways, tmp_path):
    store = ArtifactStore(Storage(tmp_path))
    both_ways.save(store.run, {})
    ours = {
        "synthetic_per_real": 0,
        "colorizer": "pixelshuffle",
        "colorizer_from": "other_domain",
        "procedure": "head_only",
        "epochs": 1,
    }
    donor = donor_stage(config(**ours), both_ways, 0)
    assert donor == model_stage(
        config(**{**ours, "colorizer_from": None, "direction": "target_to_source"}), both_ways, 0
    )
    assert have(store, donor) == ["shared_model"]
    run_seed(job(store, both_ways, **ours))
    handed = load(store.read(donor, COLORIZER))
    kept = load(store.run.read(f"{job(store, both_ways, **ours).folder}/{COLORIZER}"))
    assert all(torch.equal(handed[name], kept[name]) for name in handed)  # head_only leaves the module as it came
    there = Trial(
        config(**{**ours, "colorizer_from": None, "direction": "target_to_source"}),
        both_ways.directed("target_to_source").hash,
        (0,),
    )
    assert own_models(there, both_ways, shared_models([Trial(config(**ours), both_ways.hash, (0,))], both_ways)) == [
        donor
    ]


def test_a_colorizer_that_learns_nothing_takes_nothing_from_the_other_hospital(both_ways):
    settings = {"synthetic_per_real": 0, "colorizer": "decomposition"}
    assert config(**settings, colorizer_from="other_domain") == config(**settings)
    with pytest.raises(InputError, match="other_domain: the colorizer has no weights to hand on"):
        build({**config(**settings), "colorizer_from": "other_domain"}, both_ways, 0)
