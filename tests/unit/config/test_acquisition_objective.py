"""What acquisition changes leave, as an objective."""

import pytest

from sweep.config.checks import violations
from sweep.config.sweep_config import SweepConfig

THREATS = {"acquisition": ["blur", "gain"], "severity": [1, 3]}


def config(threats=THREATS, data=None, **objective):
    return SweepConfig(
        name="q",
        data={"source": "phantom-a", "target": "phantom-b", **(data or {})},
        objectives=[{"metric": "acquisition_auroc", "goal": "maximize", **objective}],
        fixed={"backbone": "small_cnn"},
        threats=threats,
    )


def problems(made):
    return [f"{problem}; {fix}" for place, problem, fix in violations(made) if place[0] == "objectives"]


@pytest.mark.parametrize(
    ("objective", "name"),
    [
        ({}, "acquisition_auroc/target/mean"),
        ({"split": "source"}, "acquisition_auroc/source/mean"),
        ({"split": "source", "threat": "blur-3"}, "acquisition_auroc/source/blur-3"),
        ({"metric": "acquisition_accuracy", "threat": "worst-1"}, "acquisition_accuracy/target/worst-1"),
    ],
)
def test_the_recorded_name(objective, name):
    made = config(**objective)
    assert made.objectives[0].name == name and not problems(made)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (config(threats={}), "has no acquisition change; give threats: {acquisition"),
        (config(threat="blur-2"), "threat blur-2 is not evaluated; "),
        (config(threat="worst-1"), "threat worst-1 is not evaluated; "),  # a worst case per image is no AUROC
        (config(eps="1/255"), "takes no eps; remove it"),
        (
            config(threats=THREATS | {"splits": ["source"]}),
            "split target is not evaluated; add target to threats.splits",
        ),
        (
            config(data={"target_labels": "sealed"}),
            "reads target labels, and data.target_labels is sealed; set split: source",
        ),
    ],
)
def test_what_is_not_evaluated_is_refused(made, words):
    assert any(words in problem for problem in problems(made)), problems(made)
