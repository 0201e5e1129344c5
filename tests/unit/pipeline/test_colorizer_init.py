"""The start of a colorizer: published by default; a record of version 0.1 keeps its signature and is rebuilt as it was."""

import pytest
import torch

from sweep.config.hyperparameters import complete, identity, relevant, restored
from sweep.models.classifier import ClassifierSpec, build_classifier
from sweep.pipeline.model_options import network_of


def _colorizer(config):
    spec = ClassifierSpec(**network_of(config), num_classes=2, image_px=32)
    return build_classifier(spec, seed=7).colorizer.state_dict().values()


@pytest.mark.parametrize("name", ["coloru", "deco"])
def test_a_record_without_the_setting_is_rebuilt_with_xavier(name):
    new = relevant(complete({"colorizer": name}))
    assert new["colorizer_init"] == "published"
    old = {key: value for key, value in new.items() if key != "colorizer_init"}
    assert restored(old)["colorizer_init"] == "xavier"
    assert identity(restored(old)) == identity(old) and "colorizer_init" not in identity(old)
    assert identity(new) == identity(old) | {"colorizer_init": "published"}
    as_it_was, now = _colorizer(restored(old)), _colorizer(new)
    assert all(map(torch.equal, as_it_was, _colorizer(new | {"colorizer_init": "xavier"})))
    assert not all(map(torch.equal, as_it_was, now))


@pytest.mark.parametrize("name", ["none", "deconv", "pixelshuffle", "texture_color"])
def test_other_colorizers_have_no_such_setting(name):
    assert "colorizer_init" not in relevant(complete({"colorizer": name}))
