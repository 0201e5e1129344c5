"""Cells crossed, draws that nothing reshuffles, conditions that hold."""

import math

import pytest

from sweep.config.sweep_config import Distribution
from sweep.core.seeds import rng
from sweep.planning.grid import studies
from sweep.search.sampling import draw, satisfies

LR = Distribution(distribution="log_uniform", min=1e-5, max=1e-1)
DROPOUT = Distribution(distribution="uniform", min=0, max=0.5)


def test_grid_is_crossed_in_order():
    cells = [
        study.cell for study in studies({"colorizer": ["none", "deconv"], "synthetic_per_real": [0, 1]}, {}, {}, 1)
    ]
    assert cells == [{"colorizer": c, "synthetic_per_real": r} for c in ("none", "deconv") for r in (0, 1)]


def test_adding_a_hyperparameter_or_a_cell_changes_no_other_draw():
    alone = studies({"colorizer": ["none"]}, {"lr": LR}, {}, 5)
    more = studies({"colorizer": ["none", "deconv"]}, {"dropout": DROPOUT, "lr": LR}, {}, 5)
    for study in more:
        assert [config["lr"] for config in study.configs] == [config["lr"] for config in alone[0].configs]


def test_a_value_is_sampled_only_where_its_condition_holds():
    weight = Distribution(distribution="uniform", min=0.1, max=0.9, when={"colorizer": {"not": "none"}})
    without, with_colour = studies({"colorizer": ["none", "deconv"]}, {"glcm_weight": weight}, {}, 1)
    assert "glcm_weight" not in without.configs[0]
    assert 0.1 <= with_colour.configs[0]["glcm_weight"] <= 0.9


def test_inactive_settings_are_dropped_so_equal_trainings_are_equal_trials():
    (study,) = studies({}, {}, {"synthetic_per_real": 0, "generator": "wgan"}, 1)
    assert "generator" not in study.configs[0] and "glcm_weight" not in study.configs[0]


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [("none", "none", True), (["a", "b"], "b", True), ({"not": "none"}, "none", False), ({"not": ["a"]}, "b", True)],
)
def test_rules(rule, value, expected):
    assert satisfies(rule, value) is expected


@pytest.mark.parametrize(
    "distribution",
    [
        LR,
        DROPOUT,
        Distribution(distribution="int_uniform", min=2, max=5),
        Distribution(distribution="q_uniform", min=0, max=1, q=0.25),
        Distribution(distribution="normal", mean=0, sd=1),
        Distribution(values=["a", "b"], probabilities=[0.5, 0.5]),
    ],
    ids=lambda distribution: distribution.distribution,
)
def test_every_distribution_stays_in_its_bounds(distribution):
    values = [draw(distribution, rng(0, "test", number)) for number in range(200)]
    assert len(set(values)) > 1
    if distribution.values:
        assert set(values) == {"a", "b"}
    elif distribution.min is not None:
        assert all(distribution.min <= value <= distribution.max for value in values)
    if distribution.q:
        assert all(math.isclose(value / distribution.q, round(value / distribution.q)) for value in values)
