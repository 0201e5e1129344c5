"""The data card names shard folders relative to the run, so it tells no place of a machine and both can be moved together."""

import json
import shutil

from sweep.config.sweep_config import DataSection
from sweep.core.storage import Storage
from sweep.data.datasets import CARD_FILE, Data, prepare
from sweep.importers import import_dataset


def test_shards_beside_the_run_are_found_after_a_move_and_no_absolute_path_is_written(tmp_path):
    here = tmp_path / "here"
    for name in ("a", "b"):
        import_dataset(f"phantom-{name}", None, here / "shards" / name, patients=12, image_px=32)
    section = DataSection(source=str(here / "shards" / "a"), target=str(here / "shards" / "b"), image_px=32)
    prepare(section, Storage(str(here / "results" / "run")))
    card = (here / "results" / "run" / CARD_FILE).read_text()
    assert str(tmp_path) not in card
    assert json.loads(card)["data"]["source"] == "../../shards/a"
    shutil.move(here, tmp_path / "there")
    data = Data.load(Storage(str(tmp_path / "there" / "results" / "run")))
    assert data.source == str(tmp_path / "there" / "shards" / "a")
