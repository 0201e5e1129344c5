"""Settings that can be read and have no meaning are refused, each at its line with its fix."""

import pytest

from sweep.config.load import load_config
from sweep.core.errors import InputErrors
from tests.unit.config.test_config_mistakes import GOOD, RANDOM, load, refused

SEARCHED = {
    "search: {lr: {values: [0.1, 0.2, 0.1]}}": "line 4, search.lr.values[2]: 0.1 is listed twice; remove one",
    "search: {lr: {distribution: uniform, min: 0.1, max: 0.2, values: [0.1]}}": "line 4, search.lr.values: values has no effect on distribution uniform; remove it",
    "search: {lr: {values: [0.1], min: 0.1}}": "line 4, search.lr.min: min has no effect on distribution values",
    "search: {lr: {distribution: log_uniform, min: 0.1, max: 0.2, q: 0.1}}": "search.lr.q: q has no effect on distribution log_uniform",
    "search: {lr: {values: [0, 0.1]}}": "search.lr.values[0]: a learning rate of 0 trains nothing; give a positive number",
    "search: {lr: {values: [0.1], when: {colorizer: coloru}}}": "search.lr.when.colorizer: never holds: colorizer is only ever none in this sweep; add the value",
    "fixed: {optimizer: sgd}\nsearch: {lr: {values: [0.1], when: {optimizer: {not: sgd}}}}": "line 5, search.lr.when.optimizer: never holds: optimizer is only ever sgd",
}
ALONE = {
    "fixed: {lr: 0}": "line 3, fixed.lr: a learning rate of 0 trains nothing",
    "grid: {lr: [0.1, 0.0]}": "line 3, grid.lr[1]: a learning rate of 0 trains nothing",
    "threats: {attacks: [fgsm], eps: [2]}": "line 3, threats.eps[0]: 2.0 is more than the whole range of an image; images are scaled to 0..1: write grey levels as 2/255",
    "threats: {attacks: [fgsm], eps: [300/255]}": "threats.eps[0]: 300/255 is more than the whole range",
    "grid: {epochs: [1, 2, 3], patience: [1, 2, 3, 4, 5], seed_of_nothing: [1]}\nseeds: 1000": "seed_of_nothing: unknown name",
    "data.train_images: 3": "data.train_images: unknown key",
}


@pytest.mark.parametrize("text", SEARCHED, ids=lambda text: text[:60])
def test_a_search_without_meaning(tmp_path, text):
    found = refused(tmp_path, RANDOM + text + "\n")
    assert len(found) == 1 and SEARCHED[text] in found[0], found


@pytest.mark.parametrize("text", ALONE, ids=lambda text: text[:60])
def test_a_setting_without_meaning(tmp_path, text):
    found = refused(tmp_path, text + "\n")
    assert len(found) == 1 and ALONE[text] in found[0], found


def test_more_records_than_any_machine_can_run(tmp_path):
    text = "search: {lr: {distribution: uniform, min: 0.1, max: 0.2}}\nsearcher: {algorithm: random, trials: 100000}\nseeds: 1000\n"
    (found,) = refused(tmp_path, text)
    assert (
        "line 5, seeds: 1 cells x 100000 trials x 1000 seeds = 100000000 records; a sweep takes at most 1000000"
        in found
    )


def test_source_and_target_are_two_data_sets(tmp_path):
    path = tmp_path / "sweep_config.yaml"
    path.write_text(GOOD.replace("phantom-b", "phantom-a"))
    with pytest.raises(InputErrors, match=r"line 2, data.target: is the source too \(phantom-a\)"):
        load_config(path)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("6_4", "6_4 is a number in YAML 1.1 alone; write 64, or"),
        ("0b1000000", "0b1000000 is a number in YAML 1.1 alone; write 64, or"),
        ("1_0.5", "1_0.5 is a number in YAML 1.1 alone; write 10.5, or"),
    ],
)
def test_numbers_of_yaml_1_1(tmp_path, written, says):
    with pytest.raises(Exception, match=says):
        load(tmp_path, f"fixed: {{batch_size: {written}}}\n")
    with pytest.raises(Exception, match=f"--set fixed.batch_size: {says}"):
        load(tmp_path, "", overrides={"fixed.batch_size": written})


@pytest.mark.parametrize("text", ['fixed: {weights: "6_4"}', "name_: x", "fixed: {batch_size: 0x40}"])
def test_text_with_digits_and_lines_is_no_number_of_yaml_1_1(tmp_path, text):
    try:
        load(tmp_path, text + "\n")
    except InputErrors as other:
        assert "YAML 1.1" not in str(other)


def test_all_is_the_whole_training_fold(tmp_path):
    config = load(tmp_path, "grid: {train_images: [100, all]}\n")
    assert config.grid["train_images"] == [100, None]
    assert load(tmp_path, "fixed: {train_images: all}\n").fixed["train_images"] is None
    assert load(tmp_path, RANDOM + "search: {train_images: {values: [100, all]}}\n").search["train_images"].values == [
        100,
        None,
    ]
    path = tmp_path / "sweep_config.yaml"
    path.write_text(GOOD.replace("phantom-b", "phantom-b, train_images: all"))
    assert load_config(path).data.train_images is None
    path.write_text(GOOD.replace("phantom-b", "phantom-b, train_images: [100, all]"))
    with pytest.raises(
        InputErrors, match=r"data.train_images: .*list them under grid, like grid: {train_images: \[100, all\]}"
    ):
        load_config(path)
