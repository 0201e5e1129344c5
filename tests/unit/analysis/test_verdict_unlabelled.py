"""What is said of an unlabelled target in each situation, in its exact words; the constant predictor is never recommended."""

from dataclasses import replace

import pytest

from analysis.verdict_unlabelled import (
    LABEL,
    RECALIBRATE,
    REFUSE,
    SEND,
    AtThreshold,
    Candidate,
    Contradiction,
    Form,
    TargetFacts,
    _told_apart,
    labels_needed,
    verdict,
)
from sweep.shift.predicted_performance import Prediction
from sweep.shift.shift_kind import ACQUISITION, MIXTURE, NONE, PREVALENCE, UNLIKE, Shift


def of(value, half=0.05):
    return Prediction(value, value - half, value + half)


def at(balanced=0.75, probability=0.5, called=0.4, half=0.05):
    return AtThreshold(probability, called, of(balanced, half), of(balanced + 0.1, half), of(balanced - 0.1, half))


def candidate(label="resnet18", auroc=0.82, own=None, moved=None, half=0.05, refused=None):
    return Candidate(label, of(auroc, half), own or at(), moved, refused)


def shift(kind=ACQUISITION, drifted=(("sharpness", -1.3),), prevalence=0.41):
    return Shift(kind, 0.6, 0.005, 0.3, 0.38, prevalence, prevalence - 0.06, prevalence + 0.06, drifted)


FACTS = TargetFacts(
    "phantom-b", "blind", (candidate(),), shift(), 252, 40, 16, ("benign", "malignant"), "results/quickstart"
)
FLAT = at(0.5, called=1.0)
NOT_ANY = "Do not send any recipe to phantom-b: "
SENT = (
    "Send resnet18 to phantom-b and call malignant from a probability of 0.500 on: expect a sensitivity of 0.800 to 0.900 and a specificity "
    "of 0.600 to 0.700, with an AUROC of 0.770 to 0.870."
)
RECALIBRATED = (
    "Recalibrate resnet18 before sending it to phantom-b: at its own threshold it would call 100 % of the images there malignant. From a "
    "probability of 0.930 on, which calls 40 % of them malignant, expect a sensitivity of 0.750 to 0.850 and a specificity of 0.550 to 0.650, "
    "with an AUROC of 0.770 to 0.870."
)


def label_first(count, reason, label="resnet18", rule="blind"):
    return (
        f"Label {count} images of phantom-b before sending any recipe: {label} comes first by {rule}, but {reason}. "
        f"Run `recipe-finder label results/quickstart --images {count} --out to_label.csv` to see which."
    )


def several(auroc):
    """Two seeds whose ensemble has this predicted AUROC."""
    return replace(candidate(), seeds=2, ensemble=of(auroc))


def tried(*forms):
    """Adaptations tried on its models: name and predicted AUROC, beside .800 as configured."""
    return replace(candidate(), tried=tuple(Form(name, of(value), of(0.8), of(0.7)) for name, value in forms))


