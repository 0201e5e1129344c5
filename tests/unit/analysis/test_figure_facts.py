"""Figures are tested by their facts; drawings only for being whole and labelled."""

import math
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import optuna
import pandas as pd
import pytest

from analysis.comparisons import Compared
from analysis.derived import labels
from analysis.figures import svg
from analysis.figures.calibration import calibration_facts, domain_facts, draw_calibration
from analysis.figures.compute import ComputeRow, compute_rows, draw_compute
from analysis.figures.epsilon import EpsilonCurve, EpsilonFacts, Reach, draw_epsilon_curves, epsilon_facts, reach
from analysis.figures.gallery import galleries
from analysis.figures.glcm import draw_glcm, glcm_facts
from analysis.figures.importance import draw_importances, explained, importances
from analysis.figures.learning import draw_learning_curves, learning_curves
from analysis.figures.parallel import draw_parallel, parallel_facts
from analysis.figures.pareto import draw_pareto, pareto_facts
from analysis.figures.ratio import RatioCurve, RatioPoint, draw_ratio_curves, ratio_curves
from analysis.frames import load_run
from analysis.intervals import Interval
from analysis.outcomes import Outcomes
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
        assert sorted(curve.cell for curve in curves) == [
            "cnn_transformer, deconv",
            "cnn_transformer, no colorizer",
            "resnet18, deconv",
            "resnet18, no colorizer",
        ]
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
        curve = RatioCurve(
            "cell", (RatioPoint(0, "a", made(0.7), None), RatioPoint(1, "b", made(0.8), seen)), made(0.7)
        )
        figure = draw_ratio_curves((curve,))
        assert str(figure.panels[0].svg).count('class="mark"') == 2 and str(figure.panels[0].svg).count("ring") == 1
        assert figure.table.rows[1][3:] == ("+10.0 points [+5.0, +15.0]", "p = 0.002")

    def test_none_without_ratios(self, tmp_path):
        folder = write_fake_run(tmp_path / "r", FakeSweep(ratios=(0,), seeds=1, outcomes=False, gallery=False))
        assert ratio_curves(load_run(folder), None, "source_val") == ()


class TestEpsilon:
    def test_curves_start_clean_and_fall(self, run, estimates):
        keys = list(run.means.index[:3])
        facts, on_source = epsilon_facts(run, estimates, keys, labels(run.configs, run.studies))
        assert (facts.split, on_source.split) == ("target", "source")
        assert on_source.worst[0].made[0].estimate == pytest.approx(run.means.loc[keys[0], "accuracy/source"])
        assert [curve.threat for curve in facts.by_threat] == ["fgsm", "pgd20", "square", "worst"]
        assert [curve.signature for curve in facts.worst] == keys
        worst = facts.by_threat[-1]
        assert worst.eps[0] == 0 and worst.made[0].estimate == pytest.approx(run.means.loc[keys[0], "accuracy/target"])
        values = [one.estimate for one in worst.made]
        assert values == sorted(values, reverse=True)
        for curve in facts.by_threat[:-1]:
            assert all(w.estimate <= t.estimate + 1e-12 for w, t in zip(worst.made, curve.made, strict=True))

    def test_none_without_attacks(self, tmp_path):
        write_ledger(
            tmp_path,
            [
                {
                    "event": "finish",
                    "signature": "a",
                    "seed": 0,
                    "config": {},
                    "study": {},
                    "metrics": {"auroc/target": 0.5},
                }
            ],
        )
        assert epsilon_facts(load_run(tmp_path), None, ["a"], {"a": "a"}) == ()

    def test_where_a_curve_and_its_band_reach_a_level(self):
        curve = EpsilonCurve(
            "a", "a", "worst", (0.0, 1 / 255, 2 / 255), (made(0.9, 0.1), made(0.5, 0.1), made(0.3, 0.1))
        )
        assert reach(curve, 0.5) == Reach(1 / 255, 1 / 255, 2 / 255)
        assert reach(curve, 0.35) == Reach(2 / 255, 2 / 255, math.inf)
        facts = EpsilonFacts("target", "recipe", (curve,), (curve,), 0.35, reach(curve, 0.5), reach(curve, 0.35))
        assert draw_epsilon_curves((facts,)).notes == (
            "recipe, worst case on the target: half of the images are broken at 1/255 (95 %: 1/255 to 2/255), and "
            "accuracy is no better than the constant predictor's at 2/255 (95 %: 2/255 to beyond 2/255).",
        )


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
        stages = [
            {"stage": "generator", "hash": "h", "reused": False, "seconds": 20.0},
            {"stage": "generator", "hash": "h", "reused": True, "seconds": 1.0},
        ]
        events = [
            {
                "event": "finish",
                "signature": str(n),
                "seed": 0,
                "config": {},
                "study": {},
                "metrics": {"auroc/target": 0.5},
                "seconds": {"attack": 3.0, "total": 9.0},
                "stages": [stage],
            }
            for n, stage in enumerate(stages)
        ]
        write_ledger(tmp_path, events)
        assert compute_rows(load_run(tmp_path)) == (
            ComputeRow("generator", 21.0, 1, 1, 19.0),
            ComputeRow("attack", 6.0, 2, 0, 0.0),
        )


