"""The page: one file, nothing foreign, every value escaped, honest sentences."""

import dataclasses
import re
from html import unescape
from html.parser import HTMLParser

import pytest

from analysis.estimates import Estimates
from analysis.figures.ratio import ratio_curves
from analysis.frames import load_run
from analysis.page import build_page
from analysis.ranking import rank
from analysis.report import main, render, with_code, write_report
from analysis.verdict_facts import verdict
from analysis.warnings import warnings
from sweep.store.ledger import read_ledger
from tests.fakes.run_folder import FakeSweep, write_fake_run, write_ledger

EVIL = '<script>alert("x")</script>'


def finish(signature, seed=0, config=None, **metrics):
    return {
        "event": "finish",
        "signature": signature,
        "seed": seed,
        "config": config or {"lr": 0.1},
        "study": {},
        "metrics": metrics,
        "seconds": {"total": 1.0},
        "stages": [],
        "alarms": [],
    }


@pytest.fixture(scope="module")
def page(run):
    return build_page(run, draws=300)


@pytest.fixture(scope="module")
def html(page):
    return render(page)


class Outline(HTMLParser):
    """Collects ids, links, sources and checks that tags close."""

    VOID = {"meta", "link", "img", "input", "br"}

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.sources = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs["href"]] if "href" in attrs else []
        self.sources += [attrs["src"]] if "src" in attrs else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag


def outline(html):
    made = Outline()
    made.feed(html)
    return made


def test_whole_and_small(html):
    made = outline(html)
    assert made.open == [] and len(made.ids) == len(set(made.ids))
    assert len(html) < 1_000_000


def test_links_stay_on_the_page_and_sources_are_inline(html):
    made = outline(html)
    assert all(link.startswith("#") and link[1:] in made.ids for link in made.links)
    assert made.sources and all(source.startswith("data:image/png;base64,") for source in made.sources)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", html)
    assert "default-src 'none'" in unescape(html)


def test_sections_in_reading_order(html):
    order = [
        html.index(f'id="{key}"')
        for key in ("verdict", "leaderboard", "ratio", "epsilon", "pareto", "compute", "images", "data")
    ]
    assert order == sorted(order)


def test_same_records_same_page(run, html):
    assert render(build_page(run, draws=300)) == html


def test_values_are_escaped(tmp_path):
    folder = write_fake_run(tmp_path / "r", FakeSweep(backbones=("resnet18",), colorizers=("none",), seeds=2))
    events = read_ledger(folder).events
    for event in events:
        if "config" in event:
            event["config"]["backbone"] = EVIL
            event.get("study", {})["backbone"] = EVIL
        if event["event"] == "finish":
            event["alarms"] = [EVIL]
    write_ledger(folder, events)
    (folder / "data.json").write_text(
        '{"source": {"name": "' + EVIL.replace('"', '\\"') + '", "classes": [], "counts": {}}}'
    )
    html = render(build_page(load_run(folder), draws=300))
    assert "<script>alert" not in html and "&lt;script&gt;alert" in html
    outline(html)


class TestVerdict:
    def test_two_sentences_with_interval_and_n(self, page):
        assert re.search(
            r"AUROC 0\.\d{3} \[0\.\d{3}, \d\.\d{3}\], balanced accuracy .* on the target",
            page.verdict.recommendation,
        )
        assert "real only" in page.verdict.answer

    def test_an_oracle_choice_says_so(self, run, estimates):
        made = verdict(run, rank(run, "oracle_target", top=3, estimates=estimates), estimates, ())
        assert "oracle" in made.recommendation and "runner-up" in made.answer

    def test_equal_ratios_are_called_indistinguishable_within_a_margin(self, run, estimates):
        curves = ratio_curves(run, estimates, "source_val")
        quiet = tuple(
            type(c)(c.cell, tuple(p for p in c.points if not (p.against and p.against.distinguishable)), c.control)
            for c in curves
        )
        made = verdict(run, rank(run, top=3, estimates=estimates), estimates, quiet)
        assert "No ratio of synthetic images is distinguishable" in made.answer and "\N{PLUS-MINUS SIGN}" in made.answer

    def test_without_images_it_says_that_only_seeds_speak(self, tmp_path):
        write_ledger(
            tmp_path, [finish("a", seed, **{"auroc/target": 0.8, "auroc/source_val": 0.9}) for seed in range(3)]
        )
        run = load_run(tmp_path)
        made = verdict(run, rank(run, top=3), Estimates(run), ())
        assert "images were not kept" in made.recommendation


