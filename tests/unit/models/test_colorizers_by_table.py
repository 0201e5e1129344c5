"""Colorizers against the layer tables of their papers, written out again in plain PyTorch."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from sweep.core.errors import InputError
from sweep.models.colorizers import COLORIZERS, build_colorizer

PX = 64


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


class Residual(nn.Module):
    """x + CBL(CBL(x)); CBL is convolution, batch norm, leaky ReLU."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(64, 64, 3, 1, 1), nn.BatchNorm2d(64), nn.LeakyReLU(0.01), nn.Conv2d(64, 64, 3, 1, 1), nn.BatchNorm2d(64), nn.LeakyReLU(0.01),
        )  # fmt: skip

    def forward(self, x):
        return self.layers(x) + x


class CaffeResidual(nn.Module):
    """Leaky ReLU after the addition, slope 0.02; Caffe's batch norms."""

    def __init__(self):
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(64, 64, 3, 1, 1), nn.BatchNorm2d(64, eps=1e-4, momentum=0.02)
        self.second, self.norm2 = nn.Conv2d(64, 64, 3, 1, 1), nn.BatchNorm2d(64, eps=1e-4, momentum=0.02)

    def forward(self, x):
        inner = self.norm2(self.second(functional.leaky_relu(self.norm1(self.first(x)), 0.02)))
        return functional.leaky_relu(x + inner, 0.02)


def stem():
    return nn.Sequential(nn.Conv2d(1, 64, 7, 2, 2), nn.BatchNorm2d(64), nn.LeakyReLU(0.01), nn.MaxPool2d(3, 2, 1))


def body(block=Residual):
    return nn.Sequential(*(block() for _ in range(8)))


def deconv():
    return nn.Sequential(stem(), body(), nn.Conv2d(64, 3, 1), nn.ConvTranspose2d(3, 3, 8, 4, 2, groups=3, bias=False))


class Shuffled(nn.Module):
    """To 48 channels, batch norm, a clamp that never acts, shuffle, then the mean of each pixel with its left, upper and upper left neighbour."""

    def __init__(self):
        super().__init__()
        self.to_image, self.norm = nn.Conv2d(64, 48, 1), nn.BatchNorm2d(48)

    def forward(self, x):
        picture = functional.pixel_shuffle(self.norm(self.to_image(x)).clamp(-10_000, 10_000), 4)
        left = torch.cat([picture[..., :1], picture[..., :-1]], 3)
        rows = (picture + left) / 2
        above = torch.cat([rows[..., :1, :], rows[..., :-1, :]], 2)
        return (rows + above) / 2


class Resized(nn.Module):
    def __init__(self):
        super().__init__()
        self.to_image, self.conv = nn.Conv2d(64, 3, 1), nn.Conv2d(3, 3, 3)

    def forward(self, x):
        larger = self.to_image(x).repeat_interleave(4, 2).repeat_interleave(4, 3)
        return self.conv(functional.pad(larger, (1, 1, 1, 1), mode="reflect"))


