"""Training images/s of the convolutional WGAN at 128 px: this project's loop against the common public one.

    OMP_NUM_THREADS=1 python benchmarks/generator.py [--px 128] [--width 16] [--rounds 5]

Both sides train equal networks with equal updates: nearest doubling + 3x3 convolutions against 4x4 convolutions under
spectral norm, Wasserstein loss, Adam, five critic steps for one generator step. The common loop is written here in the
style of the public collections: image files through a DataLoader, float32, the generator's graph built in critic steps
and thrown away, real and synthetic images judged one after the other. Rounds alternate; times are process CPU time on
one thread, medians over rounds, so that a busy machine does not favour one side. Then each generator is sampled into
shards, block by block, at the same size: images per CPU second from latents to a written data set.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import itertools

from sweep.core.capture import recorder_for
from sweep.core.devices import cpu_features
from sweep.core.images import open_image
from sweep.synth.adversarial import Duel, start_duel, steps_of
from sweep.synth.feed import Feed
from sweep.synth.layers import SMALLEST_MAP, channels_at, sizes_up
from sweep.synth.networks import ConvCritic, ConvGenerator
from sweep.synth.pool import write_pool
from sweep.synth.train import GENERATORS, resolved_settings, train_generator

SAMPLED, SAMPLED_SLOWLY = 256, 32  # images; few of the generator that denoises in many steps
LATENT, CRITIC_STEPS, BATCH, LR, BETAS = 128, 5, 32, 2e-4, (0.0, 0.9)


class Files(Dataset):
    """PNG files, decoded when asked for, as float [1, px, px] in [-1, 1]."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.png"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with open_image(self.paths[index], ("PNG",)) as image:
            pixels = np.array(image.convert("L"))
        return torch.from_numpy(pixels).float().div(127.5).sub(1).unsqueeze(0)


def common_generator(px: int, width: int) -> nn.Module:
    """The same function family as ConvGenerator, in stock layers."""
    widths = [channels_at(size, px, width) for size in (SMALLEST_MAP, *sizes_up(px))]
    layers: list[nn.Module] = [
        nn.Linear(LATENT, widths[0] * SMALLEST_MAP**2),
        nn.Unflatten(1, (widths[0], SMALLEST_MAP, SMALLEST_MAP)),
    ]
    layers += [nn.BatchNorm2d(widths[0]), nn.ReLU()]
    for below, here in itertools.pairwise(widths):
        layers += [
            nn.Upsample(scale_factor=2),
            nn.Conv2d(below, here, 3, padding=1, bias=False),
            nn.BatchNorm2d(here),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1), nn.Tanh())