class TestCautions:
    def heads(self, folder, *events):
        write_ledger(folder, list(events))
        return " | ".join(f"{c.severity}: {c.headline}" for c in warnings(load_run(folder)))

    def test_constant_predictor(self, tmp_path):
        metrics = {"accuracy/target": 0.6, "constant_accuracy/target": 0.6, "balanced_accuracy/target": 0.5}
        metrics |= {"sensitivity/target": 0.0, "specificity/target": 1.0}
        said = self.heads(tmp_path, finish("a", **metrics))
        assert "serious: 1 configuration calls (nearly) every image of the target the negative class" in said

    def test_the_class_that_is_always_called_and_its_real_accuracy(self, run, tmp_path):
        metrics = {"accuracy/target": 0.43, "constant_accuracy/target": 0.58, "balanced_accuracy/target": 0.5}
        write_ledger(tmp_path, [finish("a", **metrics, **{"sensitivity/target": 1.0, "specificity/target": 0.01})])
        made = next(
            one
            for one in warnings(dataclasses.replace(load_run(tmp_path), data_card=run.data_card))
            if "every" in one.headline
        )
        assert made.headline.endswith("of the target malignant")
        assert "an accuracy of 0.430" in made.detail and "The constant predictor has 0.580." in made.detail

    def test_a_model_of_middling_recall_is_not_said_to_call_one_class(self, tmp_path):
        metrics = {"accuracy/target": 0.5, "constant_accuracy/target": 0.6, "balanced_accuracy/target": 0.5}
        said = self.heads(tmp_path, finish("a", **metrics, **{"sensitivity/target": 0.6, "specificity/target": 0.4}))
        assert "every image" not in said

    def test_few_images_of_a_class(self, run):
        assert any("few images of one class" in one.headline for one in warnings(run))

    def test_survivors_are_marked(self, tmp_path):
        failed = {"event": "failed", "signature": "a", "seed": 1, "config": {}, "kind": "DIVERGED", "reason": "nan"}
        write_ledger(tmp_path, [finish("a", **{"auroc/target": 0.8}), failed])
        assert any("1 ranked configuration lost seeds" in one.headline for one in warnings(load_run(tmp_path)))

    def test_accuracy_that_rises_with_epsilon(self, tmp_path):
        rising = {f"robust_accuracy/target/fgsm@{eps}/255": value for eps, value in ((1, 0.12), (2, 0.19), (10, 0.10))}
        assert "Accuracy rises with epsilon in 1 configuration" in self.heads(tmp_path, finish("a", **rising))

    def test_falling_accuracy_is_quiet(self, tmp_path):
        falling = {f"robust_accuracy/target/fgsm@{eps}/255": value for eps, value in ((1, 0.5), (2, 0.3), (10, 0.1))}
        assert "rises" not in self.heads(tmp_path, finish("a", **falling))

    def test_few_seeds_and_unfinished(self, tmp_path):
        sweep = {"event": "sweep", "name": "s", "objectives": [], "trials": 2, "seeds": 3}
        heads = self.heads(tmp_path, sweep, finish("a", **{"auroc/target": 0.5}))
        assert "fewer than 3 seeds" in heads and "1 of 6 records have finished" in heads

    def test_leaks_of_the_audit(self, tmp_path):
        (tmp_path / "data.json").write_text(
            '{"audit": {"source": {"groups_with_conflicting_labels": 2, "images_with_a_near_copy": 5}, "images_in_both_domains": 0}}'
        )
        heads = self.heads(tmp_path, finish("a", **{"auroc/target": 0.5}))
        assert "note: Near copies with different labels" in heads and "both sides" not in heads
        (tmp_path / "data.json").write_text('{"audit": {"images_in_both_domains": 3}}')
        assert "serious: The audit found images on both sides" in self.heads(
            tmp_path, finish("a", **{"auroc/target": 0.5})
        )
        (tmp_path / "data.json").write_text(
            '{"audit": {"left_out_of_source_to_target_for": {"a_picture": 3, "a_patient": 0}}}'
        )
        heads = self.heads(tmp_path, finish("a", **{"auroc/target": 0.5}))
        assert "note: Images were left out because the other hospital" in heads and "both sides" not in heads

    def test_training_on_the_target_s_grey_levels(self, tmp_path):
        matched, plain = (
            {**finish(name, **{"auroc/target": 0.5}), "config": {"adapt": way}}
            for name, way in (("a", "histogram_to_target"), ("b", "histogram"))
        )
        assert "grey levels" not in self.heads(tmp_path, plain)
        assert "note: 1 configuration trained on the target's grey levels" in self.heads(tmp_path, plain, matched)

    def test_serious_first(self, run):
        severities = [warning.severity for warning in warnings(run)]
        assert severities == sorted(severities, key=lambda s: s != "serious")


