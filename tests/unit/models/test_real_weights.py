"""The published weights of the shared data folder fit the backbones they belong to (RECIPE_DATA names the folder)."""

import os
from pathlib import Path

import pytest
import torch

from sweep.core.errors import InputError
from sweep.models.classifier import ClassifierSpec, build_classifier

FOLDER = Path(os.environ.get("RECIPE_DATA", "absent")) / "weights"
pytestmark = [pytest.mark.real, pytest.mark.skipif(not FOLDER.is_dir(), reason="RECIPE_DATA has no weights folder")]
MOBILENET = FOLDER / "mobilenetv2_100_imagenet_features_timm.pth"
RESNET18_TO_LAYER3 = FOLDER / "resnet18_imagenet_stem_layer1-3_PARTIAL.pth"
SQUEEZENET = FOLDER / "squeezenet1_1_imagenet_onnxzoo.pth"


def _build(backbone, weights):
    return build_classifier(ClassifierSpec(backbone=backbone, num_classes=2, image_px=64), seed=0, weights=str(weights))


@pytest.mark.parametrize(
    ("backbone", "weights"),
    [
        ("mobilenetv2_100", MOBILENET),
        ("resnet18_layer3", RESNET18_TO_LAYER3),
        ("torchvision:squeezenet1_1", SQUEEZENET),
    ],
)
def test_only_the_head_stays_random(backbone, weights):
    model = _build(backbone, weights).eval()
    assert model.weights_report.left_random == ("head.1.weight", "head.1.bias")
    with torch.no_grad():
        assert model(torch.rand(2, 1, 64, 64)).isfinite().all()


@pytest.mark.parametrize(
    ("backbone", "weights"),
    [("resnet18", RESNET18_TO_LAYER3), ("resnet50", RESNET18_TO_LAYER3), ("resnet18", MOBILENET)],
)
def test_other_combinations_are_refused(backbone, weights):
    with pytest.raises(InputError, match="do not fit"):
        _build(backbone, weights)
