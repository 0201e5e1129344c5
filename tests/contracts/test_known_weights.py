"""Every row of the table of public weights, against every importer."""

import re

import pytest
import timm

from sweep.importers import IMPORTERS
from sweep.models.backbones import known_backbone
from sweep.models.known_weights import COLLECTIONS, KNOWN_WEIGHTS, may_have_seen, past, past_of

OWN_FILES = ("folder", "csv", "dicom", "volumes")
SIMULATED = {"phantom-a", "phantom-b"}


def test_there_are_at_least_fifteen_and_every_importer_is_answered_for():
    assert len(KNOWN_WEIGHTS) >= 15
    assert {*IMPORTERS} == {*COLLECTIONS} | SIMULATED | {*OWN_FILES}


@pytest.mark.parametrize("name", KNOWN_WEIGHTS)
class TestEveryRow:
    def test_it_is_complete(self, name):
        row = KNOWN_WEIGHTS[name]
        assert known_backbone(row.backbone) and row.licence and row.where and row.trained_on
        assert len(row.mean) == len(row.std) == 3 and all(0 < value < 1 for value in (*row.mean, *row.std))

    def test_it_answers_for_every_importer(self, name):
        row = KNOWN_WEIGHTS[name]
        answers = {importer: row.seen(importer) for importer in IMPORTERS}
        told = past(row.backbone, "a.pth", name, {importer: importer for importer in IMPORTERS})
        for sentence, answer in zip(told, answers.values(), strict=True):
            words = {"yes": f"{name} have seen ", "no": f"{name} have not seen ", "unknown": f"{name} may have seen "}
            assert [key for key, one in words.items() if one in sentence] == [answer], sentence
        assert {*answers.values()} <= {"yes", "no", "unknown"}
        assert all(answers[importer] == "unknown" for importer in OWN_FILES)
        assert all(answers[importer] == "no" for importer in SIMULATED)
        assert row.seen("phantom:harmonic:young") == "no"

    def test_statistics_of_timm_rows_are_timm_s(self, name):
        if not re.search(r"\.(a1|ra|in12k|augreg|lvd|dinov3)", name):
            pytest.skip("not of timm's hub")
        published, row = timm.get_pretrained_cfg(name), KNOWN_WEIGHTS[name]
        assert published is not None
        assert (tuple(published.mean), tuple(published.std)) == (row.mean, row.std)


def test_answers_that_publishers_give():
    assert [KNOWN_WEIGHTS["openus"].seen(name) for name in ("busi", "brest", "busbra", "udiat")] == ["yes"] * 3 + [
        "unknown"
    ]
    assert KNOWN_WEIGHTS["openus"].seen("medmnist") == "yes"  # breastmnist is BUSI
    assert KNOWN_WEIGHTS["rad_dino"].seen("rsna_pneumonia") == "yes" and KNOWN_WEIGHTS["rad_dino"].seen("busi") == "no"
    assert KNOWN_WEIGHTS["resnet50.a1_in1k"].seen("busi") == "no"


def test_what_a_user_is_told():
    sets = {"BUSI": "busi", "BrEaST": "brest", "phantom-b": "phantom-b"}
    assert may_have_seen("resnet18", "imagenet", None, sets) == may_have_seen("resnet18", None, None, sets) == []
    told = may_have_seen("vit_small_patch16_224", "weights/openus.pth", "openus", sets)
    assert len(told) == 2 and "have seen BrEaST" in told[1] and "no test" in told[1]
    (first, _) = may_have_seen("resnet18", "weights/mine.pth", None, sets)
    (own,) = may_have_seen("resnet18", "imagenet", None, {"clinic": "folder"})
    assert "may have seen clinic if its images are published" in own and "ImageNet-1k" in own
    whole = past("resnet18", "imagenet", None, {"brest": "brest", "phantom-b": "phantom-b"})
    assert "have not seen brest (BrEaST): they were trained on ImageNet-1k" in whole[0] and "simulated" in whole[1]
    assert past("resnet18", None, None, sets) == []
    assert "is unknown; name their publication by weights_name" in first
    assert past_of("convnext_tiny.dinov3_lvd1689m", "imagenet", None).name == "convnext_tiny.dinov3_lvd1689m"
