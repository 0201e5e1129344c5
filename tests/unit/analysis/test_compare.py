"""Two configurations side by side: what was set differently, and what came of it."""

import pytest

from analysis.compare import as_text, compare, find_side, main
from sweep.core.errors import InputError
from tests.fakes.run_folder import FakeSweep, write_fake_run


def address(folder, run, **settings):
    keys = [
        key for key in run.means.index if all(run.configs.loc[key, name] == value for name, value in settings.items())
    ]
    return f"{folder}:{keys[0][:8]}"


@pytest.fixture(scope="module")
def two(run_folder, run):
    a = find_side(address(run_folder, run, backbone="resnet18", colorizer="none", synthetic_per_real=0))
    b = find_side(address(run_folder, run, backbone="resnet18", colorizer="deconv", synthetic_per_real=0))
    return a, b


def test_only_settings_that_differ_are_listed(two):
    made = compare(*two)
    names = [name for name, _, _ in made.settings]
    assert names[0] == "colorizer" and "backbone" not in names
    assert dict((name, (x, y)) for name, x, y in made.settings)["glcm_weight"][0] == "-"


def test_differences_are_b_minus_a_and_adjusted_together(two):
    made = compare(*two)
    for row in made.metrics:
        assert row.difference.interval.estimate == pytest.approx(row.b.estimate - row.a.estimate)
        assert row.difference.p_adjusted >= row.difference.p


def test_a_run_is_represented_by_its_chosen_configuration(run_folder, run):
    side = find_side(str(run_folder))
    assert side.signature == run.means["auroc/source_val"].idxmax() and side.chosen_by == "source_val"
    assert "No setting differs." in as_text(compare(side, side))


def test_runs_on_other_images_are_not_paired(run_folder, tmp_path):
    other = write_fake_run(
        tmp_path / "other",
        FakeSweep(backbones=("resnet18",), colorizers=("none",), ratios=(0,), images=30, seeds=2, gallery=False),
    )
    made = compare(find_side(str(run_folder)), find_side(str(other)))
    assert all(row.difference is None for row in made.metrics) and "other images or seeds" in as_text(made)


@pytest.mark.parametrize(("start", "words"), [("zzz", "no finished trial begins"), ("", None)])
def test_a_signature_that_is_not_there(run_folder, start, words):
    if words:
        with pytest.raises(InputError, match=words):
            find_side(f"{run_folder}:{start}")
    else:
        assert find_side(f"{run_folder}").signature


def test_command(run_folder, run, capsys):
    assert main([address(run_folder, run, colorizer="none"), str(run_folder)]) == 0
    assert "B minus A" in capsys.readouterr().out
    assert main([str(run_folder), "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere")
