"""The verdict's sentences, situation by situation, word for word."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.comparisons import PowerNote
from analysis.estimates import Estimates
from analysis.frames import load_run
from analysis.intervals import Interval
from analysis.ranking import rank
from analysis.verdict import Difference, Facts, sentences
from analysis.verdict_facts import facts_of, recalibrated
from analysis.verdict_recipe import Recipe, Threshold
from tests.fakes.run_folder import FakeSweep, write_fake_run


def i(estimate, half=0.05, seeds=3, images=49, patients=20):
    return Interval(estimate, estimate - half, estimate + half, 0.95, images, patients, seeds)


RULE = "best mean AUROC on source validation"
GOOD = Recipe("coloru", i(0.80), i(0.72), i(0.70), i(0.75), i(0.69), called_positive=0.45)
BASE = Facts(
    rule=RULE,
    chosen=GOOD,
    constant=0.58,
    classes=("benign", "malignant"),
    configurations=8,
    beat_chance=("coloru", "deconv"),
    rivals=(Difference("deconv", i(0.01), 0.4, 3, False), Difference("none", i(0.02), 0.3, 3, False)),
    power=PowerNote(0.02, 0.083, 1200, 40),
)
NUMBERS = (
    "AUROC 0.800 [0.750, 0.850], balanced accuracy 0.720 [0.670, 0.770], sensitivity 0.750 [0.700, 0.800] and "
    "specificity 0.690 [0.640, 0.740] on the target"
)
USE = f"Use coloru: chosen by {RULE}, it reaches {NUMBERS} (95 % intervals; 49 images of 20 patients, 3 seeds)."
QUIET = (
    "It is not distinguishable from the next 2 in AUROC (target); from the runner-up, deconv, the difference is +1.0 points "
    "[−4.0, +6.0], p = 0.4."
)
POWER = (
    "Differences below 8.3 points are not seen reliably here; to see 2 points four times in five, "
    "1\N{NARROW NO-BREAK SPACE}200 test images or 40 seeds would do."
)
NO_CAUSE = "with one seed each, the setting cannot be told from the luck of a training run, so no cause is named"
MINORITY = replace(
    GOOD, balanced=i(0.51), accuracy=i(0.429), sensitivity=i(0.99), specificity=i(0.03), called_positive=0.98,
    threshold=Threshold(0.93, 0.42, i(0.70)),
)  # fmt: skip
THRESHOLD = (
    "The fault is the threshold, not the order: AUROC is 0.800 [0.750, 0.850]. Calling malignant from a probability of 0.930 on, so that "
    "the share of malignant is the source's 42 % (no target label is needed for that), it would have a balanced accuracy of 0.700 "
    "[0.650, 0.750]."
)
ONE_CLASS_NUMBERS = (
    "AUROC 0.800 [0.750, 0.850], balanced accuracy 0.510 [0.460, 0.560], sensitivity 0.990 [0.940, 1.040] and "
    "specificity 0.030 [−0.020, 0.080] on the target"
)
NOTHING = (
    "Nothing here beats the constant predictor. None of the 8 configurations has a balanced accuracy on the target that is surely above "
    "0.500. Do not deploy any of these."
)
THREE = replace(
    GOOD, sensitivity=None, specificity=None, called_positive=None, most_called=("normal", 0.4),
    recalls=(("benign", i(0.8)), ("malignant", i(0.3)), ("normal", i(0.9))),
)  # fmt: skip
THREE_NUMBERS = (
    "AUROC 0.800 [0.750, 0.850], balanced accuracy 0.720 [0.670, 0.770] and a recall of malignant of 0.300 [0.250, 0.350] "
    "(the lowest of 3 classes) on the target"
)
CONSTANT = Recipe("b0", i(0.5, 0), i(0.5, 0), i(0.58), i(0.0, 0), i(1.0, 0), called_positive=0.0)
RATIO = replace(BASE, asks_ratio=True, margin=0.031)


def ratio(estimate, distinguishable, ratio=0.5, seeds=3, p=0.004, known=True):
    return Difference("real", i(estimate), p, seeds, distinguishable, known, "resnet50", ratio)


SITUATIONS = {
    "beats the constant predictor, on the front": (BASE, USE, QUIET, True),
    "only one class is called, the minority": (
        replace(BASE, chosen=MINORITY, beat_chance=()),
        f"{NOTHING} Chosen by {RULE}, coloru reaches {ONE_CLASS_NUMBERS}. It calls 98 % of the images on the target malignant, with an "
        f"accuracy of 0.429 where the constant predictor has 0.580. {THRESHOLD}",
        QUIET,
        False,
    ),
    "one class is called by the chosen one, others beat the constant predictor": (
        replace(BASE, chosen=MINORITY, beat_chance=("deconv",)),
        f"Do not use coloru as it is, though chosen by {RULE}: its balanced accuracy on the target is not surely above the constant "
        "predictor's; it calls 98 % of the images on the target malignant, with an accuracy of 0.429 where the constant predictor has 0.580. "
        f"It reaches {ONE_CLASS_NUMBERS}. {THRESHOLD} Read on the target itself (oracle), deconv does beat the constant predictor.",
        QUIET,
        False,
    ),
    "the negative class is missed more often than not": (
        replace(BASE, chosen=replace(GOOD, balanced=i(0.56), sensitivity=i(0.95), specificity=i(0.17), called_positive=0.9)),
        f"Do not use coloru as it is, though chosen by {RULE}: it calls 83 % of the benign images malignant. It reaches AUROC 0.800 "
        "[0.750, 0.850], balanced accuracy 0.560 [0.510, 0.610], sensitivity 0.950 [0.900, 1.000] and specificity 0.170 [0.120, 0.220] on "
        "the target.",
        QUIET,
        False,
    ),
    "one of three classes is missed more often than not": (
        replace(BASE, chosen=THREE, chance=1 / 3),
        f"Do not use coloru as it is, though chosen by {RULE}: it misses 70 % of the malignant images. It reaches {THREE_NUMBERS}.",
        QUIET,
        False,
    ),
    "one of three classes is called always": (
        replace(BASE, chosen=replace(THREE, most_called=("normal", 1.0)), chance=1 / 3),
        f"Do not use coloru as it is, though chosen by {RULE}: it calls all images on the target normal, with an accuracy of 0.700 where "
        f"the constant predictor has 0.580. It reaches {THREE_NUMBERS}.",
        QUIET,
        False,
    ),
    "the finding of the lowest AUROC is named": (
        replace(BASE, chosen=replace(GOOD, sensitivity=None, specificity=None, called_positive=None, weakest=("Edema", i(0.61)))),
        f"Use coloru: chosen by {RULE}, it reaches AUROC 0.800 [0.750, 0.850], balanced accuracy 0.720 [0.670, 0.770] and AUROC 0.610 "
        "[0.560, 0.660] for Edema, the lowest of the findings on the target (95 % intervals; 49 images of 20 patients, 3 seeds).",
        QUIET,
        True,
    ),
    "the positive class is missed more often than not": (
        replace(BASE, chosen=replace(GOOD, sensitivity=i(0.3), specificity=i(0.9), called_positive=0.1)),
        f"Do not use coloru as it is, though chosen by {RULE}: it calls 70 % of the malignant images benign. It reaches AUROC 0.800 "
        "[0.750, 0.850], balanced accuracy 0.720 [0.670, 0.770], sensitivity 0.300 [0.250, 0.350] and specificity 0.900 [0.850, 0.950] on "
        "the target.",
        QUIET,
        False,
    ),
    "dominated": (
        replace(BASE, chosen=replace(GOOD, front=5), dominated_by="deconv"),
        f"Do not use coloru as it is, though chosen by {RULE}: it is dominated (front 5): deconv is at least as good in every objective and "
        f"better in one. It reaches {NUMBERS}.",
        QUIET,
        False,
    ),
    "unfinished": (
        replace(BASE, finished=6, planned=16),
        f"Unfinished: 6 of 16 records have finished, so all of this may still change. {USE}",
        QUIET,
        True,
    ),
    "two of three seeds failed": (
        replace(BASE, chosen=replace(GOOD, auroc=i(0.80, seeds=1), failed_seeds=2)),
        f"Do not use coloru as it is, though chosen by {RULE}: 2 of its 3 seeds failed, so its numbers are those of the runs that survived. "
        f"It reaches {NUMBERS}. It was trained once: how far another training run would be from it is not known.",
        QUIET,
        False,
    ),
    "one of four seeds failed": (
        replace(BASE, chosen=replace(GOOD, failed_seeds=1)),
        f"{USE} 1 of its 4 seeds failed, so its numbers are those of the runs that survived.",
        QUIET,
        True,
    ),
    "nothing withstands the attack that is an objective": (
        replace(BASE, robust=("Robust accuracy, worst case at 1/255 (target)", i(0.0, 0))),
        f"{USE} Under attack nothing is left of it: robust accuracy, worst case at 1/255 (target) is 0.000 [0.000, 0.000].",
        QUIET,
        True,
    ),
    "all configurations are constant": (
        replace(
            BASE, chosen=CONSTANT, beat_chance=(), rivals=(Difference("b1", i(0.0, 0), 1.0, 3, False),),
            power=PowerNote(0.02, 0.0, 1, 1),
        ),
        f"{NOTHING} Chosen by {RULE}, b0 reaches AUROC 0.500 [0.500, 0.500], balanced accuracy 0.500 [0.500, 0.500], sensitivity 0.000 "
        "[0.000, 0.000] and specificity 1.000 [1.000, 1.000] on the target. It calls all images on the target benign, with an accuracy of "
        "0.580 where the constant predictor has 0.580.",
        "",
        False,
    ),
    "one configuration that is no better than chance": (
        replace(BASE, chosen=replace(GOOD, balanced=i(0.52)), beat_chance=(), configurations=1, rivals=()),
        "Nothing here beats the constant predictor. The balanced accuracy on the target of the one configuration is not above 0.500. Do not "
        f"deploy any of these. Chosen by {RULE}, coloru reaches {NUMBERS.replace('0.720 [0.670, 0.770]', '0.520 [0.470, 0.570]')}.",
        "It has no rival that was tested on the same images.",
        False,
    ),
    "the rule is undefined": (
        replace(BASE, chosen=None),
        f"No recipe can be chosen: the {RULE} is undefined, as it is where all images are of one class. Choose by another rule or give "
        "images of both classes.",
        "",
        False,
    ),
    "all target images are of one class": (
        replace(BASE, one_class="benign", chosen=Recipe("a", balanced=i(0.72), specificity=i(0.72)), beat_chance=("a",)),
        "No recipe can be recommended: all images of the target are benign, so how well the classes are told apart there cannot be measured. "
        f"Chosen by {RULE}, a reaches balanced accuracy 0.720 [0.670, 0.770] and specificity 0.720 [0.670, 0.770] on the target.",
        QUIET,
        False,
    ),
    "one seed without kept images": (
        replace(BASE, chosen=Recipe("a", balanced=i(0.72, 0.8, images=0, seeds=1)), beat_chance=(), rivals=()),
        "No recipe can be recommended: one seed without kept images gives no interval, so whether anything here beats the constant predictor is "
        f"not known. Chosen by {RULE}, a reaches balanced accuracy 0.720 [−0.080, 1.520] on the target.",
        "It has no rival that was tested on the same images.",
        False,
    ),
    "chosen on the target": (
        replace(BASE, oracle=True, rule="best mean AUROC on the target itself (oracle)"),
        "Use coloru: chosen on the target itself (oracle, so the number is optimistic) by best mean AUROC on the target itself, it reaches "
        f"{NUMBERS} (95 % intervals; 49 images of 20 patients, 3 seeds).",
        QUIET,
        True,
    ),
    "no images were kept": (
        replace(BASE, chosen=Recipe("a", auroc=i(0.8, images=0)), balanced_known=False, rivals=()),
        f"Use a: chosen by {RULE}, it reaches AUROC 0.800 [0.750, 0.850] on the target over 3 seeds; images were not kept, so this is seed "
        "noise alone.",
        "It has no rival that was tested on the same images.",
        True,
    ),
    "seeds call opposite classes": (
        replace(
            BASE,
            beat_chance=(),
            chosen=replace(GOOD, auroc=i(0.638, seeds=2), balanced=i(0.5), called_positive=0.5, one_class_seeds=2),
        ),
        f"{NOTHING} Chosen by {RULE}, coloru reaches AUROC 0.638 [0.588, 0.688], balanced accuracy 0.500 [0.450, 0.550], sensitivity 0.750 "
        "[0.700, 0.800] and specificity 0.690 [0.640, 0.740] on the target. It calls (nearly) all images on the target one class in 2 of its "
        "2 seeds.",
        QUIET,
        False,
    ),
    "worse than the next": (
        replace(BASE, rivals=tuple(Difference(f"r{n}", i(-0.1), 0.001, 3, n < 3) for n in range(5))),
        USE,
        "It is worse than 3 of the next 5 in AUROC (target) after Holm's correction; from the runner-up, r0, the difference is −10.0 points "
        "[−15.0, −5.0], p = 0.001.",
        True,
    ),
    "better than some and worse than others": (
        replace(BASE, rivals=(Difference("r0", i(0.1), 0.001, 3, True), Difference("r1", i(-0.1), 0.001, 3, True))),
        USE,
        "It is better than 1 and worse than 1 of the next 2 in AUROC (target) after Holm's correction; from the runner-up, r0, the "
        "difference is +10.0 points [+5.0, +15.0], p = 0.001.",
        True,
    ),
    "one rival": (
        replace(BASE, rivals=(Difference("deconv", i(0.1), 0.0001, 3, True),)),
        USE,
        "It is better than the runner-up, deconv, in AUROC (target): the difference is +10.0 points [+5.0, +15.0], p < 0.001.",
        True,
    ),
    "one common seed, the noise between seeds known from others": (
        replace(BASE, rivals=(Difference("deconv", i(-0.062), 0.4, 1, False),)),
        USE,
        "It is not distinguishable from the runner-up, deconv, in AUROC (target): the difference is −6.2 points [−11.2, −1.2], p = 0.4 (it "
        "rests on one common seed, so on the luck of two training runs).",
        True,
    ),
    "one seed everywhere": (
        replace(
            BASE,
            chosen=replace(GOOD, auroc=i(0.8, seeds=1)),
            rivals=(Difference("deconv", i(0.1), 0.0001, 1, False, False),),
        ),
        f"Use coloru: chosen by {RULE}, it reaches {NUMBERS} (95 % intervals; 49 images of 20 patients, 1 seed). It was trained once: how far "
        "another training run would be from it is not known.",
        f"Against the runner-up, deconv, the difference is +10.0 points [+5.0, +15.0] in AUROC (target); but {NO_CAUSE}.",
        True,
    ),
    "two directions": (
        replace(BASE, others=(("Target to source", "deconv"),)),
        f"{USE} Target to source is judged apart: there deconv leads.",
        QUIET,
        True,
    ),
    "ratios: none is distinguishable": (
        replace(RATIO, ratios=(ratio(0.01, False), ratio(-0.01, False, 1.0))),
        USE,
        "No ratio of synthetic images is distinguishable from real only in 2 comparisons; every difference lies within ±3.1 points "
        "(equivalence tests at 5 %).",
        True,
    ),
    "ratios: too little data for a margin": (
        replace(RATIO, ratios=(ratio(0.01, False),), margin=1.164),
        USE,
        "No ratio of synthetic images is distinguishable from real only in 1 comparison; with so few images and seeds the differences may be "
        "of any size.",
        True,
    ),
    "ratios: one helps": (
        replace(RATIO, ratios=(ratio(0.08, True), ratio(0.01, False, 1.0))),
        USE,
        "Synthetic images help in 1 of 2 comparisons: most with 0.5 per real image (resnet50), +8.0 points [+3.0, +13.0] against real only, "
        "p = 0.004 after Holm's correction.",
        True,
    ),
    "ratios: they hurt": (
        replace(RATIO, ratios=(ratio(-0.08, True),)),
        USE,
        "Synthetic images hurt in 1 of 1 comparison: most with 0.5 per real image (resnet50), −8.0 points [−13.0, −3.0] against real only, "
        "p = 0.004 after Holm's correction.",
        True,
    ),
    "ratios: they help and hurt": (
        replace(RATIO, ratios=(ratio(-0.08, True), ratio(0.06, True, 1.0))),
        USE,
        "Synthetic images help in 1 and hurt in 1 of 2 comparisons: most with 0.5 per real image (resnet50), −8.0 points [−13.0, −3.0] "
        "against real only, p = 0.004 after Holm's correction.",
        True,
    ),
    "ratios: one seed": (
        replace(RATIO, ratios=(ratio(0.08, False, seeds=1, p=0.0001, known=False),)),
        USE,
        "Whether synthetic images help cannot be said from one seed each: the largest difference from real only is 0.5 per real image "
        f"(resnet50), +8.0 points [+3.0, +13.0] against real only, but {NO_CAUSE}.",
        True,
    ),
    "ratios: nothing to compare with": (
        RATIO,
        USE,
        "Whether synthetic images help cannot be said: no real-only configuration was tested on the same images.",
        True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_is_said(name):
    facts, recommendation, answer, usable = SITUATIONS[name]
    made = sentences(facts)
    assert made.recommendation == recommendation
    assert made.answer == answer
    assert made.usable is usable


def test_there_are_at_least_twenty_situations_and_only_usable_ones_say_use():
    assert len(SITUATIONS) >= 20
    for facts, recommendation, _, usable in SITUATIONS.values():
        assert (recommendation.startswith("Use ") or ". Use " in recommendation) == usable
        if not usable and facts.chosen is not None:
            assert "Do not" in recommendation or recommendation.startswith("No recipe can be recommended")


@pytest.mark.parametrize(
    ("note", "words"),
    [
        (PowerNote(0.02, 0.083, 1200, 40), POWER),
        (
            PowerNote(0.02, 6.464, None, 90),
            "With so few images and seeds no difference is seen reliably here; to see 2 points four times in five, 90 seeds would do.",
        ),
        (PowerNote(0.02, 0.019, 100, 2), "This sweep would see a difference of 2 points four times in five."),
        (
            PowerNote(0.02, 0.2, None, None),
            "Differences below 20.0 points are not seen reliably here; to see 2 points four times in five, neither more images nor more "
            "seeds alone would do.",
        ),
    ],
)
def test_what_more_data_would_buy(note, words):
    assert sentences(replace(BASE, power=note)).power == words


def test_constant_predictors_are_promised_no_power():
    assert sentences(SITUATIONS["all configurations are constant"][0]).power == ""


def test_the_recalibrated_threshold_of_very_sure_logits_is_a_probability(run, estimates):
    outcomes = estimates.outcomes(run.means.index[0], "auroc/target")
    with np.errstate(over="raise"):
        made = recalibrated(replace(outcomes, values=outcomes.values * 1000), 0.4, estimates)
    assert 0 <= made.probability <= 1 and made.balanced.low <= made.balanced.high


@pytest.fixture(scope="module")
def perfect(tmp_path_factory):
    sweep = FakeSweep(
        skill=6.0, ratios=(0,), colorizers=("none",), seeds=2, images=20, gallery=False, failed=0, attacked=("target",)
    )
    return load_run(write_fake_run(tmp_path_factory.mktemp("perfect") / "run", sweep))


def test_perfect_scores_promise_no_power_and_no_narrow_gap(perfect):
    estimates = Estimates(perfect, draws=200)
    facts = facts_of(perfect, rank(perfect, estimates=estimates), estimates, ())
    assert facts.chosen.auroc.estimate == 1 and facts.power is None
    gap = estimates.of(perfect.means.index[0], "domain_gap")
    source, target = (estimates.of(perfect.means.index[0], f"auroc/{split}") for split in ("source", "target"))
    assert gap.low <= gap.estimate - (source.estimate - source.low) + 1e-9
    assert gap.high >= gap.estimate + (target.estimate - target.low) - 1e-9
