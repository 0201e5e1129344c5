"""Settings follow from the data, the machine and the time; each has its reason in the file."""

import pytest

from sweep.config.load import load_config
from sweep.config.sweep_config import BLIND_OBJECTIVE
from sweep.proposal.config_text import Place, config_text
from sweep.proposal.settings import KEPT, START_UP, DataFacts, Machine, fitted, propose

LAPTOP, SERVER = Machine(2, 0), Machine(16, 2)


def test_size_of_the_data_and_of_the_machine():
    few, many = propose(DataFacts(200, 80, 256), LAPTOP, 600), propose(DataFacts(20_000, 9000, 256), LAPTOP, 600)
    assert few.batch_size < many.batch_size and few.epochs > many.epochs
    assert few.image_px == 64 and propose(DataFacts(200, 80, 256), SERVER, 600).image_px == 224
    assert propose(DataFacts(200, 80, 50), SERVER, 600).image_px == 32
    assert propose(DataFacts(200, 80, 256), SERVER, 600).backbones != few.backbones
    assert propose(DataFacts(200, 80, 256), LAPTOP, 600, "imagenet").lr[1] < few.lr[1]
    assert propose(DataFacts(200, 80, 256), LAPTOP, 7200).seeds == 3 > few.seeds


@pytest.mark.parametrize(("time_s", "seconds"), [(600, [5, 9]), (3600, [30, 60]), (86400, [10, 10])])
def test_the_trials_fit_into_the_time(time_s, seconds):
    made = fitted(propose(DataFacts(500, 200, 128), LAPTOP, time_s), seconds, time_s)
    needed = made.trials * made.seeds * sum(seconds) / made.places
    room = KEPT * (time_s - START_UP)
    assert needed <= room and len(made.backbones) == 2
    assert made.trials == 40 or needed + made.seeds * sum(seconds) / made.places > room


def test_what_does_not_fit_is_given_up_in_order():
    start = propose(DataFacts(500, 200, 128), Machine(1, 0), 100)
    one = fitted(start, [60.0, 30.0], 100)
    assert (one.backbones == (start.backbones[1],) and one.seeds == 2) or one.seeds == 1
    least = fitted(start, [3000.0, 2000.0], 100)
    assert (least.backbones, least.seeds, least.trials, least.epochs) == ((start.backbones[1],), 1, 1, 3)
    assert "shortened" in least.why["epochs"] and "do not fit" in least.why["backbones"]


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("machine", [LAPTOP, SERVER])
def test_the_file_is_valid_and_every_setting_has_its_reason(tmp_path, labelled, machine):
    made = fitted(propose(DataFacts(500, 200, 128), machine, 3600), [10.0, 10.0], 3600)
    objective = "auroc/target" if labelled else BLIND_OBJECTIVE
    text = config_text(Place("mine", "phantom-a", "phantom-b", labelled, objective), made, "1h")
    held_out = config_text(Place("mine", "shards/x", "b", True, "auroc/target", held_out=True), made, "1h")
    (tmp_path / "held.yaml").write_text(held_out)
    assert load_config(tmp_path / "held.yaml").data.hold_out == ["b"]
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    config = load_config(path)
    assert config.searcher.trials == made.trials and config.data.image_px == made.image_px
    assert config.budget.wall == "1h" and config.data.target_labels == ("all" if labelled else "none")
    assert list(config.grid["backbone"]) == list(made.backbones) and config.fixed["epochs"] == made.epochs
    for line in text.splitlines():
        assert "# " in line, line
    assert ("the source's test images" in text) is not labelled