class TestGallery:
    def test_kinds_in_order_with_partners_and_both_classes(self, run):
        key = run.means["auroc/source_val"].idxmax()
        with_all = next(
            k
            for k in run.means.index
            if run.configs.loc[k, "colorizer"] != "none" and run.configs.loc[k, "synthetic_per_real"] > 0
        )
        made = galleries(run, [key, with_all])
        assert [gallery.kind for gallery in made] == ["source", "target", "synthetic", "colorized", "adversarial"]
        assert {picture.label for picture in made[0].pictures[:2]} == {"benign", "malignant"}
        assert all(picture.beside for picture in made[-1].pictures)

    def test_budget_is_kept(self, run, monkeypatch):
        monkeypatch.setattr("analysis.figures.gallery.BUDGET_BYTES", 40_000)
        made = galleries(run, list(run.means.index))
        assert (
            sum(len(p.uri) + len(p.beside or "") for gallery in made for p in gallery.pictures) < 40_000 * 4 / 3 + 1000
        )
        assert any(gallery.left_out for gallery in made)


def test_every_drawing_is_whole_named_and_has_a_table(run, estimates):
    names = labels(run.configs, run.studies)
    keys, wanted = list(run.means.index[:2]), objectives(run)
    figures = [
        draw_ratio_curves(ratio_curves(run, estimates, "source_val")),
        draw_compute(compute_rows(run)),
        draw_epsilon_curves(epsilon_facts(run, estimates, keys, names)),
        draw_glcm(glcm_facts(run, wanted)),
        draw_pareto(pareto_facts(run, estimates, wanted, shown_metrics(run), names)),
        draw_learning_curves(learning_curves(run, keys, names)),
        draw_importances({metric: importances(run, metric) for metric in wanted}),
        draw_calibration("x", calibration_facts(estimates, keys[0], ("a", "b"))),
        draw_parallel(parallel_facts(run, wanted, names)),
    ]
    for figure in figures:
        assert figure.title and figure.caption and figure.table.rows
        assert all(len(row) == len(figure.table.columns) for row in figure.table.rows)
        for panel in figure.panels:
            root = ET.fromstring(str(panel.svg))
            assert root.get("aria-label") and "nan" not in str(panel.svg)


class TestImportance:
    def test_a_setting_that_decides_everything_explains_everything(self):
        groups = np.repeat([0, 1], 10)
        assert explained(groups, groups.astype(float)) == 1.0

    def test_a_setting_that_decides_nothing_explains_about_nothing(self):
        draw = np.random.default_rng(0)
        shares = [explained(np.tile(range(4), 10), draw.normal(size=40)) for _ in range(200)]
        assert np.mean(shares) < 0.05

    def test_it_is_one_minus_the_ratio_of_mean_squares(self):
        groups, values = np.array([0, 0, 1, 1]), np.array([1.0, 3, 4, 6])
        assert explained(groups, values) == pytest.approx(1 - (4 / 2) / (13 / 3))

    def test_settings_of_the_fake_come_in_order_with_intervals(self, run):
        rows = importances(run, "robust_accuracy/target/worst@2/255")
        assert [row.share for row in rows] == sorted((row.share for row in rows), reverse=True)
        assert {"colorizer", "backbone"} <= {row.setting for row in rows}
        assert all(row.low <= row.high for row in rows)

    def test_too_few_configurations_say_nothing(self, tmp_path):
        folder = write_fake_run(
            tmp_path / "r", FakeSweep(backbones=("resnet18",), seeds=1, outcomes=False, gallery=False)
        )
        assert importances(load_run(folder), "auroc/target") == ()


def measured(function, settings, count=240):
    """A run of `count` random configurations whose metric is a known function of their settings."""
    draw = np.random.default_rng(3)
    rows = [{name: make(draw) for name, make in settings.items()} for _ in range(count)]
    for row in rows:
        if row.get("colorizer") == "none":
            row["glcm_weight"] = None
    keys = [f"{n:04d}" for n in range(count)]
    configs = pd.DataFrame(rows, index=keys, dtype=object)
    means = pd.DataFrame({"auroc/target": [function(row) for row in rows]}, index=keys)
    return SimpleNamespace(configs=configs, means=means)


