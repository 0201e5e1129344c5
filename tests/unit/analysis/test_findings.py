"""Run folders -> records -> docs/findings.md: every number from a record, what is missing said, sentences as a function of facts."""

import dataclasses
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from analysis.comparisons import PowerNote, nadeau_bengio, split_mean
from analysis.figures.importance import Importance
from analysis.findings.__main__ import BEGIN, main, with_table, write_page, write_records
from analysis.findings.collect import control_pairs
from analysis.findings.page import figures, page, readme_table
from analysis.findings.questions import AUROC_TARGET, AUROC_VAL, GAP, PARTS, QUESTIONS, is_fold, part_of
from analysis.findings.records import Against, Family, Findings, Planned, RunRecord, read_findings, write_plan
from analysis.findings.sentences import (
    ANSWERED,
    NOT_RUN,
    UNDECIDED,
    UNFINISHED,
    against_bar,
    effect,
    in_words,
    ten_sentences,
)
from analysis.intervals import Interval
from sweep.core.errors import InputError
from tests.fakes.run_folder import FakeSweep, write_fake_run

DOCS = Path(__file__).parents[3] / "docs"
SMALL = FakeSweep(
    backbones=("resnet18",), colorizers=("none",), ratios=(0, 0.25, 1), seeds=2, images=30, failed=0, gallery=False
)
PLAN = tuple(Planned(name, f"What {name} asks.", 5, 10, {"seeds": 2, "data.image_px": 64}) for name in PARTS)


@pytest.fixture(scope="module")
def docs(tmp_path_factory):
    """A docs folder with the records of a whole run, of an unfinished one and of two folds; the run folders are gone."""
    runs, out = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("docs")
    both = ("source_to_target", "target_to_source")
    sweeps = {
        "ratio-added": dataclasses.replace(SMALL, hospitals=10),
        "ratio-mixed": dataclasses.replace(SMALL, ratios=(0, 1), train_images=(50, None), missing=1, seed=1),
        "gap-frozen-folds-0": dataclasses.replace(SMALL, ratios=(0,), directions=both),
        "gap-frozen-folds-1": dataclasses.replace(SMALL, ratios=(0,), directions=both, seed=2),
    }
    write_plan(PLAN, out / "findings")
    write_records([str(write_fake_run(runs / name, sweep)) for name, sweep in sweeps.items()], out)
    return out


@pytest.fixture(scope="module")
def found(docs):
    return read_findings(docs / "findings")


def test_records_hold_arms_comparisons_and_what_they_rest_on(found):
    record = found.runs["ratio-added"]
    assert record.whole and (record.finished, record.planned) == (6, 6)
    assert [arm.settings["synthetic_per_real"] for arm in record.arms] == [0, 0.25, 1]
    (family,) = record.families
    assert family.metric == AUROC_TARGET and [row.settings["synthetic_per_real"] for row in family.rows] == [0.25, 1]
    means = [arm.numbers[AUROC_TARGET].estimate for arm in record.arms]
    assert family.rows[1].made.estimate == pytest.approx(means[2] - means[0], abs=1e-4)
    ends = [abs(end) for row in family.rows for end in (row.made.low, row.made.high)]
    assert 0 < family.margin <= max(ends) + 1e-9, "tests at 5 % on each side are narrower than 95 % intervals"
    assert family.power.detectable > 0 and family.rows[0].made.images == 30 and family.rows[0].seeds == 2
    assert record.blind.recipes == 3 and len(record.blind.pairs) == 3 and not record.blind.sealed


def test_each_training_size_has_a_control_of_its_own(found):
    (family,) = found.runs["ratio-mixed"].families
    assert [row.condition for row in family.rows] == ["all training images", "50 training images"]


def test_folds_are_one_record_with_an_interval_over_them(found):
    record = found.runs["gap-frozen-folds"]
    assert record.finished == 8 and len(record.folds) == 2
    for row in record.folds:
        assert len(row.folds) == 2 and row.made.low < np.mean(row.folds) < row.made.high
        assert row.made.estimate == pytest.approx(np.mean(row.folds), abs=1e-4)


def test_each_hospital_s_folds_are_under_its_own_name(found):
    record = found.runs["gap-frozen-folds"]
    assert record.source != record.target
    rows = re.findall(rf"^\| ({record.source}|{record.target}) \| AUROC", page(found), re.MULTILINE)
    assert rows == [record.source, record.target]
    home = ten_sentences(found)[0].text
    assert f"{record.source} 0." in home and f"{record.target} 0." in home


