"""Figures are tested by their facts; drawings only for being whole and labelled."""

import xml.etree.ElementTree as ET

import pytest

from analysis.comparisons import Compared
from analysis.derived import labels
from analysis.figures import svg
from analysis.figures.compute import ComputeRow, compute_rows, draw_compute, duration
from analysis.figures.epsilon import draw_epsilon_curves, epsilon_facts
from analysis.figures.gallery import galleries
from analysis.figures.pareto import draw_pareto, pareto_facts
from analysis.figures.ratio import RatioCurve, RatioPoint, draw_ratio_curves, ratio_curves
from analysis.frames import load_run
from analysis.intervals import Interval
from analysis.ranking import objectives, shown_metrics
from tests.fakes.run_folder import FakeSweep, write_fake_run, write_ledger


def made(estimate, half=0.05):
    return Interval(estimate, estimate - half, estimate + half, 0.95, 40, 20, 3)


class TestSvg:
    def test_values_are_escaped(self):
        text = str(svg.el("text", "<b>&", data_tip='"quoted" <i>'))
        assert ET.fromstring(text).text == "<b>&" and ET.fromstring(text).get("data-tip") == '"quoted" <i>'

    @pytest.mark.parametrize(("low", "high"), [(0, 1), (0.612, 0.794), (-0.05, 0.25), (0, 5000), (3, 3)])
    def test_ticks_lie_inside_and_are_round(self, low, high):
        made = svg.ticks(low, high)
        assert made and all(low - 1e-9 <= tick <= high + 1e-9 for tick in made) and len(made) <= 11

    def test_ranges_keep_their_floor_and_survive_no_values(self):
        assert svg.nice_range([0.01, 0.99], floor=0, ceiling=1) == (0, 1)
        low, high = svg.nice_range([float("nan")])
        assert low < high
        low, high = svg.nice_range([0.5])
        assert low < 0.5 < high

    def test_marker_shapes_differ(self):
        assert len({svg.marker(shape, 0, 0) for shape in range(5)}) == 5


class TestRatio:
    def test_one_curve_a_cell_with_all_ratios_and_a_control(self, run, estimates):
        curves = ratio_curves(run, estimates, "source_val")
        assert sorted(curve.cell for curve in curves) == ["cnn_transformer, deconv", "cnn_transformer, no colorizer", "resnet18, deconv", "resnet18, no colorizer"]
        for curve in curves:
            assert [point.ratio for point in curve.points] == [0, 0.5, 1]
            assert curve.points[0].against is None and curve.control == curve.points[0].made
            assert all(point.against.b == curve.points[0].signature for point in curve.points[1:])

    def test_differences_are_the_differences_of_the_points(self, run, estimates):
        curve = ratio_curves(run, estimates, "source_val")[0]
        for point in curve.points[1:]:
            assert point.against.interval.estimate == pytest.approx(point.made.estimate - curve.control.estimate)

    def test_drawing_shows_every_point_and_rings_the_distinguishable(self):
        seen = Compared("b", "a", made(0.1), 0.001, 0.002)
        curve = RatioCurve("cell", (RatioPoint(0, "a", made(0.7), None), RatioPoint(1, "b", made(0.8), seen)), made(0.7))
        figure = draw_ratio_curves((curve,))
        assert str(figure.panels[0].svg).count('class="mark"') == 2 and str(figure.panels[0].svg).count("ring") == 1
        assert figure.table.rows[1][3:] == ("+10.0 points [+5.0, +15.0]", "p = 0.002")

    def test_none_without_ratios(self, tmp_path):
        folder = write_fake_run(tmp_path / "r", FakeSweep(ratios=(0,), seeds=1, outcomes=False, gallery=False))
        assert ratio_curves(load_run(folder), None, "source_val") == ()


