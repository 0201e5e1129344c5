"""Every mistake of a sweep config at once, each with its line, value and fix."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from sweep.config.json_schema import schema
from sweep.config.load import load_config
from sweep.core.errors import InputError, InputErrors

GOOD = """\
name: good
data: {source: phantom-a, target: phantom-b}
grid:
  synthetic_per_real: [0, 0.25, 1]
fixed: {lr: 1e-4, backbone: small_cnn}
smoke:
  data: {image_px: 32}
  fixed.epochs: 1
"""


def load(tmp_path, text, **options):
    path = tmp_path / "sweep_config.yaml"
    path.write_text(text)
    return load_config(path, **options)


def violations(tmp_path, text):
    with pytest.raises(InputErrors) as caught:
        load(tmp_path, text)
    return [str(error) for error in caught.value.errors]


def test_numbers_are_read_as_yaml_1_2(tmp_path):
    sweep_config = load(tmp_path, GOOD)
    assert sweep_config.fixed["lr"] == 1e-4 and isinstance(sweep_config.fixed["lr"], float)
    assert sweep_config.grid["synthetic_per_real"] == [0, 0.25, 1]


def test_overrides_and_smoke(tmp_path):
    sweep_config = load(tmp_path, GOOD, overrides={"data.image_px": "48", "fixed.lr": "0.01"}, smoke=True)
    assert sweep_config.name == "good-smoke"
    assert (sweep_config.data.image_px, sweep_config.fixed["lr"], sweep_config.fixed["epochs"]) == (48, 0.01, 1)


def test_all_mistakes_in_one_message_with_their_lines(tmp_path):
    text = (
        GOOD.replace("name: good", "name: No Good")
        .replace("[0, 0.25, 1]", "[0, 1:2, 30]")
        .replace("lr: 1e-4", "lrate: 1, epochs: 0")
    )
    assert violations(tmp_path, text + "seeds: 0\nbudget: {wall: soon}\n") == [
        "line 1, name: 'No Good' does not fit; start with a lower-case letter or digit; then those, - and _, at most 63 in all",
        "line 4, grid.synthetic_per_real[1]: '1:2' is text; give a number",
        "line 4, grid.synthetic_per_real[2]: 30 is out of range; give a number from 0 to 20",
        violations(tmp_path, GOOD.replace("lr: 1e-4", "lrate: 1"))[0],
        "line 5, fixed.epochs: 0 is out of range; give a number from 1 to 100000",
        "line 9, seeds.min: 0 does not fit; input should be greater than or equal to 1",
        "line 10, budget.wall: 'soon' is not a duration; write it like 90s, 30m, 2h or 1d",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("backbone: small_cnn", "backbone: resnet81"),
            "line 5, fixed.backbone: 'resnet81' is unknown; did you mean resnet18?",
        ),
        (("backbone: small_cnn", "colorizer: non"), "line 5, fixed.colorizer: 'non' is unknown; did you mean none?"),
        (("source: phantom-a", "sorce: phantom-a"), "line 2, data.sorce: unknown key; did you mean source?"),
        (
            ("fixed: {", "fixed: {synthetic_per_real: 1, "),
            "line 5, fixed.synthetic_per_real: is given under grid too; keep it in one place",
        ),
        (
            ("smoke:", "threats: {attacks: [fgsmm], eps: [1/255]}\nsmoke:"),
            "line 6, threats.attacks[0]: 'fgsmm' is unknown; did you mean fgsm?",
        ),
        (("smoke:", "threats: {attacks: [fgsm], eps: [one]}\nsmoke:"), "line 6, threats.eps[0]: 'one' is not a number"),
        (
            ("smoke:", "search: {dropout: {distribution: uniform, min: 0, max: 0.5}}\nsmoke:"),
            "line 6, search: is not sampled",
        ),
        (
            ("smoke:", "search: {dropout: {distribution: uniform, min: 1, max: 0.5}}\nsmoke:"),
            "min 1 is not below max 0.5; swap them",
        ),
        (
            (
                "smoke:",
                "searcher: {algorithm: random, trials: 3}\nsearch: {dropout: {distribution: uniform, min: 0, max: 1.5}}\nsmoke:",
            ),
            "line 7, search.dropout.max: 1.5 is out of range",
        ),
        (
            ("smoke:", "searcher: {algorithm: tpe, trials: 3}\nsmoke:"),
            "line 6, searcher.algorithm: tpe has nothing to sample",
        ),
        (
            ("smoke:", "scheduler: {type: asha}\nsmoke:"),
            "line 6, scheduler.type: asha compares configurations inside a cell and each cell has one",
        ),
        (
            ("smoke:", "seeds: {min: 1, max: 3, race: true}\nsmoke:"),
            "a race compares seeds that two configurations share; give min of at least 2, and max",
        ),
        (("smoke:", "seeds: {min: 3, max: 2}\nsmoke:"), "max 2 is below min 3; raise max"),
        (
            ("smoke:", "objectives: [{metric: auroc/taget, goal: maximize}]\nsmoke:"),
            "line 6, objectives[0]: metric auroc/taget is not measured; did you mean auroc/target?",
        ),
        (
            (
                "smoke:",
                "objectives: [{metric: robust_accuracy, goal: maximize, threat: pgd, eps: 1/255}]\nthreats: {attacks: [fgsm], eps: [1/255]}\nsmoke:",
            ),
            "threat pgd is not among the attacks",
        ),
    ],
)
def test_one_mistake_one_fix(tmp_path, change, expected):
    found = violations(tmp_path, GOOD.replace(*change))
    assert any(expected in violation for violation in found), found


def test_repeated_key_is_refused_with_its_line(tmp_path):
    with pytest.raises(InputError, match=r"sweep_config\.yaml:9: .*duplicate key"):
        load(tmp_path, GOOD + "name: again\n")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "name: [unclosed\n", "\x00"])
def test_what_is_no_sweep_config_is_refused(tmp_path, text):
    with pytest.raises(InputError):
        load(tmp_path, text)


def test_missing_file_lists_its_neighbours(tmp_path):
    load(tmp_path, GOOD)
    with pytest.raises(InputError, match=r"no such file; files there: .*sweep_config\.yaml"):
        load_config(tmp_path / "qestion.yaml")


def test_schema_is_json_and_knows_the_hyperparameters():
    document = json.loads(json.dumps(schema()))
    assert "backbone" in document["properties"]["grid"]["properties"]
    assert "data" in document["required"]


@pytest.mark.parametrize("path", sorted(Path("search_spaces").rglob("*.yaml")), ids=str)
@pytest.mark.parametrize("smoke", [False, True])
def test_every_shipped_sweep_config_is_valid(path, smoke):
    assert load_config(path, smoke=smoke).data.source


def plain(path):
    return YAML(typ="safe", pure=True).load(path.read_text())


@pytest.fixture(scope="module")
def offered():
    document = schema()
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


@pytest.mark.parametrize("path", sorted(Path("search_spaces").rglob("*.yaml")), ids=str)
def test_the_schema_takes_every_shipped_sweep_config(path, offered):
    assert [error.message for error in offered.iter_errors(plain(path))] == []


@pytest.mark.parametrize(
    "change",
    [
        {"fixed": {"colorizer": "colouru"}},
        {"fixed": {"lr": "much"}},
        {"fixed": {"epochs": 1.5}},
        {"fixed": {"optimizer": "adamax"}},
        {"grid": {"generator": ["wgan_diffaug", "gan"]}},
        {"grid": {"mixing_policy": "add"}},
        {"grid": {"generator_px": [65]}},
        {"search": {"colorizer": {"values": ["colouru"]}}},
        {"search": {"lr": {"distribution": "uniformm", "min": 0, "max": 1}}},
        {"seeds": 0},
        {"seeds": {"min": 2, "most": 3}},
        {"seds": 2},
    ],
    ids=str,
)
def test_the_schema_marks_what_the_check_refuses(change, offered, tmp_path):
    sweep_config = {"name": "good", "data": {"source": "phantom-a", "target": "phantom-b"}}
    assert not list(offered.iter_errors(sweep_config))
    assert list(offered.iter_errors(sweep_config | change))
    YAML().dump(sweep_config | change, tmp_path / "sweep_config.yaml")
    with pytest.raises(InputErrors):
        load_config(tmp_path / "sweep_config.yaml")