def test_the_page_says_what_is_missing_and_what_is_unfinished(found):
    text = page(found)
    assert text.count("**Not run.**") == len(PARTS) - 3
    assert "Unfinished: 8 of 10 records" in text and "| ratio-mixed | unfinished | 8 of 10 |" in text
    assert all(f"## {place}. {question.title}" in text for place, question in enumerate(QUESTIONS, start=1))
    states = {one.topic: one.state for one in ten_sentences(found)}
    assert len(states) == 10 and states["Attacks"] == states["What mattered"] == NOT_RUN
    assert states["The same cost otherwise"] == UNFINISHED


def test_without_any_record_there_are_ten_sentences_that_say_so():
    empty = Findings(PLAN, {})
    assert [one.state for one in ten_sentences(empty)] == [NOT_RUN] * 10
    assert page(empty).count("**Not run.**") == len(PARTS) and figures(empty) == {}


def _leaves(value, place=()):
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, (*place, key))
    elif isinstance(value, list):
        for key, one in enumerate(value):
            yield from _leaves(one, (*place, key))
    elif isinstance(value, float) and abs(value) < 1 and value:
        yield place


def test_every_estimate_on_the_page_follows_its_record(found, docs, tmp_path):
    written = json.loads((docs / "findings" / "ratio-added.json").read_text())
    usual = page(found)
    places = [place for place in _leaves(written) if place[-1] in ("estimate", "low", "high", "margin", "detectable")]
    places = [place for place in places if place[0] in ("arms", "families", "folds")]
    assert len(places) > 40
    for place in places[:: max(1, len(places) // 12)]:
        changed = json.loads(json.dumps(written))
        inner = changed
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = 0.98765
        folder = tmp_path / "-".join(map(str, place)).replace("/", "_")
        write_plan(PLAN, folder)
        (folder / "ratio-added.json").write_text(json.dumps(changed))
        other = dataclasses.replace(found, runs={**found.runs, **read_findings(folder).runs})
        text = page(other)
        assert text != usual and ("0.988" in text or "98.8" in text), place


def test_the_committed_page_and_readme_are_those_of_the_committed_records():
    found, readme = read_findings(DOCS / "findings"), (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert (DOCS / "findings.md").read_text(encoding="utf-8") == page(found)
    assert BEGIN in readme and with_table(readme, readme_table(found)) == readme
    assert {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "findings").glob("*.svg")} == figures(found)


def test_the_readme_holds_what_was_run_and_how_much_was_not(found):
    written = readme_table(found)
    assert f"{len(PARTS) - 3} of {len(PARTS)} sweep configs have not been run yet." in written
    assert f"| {NOT_RUN} |" not in written and "| Synthetic images | " in written
    assert with_table("no marks", written) == "no marks"
    assert readme_table(Findings(PLAN, {})) == "Nothing has been run yet."


def test_no_file_holds_a_path_of_this_machine_and_drawings_are_xml(docs, tmp_path):
    write_page(docs)
    files = [*docs.rglob("*.*")]
    assert {path.suffix for path in files} == {".md", ".json", ".svg"}
    for path in files:
        text = path.read_text()
        assert str(tmp_path.parent) not in text and "/tmp/" not in text and "/home/" not in text, path
        if path.suffix == ".svg":
            assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
            assert f"findings/{path.name}" in (docs / "findings.md").read_text()
    assert sum(path.stat().st_size for path in files) < 200_000


def test_a_figure_that_no_record_has_any_more_is_removed(docs):
    old = docs / "findings" / "gap-old.svg"
    old.write_text("<svg/>")
    write_page(docs)
    assert not old.exists()


def test_a_damaged_record_and_another_run_are_named(docs, tmp_path, capsys):
    write_plan(PLAN, tmp_path / "findings")
    (tmp_path / "findings" / "blind.json").write_text('{"name": "blind"}')
    with pytest.raises(InputError, match=r"blind\.json"):
        read_findings(tmp_path / "findings")
    with pytest.raises(InputError, match=r"no plan\.json|has no"):
        read_findings(tmp_path)
    other = write_fake_run(tmp_path / "quickstart", SMALL)
    assert main([str(other), "--out", str(docs)]) == 2
    assert "quickstart is no run of the findings" in capsys.readouterr().err


def test_the_part_of_a_fold_is_that_of_its_cross_validation():
    assert part_of("gap-tuned-folds-3").name == "gap-tuned-folds" and is_fold("gap-tuned-folds-3")
    assert not is_fold("gap-tuned") and part_of("ratio") is None
    assert {part.question for part in PARTS.values()} == {question.key for question in QUESTIONS}


def test_controls_agree_in_everything_that_has_an_effect():
    ratio = {
        "a": {"synthetic_per_real": 0.0, "train_images": 100},
        "b": {"synthetic_per_real": 1, "generator": "wgan", "train_images": 100},
        "c": {"synthetic_per_real": 1, "generator": "wgan"},
    }
    assert control_pairs(ratio, {"synthetic_per_real": 0}) == [("b", "a")]
    modules = {
        "vanilla": {"colorizer": "none", "train_eps": 0.0},
        "trained": {"colorizer": "none", "train_eps": 0.00784},
        "module": {"colorizer": "texture_color", "glcm_weight": 0.1, "train_eps": 0.0},
    }
    pairs = control_pairs(modules, {"colorizer": "none", "train_eps": 0})
    assert pairs == [("trained", "vanilla"), ("module", "vanilla")]
    transfer = {
        "own": {"colorizer": "coloru", "colorizer_from": None},
        "other": {"colorizer": "pixelshuffle", "colorizer_from": None},
        "carried": {"colorizer": "coloru", "colorizer_from": "other_domain"},
    }
    assert control_pairs(transfer, {"colorizer_from": None}) == [("carried", "own")]


def made(estimate, low, high, images=100, seeds=5):
    return Interval(estimate, low, high, 0.95, images, images, seeds)


def against(estimate, low, high, seen=False, **settings):
    return Against("arm", "control", "", settings, made(estimate, low, high), 0.5, 0.5, 5, seen, True)


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([], "undecided"),
        ([against(0.01, -0.03, 0.05)], "undecided"),
        ([against(0.01, -0.01, 0.02), against(-0.005, -0.018, 0.01)], "equal"),
        ([against(0.04, 0.01, 0.07, True), against(0.0, -0.05, 0.05)], "better"),
        ([against(-0.04, -0.07, -0.01, True)], "worse"),
        ([against(-0.04, -0.07, -0.01, True), against(0.04, 0.01, 0.07, True)], "both"),
    ],
)
def test_what_comparisons_say_together(rows, verdict):
    assert effect(rows)[0] == verdict


