"""Every generator trains on little, samples by index, travels as bytes and refuses what it cannot use."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sweep.core.errors import InputError
from sweep.core.seeds import rng
from sweep.synth.feed import to_pixels, to_signed
from sweep.synth.train import GENERATORS, TrainedGenerator, train_generator

PX = 32
TINY = {"steps": 2, "batch_size": 4, "width": 4, "denoising_steps": 2}


def tiny(name: str, **changes: object) -> dict:
    known = GENERATORS[name].defaults
    return {key: value for key, value in {**TINY, **changes}.items() if key in known or key not in TINY}


def images(count: int = 8, px: int = PX) -> np.ndarray:
    return rng(0, "synth contract").integers(0, 256, (count, px, px), dtype=np.uint8)


def trained(name: str, **changes: object) -> TrainedGenerator:
    classes = 1 if GENERATORS[name].per_class else 2
    arguments = {"settings": tiny(name), "seed": 0, "num_classes": classes, "labels": np.arange(8) % classes, **changes}
    return train_generator(name, arguments.pop("images", images()), **arguments)


@pytest.fixture(scope="module", params=GENERATORS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def generator(name: str) -> TrainedGenerator:
    return trained(name)


def test_samples_have_the_form_of_the_training_images_and_differ(generator: TrainedGenerator) -> None:
    for label in range(generator.num_classes):
        pool = generator.sample(5, seed=1, label=label)
        assert pool.shape == (5, PX, PX)
        assert pool.dtype == np.uint8
        assert len(np.unique(pool, axis=0)) == 5
        assert min(len(np.unique(image)) for image in pool) > 2  # grey, neither flat nor black and white


def test_grey_levels_survive_the_way_into_a_network_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    signed = to_signed(levels)
    assert (signed.min().item(), signed.max().item()) == pytest.approx((-1, 1))
    assert torch.equal(to_pixels(signed), levels)


def test_an_image_depends_on_its_index_alone(generator: TrainedGenerator) -> None:
    pool = generator.sample(70, seed=1, label=0)
    assert np.array_equal(generator.sample(3, seed=1, label=0), pool[:3])
    assert np.array_equal(generator.sample(40, seed=1, label=0, start=29), pool[29:69])
    assert not np.array_equal(generator.sample(3, seed=2, label=0), pool[:3])
    assert generator.sample(0, seed=1, label=0).shape == (0, PX, PX)


def test_bytes_bring_back_the_same_generator(generator: TrainedGenerator) -> None:
    again = TrainedGenerator.from_bytes(generator.to_bytes())
    assert np.array_equal(again.sample(4, seed=0, label=0), generator.sample(4, seed=0, label=0))
    assert (again.settings, again.facts, again.seen) == (generator.settings, generator.facts, generator.seen)


def test_the_same_seed_trains_the_same_generator(name: str, generator: TrainedGenerator) -> None:
    assert np.array_equal(trained(name).sample(4, seed=0, label=0), generator.sample(4, seed=0, label=0))
    assert not np.array_equal(trained(name, seed=1).sample(4, seed=0, label=0), generator.sample(4, seed=0, label=0))


def test_it_knows_what_it_has_seen(generator: TrainedGenerator) -> None:
    others = images(10)[8:]
    assert generator.saw(images()).all()
    assert not generator.saw(others).any()


@pytest.mark.parametrize("px", [64, *(pytest.param(px, marks=pytest.mark.slow) for px in (128, 256))])
def test_every_size(name: str, px: int) -> None:
    big = trained(name, images=images(8, px), settings=tiny(name, steps=1, denoising_steps=1))
    assert next(big.stream(1, seed=0, label=0)).shape == (1, px, px)


def test_a_width_need_not_be_round(name: str) -> None:
    assert trained(name, settings=tiny(name, width=5, steps=1)).settings["width"] == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": images(8, 48)}, "48 px; set image_px to one of 32, 64, 128, 256"),
        ({"images": images().astype(float)}, "square grey uint8"),
        ({"images": images()[:, :16]}, "square grey uint8"),
        ({"images": np.zeros((8, PX, PX), np.uint8)}, "at least two different"),
        ({"settings": {"stepz": 3}}, "did you mean steps"),
        ({"settings": {"steps": 0, "width": 1.5}}, "2 mistakes"),
        ({"labels": np.full(8, 7)}, "one label an image|^$"),
    ],
)
def test_refusals_name_the_fix(name: str, changes: dict, words: str) -> None:
    if "labels" in changes and GENERATORS[name].per_class:
        pytest.skip("labels are not read")
    with pytest.raises(InputError, match=words):
        trained(name, **changes)


def test_training_leaves_the_global_random_state_alone(name: str) -> None:
    import torch

    before = torch.random.get_rng_state()
    trained(name)
    assert torch.equal(before, torch.random.get_rng_state())


def test_unknown_generator_is_suggested() -> None:
    with pytest.raises(InputError, match="did you mean wgan"):
        train_generator("wgam", images(), seed=0)
