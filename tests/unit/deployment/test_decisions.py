"""Decision thresholds by policy."""

import numpy as np
import pytest

from sweep.core.errors import InputError
from sweep.deployment.decisions import check_policy, choose, decide

CHANCE = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
TRUTH = np.array([0, 0, 1, 0, 1, 0, 1, 1], bool)


@pytest.mark.parametrize(
    ("policy", "threshold", "sensitivity", "specificity"),
    [
        ("youden", 0.25, 1.0, 0.5),
        ("half", 0.5, 0.75, 0.75),
        ("sensitivity=0.95", 0.25, 1.0, 0.5),
        ("sensitivity=0.75", 0.5, 0.75, 0.75),
        ("specificity=1", 0.75, 0.5, 1.0),
        ("probability=0.65", 0.65, 0.5, 0.75),
    ],
)
def test_policies(policy, threshold, sensitivity, specificity):
    made = choose(policy, "malignant", CHANCE, TRUTH)
    assert made.probability == pytest.approx(threshold)
    assert (made.sensitivity, made.specificity) == (sensitivity, specificity)
    assert (made.positives, made.negatives) == (4, 4)


def test_a_policy_that_is_none_and_images_of_one_kind_are_refused():
    for wrong in ("best", "sensitivity", "sensitivity=1.2", "youden=1", "probability=2"):
        with pytest.raises(InputError, match="is no policy"):
            check_policy(wrong)
    with pytest.raises(InputError, match="no validation image has malignant"):
        choose("youden", "malignant", CHANCE, np.zeros(8, bool))


def test_decisions():
    two = np.array([[0.7, 0.3], [0.6, 0.4]])
    assert decide(two, (0.35,), False).tolist() == [0, 1] and decide(two, (), False).tolist() == [0, 0]
    assert decide(np.array([[0.2, 0.5, 0.3]]), (), False).tolist() == [1]
    assert decide(np.array([[0.2, 0.5]]), (0.3, 0.4), True).tolist() == [[False, True]]