def test_an_effect_is_worth_two_points_only_with_its_whole_interval():
    rows = (against(0.06, 0.03, 0.09, True),)
    family = Family(AUROC_TARGET, rows, 0.08, PowerNote(0.02, 0.05, None, None))
    assert "surely more than 2 points" in in_words(rows, family, "X")[0]
    weak = (against(0.04, 0.01, 0.07, True),)
    assert "not surely more than 2 points" in in_words(weak, family, "X")[0]
    open_ = (against(0.01, -0.03, 0.05),)
    text, state = in_words(open_, family, "X")
    assert state == UNDECIDED and "all lie within 8.0 points" in text and "below 5.0 points" in text


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [((0.91, 0.95), "above"), ((0.8, 0.89), "below"), ((0.85, 0.95), "not told apart from")],
)
def test_beside_a_bar(ends, verdict):
    assert against_bar(made(sum(ends) / 2, *ends), 0.9) == verdict


def record(name, **facts):
    usual = {
        "source": "egypt",
        "target": "poland",
        "image_px": 64,
        "finished": 4,
        "planned": 4,
        "failed": 0,
        "stopped": 0,
    }
    return RunRecord(name, **{**usual, "seconds": 1.0, "constants": {}, **facts})


def test_sentences_name_what_they_rest_on_and_follow_the_facts():
    from analysis.findings.records import Arm

    numbers = {
        AUROC_VAL: made(0.9, 0.85, 0.95),
        "auroc/source": made(0.9, 0.85, 0.95),
        AUROC_TARGET: made(0.66, 0.6, 0.72),
        GAP: made(0.24, 0.1, 0.3),
    }
    gap = record("gap-tuned", arms=(Arm("x", "", {"direction": "source_to_target"}, numbers),))
    rows = (Importance("augment", 3, 0.5, 0.2, 0.7, 24), Importance("adapt", 3, 0.0, 0.0, 0.2, 24))
    joint = record("recipe-breast", importance={AUROC_TARGET: rows})
    said = {one.topic: one for one in ten_sentences(Findings(PLAN, {"gap-tuned": gap, "recipe-breast": joint}))}
    away = said["At the other hospital"]
    assert away.state == ANSWERED and "from egypt to poland" in away.text and "below the bar of 0.74" in away.text
    assert away.rests_on == "gap-tuned; 100 test images, 5 seeds; 64 px"
    assert "augment explains most" in said["What mattered"].text and "not: adapt" in said["What mattered"].text
    unfinished = Findings(PLAN, {"gap-tuned": dataclasses.replace(gap, planned=9)})
    assert {one.topic: one.state for one in ten_sentences(unfinished)}["At the other hospital"] == UNFINISHED


def test_the_interval_over_splits_is_that_of_the_corrected_test():
    values = np.array([0.03, 0.05, 0.01, 0.04, 0.02])
    mean, low, high = split_mean(values, 100, 300)
    assert mean == pytest.approx(values.mean()) and high - mean == pytest.approx(mean - low)
    _, p = nadeau_bengio(values - low, 100, 300)  # the end of a 95 % interval is where p is 5 %
    assert p == pytest.approx(0.05)
    assert np.isnan(split_mean([0.5], 100, 300)[1:]).all()