def common_critic(px: int, width: int) -> nn.Module:
    """The same layers as ConvCritic, normalised by PyTorch's own spectral norm."""
    widths = [1, *(channels_at(size // 2, px, width) for size in sizes_up(px)[::-1])]
    layers: list[nn.Module] = []
    for below, here in itertools.pairwise(widths):
        layers += [spectral_norm(nn.Conv2d(below, here, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), spectral_norm(nn.Linear(widths[-1] * SMALLEST_MAP**2, 1)))


def common_loop(folder: Path, px: int, width: int, device: str = "cpu") -> Iterator[None]:
    """One generator update, with its critic updates, at each `next`."""
    generator, critic = common_generator(px, width).to(device), common_critic(px, width).to(device)
    generator_optimizer = torch.optim.Adam(generator.parameters(), LR, BETAS)
    critic_optimizer = torch.optim.Adam(critic.parameters(), LR, BETAS)
    loader = DataLoader(Files(folder), BATCH, shuffle=True, drop_last=True)
    while True:
        for index, real in enumerate(loader, start=1):
            real = real.to(device)
            noise = torch.randn(len(real), LATENT, device=device)
            critic_optimizer.zero_grad()
            fake = generator(noise).detach()
            loss = -critic(real).mean() + critic(fake).mean()
            loss.backward()
            critic_optimizer.step()
            if index % CRITIC_STEPS == 0:
                generator_optimizer.zero_grad()
                (-critic(generator(noise)).mean()).backward()
                generator_optimizer.step()
                yield


def own_loop(
    images: np.ndarray, px: int, width: int, precision: str, device: str = "cpu", capture: bool = True
) -> Iterator[None]:
    """The same updates by the project's loop; on a GPU recorded and replayed."""
    settings = resolved_settings(
        "wgan", {"width": width, "batch_size": BATCH, "latent": LATENT, "precision": precision}
    )
    duel: Duel = start_duel(
        ConvGenerator(px, width=width, latent=LATENT), ConvCritic(px, width=width), settings, seed=0, device=device
    )
    pixels, labels = torch.from_numpy(images).to(device), torch.zeros(len(images), dtype=torch.long, device=device)
    feed = Feed(pixels, labels, BATCH, torch.Generator(device), flip=False)
    teach_critic, teach_generator = steps_of(duel, recorder_for(torch.device(device)) if capture else None)
    while True:
        for _ in range(CRITIC_STEPS):
            real, labels = next(feed)
            teach_critic(real, labels)
        teach_generator(real, labels)
        yield


def check_equal_networks(px: int, width: int) -> None:
    """Stop when the two sides would not train equally many parameters."""
    pairs = (
        (common_generator(px, width), ConvGenerator(px, width=width, latent=LATENT)),
        (common_critic(px, width), ConvCritic(px, width=width)),
    )
    for pair in pairs:
        counts = {sum(parameter.numel() for parameter in network.parameters()) for network in pair}
        if len(counts) > 1:
            raise SystemExit(f"error: networks of {counts} parameters are not the same networks")


def median_seconds(loops: dict[str, Callable[[], Iterator[None]]], rounds: int) -> dict[str, float]:
    """CPU seconds of one generator update with its critic updates, taking turns; the first turn is not counted."""
    running = {name: start() for name, start in loops.items()}
    spent: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(rounds + 1):
        for name, loop in running.items():
            before = time.process_time()
            next(loop)
            if turn:
                spent[name].append(time.process_time() - before)
    return {name: statistics.median(values) for name, values in spent.items()}


def sampling_rates(px: int) -> dict[str, float]:
    """Images per CPU second from latents to shards on disk, for each generator at its quick settings, untrained."""
    rates = {}
    noise = np.random.default_rng(0).integers(0, 256, (4, px, px), dtype=np.uint8)
    for name, row in GENERATORS.items():
        classes = 1 if row.per_class else 2
        generator = train_generator(
            name, noise, np.arange(4) % classes, num_classes=classes, settings={"steps": 1, "batch_size": 2}, seed=0
        )
        count = SAMPLED_SLOWLY if "denoising_steps" in row.defaults else SAMPLED
        generator.sample(1, seed=1, label=0)
        with tempfile.TemporaryDirectory() as folder:
            before = time.process_time()
            write_pool(Path(folder) / "pool", {0: generator}, {0: count}, ("all",), seed=0, domain="none")
            rates[name] = round(count / (time.process_time() - before), 1)
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--px", type=int, default=128)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    check_equal_networks(options.px, options.width)
    images = np.random.default_rng(0).integers(0, 256, (192, options.px, options.px), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        for index, image in enumerate(images):
            Image.fromarray(image).save(Path(folder) / f"{index:04d}.png")
        loops = {
            "common": lambda: common_loop(Path(folder), options.px, options.width),
            "own float32": lambda: own_loop(images, options.px, options.width, "fp32"),
            "own": lambda: own_loop(images, options.px, options.width, "auto"),
        }
        seconds = median_seconds(loops, options.rounds)
    rates = {name: round(CRITIC_STEPS * BATCH / value, 1) for name, value in seconds.items()}
    ratios = {name: round(seconds["common"] / value, 2) for name, value in seconds.items()}
    print(
        json.dumps(
            {
                "cpu": cpu_features(),
                "px": options.px,
                "width": options.width,
                "batch": BATCH,
                "real images per CPU second": rates,
                "ratio": ratios,
                "images sampled and written per CPU second": sampling_rates(options.px),
            }
        )
    )


if __name__ == "__main__":
    main()