class TestImportanceOfAKnownFunction:
    def test_a_conditional_setting_that_does_nothing_explains_nothing(self):
        settings = {
            "colorizer": lambda draw: str(draw.choice(["none", "deconv"])),
            "glcm_weight": lambda draw: float(draw.uniform()),
            "lr": lambda draw: float(draw.uniform()),
        }
        run = measured(lambda row: 0.6 + 0.2 * (row["colorizer"] == "deconv") + 0.02 * row["lr"], settings)
        shares = {row.setting: row for row in importances(run, "auroc/target")}
        assert shares["colorizer"].share > 0.9 and shares["glcm_weight"].share < 0.05
        assert shares["glcm_weight"].among == (run.configs["colorizer"] == "deconv").sum()

    def test_shares_are_those_of_functional_anova_and_their_order_that_of_ped_anova(self):
        # For independent uniform settings functional ANOVA's main effects are exact: Var E[f | a] / Var f = 0.3^2 / (0.3^2 + 0.1^2).
        settings = dict.fromkeys(("a", "b", "c"), lambda draw: float(draw.uniform()))
        run = measured(lambda row: 0.3 * row["a"] + 0.1 * row["b"], settings)
        ours = {row.setting: row.share for row in importances(run, "auroc/target")}
        assert ours == pytest.approx({"a": 0.9, "b": 0.1, "c": 0.0}, abs=0.08) and list(ours) == ["a", "b", "c"]
        study = optuna.create_study(direction="maximize")
        space = {name: optuna.distributions.FloatDistribution(0, 1) for name in settings}
        for key, row in run.configs.iterrows():
            value = float(run.means.loc[key, "auroc/target"])
            study.add_trial(optuna.trial.create_trial(value=value, params=row.to_dict(), distributions=space))
        ped = optuna.importance.PedAnovaImportanceEvaluator().evaluate(study)
        assert max(ped, key=ped.get) == "a" and min(ped, key=ped.get) == "c"


class TestCalibration:
    def outcomes(self, logits, labels):
        images = np.array([f"i{n}" for n in range(len(labels))])
        return Outcomes(
            images,
            images,
            np.asarray(labels),
            (0,),
            np.asarray(logits, dtype=float)[None],
            np.ones((1, len(labels)), dtype=bool),
        )

    def test_confusion_by_hand(self):
        facts = domain_facts(
            self.outcomes([[1, 0], [0, 1], [0, 1], [0, 1]], [0, 0, 1, 1]), "target", ("benign", "malignant")
        )
        assert facts.confusion == ((1.0, 1.0), (0.0, 2.0)) and facts.classes == ("benign", "malignant")

    def test_probabilities_that_are_true_have_no_calibration_error(self):
        draw = np.random.default_rng(1)
        chance = draw.uniform(0.02, 0.98, size=20_000)
        logit = np.log(chance / (1 - chance))
        labels = (draw.random(20_000) < chance).astype(int)
        honest = domain_facts(self.outcomes(np.stack([0 * logit, logit], axis=1), labels), "target", ())
        boastful = domain_facts(self.outcomes(np.stack([0 * logit, 4 * logit], axis=1), labels), "target", ())
        assert honest.error < 0.015 < 0.1 < boastful.error
        assert sum(honest.share) == pytest.approx(1)


class TestLearning:
    def test_mean_and_spread_over_seeds(self, run):
        key = run.means.index[0]
        curve = learning_curves(run, [key], {key: "x"})[0]
        rows = run.epochs[run.epochs["signature"] == key]
        assert curve.metric == "auroc/source_val" and curve.epochs == (1, 2, 3, 4)
        assert curve.mean[-1] == pytest.approx(rows[rows["epoch"] == 4]["auroc/source_val"].mean())
        assert all(low <= mean <= high for low, mean, high in zip(curve.low, curve.mean, curve.high, strict=True))


class TestGlcm:
    def test_weight_and_value_of_every_configuration_with_a_colorizer(self, run):
        facts = glcm_facts(run, ("auroc/target", "not recorded"))
        assert len(facts) == 1 and facts[0].kinds == ("deconv",) and len(facts[0].weight) == 6
        assert facts[0].value == pytest.approx(
            run.means.loc[run.configs["glcm_weight"].notna(), "auroc/target"].to_numpy()
        )

    def test_none_where_it_does_not_vary(self, tmp_path):
        folder = write_fake_run(tmp_path / "r", FakeSweep(colorizers=("none",), seeds=1, outcomes=False, gallery=False))
        assert glcm_facts(load_run(folder), ("auroc/target",)) == ()


class TestParallel:
    def test_heights_lie_on_the_axes_and_absent_settings_are_none(self, run):
        facts = parallel_facts(run, objectives(run), labels(run.configs, run.studies).to_dict())
        heights = np.array(facts.heights, dtype=float)
        assert np.nanmin(heights) == 0 and np.nanmax(heights) == 1 and len(facts.signatures) == 12
        weight = [axis.name for axis in facts.axes].index("glcm_weight")
        assert [row[weight] is None for row in facts.heights] == [
            bool(np.isnan(run.configs.loc[key, "glcm_weight"])) for key in facts.signatures
        ]

    def test_best_is_shaded_darkest(self, run):
        facts = parallel_facts(run, ("auroc/target",), labels(run.configs, run.studies).to_dict())
        assert (
            facts.signatures[0] == run.means["auroc/target"].idxmax() and facts.shades[0] == 4 and facts.shades[-1] == 0
        )

    def test_learning_rates_are_on_a_logarithmic_axis(self, run):
        facts = parallel_facts(run, ("auroc/target",), labels(run.configs, run.studies).to_dict())
        marks = next(axis for axis in facts.axes if axis.name == "lr").marks
        texts = [text.replace("\N{MINUS SIGN}", "-") for _, text in marks]
        low, second = float(texts[0]), float(texts[1])
        assert second / low == pytest.approx(float(texts[2]) / second, rel=0.2)
