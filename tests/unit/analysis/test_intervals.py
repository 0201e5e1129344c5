"""Intervals against hand calculation, scipy and the truth of simulations."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from analysis.intervals import Resampled, SeedPrior, independent, interval, noise_of, paired, patient_weights, resample
from analysis.outcomes import MEASURES, Outcomes


def simulate(draw, *, images=120, seeds=4, seed_sd=0.0, own_sd=0.6, skill=1.2, views=2, shared=None):
    """Scores whose images, patients and seeds all vary; `shared` reuses another sample's labels and difficulties."""
    label, difficulty = shared or (_labels(draw, images, views), _difficulty(draw, images, views))
    skills = skill + draw.normal(0, seed_sd, size=(seeds, 1))
    score = skills * (label - 0.5) + difficulty + draw.normal(0, own_sd, size=(seeds, images))
    names = np.array([f"i{n:04d}" for n in range(images)])
    groups = np.array([f"p{n // views:04d}" for n in range(images)])
    return Outcomes(
        names, groups, label, tuple(range(seeds)), np.stack([-score, score], axis=-1), np.ones(score.shape, dtype=bool)
    )


def _labels(draw, images, views):
    return np.repeat((np.arange(images // views) % 5 < 2).astype(int), views)


def _difficulty(draw, images, views):
    return np.repeat(draw.normal(0, 0.6, size=images // views), views) + draw.normal(0, 0.5, size=images)


def test_patients_are_drawn_whole_and_classes_keep_their_size():
    made = simulate(np.random.default_rng(0))
    weights = patient_weights(made, 50, seed=1)
    assert weights.shape == (50, 120) and (weights[:, ::2] == weights[:, 1::2]).all()
    assert (weights[:, made.labels == 1].sum(axis=1) == (made.labels == 1).sum()).all()


def test_the_same_images_give_the_same_draws():
    one, two = (simulate(np.random.default_rng(n)) for n in (1, 2))
    np.testing.assert_array_equal(patient_weights(one, 20, 0), patient_weights(two, 20, 0))
    assert (patient_weights(one, 20, 0) != patient_weights(one, 20, 1)).any()


def test_bca_agrees_with_scipy_where_scipy_can_do_it():
    # One seed, one image a patient, a mean: then the design is scipy's plain bootstrap.
    hits = (np.random.default_rng(3).random(150) < 0.9).astype(float)
    made = Outcomes(
        np.array([str(n) for n in range(150)]),
        np.array([str(n) for n in range(150)]),
        np.zeros(150, dtype=int),
        (0,),
        hits[None],
        np.ones((1, 150), dtype=bool),
    )
    ours = interval(resample(made, MEASURES["accuracy"], draws=20_000))
    theirs = stats.bootstrap(
        (hits,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.008)


def test_seed_noise_is_what_images_do_not_explain():
    draw = np.random.default_rng(4)
    none = [
        noise_of(resample(simulate(draw, seeds=8, seed_sd=0.0), MEASURES["auroc"], draws=300)).own ** 0.5
        for _ in range(20)
    ]
    much = [
        noise_of(resample(simulate(draw, seeds=8, seed_sd=0.6), MEASURES["auroc"], draws=300)).own ** 0.5
        for _ in range(20)
    ]
    assert np.mean(none) < 0.012 < 0.05 < np.mean(much)


def test_more_seeds_and_more_images_narrow_the_interval():
    draw = np.random.default_rng(5)
    width = {
        (images, seeds): np.mean(
            [
                interval(
                    resample(simulate(draw, images=images, seeds=seeds, seed_sd=0.3), MEASURES["auroc"], draws=400)
                ).half_width
                for _ in range(8)
            ]
        )
        for images, seeds in ((80, 3), (320, 3), (80, 12))
    }
    assert width[320, 3] < width[80, 3] and width[80, 12] < width[80, 3]


def test_pairing_removes_the_difficulty_that_both_share():
    draw = np.random.default_rng(6)
    shared = (_labels(draw, 120, 2), _difficulty(draw, 120, 2))
    a, b = (resample(simulate(draw, shared=shared, own_sd=0.2), MEASURES["auroc"], draws=400) for _ in range(2))
    assert interval(paired(a, b)).half_width < 0.5 * interval(a).half_width


def test_difference_of_a_model_from_itself_is_zero():
    a = resample(simulate(np.random.default_rng(7)), MEASURES["auroc"], draws=300)
    made = interval(paired(a, a))
    assert (made.estimate, made.low, made.high) == (0, 0, 0)


def test_independent_samples_add_their_variances():
    draw = np.random.default_rng(8)
    a, b = (resample(simulate(draw, seeds=1), MEASURES["auroc"], draws=2000) for _ in range(2))
    b = type(b)(b.seeds, b.point, b.draws[::-1], b.jackknife, b.images, b.groups)  # equal image names gave equal draws
    both = independent(a, b)
    assert both.mean.var() == pytest.approx(a.mean.var() + b.mean.var(), rel=0.15)
    assert both.images == 240


def test_one_seed_still_gives_an_interval_over_images():
    made = interval(resample(simulate(np.random.default_rng(9), seeds=1), MEASURES["auroc"], draws=400))
    assert made.low < made.estimate < made.high and made.seeds == 1


def test_limits_cut_the_interval():
    made = interval(resample(simulate(np.random.default_rng(10), skill=6), MEASURES["auroc"], draws=400), limits=(0, 1))
    assert made.high <= 1


COVERAGE = {  # name -> (settings, repetitions)
    "images dominate": dict(seed_sd=0.0),
    "seeds matter": dict(seed_sd=0.25),
    "five views a patient": dict(seed_sd=0.15, views=5),
}


@pytest.mark.parametrize(
    ("repetitions", "low", "high"), [(300, 0.92, 0.98), pytest.param(2000, 0.93, 0.97, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "name",
    ["seeds matter", *(pytest.param(name, marks=pytest.mark.slow) for name in COVERAGE if name != "seeds matter")],
)
def test_intervals_cover_the_truth(name, repetitions, low, high):
    # The standard error of a coverage of 95 % is 1.3 points at 300 repetitions and 0.5 at 2000.
    settings, draw = COVERAGE[name], np.random.default_rng(11)
    truth = _truth(settings)
    covered = []
    for _ in range(repetitions):
        made = interval(resample(simulate(draw, images=150, seeds=5, **settings), MEASURES["auroc"], draws=500))
        covered.append(made.low <= truth <= made.high)
    assert low <= np.mean(covered) <= high, np.mean(covered)


def _truth(settings):
    # Mean AUROC over seeds' skills: difficulty and own noise are normal, so each seed's AUROC is a normal probability.
    skills = 1.2 + settings["seed_sd"] * stats.norm.ppf((np.arange(2001) + 0.5) / 2001)
    spread = np.sqrt(0.6**2 + 0.5**2 + 0.6**2)
    return float(stats.norm.cdf(skills / (np.sqrt(2) * spread)).mean())


def sweep_of(draw, configurations, **settings):
    """Samples of several recipes with the prior that a run would give them."""
    made = [resample(simulate(draw, **settings), MEASURES["auroc"], draws=400) for _ in range(configurations)]
    df = sum(len(sample.seeds) - 1 for sample in made)
    prior = SeedPrior(float(np.mean([sample.point.var(ddof=1) for sample in made])), min(4.0, df))
    return [dataclasses.replace(sample, prior=prior) for sample in made]


def test_two_seeds_borrow_their_spread_from_the_rest_of_the_sweep():
    samples = sweep_of(np.random.default_rng(12), 8, images=150, seeds=2, seed_sd=0.25)
    alone = [interval(dataclasses.replace(sample, prior=None)).half_width for sample in samples]
    together = [interval(sample).half_width for sample in samples]
    assert np.std(together) < np.std(alone) and max(together) < max(alone)


def test_borrowing_keeps_coverage_with_two_seeds():
    draw, settings = np.random.default_rng(13), dict(seed_sd=0.25)
    truth = _truth(settings)
    made = [interval(sample) for _ in range(40) for sample in sweep_of(draw, 6, images=150, seeds=2, **settings)]
    covered = np.mean([one.low <= truth <= one.high for one in made])
    assert 0.92 <= covered <= 0.985, covered


def test_one_seed_gets_the_spread_of_the_others():
    sample = resample(simulate(np.random.default_rng(14), seeds=1), MEASURES["auroc"], draws=400)
    assert interval(dataclasses.replace(sample, prior=SeedPrior(0.05**2, 4.0))).half_width > interval(sample).half_width


def test_moderated_spread_by_hand():
    point, prior = np.array([0.5, 0.7]), SeedPrior(0.03, 4.0)
    sample = Resampled((0, 1), point, np.tile(point, (300, 1)), np.tile(point, (5, 1)), 10, 5, prior)
    noise = noise_of(sample)
    assert noise.df == 5 and noise.between == pytest.approx((4 * 0.03 + 0.02) / 5)
    assert noise_of(paired(sample, sample)).between == pytest.approx(4 * 0.06 / 5)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_share_that_nobody_contradicts_is_not_certain(value):
    names = np.array([f"i{n}" for n in range(40)])
    one = Outcomes(names, names, np.zeros(40, dtype=int), (0, 1), np.full((2, 40), value), np.ones((2, 40), dtype=bool))
    made = interval(resample(one, MEASURES["accuracy"], draws=200), limits=(0.0, 1.0))
    exact = stats.binomtest(round(40 * value), 40).proportion_ci(0.95, "exact")
    assert (made.estimate, made.low, made.high) == (value, pytest.approx(exact.low), pytest.approx(exact.high))


def test_a_share_of_one_in_forty_is_no_surer_than_none_in_forty():
    def made(hits):
        names = np.array([f"i{n}" for n in range(40)])
        one = Outcomes(
            names,
            names,
            np.zeros(40, dtype=int),
            (0,),
            (np.arange(40) < hits).astype(float)[None],
            np.ones((1, 40), dtype=bool),
        )
        return interval(resample(one, MEASURES["accuracy"], draws=400), limits=(0.0, 1.0), share=True)

    for hits in (0, 1, 3, 39, 40):
        exact = stats.binomtest(hits, 40).proportion_ci(0.95, "exact")
        assert made(hits).low <= exact.low + 1e-12 and made(hits).high >= exact.high - 1e-12
    highs = [made(hits).high for hits in range(8)]
    assert highs == sorted(highs)


def test_accuracy_intervals_cover_new_test_sets_with_another_class_mix():
    # A model of balanced accuracy .54 whose accuracy .63 comes from naming the larger class: recall .95 of it, .13 of the other.
    draw, covered, widths = np.random.default_rng(15), [], []
    for _ in range(150):
        labels = (draw.random(250) < 0.39).astype(int)
        right = draw.random(250) < np.where(labels == 1, 0.13, 0.95)
        names = np.array([f"i{n:04d}" for n in range(250)])
        values = np.repeat(right[None].astype(float), 3, axis=0)
        one = Outcomes(names, names, labels, (0, 1, 2), values, np.ones((3, 250), dtype=bool))
        made = interval(resample(one, MEASURES["accuracy"], draws=400), limits=(0.0, 1.0), share=True)
        covered.append(made.low <= 0.61 * 0.95 + 0.39 * 0.13 <= made.high)
        widths.append(made.high - made.low)
    assert 0.90 <= np.mean(covered) <= 0.99 and 0.10 <= np.median(widths) <= 0.14


@pytest.mark.parametrize("measure", ["auroc", "balanced_accuracy", "sensitivity"])
def test_a_perfect_score_is_as_sure_as_the_smaller_class_is_large(measure):
    labels = np.array([1] * 5 + [0] * 45)
    logits = np.stack([-(labels - 0.5), labels - 0.5], axis=1)[None]
    names = np.array([f"i{n:03d}" for n in range(50)])
    one = Outcomes(names, names, labels, (0,), logits, np.ones((1, 50), dtype=bool))
    made = interval(resample(one, MEASURES[measure], draws=200), limits=(0.0, 1.0))
    exact = stats.binomtest(5, 5).proportion_ci(0.95, "exact")
    assert (made.estimate, made.low, made.high) == (1.0, pytest.approx(exact.low), 1.0) and round(made.low, 3) == 0.478


def test_an_almost_perfect_score_is_no_surer_than_a_perfect_one():
    labels = np.array([1] * 5 + [0] * 45)
    score = np.r_[np.full(5, 2.0), np.linspace(-1, 1, 44), 2.5]
    names = np.array([f"i{n:03d}" for n in range(50)])
    one = Outcomes(names, names, labels, (0,), np.stack([-score, score], axis=1)[None], np.ones((1, 50), dtype=bool))
    made = interval(resample(one, MEASURES["auroc"], draws=400), limits=(0.0, 1.0))
    assert made.estimate > 0.97 and made.low < 0.5


def test_an_undefined_measure_has_no_interval():
    names = np.array(["a", "b", "c"])
    one = Outcomes(names, names, np.zeros(3, dtype=int), (0,), np.zeros((1, 3, 2)), np.ones((1, 3), dtype=bool))
    made = interval(resample(one, MEASURES["auroc"], draws=200), limits=(0.0, 1.0))
    assert np.isnan([made.estimate, made.low, made.high]).all() and made.images == 3


def test_seeds_that_work_against_each_other_do_not_make_a_sure_mean():
    # One seed names class 0 always, the other class 1: their mean accuracy is one half on every test set, and says nothing.
    labels = (np.arange(50) < 21).astype(int)
    names = np.array([f"i{n:03d}" for n in range(50)])
    values = np.stack([labels == 0, labels == 1]).astype(float)
    one = Outcomes(names, names, labels, (0, 1), values, np.ones((2, 50), dtype=bool))
    assert interval(resample(one, MEASURES["accuracy"], draws=400), limits=(0.0, 1.0)).half_width > 0.1


SMALL = {"40 images": (40, 0.4), "12 of 100 positive": (100, 0.12)}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_small_and_rare_class_sets_are_covered(name):
    images, share = SMALL[name]
    draw, covered = np.random.default_rng(16), []
    truth = float(stats.norm.cdf(1.2 / np.sqrt(2 * (0.6**2 + 0.5**2 + 0.6**2))))
    for _ in range(1500):
        label = (np.arange(images) < round(share * images)).astype(int)
        shared = label, draw.normal(0, np.hypot(0.6, 0.5), images)
        made = simulate(draw, images=images, seeds=3, views=1, shared=shared)
        one = interval(resample(made, MEASURES["auroc"], draws=500), limits=(0.0, 1.0))
        covered.append(one.low <= truth <= one.high)
    assert 0.93 <= np.mean(covered) <= 0.985, np.mean(covered)  # wide rather than narrow: a dozen positive images
