"""Labels leave out what is shared; the gap against real only uses the real-only model of the same cell."""

import numpy as np
import pandas as pd
import pytest

from analysis import derived


def configs(*rows):
    return pd.DataFrame(rows, index=[f"sig{number}" for number in range(len(rows))])


def recorded(frame):
    """Configurations as records hold them: without what is inactive."""
    return {key: {name: value for name, value in row.items() if value is not None} for key, row in frame.T.items()}


def test_labels_show_what_differs_in_the_grid():
    frame = configs(
        {"backbone": "resnet18", "epochs": 5, "synthetic_per_real": 0},
        {"backbone": "vit", "epochs": 5, "synthetic_per_real": 0.5},
    )
    studies = {key: {"backbone": 1, "synthetic_per_real": 1} for key in frame.index}
    assert derived.labels(frame, studies).tolist() == [
        "resnet18, real only",
        "vit, 0.5\N{MULTIPLICATION SIGN} synthetic",
    ]


def test_equal_cells_are_told_apart():
    frame = configs({"backbone": "a", "lr": 0.1}, {"backbone": "a", "lr": 0.2}, {"backbone": "b", "lr": 0.2})
    names = derived.labels(frame, {key: {"backbone": 1} for key in frame.index})
    assert names.tolist() == ["a · sig0", "a · sig1", "b"] and names.is_unique


def test_a_single_configuration_has_a_name():
    assert derived.labels(configs({"backbone": "resnet18"}), {}).tolist() == ["resnet18"]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("colorizer", "none", "no colorizer"),
        ("lr", 1e-4, "lr 0.0001"),
        ("glcm_weight", float("nan"), ""),
        ("synthetic_per_real", 0, "real only"),
    ],
)
def test_settings_as_words(name, value, text):
    assert derived.setting_text(name, value) == text


def test_gap_against_real_only_by_hand():
    frame = configs(
        {"backbone": "a", "synthetic_per_real": 0, "generator": None},
        {"backbone": "a", "synthetic_per_real": 1, "generator": "wgan"},
        {"backbone": "b", "synthetic_per_real": 1, "generator": "wgan"},
    )
    studies = {key: {"backbone": frame.loc[key, "backbone"], "synthetic_per_real": 0} for key in frame.index}
    partner = derived.real_only_partner(recorded(frame), studies, pd.Series(dtype=float))
    assert partner == {"sig0": "sig0", "sig1": "sig0"}
    index = pd.MultiIndex.from_tuples(
        [("sig0", 0), ("sig0", 1), ("sig1", 0), ("sig1", 9), ("sig2", 0)], names=["signature", "seed"]
    )
    records = pd.DataFrame(
        {"auroc/source": [0.9, 0.8, 0.1, 0.1, 0.1], "auroc/target": [0.7, 0.7, 0.6, 0.6, 0.6]}, index=index
    )
    gap = derived.gap_vs_real_only(records, partner).to_numpy()
    # Own seed where it ran (0.9 - 0.6), the mean over seeds where not (0.85 - 0.6), none without a partner.
    np.testing.assert_allclose(gap, [0.2, 0.1, 0.3, 0.25, np.nan])


def test_searched_real_only_cells_are_represented_by_their_best():
    frame = configs(
        {"backbone": "a", "lr": 1, "synthetic_per_real": 0},
        {"backbone": "a", "lr": 2, "synthetic_per_real": 0},
        {"backbone": "a", "lr": 3, "synthetic_per_real": 1},
    )
    studies = {key: {"backbone": "a", "synthetic_per_real": 0} for key in frame.index}
    partner = derived.real_only_partner(recorded(frame), studies, pd.Series({"sig0": 0.6, "sig1": 0.7}))
    assert set(partner.values()) == {"sig1"}
