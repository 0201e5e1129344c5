"""Weights files: complete ones load, everything else is refused by name."""

import pytest
import torch
from safetensors.torch import save_file

from sweep.core.errors import InputError
from sweep.models.classifier import ClassifierSpec, build_classifier
from sweep.models.weights import load_weights, read_state


def _resnet(**options):
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return timm.create_model("resnet10t", **options)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A whole network with its 1000-class head, as the hubs publish them."""
    path = tmp_path_factory.mktemp("weights") / "resnet10t.pth"
    torch.save(_resnet().state_dict(), path)
    return path


def _build(path, backbone="resnet10t", **more):
    return build_classifier(
        ClassifierSpec(backbone=backbone, num_classes=2, image_px=64, **more), seed=0, weights=str(path)
    )


def test_a_whole_network_loads_and_only_the_head_stays_random(published):
    model = _build(published)
    assert torch.equal(model.backbone.conv1[0].weight, torch.load(published, weights_only=True)["conv1.0.weight"])
    assert model.weights_report.left_random == ("head.1.weight", "head.1.bias")
    assert model.weights_report.unused == ("fc.weight", "fc.bias")
    assert "2 left random (head.1.weight, head.1.bias)" in str(model.weights_report)


def test_a_learned_colorizer_is_reported_as_random(published):
    assert "colorizer.map.weight" in _build(published, colorizer="matching").weights_report.left_random


def test_safetensors_and_wrapped_states_read_the_same(published, tmp_path):
    state = read_state(published)
    save_file(state, tmp_path / "a.safetensors")
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "b.pth")
    for other in (tmp_path / "a.safetensors", tmp_path / "b.pth"):
        assert {k: v.shape for k, v in read_state(other).items()} == {k: v.shape for k, v in state.items()}


class _Attacker(torch.nn.Module):
    """The nesting of the `robustness` package's AttackerModel: the network twice, and its input statistics."""

    def __init__(self, network):
        super().__init__()
        self.normalizer = torch.nn.Module()
        self.normalizer.register_buffer("new_mean", torch.zeros(3, 1, 1))
        self.normalizer.register_buffer("new_std", torch.ones(3, 1, 1))
        self.model = network
        self.attacker = torch.nn.Module()
        self.attacker.normalize, self.attacker.model = self.normalizer, network


def test_robust_imagenet_checkpoints_of_madrylab_load(published, tmp_path):
    """Their layout: a data-parallel wrapper under "model", beside optimiser, schedule, epoch and accuracies."""
    network = _resnet()
    network.load_state_dict(torch.load(published, weights_only=True))
    wrapped = {f"module.{name}": value for name, value in _Attacker(network).state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9).state_dict()
    content = {"model": wrapped, "optimizer": optimizer, "schedule": None, "epoch": 90, "amp": None, "adv_prec1": 0.4}
    torch.save(content, tmp_path / "resnet_linf_eps4.0.ckpt")
    state, alone = read_state(tmp_path / "resnet_linf_eps4.0.ckpt"), read_state(published)
    assert set(state) == set(alone) and all(torch.equal(state[name], alone[name]) for name in alone)
    model = _build(tmp_path / "resnet_linf_eps4.0.ckpt")
    assert torch.equal(model.backbone.layer1[0].conv1.weight, alone["layer1.0.conv1.weight"])
    assert model.weights_report.unused == ("fc.weight", "fc.bias")


def test_a_partial_file_fits_the_network_cut_to_it(published, tmp_path):
    partial = {k: v for k, v in read_state(published).items() if not k.startswith(("layer4", "fc"))}
    torch.save(partial, tmp_path / "partial.pth")
    model = _build(tmp_path / "partial.pth", backbone="resnet10t_layer3")
    assert model.weights_report.left_random == ("head.1.weight", "head.1.bias")
    with pytest.raises(InputError, match=r"partial\.pth.*missing: layer4.*resnet18_layer3"):
        _build(tmp_path / "partial.pth")


def test_a_whole_file_fits_the_cut_network_too(published):
    report = _build(published, backbone="resnet10t_layer3").weights_report
    assert all(key.startswith(("layer4.", "fc.")) for key in report.unused)


def test_vision_transformers_take_weights_of_another_picture_size(tmp_path):
    import timm

    torch.save(timm.create_model("test_vit", img_size=160).state_dict(), tmp_path / "vit.pth")
    model = build_classifier(
        ClassifierSpec(backbone="test_vit", num_classes=2, image_px=64), seed=0, weights=str(tmp_path / "vit.pth")
    )
    assert model.weights_report.left_random == ("head.1.weight", "head.1.bias")
    assert model(torch.rand(1, 1, 64, 64)).shape == (1, 2)


def test_weights_of_another_network_are_refused_with_shapes(published):
    with pytest.raises(InputError, match=r"do not fit.*unexpected.*name the backbone"):
        _build(published, backbone="small_cnn")


def test_a_shape_that_differs_is_named(tmp_path):
    torch.save(torch.nn.Linear(3, 2).state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"weight is \[2, 3\], the backbone has \[2, 4\]"):
        load_weights(torch.nn.Linear(4, 2), tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.pth", None, "no such weights file"),
        ("text.pth", b"not a checkpoint", "not a readable weights file"),
        ("text.safetensors", b"not a checkpoint", "not a readable weights file"),
        ("empty.pth", b"", "not a readable weights file"),
    ],
)
def test_unreadable_files_are_refused_by_name(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as refused:
        read_state(tmp_path / name)
    assert name in refused.value.where


def test_code_in_a_pickle_never_runs(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(InputError, match="not a readable weights file"):
        read_state(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


def test_a_list_is_no_state_dict(tmp_path):
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(InputError, match="holds no state dict"):
        read_state(tmp_path / "list.pth")


def test_hub_weights_without_a_hub_are_an_error_not_random(monkeypatch, tmp_path):
    from sweep.models import hub

    monkeypatch.setattr(hub, "_has_address", lambda url: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="ImageNet weights cannot be fetched.*weights: <path"):
        build_classifier(ClassifierSpec(backbone="resnet18", num_classes=2, image_px=64), seed=0, weights="imagenet")


def test_own_networks_have_no_imagenet_weights():
    with pytest.raises(InputError, match="small_cnn: has no ImageNet weights"):
        build_classifier(ClassifierSpec(backbone="small_cnn", num_classes=2, image_px=64), seed=0, weights="imagenet")
