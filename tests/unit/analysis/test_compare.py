"""Two configurations side by side: what was set differently, and what came of it."""

import dataclasses

import pytest

from analysis.compare import as_text, compare, find_side, main
from analysis.estimates import Estimates
from analysis.figures.figure import with_interval
from sweep.core.errors import InputError
from tests.fakes.run_folder import FakeSweep, write_fake_run, write_ledger


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


def test_a_narrow_terminal_gets_every_number_within_its_width(two):
    made = compare(*two)
    wide, narrow = as_text(made), as_text(made, 80)
    tables = [line for line in narrow.splitlines() if line[:1] in "┏┃┡│├└"]
    assert tables and max(map(len, tables)) <= 80 < max(map(len, wide.splitlines()))
    for row in made.metrics:
        assert with_interval(row.a) in narrow and with_interval(row.b) in narrow


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


def test_two_runs_stand_side_by_side_on_a_page(run_folder, tmp_path, capsys):
    out = tmp_path / "both.html"
    assert main([str(run_folder), str(run_folder), "--rule", "oracle_target", "--html", str(out)]) == 0
    page = out.read_text()
    assert (
        page.count("<article>") >= 4
        and "Corrected for that choice" in page
        and "Content-Security-Policy" in page
        and "<script" not in page
    )
    assert str(out) in capsys.readouterr().out
    assert main([str(run_folder), str(run_folder), "--html", str(tmp_path)]) == 2


def test_a_comparison_states_the_probability_of_false_superiority(two):
    text = as_text(compare(*two))
    assert "false superiority" in text and (
        "A is not truly better than B" in text or "B is not truly better than A" in text
    )


def write(folder, **configs):
    head = {"event": "finish", "study": {}, "seconds": {}, "stages": [], "alarms": []}
    events = [
        {**head, "signature": key, "seed": seed, "config": config, "metrics": {"auroc/target": 0.5 + seed / 10}}
        for key, config in configs.items()
        for seed in (0, 1)
    ]
    write_ledger(folder, events)
    return folder


def test_settings_that_differ_in_a_late_digit_differ(tmp_path):
    folder = write(tmp_path, aaa={"lr": 0.000123456, "steps": 12345}, bbb={"lr": 0.000123457, "steps": 12346})
    made = compare(find_side(f"{folder}:aaa"), find_side(f"{folder}:bbb"))
    assert made.settings == (("lr", "0.000123456", "0.000123457"), ("steps", "12345", "12346"))


def test_values_that_look_like_markup_are_shown_as_they_are(tmp_path):
    folder = write(tmp_path, aaa={"backbone": "[v2]x"}, bbb={"backbone": "w/[/x]a"})
    text = as_text(compare(find_side(f"{folder}:aaa"), find_side(f"{folder}:bbb")))
    assert "[v2]x" in text and "w/[/x]a" in text


def test_a_difference_over_one_common_seed_says_so(run, two):
    a, b = two
    fewer = dataclasses.replace(b.run, records=b.run.records.drop([(b.signature, 1), (b.signature, 2)]), cache={})
    made = compare(a, dataclasses.replace(b, run=fewer, estimates=Estimates(fewer)))
    text = as_text(made)
    assert "Differences are over the 1 seed that both ran" in text and "it shows no cause" in text
    assert all(row.difference.seeds == (0,) for row in made.metrics if row.difference)


def test_the_same_number_of_other_images_is_not_paired(run, two):
    a, b = two
    other = dataclasses.replace(b.run, cache={})
    frame = b.run.predictions(b.signature)
    other.cache[b.signature, "predictions.parquet"] = frame.assign(image_id=frame["image_id"] + "x")
    made = compare(a, dataclasses.replace(b, run=other, estimates=Estimates(other)))
    assert all(row.difference is None for row in made.metrics if row.metric.startswith("auroc"))
