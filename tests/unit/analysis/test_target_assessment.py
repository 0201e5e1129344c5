"""Whether models contradict each other is looked at where a recipe would be used: at its own threshold, and at the one moved to the class mix."""

import numpy as np
import pytest

from analysis.target_assessment import assess
from sweep.shift.pooled_performance import ModelEvidence
from sweep.shift.predicted_performance import HospitalResult

FAMILIES = ("matched as a set", "restyled", "acquisition", "matched and acquisition")


def logits(z):
    return np.stack([-z / 2, z / 2], axis=1)


def seen(draw, labels, offset, contrary=False):
    """Margins [3, N] of three models; `contrary`: the last one orders the images by something else than the class."""
    z = [3.0 * (labels - 0.5) + draw.normal(0, 1, len(labels)) + offset for _ in range(3)]
    return [*z[:2], draw.normal(offset, 2, len(labels)) if contrary else z[2]]


def assessed(offset, contrary):
    """Three recipes, whose margins the target's scanner moves by `offset` as it moves those of the pseudo-hospitals."""
    draw = np.random.default_rng(3)
    labels = (np.arange(80) < 32).astype(int)
    home, target = seen(draw, labels, 0), seen(draw, (np.arange(200) < 80).astype(int), offset, contrary)
    hospitals = [seen(draw, labels, offset + draw.normal(0, 0.5)) for _ in range(12)]
    models = {
        str(m): [
            ModelEvidence(
                logits(home[m]), labels, logits(target[m]),
                [HospitalResult(FAMILIES[k % 4], logits(z[m]), labels) for k, z in enumerate(hospitals)], np.ones(12),
            )
        ]
        for m in range(3)
    }  # fmt: skip
    return assess(models, {name: f"recipe {name}" for name in models})


@pytest.mark.parametrize("offset", [0.0, 12.0])  # the latter makes all models call every image positive
def test_models_that_agree_as_on_pseudo_hospitals_are_not_doubted(offset):
    found = assessed(offset, contrary=False)
    assert not found.contradiction.unusual
    assert found.candidates["0"].auroc.low > 0.8


def test_a_contradiction_that_own_thresholds_hide_is_found_at_moved_ones():
    found = assessed(12.0, contrary=True)
    assert found.contradiction.unusual and found.contradiction.moved
    assert found.contradiction.target > 0.25 > found.contradiction.hospitals
    for one in found.candidates.values():
        assert one.auroc.low <= 0.5 and one.own.balanced.low <= 0.5 and one.moved.balanced.low <= 0.5


def test_a_contradiction_at_own_thresholds_is_said_of_those():
    found = assessed(0.0, contrary=True)
    assert found.contradiction.unusual and not found.contradiction.moved
    assert found.candidates["0"].auroc.low <= 0.5