class Deco(nn.Module):
    """Padding 3 and no padding in the pool; fixed bilinear filter, which is no weight."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.body = (
            nn.Conv2d(1, 64, 7, 2, 3),
            nn.BatchNorm2d(64, eps=1e-4, momentum=0.02),
            body(CaffeResidual),
        )
        self.to_image = nn.Conv2d(64, 3, 1)
        ramp = [1 - abs(place / 4 - 0.875) for place in range(8)]
        self.filler = torch.tensor([[[[y * x for x in ramp] for y in ramp]]] * 3)

    def forward(self, x):
        x = functional.max_pool2d(functional.leaky_relu(self.norm(self.conv(x)), 0.01), 3, 2, ceil_mode=True)
        return functional.conv_transpose2d(self.to_image(self.body(x)), self.filler, stride=4, padding=2, groups=3)


class ColorU(nn.Module):
    """d1, d2, d3 down; u1 of d3, u2 of [d2, u1], out of [d1, u2]."""

    def __init__(self):
        super().__init__()
        act = lambda: nn.LeakyReLU(0.01)
        down = lambda i, o: nn.Sequential(
            nn.Conv2d(i, o, 3, 1, 1), act(), nn.Conv2d(o, o, 4, 2, 1), act(), nn.BatchNorm2d(o)
        )
        up = lambda i, o: nn.Sequential(
            nn.ConvTranspose2d(i, o, 4, 2, 1), act(), nn.Conv2d(o, o, 3, 1, 1), act(), nn.Conv2d(o, o, 3, 1, 1), act(), nn.BatchNorm2d(o),
        )  # fmt: skip
        self.d1, self.d2, self.d3, self.u1, self.u2 = down(1, 16), down(16, 32), down(32, 64), up(64, 32), up(64, 16)
        self.out = nn.Sequential(
            nn.ConvTranspose2d(32, 16, 4, 2, 1), act(), nn.Conv2d(16, 16, 3, 1, 1), act(), nn.Conv2d(16, 3, 1)
        )

    def forward(self, x):
        d1 = self.d1(x)
        d2 = self.d2(d1)
        u2 = self.u2(torch.cat([d2, self.u1(self.d3(d2))], 1))
        return self.out(torch.cat([d1, u2], 1))


def texture_color():
    texture = [
        nn.Conv2d(1, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, 1, 1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 1, 3, 1, 1), nn.ConvTranspose2d(1, 1, 8, 4, 2),
    ]  # fmt: skip
    color = [
        nn.Conv2d(1, 64, 3, 1, 1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Conv2d(64, 3, 3, 1, 1),
        nn.MaxPool2d(2),
        nn.ConvTranspose2d(3, 3, 4, 2, 1),
    ]
    return nn.Sequential(*texture, *color)


TABLE = {
    "deconv": deconv,
    "pixelshuffle": lambda: nn.Sequential(stem(), body(), Shuffled()),
    "resize_conv": lambda: nn.Sequential(stem(), body(), Resized()),
    "deco": Deco,
    "coloru": ColorU,
    "texture_color": texture_color,
}


def scrambled(model):
    """Every weight and statistic moved off its start, where mistakes could hide behind ones and zeros."""
    generator = torch.Generator().manual_seed(1)
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2.0, generator=generator)
        elif value.is_floating_point() and not name.endswith("kernel"):
            value.add_(0.1 * torch.randn(value.shape, generator=generator))
    return model


@pytest.mark.parametrize("name", TABLE)
def test_layers_are_those_of_the_table(name):
    ours, table = scrambled(build_colorizer(name)), TABLE[name]()
    state = [value for key, value in ours.state_dict().items() if key != "up.1.kernel"]
    assert [value.shape for value in state] == [value.shape for value in table.state_dict().values()]
    table.load_state_dict(dict(zip(table.state_dict(), state, strict=True)))
    grey = torch.randn(2, 1, PX, PX, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for mode in (True, True, False):  # training moves the statistics that evaluation then uses
            torch.testing.assert_close(ours.train(mode)(grey), table.train(mode)(grey), rtol=1e-4, atol=1e-4)
    for mine, theirs in zip(
        state, table.state_dict().values(), strict=True
    ):  # a momentum of its own shows in the statistics
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def bound_of(weight, rule):
    fan_in, fan_out = (weight.shape[side] * weight[0, 0].numel() for side in (1, 0))
    # PyTorch's default is Kaiming's uniform with a of sqrt(5); Caffe's xavier filler scales by fan-in alone.
    return {"xavier": math.sqrt(6 / (fan_in + fan_out)), "caffe": math.sqrt(3 / fan_in), "pytorch": fan_in**-0.5}[rule]


RULES = {
    ("deconv", ""): "xavier",
    ("resize_conv", ""): "xavier",
    ("pixelshuffle", ""): "pytorch",
    ("coloru", "published"): "pytorch",
    ("coloru", "xavier"): "xavier",
    ("deco", "published"): "caffe",
    ("deco", "xavier"): "xavier",
}


@pytest.mark.parametrize(("name", "init"), RULES)
def test_first_weights_are_drawn_as_published(name, init):
    model = build_colorizer(name, **({"init": init} if init else {}))
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert bool((part.weight == 1).all()) and bool((part.bias == 0).all())
        elif isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)) and not (name == "pixelshuffle" and part is model.up[0]):
            rule = RULES[name, init] if isinstance(part, nn.Conv2d) else "pytorch"
            bound, largest = bound_of(part.weight, rule), part.weight.abs().max().item()
            assert largest <= bound * (1 + 1e-5), (part, rule)
            assert rule != "caffe" or not part.bias.any()
            if part.weight.numel() > 100:
                assert largest > 0.9 * bound, (part, rule)


def test_the_way_up_of_pixelshuffle_starts_from_kaiming_s_normal_distribution():
    weight = build_colorizer("pixelshuffle").up[0].weight
    assert weight[::16].std().item() == pytest.approx(math.sqrt(2 / 64), rel=0.25)  # 3 filters of 64 weights


@pytest.mark.parametrize(("init", "spread"), [("published", 0.050), ("xavier", 0.191)])
def test_the_output_of_coloru_starts_with_the_published_spread(init, spread):
    """Standard deviation over the pixels of a channel, mean of ten seeds, on standardised noise."""
    found = []
    for seed in range(10):
        torch.manual_seed(seed)
        model = build_colorizer("coloru", init=init).train()
        with torch.no_grad():
            found.append(model(torch.randn(2, 1, PX, PX)).std((2, 3)).mean().item())
    assert sum(found) / 10 == pytest.approx(spread, rel=0.1)


def test_the_default_start_is_the_published_one_and_others_are_refused():
    for name in ("coloru", "deco"):
        torch.manual_seed(0)
        default = build_colorizer(name).state_dict()
        torch.manual_seed(0)
        published = build_colorizer(name, init="published").state_dict()
        assert all(map(torch.equal, default.values(), published.values()))
        with pytest.raises(InputError, match="did you mean xavier"):
            build_colorizer(name, init="xavir")


@pytest.mark.parametrize("name", COLORIZERS)
def test_images_that_are_not_grey_floats_are_refused_with_the_fix(name):
    module, grey = build_colorizer(name), torch.rand(2, 1, 16, 16)
    for images, words in (
        (grey.expand(-1, 3, -1, -1), r"shape \(2, 3, 16, 16\); give a tensor of grey images"),
        (grey[:, 0], r"shape \(2, 16, 16\)"),
        (grey.numpy(), "numpy.float32"),
        ((grey * 255).to(torch.uint8), r"torch.uint8 .* images.to\(torch.float32\) / 255"),
        (grey > 0.5, "torch.bool"),
    ):
        with pytest.raises(InputError, match=words):
            module(images)
    if any(True for _ in module.parameters()):
        with pytest.raises(
            InputError, match=r"float64 for a model in float32; convert them: images.to\(torch.float32\)"
        ):
            module(grey.double())
        with torch.autocast("cpu", torch.bfloat16):
            module.eval()(grey.bfloat16())
