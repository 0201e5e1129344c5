"""The texture loss against its definition written out, and the properties that training relies on."""

import numpy as np
import pytest
import torch
from skimage.feature import graycomatrix, graycoprops

from sweep.core.errors import InputError
from sweep.losses.glcm import GLCMLoss, KeptTargets, glcm_properties, soft_glcm
from sweep.losses.glcm.offsets import EIGHT_ANGLES
from sweep.losses.glcm.tiles import LEAST_RANGE, Tiles

FIVE = ("ASM", "contrast", "homogeneity", "correlation", "dissimilarity")
WAYS = ("native", "scatter", "dense")


def _pair(seed=0, images=2, px=50, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    grey = torch.nn.functional.avg_pool2d(torch.rand(images, 1, px + 2, px + 2, generator=generator, dtype=dtype), 3, 1)
    colors = 3 * grey + 0.5 * torch.randn(images, 3, px, px, generator=generator, dtype=dtype) - 1
    return colors, grey


def _stretched(image, levels):
    return (image - image.min()) / (image.max() - image.min()) * (levels - 1)


def _definition(colors, grey, levels=32, window=20, normalised=True):
    """All eight orientations, every window, one matrix after the other, in float64."""
    scale = {"contrast": (levels - 1) ** -2, "dissimilarity": 1 / (levels - 1)} if normalised else {}
    luma = torch.einsum("nchw,c->nhw", colors.double(), torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64))
    worst = []
    for image, reference in zip(luma, grey.double().squeeze(1), strict=False):
        pair = torch.stack([_stretched(image, levels), _stretched(reference, levels)])
        size = window or pair.shape[1]
        sums = []
        for y in range(0, pair.shape[1] - size + 1, size):
            for x in range(0, pair.shape[2] - size + 1, size):
                matrix = soft_glcm(pair[:, y : y + size, x : x + size], levels, [3], EIGHT_ANGLES, backend="dense")
                found = glcm_properties(matrix, FIVE)
                sums.append(sum((v[0] - v[1]).abs().sum() * scale.get(k, 1) for k, v in found.items()))
        worst.append(max(sums))
    return torch.stack(worst).mean()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "options", [{}, {"window": None}, {"normalised": False}, {"levels": 16}, {"window": 25, "levels": 64}]
)
def test_equals_its_definition_written_out(way, options):
    colors, grey = _pair()
    found = GLCMLoss(backend=way, **options)(colors, grey)
    torch.testing.assert_close(found.double(), _definition(colors, grey, **options), rtol=2e-4, atol=1e-5)


def test_opposite_directions_have_equal_features_so_four_orientations_are_enough():
    image = np.random.default_rng(0).integers(0, 32, (20, 20)).astype(np.uint8)
    matrix = graycomatrix(image, [3], EIGHT_ANGLES, 32)
    for name in FIVE:
        found = graycoprops(matrix, name)[0]
        np.testing.assert_allclose(found[:4], found[4:], atol=1e-13, rtol=1e-13)
    colors, grey = _pair()
    eight, four = (GLCMLoss(orientations=n)(colors, grey) for n in (8, 4))
    torch.testing.assert_close(eight, 2 * four)


@pytest.mark.parametrize("way", WAYS)
def test_replication_costs_nothing_at_any_scale(way):
    _, grey = _pair()
    assert GLCMLoss(backend=way)(7 * grey.expand(-1, 3, -1, -1) - 2, grey) < 1e-3


@pytest.mark.extended
def test_backends_agree_in_value_and_gradient():
    found, gradients = [], []
    for way in WAYS:
        colors, grey = _pair(dtype=torch.float64)
        colors.requires_grad_()
        loss = GLCMLoss(backend=way)(colors, grey)
        loss.backward()
        found.append(loss.detach())
        gradients.append(colors.grad)
    for other in (1, 2):
        torch.testing.assert_close(found[0], found[other])
        torch.testing.assert_close(gradients[0], gradients[other])


