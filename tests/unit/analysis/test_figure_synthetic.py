"""The report's section on synthetic images: what the ledger notes of each pool, said once and with its reference."""

import math
from types import SimpleNamespace

import pytest

from analysis.figures.synthetic import draw_pools, pool_qualities

FIGURES = {
    "kid/texture": 2.0,
    "kid_low/texture": 1.5,
    "kid_high/texture": 2.5,
    "precision/texture": 0.4,
    "coverage/texture": 0.3,
}
POOL = {
    "class": "benign", "generator": "cgan", "images": 64, "drawn": 64, "copy_rate": 0.02, "real_copy_rate": 0.27, "held_out_copies": 0,
    "quality": FIGURES, "quality_of_real": {"kid/texture": 0.01},
}  # fmt: skip


def run(*pools):
    stages = [{"stage": "pool", "hash": str(number), "facts": facts} for number, facts in enumerate(pools)]
    return SimpleNamespace(
        finishes=[
            {"stages": stages},
            {"stages": stages},
            {"stages": [{"stage": "generator", "hash": "g", "facts": {}}]},
            {},
        ]
    )


def test_each_pool_comes_once_with_its_reference():
    (found,) = pool_qualities(run(POOL))
    assert (found.name, found.images, found.net, found.kid, found.real_kid) == (
        "cgan, benign",
        64,
        "texture",
        (2.0, 1.5, 2.5),
        0.01,
    )
    assert (found.copy_rate, found.real_copy_rate, found.agreement) == (0.02, 0.27, None)


def test_frd_is_the_logarithm_of_the_radiomic_distance_beside_that_of_real_images():
    figures = {**FIGURES, "frechet/radiomics": math.e**3}
    known = {**POOL, "quality": figures, "quality_of_real": {"kid/texture": 0.01, "frechet/radiomics": math.e**2}}
    (found,) = pool_qualities(run(known))
    assert (found.frd, found.real_frd) == (pytest.approx(3), pytest.approx(2))
    table = draw_pools((found,)).table
    shown = dict(zip(table.columns, table.rows[0], strict=True))
    assert (shown["FRD"], shown["FRD of real images"]) == ("3.00", "2.00")


def test_pools_of_runs_from_before_have_no_frd():
    (found,) = pool_qualities(run(POOL))
    assert (found.frd, found.real_frd) == (None, None)


def test_pools_without_figures_are_left_out():
    assert pool_qualities(run({**POOL, "quality": {}}, {})) == ()
    assert pool_qualities(run()) == ()


def test_figure_gives_interval_reference_and_copies_in_words_and_numbers():
    pools = pool_qualities(
        run(POOL, {**POOL, "class": "malignant", "agreement": 0.6, "held_out_copies": 3, "quality_of_real": {}})
    )
    figure = draw_pools(pools)
    assert "At most 2.0 % of a pool's images copy" in figure.caption and "27.0 %" in figure.caption
    assert figure.table.rows[0][:5] == ("cgan, benign", "64", "texture", "2.000 [1.500, 2.500]", "0.010")
    assert figure.table.rows[1][0] == "cgan, malignant, relabelled" and figure.table.rows[1][-1] == "0.60"
    assert figure.notes == (
        "3 images of cgan, malignant, relabelled lie nearer to a held-out image than to any training image.",
    )
    (panel,) = figure.panels
    assert panel.title == "KID on texture features" and panel.svg.count("ring") == 1


def test_figures_of_different_feature_nets_are_never_on_one_axis():
    other = {**POOL, "quality": {"kid/layout": 1.0}, "quality_of_real": {}}
    assert [panel.title for panel in draw_pools(pool_qualities(run(POOL, other))).panels] == [
        "KID on texture features",
        "KID on layout features",
    ]