@pytest.mark.parametrize(
    "events",
    [
        [finish("a", **{"auroc/target": 0.5, "auroc/source_val": 0.5})],
        [finish("a", **{"auroc/target": 0.5, "auroc/source_val": 0.5}), finish("b", **{"auroc/source_val": 0.6})],
    ],
)
def test_the_barest_ledger_still_makes_a_page(tmp_path, events):
    write_ledger(tmp_path, events)
    outline(render(build_page(load_run(tmp_path))))


class TestCommand:
    def test_prints_the_path_it_wrote(self, run_folder, tmp_path, capsys):
        assert main([str(run_folder), "--out", str(tmp_path / "sub" / "out.html")]) == 0
        assert (
            capsys.readouterr().out.strip() == str(tmp_path / "sub" / "out.html")
            and (tmp_path / "sub" / "out.html").stat().st_size > 50_000
        )

    @pytest.mark.parametrize("extra", [["--rule", "nix"], ["--out", "."]])
    def test_bad_input(self, run_folder, capsys, extra):
        assert main([str(run_folder), *extra]) == 2
        assert "error: " in capsys.readouterr().err.lower()

    def test_no_half_written_file(self, tmp_path):
        assert main([str(tmp_path / "nowhere"), "--out", str(tmp_path / "r.html")]) == 2
        assert list(tmp_path.iterdir()) == []

    def test_default_place_is_the_run_folder(self, tmp_path):
        write_ledger(tmp_path, [finish("a", **{"auroc/target": 0.5, "auroc/source_val": 0.5})])
        assert main([str(tmp_path)]) == 0 and (tmp_path / "report.html").is_file()
        assert write_report(tmp_path, tmp_path / "x.html").endswith("x.html")


def test_what_was_stopped_early_stands_apart(tmp_path):
    sweep = FakeSweep(backbones=("resnet18",), ratios=(0,), seeds=2, images=24, stopped=2)
    page = build_page(load_run(write_fake_run(tmp_path / "r", sweep)), draws=200)
    assert (
        len(page.leaderboard.rows) == 2 and [row[1:4] for row in page.stopped.rows] == [("1", "0.520", "halving")] * 2
    )
    html = render(page)
    assert "Stopped early, not ranked" in html and "3rd of 3 at epoch 1" in html
    assert any("2 records stopped early (2 by halving)" in warning.headline for warning in page.warnings)


@pytest.mark.slow
def test_five_hundred_trials_stay_under_eight_megabytes(tmp_path):
    backbones = ("resnet18", "resnet50", "vit_tiny_patch16_224", "cnn_transformer")
    sweep = FakeSweep(
        backbones=backbones,
        colorizers=("none", "deconv", "pixelshuffle", "coloru"),
        ratios=tuple(n / 16 for n in range(32)),
        seeds=1,
        images=16,
    )
    write_report(write_fake_run(tmp_path / "r", sweep), tmp_path / "report.html")
    assert len(load_run(tmp_path / "r").means) >= 500 and (tmp_path / "report.html").stat().st_size < 8e6


def test_a_command_in_a_sentence_is_shown_as_code_and_everything_else_escaped():
    assert (
        with_code("Run `python -m x --out a<b`, not <b>.")
        == "Run <code>python -m x --out a&lt;b</code>, not &lt;b&gt;."
    )


def test_no_backtick_is_shown_raw_in_the_verdict(page):
    text = render(dataclasses.replace(page, verdict=dataclasses.replace(page.verdict, power="Run `python -m x`.")))
    assert "Run <code>python -m x</code>." in text