@pytest.mark.parametrize("way", WAYS)
def test_gradient_is_the_slope_of_the_loss(way):
    """Directional derivative by central differences; minimum and maximum are held by two pixels outside all windows."""
    colors, grey = _pair(images=1, px=23, dtype=torch.float64)
    colors[..., 22, 21], colors[..., 22, 22] = -9.0, 9.0
    loss, colors = GLCMLoss(levels=8, backend=way), colors.requires_grad_()
    loss(colors, grey).backward()
    direction = torch.randn(colors.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    direction[..., 22, 21:] = 0
    step = 1e-6
    with torch.no_grad():
        slope = (loss(colors + step * direction, grey) - loss(colors - step * direction, grey)) / (2 * step)
    torch.testing.assert_close((colors.grad * direction).sum(), slope, rtol=1e-4, atol=1e-7)


def test_only_the_worst_window_of_each_image_gets_a_gradient():
    colors, grey = _pair(px=60)
    colors.requires_grad_()
    GLCMLoss()(colors, grey).backward()
    touched = colors.grad.abs().sum(1).unfold(1, 20, 20).unfold(2, 20, 20).sum((-1, -2)).flatten(1) > 0
    assert touched.sum(1).tolist() == [1, 1]


@pytest.mark.parametrize("window", [20, None])
def test_descent_brings_the_texture_back(window):
    colors, grey = _pair(px=40)
    loss = GLCMLoss(window=window)
    colors.requires_grad_()
    optimizer = torch.optim.Adam([colors], lr=0.02)
    first = loss(colors, grey).item()
    for _ in range(60):
        optimizer.zero_grad()
        loss(colors, grey).backward()
        optimizer.step()
    assert loss(colors, grey).item() < 0.7 * first


def test_a_kept_target_gives_the_same_loss():
    colors, grey = _pair()
    loss = GLCMLoss()
    assert torch.equal(loss(colors, grey), loss(colors, grey, loss.target(grey)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_flat_images_give_a_finite_loss_and_gradient(way, value):
    colors, grey = torch.full((2, 3, 40, 40), value).requires_grad_(), torch.full((2, 1, 40, 40), 0.3)
    loss = GLCMLoss(backend=way)(colors, grey)
    loss.backward()
    assert loss.item() == 0 and colors.grad.isfinite().all()


def test_a_half_black_image_gives_a_finite_gradient():
    colors, grey = _pair(px=60)
    colors[..., :40], grey[..., :40] = 0, 0
    colors.requires_grad_()
    GLCMLoss()(colors, grey).backward()
    assert colors.grad.isfinite().all() and colors.grad.any()


def test_not_a_number_is_not_hidden():
    colors, grey = _pair()
    colors[0, 0, 0, 0] = float("nan")
    assert GLCMLoss()(colors, grey).isnan()


def test_bfloat16_colors_under_autocast_are_compared_in_float32():
    colors, grey = _pair()
    with torch.autocast("cpu", torch.bfloat16):
        found = GLCMLoss()(colors.bfloat16(), grey)
    torch.testing.assert_close(found, GLCMLoss()(colors.bfloat16().float(), grey))


def test_mixing_weighs_by_alpha():
    loss = GLCMLoss(alpha=0.9)
    assert loss.mix(torch.tensor(2.0), torch.tensor(10.0)) == pytest.approx(2.8)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: GLCMLoss(orientations=6), "4 or 8"),
        (lambda: GLCMLoss(window=3), "no pairs at distance 3"),
        (lambda: GLCMLoss()(torch.rand(1, 3, 16, 16), torch.rand(1, 1, 16, 16)), "a window of at most 16 px"),
        (
            lambda: GLCMLoss()(torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32)),
            r"colorized.*give a tensor \[N, 3, H, W\]",
        ),
        (lambda: GLCMLoss()(torch.rand(1, 3, 32, 32), torch.rand(1, 32, 32)), r"grey.*give a tensor \[N, 1, H, W\]"),
        (lambda: GLCMLoss()(torch.rand(0, 3, 32, 32), torch.rand(0, 1, 32, 32)), "at least one image"),
        (lambda: GLCMLoss()(np.zeros((1, 3, 32, 32)), torch.rand(1, 1, 32, 32)), "numpy.float64 of shape"),
    ],
)
def test_misuse_names_the_fix(call, words):
    with pytest.raises(InputError, match=words):
        call()


