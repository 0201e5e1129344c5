"""Mean weights of a configuration's seeds are evaluated as every record is, where that mean is a model."""

import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from sweep.core.storage import Storage
from sweep.data.datasets import Data
from sweep.deployment.combine import SOUP
from sweep.deployment.from_run import Source, build
from sweep.shift.stored import read_hospitals, soup_folder, soup_seeds
from sweep.soups import main


@pytest.fixture(scope="module")
def blind(run, tmp_path_factory):
    """The run as it would be with eight pseudo-hospitals."""
    place = tmp_path_factory.mktemp("soups") / "run"
    shutil.copytree(run.place, place)
    card = json.loads((place / "data.json").read_text())
    card["data"]["pseudo_hospitals"] = 8
    (place / "data.json").write_text(json.dumps(card))
    return Storage(place)


def test_seeds_of_random_starts_are_left_out_and_said_so(run, blind, capsys):
    assert main([blind.url]) == 0
    assert "left out, the seeds start from different random weights" in capsys.readouterr().out
    assert soup_seeds(blind, run.signatures["none"]) == ()
    assert main([blind.url, run.signatures["none"]]) != 0
    assert main([blind.url, run.signatures["batch_norm"]]) != 0  # one seed


def test_a_soup_is_what_would_be_exported_seen_on_every_pseudo_hospital(run, blind, capsys, monkeypatch):
    monkeypatch.setattr("sweep.deployment.from_run.check_shared_start", lambda config, model: None)
    assert main([blind.url]) == 0 and capsys.readouterr().out.count("seeds 0, 1: evaluated") == 2
    for adapt in ("none", "histogram"):
        signature = run.signatures[adapt]
        assert soup_seeds(blind, signature) == (0, 1)
        frame = pd.read_parquet(io.BytesIO(blind.read(f"{soup_folder(signature)}/predictions.parquet")))
        exported = build(Source(blind, signature, (0, 1), SOUP), Data.load(blind))
        assert np.allclose(np.stack(frame["logits"]), np.stack(exported.predictions["logits"]), atol=1e-5)
    hospitals = read_hospitals(blind, soup_folder(signature))
    assert len(hospitals) == 8 and set(hospitals[0].image_ids) <= set(frame["image_id"])
    assert main([blind.url]) == 0 and "was evaluated before" in capsys.readouterr().out
