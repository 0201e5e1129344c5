"""recipe-finder init: from folders to a sweep config that loads, with shards and an audit beside it."""

import re
from dataclasses import replace

import numpy as np
import pytest

from sweep.config.load import load_config
from sweep.core.errors import InputError
from sweep.init import main as init
from sweep.init import place_of
from sweep.shards.reader import read_manifest, read_metadata
from sweep.shards.schema import Header, ShardRow
from sweep.shards.writer import write_dataset


@pytest.fixture
def one_backbone(monkeypatch):
    """Only the smallest backbone is timed."""
    from sweep.proposal import settings

    whole = settings.propose
    monkeypatch.setattr(
        settings, "propose", lambda *facts: replace(whole(*facts), backbones=("small_cnn",), image_px=32)
    )


@pytest.mark.slow
@pytest.mark.parametrize("labelled", [False, True])
def test_from_folders_to_a_sweep_config(hospitals, tmp_path, monkeypatch, capsys, one_backbone, labelled):
    monkeypatch.chdir(tmp_path)
    target = hospitals.imported if labelled else hospitals.there
    assert init([str(hospitals.here), "--target", str(target), "--time", "40s", "--gpus", "0", "--name", "mine"]) == 0
    said = capsys.readouterr().out
    assert "importer: folder" in said and re.search(r"patients: \d+, by the file names", said)
    assert "leak between training and test" in said and "audit:" in said
    assert "alone predicts data set" in said or "none: neither tint" in said, (
        "what the audit found, not its heading alone"
    )
    assert said.strip().splitlines()[-1] == "next: recipe-finder run mine.yaml"
    config = load_config(tmp_path / "mine.yaml")
    assert config.data.source == "shards/here" and config.searcher.trials >= 1
    assert read_metadata("shards/here")["patient"].nunique() > 5 and (tmp_path / "mine-audit.html").is_file()
    if not labelled:
        assert not read_manifest("shards/there").labelled and config.data.target_labels == "none"
    else:
        assert config.data.target == str(hospitals.imported) and config.objectives[0].metric == "auroc/target"


def test_mistakes_are_named_before_anything_is_written(hospitals, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    here = str(hospitals.here)
    target = ["--target", "phantom-b"]
    for words, said in (
        ([here], "--target: is not given, and all images are of one hospital"),
        ([str(hospitals.there), *target], "has no labels to train on"),
        ([here, *target, "--time", "soon"], "'soon' is no duration"),
        ([str(tmp_path / "absent")], "no such file or folder"),
        ([here, "--importer", "bus"], "'bus' is unknown"),
        ([here, "--burned-in", "blank"], "--burned-in: has no effect on folder"),
        ([here, "--label-column", "diagnosis"], "--label-column: has no effect on folder"),
        ([here, *target, "--patient-regex", "("], "--patient-regex: '(' is no regular expression"),
    ):
        assert init([*words, "--name", "mine"]) == 2 and said in capsys.readouterr().err
        assert not list(tmp_path.iterdir())
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    assert init([here, "--name", "mine"]) == 2 and "exists already" in capsys.readouterr().err


def test_a_folder_of_several_hospitals_is_its_own_target(tmp_path):
    rows = [{"domain": "a"}] * 8 + [{"domain": "b"}] * 4
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32), dtype=np.uint8)
    header = Header(name="two", domain="a", classes=("benign", "malignant"))
    shard_rows = [
        ShardRow(f"i{number}", pixels, header.classes[number % 2], domain=row["domain"])
        for number, (row, pixels) in enumerate(zip(rows, images, strict=True))
    ]
    write_dataset(tmp_path / "two", header, shard_rows)
    place = place_of("mine", [str(tmp_path / "two")])
    assert place.held_out and place.target == "b" and place.labelled
    write_dataset(tmp_path / "one", header, [row for row in shard_rows if row.domain == "a"])
    with pytest.raises(InputError, match="all images are of one hospital"):
        place_of("mine", [str(tmp_path / "one")])
