"""Trained seeds of configurations with different adaptations in a run folder, and one of them exported as an ensemble of two seeds."""

from types import SimpleNamespace

import pytest

from sweep.config.hyperparameters import complete
from sweep.config.sweep_config import DataSection
from sweep.core.storage import Storage
from sweep.data.datasets import FOLDS, prepare
from sweep.export import main as export
from sweep.pipeline.train_and_evaluate import run_seed
from sweep.pipeline.training_job import TrainingJob
from sweep.store.ledger import Ledger
from sweep.store.trial import Attacks, Trial

BASE = {"backbone": "small_cnn", "epochs": 2, "batch_size": 16, "lr": 0.003}
SEEDS = {  # adaptation -> seeds
    "none": (0, 1), "histogram": (0, 1), "batch_norm": (1,), "batch_norm_mixed": (1,), "entropy": (1,),
}  # fmt: skip


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Run folder, data, and the signature of the trial of each adaptation."""
    place = tmp_path_factory.mktemp("deployment") / "run"
    storage = Storage(place)
    data = prepare(DataSection(source="phantom-a", target="phantom-b", image_px=32, phantom_patients=24), storage)
    folds, ledger, signatures = {fold: data.read(fold) for fold in FOLDS}, Ledger(storage), {}
    for adapt, seeds in SEEDS.items():
        trial = Trial(complete({**BASE, "adapt": adapt}), data.hash, seeds)
        signatures[adapt] = trial.signature
        for seed in seeds:
            ledger.append({"event": "finish", **run_seed(TrainingJob(trial, seed, data, folds, Attacks(), storage))})
    ledger.flush()
    return SimpleNamespace(place=place, data=data, signatures=signatures)


@pytest.fixture(scope="session")
def exported(run, tmp_path_factory):
    """Folder of an exported ensemble."""
    out = tmp_path_factory.mktemp("exported") / "model"
    assert export([str(run.place), run.signatures["none"], str(out), "--seeds", "all"]) == 0
    return out


@pytest.fixture(scope="session")
def pictures(run, tmp_path_factory):
    """The target's images as PNG files named by patient and id: folder, and file name -> image id."""
    from PIL import Image

    from sweep.shards.reader import read_images, read_metadata

    folder = tmp_path_factory.mktemp("pictures")
    rows = read_metadata(run.data.target)
    px = int(rows["width"].max())
    stored = read_images(run.data.target, px, fit="pad")
    assert (rows["width"] == px).all() and (rows["height"] == px).all()
    names = {}
    for number, (image_id, patient, pixels) in enumerate(zip(stored.ids, rows["patient"], stored.images, strict=True)):
        name = f"{patient}_{number}.png"
        Image.fromarray(pixels).save(folder / name)
        names[name] = str(image_id)
    return folder, names