def byte_images(count, px=64, seed=0):
    """Grey images as the training loop has them without augmentation: bytes divided by 255."""
    return torch.randint(0, 256, (count, 1, px, px), generator=torch.Generator().manual_seed(seed)).float().div_(255)


@pytest.mark.parametrize("backend", ["scatter", "native"])
def test_features_of_an_image_do_not_depend_on_its_batch(backend):
    loss, grey = (
        GLCMLoss(backend=backend, window=21),
        byte_images(5, px=66),
    )  # nine windows: pairs of windows span images
    together = loss.target(grey)
    assert torch.equal(together, torch.cat([loss.target(one[None]) for one in grey]))


def test_kept_targets_change_nothing_and_are_computed_once(monkeypatch):
    grey = byte_images(6)
    colors = (grey + 0.1 * torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(1))).requires_grad_()
    plain = GLCMLoss()
    kept = KeptTargets(GLCMLoss())
    seen = []
    compute = kept.loss.target
    monkeypatch.setattr(kept.loss, "target", lambda images: seen.append(len(images)) or compute(images))
    for order in (slice(0, 4), slice(2, 6), slice(None, None, None)):
        expected, found = plain(colors[order], grey[order]), kept(colors[order], grey[order])
        assert torch.equal(expected, found)
        assert torch.equal(torch.autograd.grad(expected, colors)[0], torch.autograd.grad(found, colors)[0])
    assert seen == [4, 2]
    kept(colors.flip(3), grey.flip(3))
    assert seen == [4, 2, 6]


def test_memory_of_targets_is_bounded(monkeypatch):
    from sweep.losses.glcm import kept as module

    monkeypatch.setattr(module, "MOST_BYTES", 3 * 9 * 20 * 4)
    kept, grey = KeptTargets(GLCMLoss()), byte_images(6)
    assert torch.equal(kept.target(grey), kept.target(grey)) and len(kept.kept) == 3


def test_native_statistics_have_the_gradient_of_their_values():
    from sweep.losses.glcm.native_statistics import soft_statistics

    windows = (
        torch.rand(3, 9, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 6 + 0.3
    ).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: soft_statistics(x, 8, [(0, 3), (2, 2), (3, 0), (2, -2)]), windows, atol=1e-6
    )


