"""The warning about adversarial training that overfitted its single-step attack."""

from types import SimpleNamespace

from analysis.warnings import _overfitted


def run_with(*found):
    return SimpleNamespace(
        finishes=[
            {"signature": name, "seed": seed, **({"overfitting": facts} if facts else {})}
            for name, seed, facts in found
        ]
    )


def test_the_worst_record_is_told():
    mild, bad = {"epoch": 4, "fgsm": 0.75, "pgd": 0.25}, {"epoch": 7, "fgsm": 0.94, "pgd": 0.0}
    (warning,) = _overfitted(run_with(("a", 0, mild), ("a", 1, bad), ("b", 0, None)))
    assert warning.severity == "serious" and warning.headline.endswith("of 1 configuration")
    assert "In 2 records, at worst after epoch 7: 0.940 of" in warning.detail and "grad_align" in warning.detail


def test_nothing_is_said_without_it():
    assert _overfitted(run_with(("a", 0, None))) == []
