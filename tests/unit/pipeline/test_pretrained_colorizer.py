"""A colour module is found by trial, by seed and by file, inside a run, an export or anywhere else."""

import pytest
import torch
from safetensors.torch import save_file

from sweep.config.hyperparameters import complete
from sweep.core.errors import InputError, InputErrors
from sweep.core.storage import Storage
from sweep.pipeline.pretrained_colorizer import colorizer_file, read_colorizer_file
from sweep.pipeline.training_job import build
from sweep.planning.preflight import check_models, with_file_identities
from sweep.store.trial import Trial
from sweep.training.transfer import colorizer_bytes
from tests.fakes.seed_job import FakeData

SIGNATURE = "3f2a91c04b7e"
MATCHING = {"colorizer": "matching"}


def trained(value):
    """A classifier whose colour module can be told from all others."""
    model = build(complete(MATCHING), FakeData(), 0)
    torch.nn.init.constant_(model.colorizer.map.weight, value)
    return model


@pytest.fixture
def run(tmp_path):
    storage = Storage(tmp_path / "run")
    for seed in (0, 3):
        storage.write(f"trials/{SIGNATURE}/seed-{seed}/colorizer.safetensors", colorizer_bytes(trained(seed + 1.0)))
    return storage


def started_from(reference):
    config = with_file_identities(complete({**MATCHING, "colorizer_from": str(reference)}))
    return build(config, FakeData(), 0).colorizer.map.weight.flatten().tolist(), Trial(config, "h", (0,)).signature


def test_a_trial_names_its_first_seed_and_a_seed_itself(run):
    first, third = f"{run.url}/trials/{SIGNATURE}/seed-0", f"{run.url}/trials/{SIGNATURE}/seed-3"
    for reference in (
        f"{run.url}/{SIGNATURE}",
        f"{run.url}/{SIGNATURE}/seed-0",
        first,
        f"{first}/colorizer.safetensors",
    ):
        assert started_from(reference)[0] == [1.0] * 3, reference
    for reference in (f"{run.url}/{SIGNATURE}/seed-3", third):
        assert started_from(reference)[0] == [4.0] * 3, reference
    assert colorizer_file(colorizer_file(third)) == colorizer_file(third)


def test_the_content_is_the_identity_and_not_the_place(run, tmp_path):
    (tmp_path / "moved.safetensors").write_bytes(run.read(f"trials/{SIGNATURE}/seed-0/colorizer.safetensors"))
    signatures = [
        started_from(reference)[1]
        for reference in (f"{run.url}/{SIGNATURE}", tmp_path / "moved.safetensors", f"{run.url}/{SIGNATURE}/seed-3")
    ]
    assert signatures[0] == signatures[1] != signatures[2]


def test_a_whole_model_s_file_gives_its_colour_module(tmp_path):
    save_file(dict(trained(7.0).state_dict()), tmp_path / "model.safetensors")
    assert started_from(tmp_path / "model.safetensors")[0] == [7.0] * 3


def test_a_url_is_a_place_like_any_other(run):
    assert started_from(f"file://{run.local}/{SIGNATURE}/seed-3")[0] == [4.0] * 3
    assert (
        colorizer_file(f"s3://bucket/results/a/{SIGNATURE}?region=x")
        == f"s3://bucket/results/a/trials/{SIGNATURE}/seed-0/colorizer.safetensors?region=x"
    )


@pytest.mark.parametrize("reference", [f"{SIGNATURE}/seed-9", "nobody", "module.safetensors"])
def test_what_is_not_there_is_named_before_anything_runs(run, reference):
    trial = Trial(with_file_identities(complete({**MATCHING, "colorizer_from": f"{run.url}/{reference}"})), "h", (0,))
    with pytest.raises(InputErrors, match="no colorizer at .*safetensors; name RUN/SIGNATURE or RUN/SIGNATURE/seed-K"):
        check_models("sweep_config", [trial], FakeData())


def test_a_file_of_another_colorizer_is_refused(run, tmp_path):
    save_file({"texture.0.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="other.safetensors: holds another colorizer"):
        started_from(tmp_path / "other.safetensors")
    assert read_colorizer_file(str(tmp_path / "other.safetensors"))
