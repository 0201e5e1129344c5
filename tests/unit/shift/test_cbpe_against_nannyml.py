"""CBPE gives what NannyML's gives from the same calibrated probabilities: numbers written down from it, and itself where it is installed."""

import numpy as np
import pytest

from sweep.shift.estimators import cbpe

# As NannyML 0.13.1 estimates them (`nannyml_estimates`), by the seed of the example: AUROC, accuracy, sensitivity, specificity,
# and the expected numbers of true positives, false positives, true negatives and false negatives.
MEASURED = {
    0: (0.8603203, 0.7777238, 0.7824949, 0.7727728, 79.69787, 22.30213, 75.84689, 22.15311),
    1: (0.6646866, 0.6424907, 0.8318004, 0.3626557, 148.8455, 77.15453, 43.90174, 30.09826),
    2: (0.8214434, 0.8399561, 0.2770333, 0.9706872, 13.05293, 5.947069, 196.9361, 34.0639),
    3: (0.719942, 0.66275, 0.6048887, 0.7200929, 36.13, 16.87, 43.4, 23.6),
}
METRICS = ("roc_auc", "accuracy", "recall", "specificity")
CELLS = ("true_positive", "false_positive", "true_negative", "false_negative")


def example(seed):
    """Calibrated probabilities of the positive class [N]: sharp, vague, shifted to one side, with ties."""
    draw = np.random.default_rng(seed)
    count, sharpness, offset = ((200, 2.0, 0.0), (300, 0.7, 0.5), (250, 1.5, -2.0), (120, 1.0, 0.0))[seed]
    p = 1 / (1 + np.exp(-draw.normal(offset, sharpness, count)))
    return np.round(p, 1) * 0.9 + 0.05 if seed == 3 else p


def nannyml_estimates(p):
    """The estimates of NannyML for images called positive from .5 on, its own calibration switched off."""
    nannyml = pytest.importorskip("nannyml")
    import pandas as pd
    from nannyml.calibration import NoopCalibrator

    draw = np.random.default_rng(0)
    reference = pd.DataFrame({"p": np.tile(p, 20), "called": np.tile((p > 0.5).astype(int), 20)})
    reference["label"] = (draw.random(len(reference)) < reference["p"]).astype(int)
    made = nannyml.CBPE(
        y_pred="called",
        y_pred_proba="p",
        y_true="label",
        metrics=[*METRICS, "confusion_matrix"],
        problem_type="classification_binary",
        chunk_number=1,
        calibrator=NoopCalibrator(),
    ).fit(reference)
    table = made.estimate(reference[["p", "called"]][: len(p)]).filter(period="analysis").to_df()
    return tuple(float(table[name, "value"].iloc[0]) for name in (*METRICS, *CELLS))


def ours(p):
    """The same of ours; NannyML counts each image as half a pair with itself in the AUROC, which is put back here."""
    called = (p > 0.5).astype(int)
    found = cbpe.expected(np.stack([1 - p, p], axis=1), called)
    itself, pairs = float(np.sum(p * (1 - p))), float(p.sum() * (1 - p).sum())
    auroc = (found["auroc"] * (pairs - itself) + itself / 2) / pairs
    positives, negatives = float(p.sum()), float((1 - p).sum())
    right = found["sensitivity"] * positives, found["specificity"] * negatives
    counts = right[0], negatives - right[1], right[1], positives - right[0]
    return (auroc, found["accuracy"], found["sensitivity"], found["specificity"], *counts)


@pytest.mark.parametrize("seed", MEASURED)
def test_as_nannyml_measured(seed):
    assert ours(example(seed)) == pytest.approx(MEASURED[seed], rel=1e-5)


@pytest.mark.parametrize("seed", MEASURED)
def test_as_the_installed_nannyml(seed, monkeypatch):
    monkeypatch.setenv("NML_DISABLE_USAGE_LOGGING", "1")  # it reports its use over the network otherwise
    p = example(seed)
    assert ours(p) == pytest.approx(nannyml_estimates(p), rel=1e-5)


def test_the_auroc_differs_from_theirs_by_pairs_of_an_image_with_itself_alone():
    p = example(0)
    assert abs(cbpe.expected_auroc(p) - MEASURED[0][0]) < 1 / len(p)
