"""The recommended configuration by scanner and by image property."""

import io
import shutil

import numpy as np
import pandas as pd
import pytest

from analysis.estimates import Estimates
from analysis.frames import load_run
from analysis.subgroups import LEAST, SUBGROUPS_FILE, draw_subgroups, subgroups
from sweep.core.errors import InputError
from sweep.data.image_properties import properties
from sweep.data.properties import PROPERTIES_FILE
from tests.fakes.run_folder import FakeSweep, write_fake_run


@pytest.fixture(scope="module")
def estimates(tmp_path_factory):
    """A run whose target images come from two scanners, one of them rare."""
    sweep = FakeSweep(backbones=("resnet18",), colorizers=("none",), ratios=(0, 1), images=120, failed=0, gallery=False)
    folder = write_fake_run(tmp_path_factory.mktemp("subgroups") / "run", sweep)
    made = Estimates(load_run(folder), draws=200)
    images = made.outcomes(made.run.means.index[0], "auroc/target").images
    draw = np.random.default_rng(0)
    rows = [
        {
            "role": role,
            "image_id": name if role == "target" else f"source {name}",
            "scanner": "rare" if number < 8 else "common",
            **properties(draw.integers(0, 180 + 60 * (role == "target"), (16, 16)).astype(np.uint8)),
            "png": b"",
        }
        for role in ("source", "target")
        for number, name in enumerate(images)
    ]
    stream = io.BytesIO()
    pd.DataFrame(rows).to_parquet(stream)
    (folder / PROPERTIES_FILE).write_bytes(stream.getvalue())
    return Estimates(load_run(folder), draws=200)


def test_parts_of_the_target_add_up(estimates):
    found = subgroups(estimates, estimates.run.means.index[0])
    assert found[0].by == "all" and found[0].images == 120
    for by in {one.by for one in found} - {"all"}:
        assert sum(one.images for one in found if one.by == by) == 120


def test_small_parts_have_no_numbers(estimates):
    rare = next(one for one in subgroups(estimates, estimates.run.means.index[0]) if one.name == "rare")
    assert min(rare.classes) < LEAST and rare.made == (None, None)


def test_the_whole_has_the_intervals_of_the_leaderboard(estimates):
    key = estimates.run.means.index[0]
    whole = subgroups(estimates, key)[0].made[0]
    assert whole.estimate == pytest.approx(estimates.of(key, "auroc/target").estimate)


def test_the_figure_has_a_line_for_each(estimates):
    found = subgroups(estimates, estimates.run.means.index[0])
    figure = draw_subgroups(found, "resnet18")
    assert len(figure.table.rows) == len(found) and all(
        len(row) == len(figure.table.columns) for row in figure.table.rows
    )
    assert "scanner: common" in str(figure.panels[0].svg)


def test_without_the_table_there_are_none(run):
    assert subgroups(Estimates(run, draws=200), run.means.index[0]) == ()


@pytest.fixture
def given(estimates, tmp_path):
    """The run with a table of its target's images: lesion size in millimetres and the biopsy that some had."""
    folder = tmp_path / "run"
    shutil.copytree(str(estimates.run.storage.local), folder)
    (folder / PROPERTIES_FILE).unlink()
    images = estimates.outcomes(estimates.run.means.index[0], "auroc/target").images
    rows = pd.DataFrame(
        {"image_id": images, "lesion_mm": np.linspace(3, 40, len(images)), "biopsy": ["core", None] * 60}
    )

    def found(table=rows):
        table.to_csv(folder / SUBGROUPS_FILE, index=False)
        run = load_run(folder)
        return subgroups(Estimates(run, draws=200), run.means.index[0])

    return found, rows


def test_a_given_table_divides_by_lesion_size_and_by_words(given):
    found, rows = given
    parts = {(one.by, one.name): one.images for one in found()}
    assert parts == {
        ("all", "all target images"): 120,
        **{("lesion_mm", f"{place} third"): 40 for place in ("lowest", "middle", "highest")},
        ("biopsy", "core"): 60,
        ("biopsy", "not known"): 60,
    }
    few = found(rows.head(90))
    assert sum(one.images for one in few if one.by == "lesion_mm") == 120, (
        "images without a size are a part of their own"
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda rows: rows.rename(columns={"image_id": "name"}), "no image_id"),
        (lambda rows: rows.assign(image_id="x").head(1), "none of the 120 target images"),
        (lambda rows: pd.concat([rows, rows.head(1)]), "twice"),
        (lambda rows: rows.assign(biopsy=[f"b{n}" for n in range(len(rows))]), "biopsy has 120 values"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(given, change, problem):
    found, rows = given
    with pytest.raises(InputError, match=problem):
        found(change(rows))