class TestEpsilon:
    def test_curves_start_clean_and_fall(self, run, estimates):
        keys = list(run.means.index[:3])
        facts = epsilon_facts(run, estimates, keys, labels(run.configs, run.studies))
        assert [curve.threat for curve in facts.by_threat] == ["fgsm", "pgd20", "square", "worst"]
        assert [curve.signature for curve in facts.worst] == keys
        worst = facts.by_threat[-1]
        assert worst.eps[0] == 0 and worst.made[0].estimate == pytest.approx(run.means.loc[keys[0], "accuracy/target"])
        values = [one.estimate for one in worst.made]
        assert values == sorted(values, reverse=True)
        for curve in facts.by_threat[:-1]:
            assert all(w.estimate <= t.estimate + 1e-12 for w, t in zip(worst.made, curve.made, strict=True))

    def test_none_without_attacks(self, tmp_path):
        write_ledger(tmp_path, [{"event": "finish", "signature": "a", "seed": 0, "config": {}, "study": {}, "metrics": {"auroc/target": 0.5}}])
        assert epsilon_facts(load_run(tmp_path), None, ["a"], {"a": "a"}) is None


class TestPareto:
    def test_front_and_probability(self, run, estimates):
        facts = pareto_facts(run, estimates, objectives(run), shown_metrics(run), labels(run.configs, run.studies))
        assert len(facts.points) == 12 and facts.kinds == ("cnn_transformer", "resnet18") and facts.left_out == 0
        assert all(0 <= point.probability <= 1 for point in facts.points)
        assert sum(point.probability for point in facts.points) >= 1, "every resample has a front"
        on, off = ([p.probability for p in facts.points if p.on_front is side] for side in (True, False))
        assert on and (not off or max(on) >= max(off))
        assert facts.goals[facts.metrics.index("domain_gap")] == "minimize"

    def test_none_with_one_objective(self, run, estimates):
        assert pareto_facts(run, estimates, ("auroc/target",), (), {}) is None


class TestCompute:
    def test_reuse_saves_what_it_would_have_cost(self, tmp_path):
        stages = [{"stage": "generator", "hash": "h", "reused": False, "seconds": 20.0}, {"stage": "generator", "hash": "h", "reused": True, "seconds": 1.0}]
        events = [{"event": "finish", "signature": str(n), "seed": 0, "config": {}, "study": {}, "metrics": {"auroc/target": 0.5},
                   "seconds": {"attack": 3.0, "total": 9.0}, "stages": [stage]} for n, stage in enumerate(stages)]
        write_ledger(tmp_path, events)
        assert compute_rows(load_run(tmp_path)) == (ComputeRow("generator", 21.0, 1, 1, 19.0), ComputeRow("attack", 6.0, 2, 0, 0.0))

    @pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (190, "3 min 10 s"), (18720, "5 h 12 min")])
    def test_durations(self, seconds, text):
        assert duration(seconds) == text


class TestGallery:
    def test_kinds_in_order_with_partners_and_both_classes(self, run):
        key = run.means["auroc/source_val"].idxmax()
        with_all = next(k for k in run.means.index if run.configs.loc[k, "colorizer"] != "none" and run.configs.loc[k, "synthetic_per_real"] > 0)
        made = galleries(run, [key, with_all])
        assert [gallery.kind for gallery in made] == ["source", "target", "synthetic", "colorized", "adversarial"]
        assert {picture.label for picture in made[0].pictures[:2]} == {"benign", "malignant"}
        assert all(picture.beside for picture in made[-1].pictures)

    def test_budget_is_kept(self, run, monkeypatch):
        monkeypatch.setattr("analysis.figures.gallery.BUDGET_BYTES", 40_000)
        made = galleries(run, list(run.means.index))
        assert sum(len(p.uri) + len(p.beside or "") for gallery in made for p in gallery.pictures) < 40_000 * 4 / 3 + 1000
        assert any(gallery.left_out for gallery in made)


def test_every_drawing_is_whole_named_and_has_a_table(run, estimates):
    names = labels(run.configs, run.studies)
    figures = [draw_ratio_curves(ratio_curves(run, estimates, "source_val")), draw_compute(compute_rows(run)),
               draw_epsilon_curves(epsilon_facts(run, estimates, list(run.means.index[:2]), names)),
               draw_pareto(pareto_facts(run, estimates, objectives(run), shown_metrics(run), names))]
    for figure in figures:
        assert figure.title and figure.caption and figure.table.rows
        assert all(len(row) == len(figure.table.columns) for row in figure.table.rows)
        for panel in figure.panels:
            root = ET.fromstring(str(panel.svg))
            assert root.get("aria-label") and "nan" not in str(panel.svg)
