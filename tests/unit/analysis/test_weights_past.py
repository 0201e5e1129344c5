"""Warnings about data sets that the pretrained weights have seen."""

from types import SimpleNamespace

from analysis.warnings import _weights_past
from sweep.models.known_weights import may_have_seen


def run_with(*told):
    return SimpleNamespace(weights_past=tuple(told))


def test_certain_is_serious_and_doubtful_a_note():
    seen = may_have_seen("vit_small_patch16_224", "openus.pth", "openus", {"busi": "busi", "udiat": "udiat"})
    unnamed = may_have_seen("resnet18", "mine.pth", None, {"busi": "busi"})
    found = _weights_past(run_with(*seen, *unnamed))
    assert [warning.severity for warning in found] == ["serious", "note"]
    assert "have seen busi" in found[0].detail and "udiat" not in found[0].detail
    assert "udiat" in found[1].detail and "weights_name" in found[1].detail


def test_nothing_is_said_of_weights_that_have_seen_neither():
    assert _weights_past(run_with()) == []
