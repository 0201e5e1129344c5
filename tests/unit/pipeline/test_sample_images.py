"""Which attack a trial's gallery shows."""

import pytest

from sweep.pipeline.sample_images import _shown_threat


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("fgsm", "pgd20", "square500", "noise"), "pgd20"),
        (("transfer:results/a/b", "noise"), "noise"),
        (("transfer:results/a/b",), None),
    ],
)
def test_the_last_attack_that_follows_the_model_s_own_gradient(names, shown):
    assert _shown_threat(names) == shown