SITUATIONS = {
    "an adaptation that was tried is better": (
        replace(FACTS, candidates=(tried(("histogram", 0.86), ("batch_norm", 0.79)),)),
        SEND,
        f"{SENT} With `adapt: histogram`, which was tried on its trained models, it is expected to do better: AUROC 0.860 (0.810 to 0.910) "
        "against 0.800 (0.750 to 0.850) on the same pseudo-hospitals.",
    ),
    "no adaptation that was tried is better": (
        replace(FACTS, candidates=(tried(("histogram", 0.8), ("batch_norm", 0.79)),)),
        SEND,
        f"{SENT} No adaptation tried on it (histogram, batch_norm) is expected to do better: AUROC 0.800 (0.750 to 0.850) with histogram.",
    ),
    "the mean weights of its seeds are better": (
        replace(FACTS, candidates=(replace(tried(("weight soup", 0.86), ("batch_norm", 0.79)), seeds=3),)),
        SEND,
        f"{SENT} With the mean weights of its 3 seeds (`recipe-finder export --seeds all --combine soup`) it is expected to do better: AUROC 0.860 "
        "(0.810 to 0.910) against 0.800 (0.750 to 0.850) on the same pseudo-hospitals.",
    ),
    "the mean weights of its seeds are no better": (
        replace(FACTS, candidates=(tried(("weight soup", 0.79)),)),
        SEND,
        f"{SENT} Nothing else tried on it (weight soup) is expected to do better: AUROC 0.790 (0.740 to 0.840) with weight soup.",
    ),
    "to be recalibrated by a prevalence correction": (
        replace(FACTS, candidates=(replace(candidate(own=FLAT, moved=at(0.6)), corrected=at(0.7, 0.93)),)),
        RECALIBRATE,
        RECALIBRATED,
    ),
    "a correction that calls one class alone is not the better one": (
        replace(
            FACTS, candidates=(replace(candidate(own=FLAT, moved=at(0.7, 0.93)), corrected=at(0.9, 0.99, called=1.0)),)
        ),
        RECALIBRATE,
        RECALIBRATED,
    ),
    "an ensemble of its seeds is better": (
        replace(FACTS, candidates=(several(0.85),)),
        SEND,
        f"{SENT} Its 2 seeds as an ensemble (`recipe-finder export --seeds all`) are expected to do better than one of them: AUROC 0.850 (0.800 to "
        "0.900) against 0.820 (0.770 to 0.870).",
    ),
    "an ensemble of its seeds is no better": (
        replace(FACTS, candidates=(several(0.81),)),
        SEND,
        f"{SENT} An ensemble of its 2 seeds is not expected to do better: AUROC 0.810 (0.760 to 0.860).",
    ),
    "the models contradict each other as on pseudo-hospitals": (
        replace(FACTS, contradiction=Contradiction(0.18, 0.2)),
        SEND,
        SENT,
    ),
    "the models contradict each other more than on pseudo-hospitals": (
        replace(FACTS, contradiction=Contradiction(0.28, 0.18)),
        LABEL,
        label_first(
            20,
            "two models of the run answer differently on 28 % of the images there, on 19 of 20 pseudo-hospitals on at most 18 %, so its "
            "predicted AUROC of 0.820 (0.770 to 0.870) may not hold",
        ),
    ),
    "the models order the images differently, which their own thresholds hide": (
        replace(FACTS, contradiction=Contradiction(0.344, 0.338, moved=True)),
        LABEL,
        label_first(
            20,
            "two models of the run, with thresholds that fit the class mix, answer differently on 34.4 % of the images there, on 19 of 20 "
            "pseudo-hospitals on at most 33.8 %, so its predicted AUROC of 0.820 (0.770 to 0.870) may not hold",
        ),
    ),
    "to be recalibrated, and an ensemble is no better": (
        replace(FACTS, candidates=(replace(several(0.82), own=FLAT, moved=at(0.7, 0.93)),)),
        RECALIBRATE,
        f"{RECALIBRATED} An ensemble of its 2 seeds is not expected to do better: AUROC 0.820 (0.770 to 0.870).",
    ),
    "good at its own threshold": (FACTS, SEND, SENT),
    "good, no shift": (replace(FACTS, shift=shift(NONE, ())), SEND, SENT),
    "good, without a known shift": (replace(FACTS, shift=None), SEND, SENT),
    "good under another class mix": (replace(FACTS, shift=shift(PREVALENCE, ())), SEND, SENT),
    "the second is better at its own threshold but the first is chosen": (
        replace(FACTS, candidates=(candidate(), candidate("vit", 0.85))),
        SEND,
        SENT,
    ),
    "calls all images positive": (
        replace(FACTS, candidates=(candidate(own=FLAT, moved=at(0.7, 0.93)),)),
        RECALIBRATE,
        RECALIBRATED,
    ),
    "calls all images negative": (
        replace(FACTS, candidates=(candidate(own=at(0.5, called=0.01), moved=at(0.7, 0.08)),)),
        RECALIBRATE,
        "Recalibrate resnet18 before sending it to phantom-b: at its own threshold it would call 1 % of the images there malignant. From a "
        "probability of 0.080 on, which calls 40 % of them malignant, expect a sensitivity of 0.750 to 0.850 and a specificity of 0.550 to "
        "0.650, with an AUROC of 0.770 to 0.870.",
    ),
    "balanced accuracy may be chance, moved threshold is not": (
        replace(FACTS, candidates=(candidate(own=at(0.56, called=0.85), moved=at(0.7, 0.7)),)),
        RECALIBRATE,
        "Recalibrate resnet18 before sending it to phantom-b: at its own threshold it would call 85 % of the images there malignant. From a "
        "probability of 0.700 on, which calls 40 % of them malignant, expect a sensitivity of 0.750 to 0.850 and a specificity of 0.550 to "
        "0.650, with an AUROC of 0.770 to 0.870.",
    ),
    "AUROC may be chance": (
        replace(FACTS, candidates=(candidate(auroc=0.66, half=0.15),)),
        LABEL,
        label_first(40, "its predicted AUROC of 0.660 (0.510 to 0.810) may be chance"),
    ),
    "AUROC may be chance, few images there": (
        replace(FACTS, candidates=(candidate(auroc=0.56, half=0.1),), images=120),
        LABEL,
        label_first(120, "its predicted AUROC of 0.560 (0.460 to 0.660) may be chance"),
    ),
    "ranks well, but no threshold is surely better than chance": (
        replace(FACTS, candidates=(candidate(own=FLAT, moved=at(0.62, half=0.12)),)),
        LABEL,
        label_first(
            20, "its predicted balanced accuracy of 0.620 (0.500 to 0.740) may be that of the constant predictor"
        ),
    ),
    "constant, no other threshold known": (
        replace(FACTS, candidates=(candidate(own=FLAT),)),
        LABEL,
        label_first(
            20, "its predicted balanced accuracy of 0.500 (0.450 to 0.550) may be that of the constant predictor"
        ),
    ),
    "constant at both thresholds": (
        replace(FACTS, candidates=(candidate(own=FLAT, moved=at(0.7, called=0.99)),)),
        LABEL,
        label_first(
            20, "its predicted balanced accuracy of 0.700 (0.650 to 0.750) may be that of the constant predictor"
        ),
    ),
    "every recipe near chance": (
        replace(FACTS, candidates=(candidate(auroc=0.51), candidate("vit", 0.52))),
        REFUSE,
        NOT_ANY
        + "no recipe is expected to beat the constant predictor; the best, vit, has a predicted AUROC of 0.520 (0.470 to 0.570).",
    ),
    "worse than chance": (
        replace(FACTS, candidates=(candidate(auroc=0.35),)),
        REFUSE,
        NOT_ANY
        + "no recipe is expected to beat the constant predictor; the best, resnet18, has a predicted AUROC of 0.350 (0.300 to 0.400).",
    ),
    "unlike anything simulated": (
        replace(FACTS, shift=shift(UNLIKE)),
        REFUSE,
        NOT_ANY + "its images are unlike those of every pseudo-hospital, so no prediction holds for it.",
    ),
    "no pseudo-hospital": (
        replace(FACTS, hospitals=0),
        REFUSE,
        NOT_ANY + "no model was evaluated on pseudo-hospitals, so nothing can be predicted for it.",
    ),
    "no recipe": (
        replace(FACTS, candidates=()),
        REFUSE,
        NOT_ANY + "no model was evaluated on pseudo-hospitals, so nothing can be predicted for it.",
    ),
    "the model behaves unlike it does on every pseudo-hospital": (
        replace(FACTS, candidates=(candidate(refused="only 2.1 pseudo-hospitals resemble the target, fewer than 5"),)),
        REFUSE,
        NOT_ANY + "only 2.1 pseudo-hospitals resemble the target, fewer than 5.",
    ),
    "the first cannot be predicted, the second can": (
        replace(FACTS, candidates=(candidate("vit", refused="only 2.1 hospitals resemble it"), candidate())),
        SEND,
        SENT + " Before it comes vit, which is passed over: only 2.1 hospitals resemble it.",
    ),
    "the AUROC of none is defined": (
        replace(FACTS, candidates=(candidate(auroc=float("nan")),)),
        REFUSE,
        NOT_ANY + "the AUROC of no recipe can be predicted.",
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_decision_and_words(name):
    facts, decision, words = SITUATIONS[name]
    said = verdict(facts)
    assert (said.decision, said.recommendation) == (decision, words)
    assert bool(said.labels) == (decision == LABEL)


SHIFTS = {
    NONE: "No shift is seen: images of phantom-b look like the source's, and 41 % of its images are estimated to be malignant (35 % to 47 %; "
    "38 % at the source).",
    ACQUISITION: "The images were acquired differently (sharpness \N{MINUS SIGN}1.3 SD); 41 % of its images are estimated to be malignant "
    "(35 % to 47 %; 38 % at the source), which is no evidence of another class mix.",
    PREVALENCE: "The images look like the source's, but the class mix differs: 41 % of its images are estimated to be malignant (35 % to 47 %; "
    "38 % at the source).",
    MIXTURE: "The images were acquired differently (sharpness \N{MINUS SIGN}1.3 SD), and the class mix differs: 41 % of its images are "
    "estimated to be malignant (35 % to 47 %; 38 % at the source).",
    UNLIKE: "The images resemble neither the source nor any pseudo-hospital (sharpness \N{MINUS SIGN}1.3 SD).",
}


@pytest.mark.parametrize("kind", SHIFTS)
def test_each_shift_has_its_sentence(kind):
    drifted = () if kind in (NONE, PREVALENCE) else (("sharpness", -1.3),)
    assert verdict(replace(FACTS, shift=shift(kind, drifted))).shift == SHIFTS[kind]


def test_a_small_difference_of_the_class_mix_is_not_called_none():
    said = verdict(replace(FACTS, shift=shift(prevalence=0.46))).shift
    assert said.endswith(
        "(40 % to 52 %; 38 % at the source), which is too small a difference to be called another class mix."
    )


def test_what_it_rests_on_and_what_would_change_it():
    said = verdict(FACTS)
    assert said.rests_on == (
        "Predicted without a label of phantom-b: from 252 unlabelled images of it and the true metrics of 16 trained models on "
        "40 pseudo-hospitals (90 % intervals)."
    )
    assert said.change == (
        "Labels would narrow the intervals; `recipe-finder label results/quickstart --images 60 --out to_label.csv` names the images "
        "that tell most."
    )
    assert "pseudo_hospitals" in verdict(replace(FACTS, hospitals=0)).change


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.98, 1.0])
def test_a_constant_predictor_is_never_recommended(share):
    flat = at(0.9, called=share, half=0.01)
    said = verdict(replace(FACTS, candidates=(candidate(auroc=0.95, own=flat, moved=flat),)))
    assert (said.decision == SEND) == (share == 0.5) and said.decision in (SEND, LABEL)


def test_labels_needed_grow_towards_chance_and_end_at_what_there_is():
    counts = [labels_needed(of(value), 1000) for value in (0.95, 0.7, 0.6, 0.52)]
    assert counts == [20, 30, 100, 200] and labels_needed(of(0.52), 57) == 57


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((0.53, 0.41), ("53 %", "41 %")),
        ((0.532, 0.529), ("53.2 %", "52.9 %")),
        ((0.53036, 0.53029), ("53.04 %", "53.03 %")),
    ],
)
def test_shares_that_differ_do_not_read_the_same(shares, said):
    assert _told_apart(*shares) == said