@pytest.mark.parametrize(("low", "spread"), [(0.0, 31.0), (27.3, 3.0), (28.2, 0.01), (30.0, 1.0), (12.0, 0.0)])
def test_native_statistics_are_those_of_the_matrices(low, spread):
    """Closed forms over pairs against the matrix written out in float64: high levels, the last bin and nearly flat windows too."""
    from sweep.losses.glcm.native_statistics import soft_statistics
    from sweep.losses.glcm.properties import moments
    from sweep.losses.glcm.soft import soft_counts

    offsets = [(0, 3), (2, 2), (3, 0), (2, -2)]
    windows = low + spread * torch.rand(5, 20, 17, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrices = soft_counts(windows, 32, offsets, "dense").flatten(0, 1)
    expected = moments(matrices, matrices.sum((1, 2))).unflatten(0, (5, 4))
    torch.testing.assert_close(soft_statistics(windows, 32, offsets), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(soft_statistics(windows.float(), 32, offsets).double(), expected, rtol=2e-4, atol=2e-5)


def test_windows_read_where_they_lie_are_the_windows_cut_out():
    from sweep.losses.glcm.native_statistics import soft_statistics, tile_statistics
    from sweep.losses.glcm.tiles import Tiles

    tiles = Tiles(byte_images(3, px=50).squeeze(1), 32, 16)  # nine windows and a rest, an odd number in all
    offsets = [(0, 3), (2, -2)]
    assert torch.equal(tile_statistics(tiles, offsets), soft_statistics(tiles.all(), 32, offsets))
    image, window = torch.tensor([2, 0]), torch.tensor([5, 8])
    assert torch.equal(tiles.at(image, window), tiles.all()[image * 9 + window])


@pytest.mark.parametrize("value", [0.0, 0.3, -2.0, 50.0])
def test_a_picture_of_one_colour_has_a_bounded_gradient_which_the_backends_agree_on(value):
    """A stretch by the smallest float gave 1e37 to infinity, which no clipping survives."""
    found, gradients = [], []
    for way in WAYS:
        grey = _pair(dtype=torch.float64)[1]
        colors = torch.full((2, 3, 50, 50), value, dtype=torch.float64).requires_grad_()
        loss = GLCMLoss(backend=way)(colors, grey)
        loss.backward()
        found.append(loss.detach())
        gradients.append(colors.grad)
        assert 0 < colors.grad.abs().max() < (32 - 1) / LEAST_RANGE
    for other in (1, 2):
        torch.testing.assert_close(found[0], found[other])
        torch.testing.assert_close(gradients[0], gradients[other], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_a_range_below_half_a_grey_level_is_not_stretched_to_the_whole_scale(way):
    _, grey = _pair(images=1, px=20, dtype=torch.float64)
    quarter = grey / (grey.max() - grey.min()) * LEAST_RANGE / 2
    found = GLCMLoss(backend=way, window=None).target(quarter)
    levels = (quarter - quarter.min()).squeeze(1) * (32 - 1) / LEAST_RANGE
    assert levels.max() == pytest.approx((32 - 1) / 2)
    expected = glcm_properties(soft_glcm(levels, 32, [3], backend="dense"), ["dissimilarity"])["dissimilarity"]
    torch.testing.assert_close(found[0, 0].view(4, 5)[:, 2], expected.flatten() / 31)


@pytest.mark.parametrize("way", WAYS)
def test_one_grey_level_of_an_8_bit_image_is_still_stretched_to_the_whole_scale(way):
    grey = (torch.arange(400).view(1, 1, 20, 20) % 2 + 100) / 255
    assert Tiles(grey.squeeze(1), 32, None).all().aminmax() == (0, pytest.approx(31, rel=1e-4))
    loss = GLCMLoss(backend=way, window=None)
    assert loss(3 * grey.expand(-1, 3, -1, -1), grey) < 1e-2


@pytest.mark.parametrize("way", WAYS)
def test_a_colorizer_that_starts_constant_trains_away_from_it(way):
    _, grey = _pair(px=40)
    colorizer = torch.nn.Conv2d(1, 3, 1)
    torch.nn.init.zeros_(colorizer.weight)
    torch.nn.init.zeros_(colorizer.bias)
    optimizer = torch.optim.SGD(colorizer.parameters(), 0.1)
    texture = GLCMLoss(backend=way)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        losses.append(loss := texture(colorizer(grey), grey))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(colorizer.parameters(), 1.0)
        assert torch.isfinite(norm) and norm > 0
        optimizer.step()
    assert losses[-1] < 0.1 * losses[0]


def test_properties_of_a_constant_image_have_a_finite_gradient():
    image = torch.zeros(1, 8, 8, dtype=torch.float64, requires_grad=True)
    found = glcm_properties(soft_glcm(image, 8, [1], backend="scatter"))
    sum(value.sum() for value in found.values()).backward()
    assert torch.isfinite(image.grad).all()
    assert found["correlation"].eq(1).all() and found["energy"].eq(1).all()
