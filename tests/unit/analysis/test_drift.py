"""Differences between source and target images, on tables whose difference is known."""

import numpy as np
import pandas as pd
import pytest

from analysis.drift import draw_drift, drifts
from sweep.data.image_properties import MEASURED, properties


def table(shift=0.0, images=60):
    """Properties of noise images as the data preparation measures them; the target's are brighter by `shift`."""
    draw = np.random.default_rng(0)
    rows = []
    for number in range(2 * images):
        target = number >= images
        grey = np.clip(draw.normal(100 + 255 * shift * target + draw.normal(0, 8), 30, (24, 24)), 0, 255).astype(
            np.uint8
        )
        rows.append(
            {
                "role": "target" if target else "source",
                "image_id": f"i{number}",
                "png": b"\x89PNG" * (number % 20 == 0),
                **properties(grey),
            }
        )
    return pd.DataFrame(rows)


def test_the_property_that_differs_comes_first():
    found = drifts(table(shift=0.1))
    assert found[0].name == "grey_mean" and found[0].auroc > 0.9 and found[0].standardized > 1
    assert {one.name for one in found} == set(MEASURED)
    assert found[0].target[2] - found[0].source[2] == pytest.approx(0.1, abs=0.03)


def test_equal_domains_are_not_told_apart():
    assert max(one.auroc for one in drifts(table())) < 0.7


def test_images_that_were_not_measured_are_left_out():
    rows = table(shift=0.1)
    rows.loc[rows.index % 2 == 0, list(MEASURED)] = np.nan
    assert drifts(rows)[0].name == "grey_mean"


def test_runs_without_the_table_have_no_figure(run):
    assert drifts(run.properties()) == ()


def test_the_figure_shows_pictures_of_both_domains():
    figure = draw_drift(drifts(table(shift=0.1)))
    drawn = "".join(str(panel.svg) for panel in figure.panels)
    assert drawn.count("<image") == 6 * len(MEASURED) and "median" in drawn
    assert len(figure.table.rows) == len(MEASURED) and all(
        len(row) == len(figure.table.columns) for row in figure.table.rows
    )
