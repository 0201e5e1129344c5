"""The table of generators: one row for each way to make synthetic images.

A row says how to build its networks, how to train them, how to turn latents into images, and its settings: `quick`
ones that suit a CPU and a few minutes, and what `length: full` changes to follow the publications. The table itself loads
without torch, whose import takes seconds: a sweep config is checked against its names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from sweep.core.deferred import Deferred
from sweep.core.errors import InputError, suggestion
from sweep.synth.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sweep.synth.feed import Feed
    from sweep.synth.sampling import Generate


@dataclass(frozen=True)
class GeneratorSpec:
    """One row: `per_class` rows train one network for each class, the others can also share one among all classes (`generator_networks`)."""

    describe: str
    per_class: bool
    build: Callable[[Settings, int, int], nn.Module]  # settings, image_px, num_classes
    train: Callable[..., nn.Module]
    generate: Callable[..., Tensor]  # network, latents, labels, settings -> [N, 1, H, W] in [-1, 1]
    defaults: Mapping[str, Any]
    full: Mapping[str, Any] = field(default_factory=dict)

    def generate_with(self, settings: Settings) -> Generate:
        """`generate` with its settings filled in."""
        return partial(self.generate, settings=settings)


def known_generator(name: str) -> GeneratorSpec:
    """The row called `name`; InputError with a suggestion when there is none."""
    if name not in GENERATORS:
        raise InputError("generator", f"unknown generator {name!r}", suggestion(name, GENERATORS))
    return GENERATORS[name]


def _sample_directly(network: nn.Module, latents: tuple[Tensor, ...], labels: Tensor, settings: Settings) -> Tensor:
    return network(latents, labels)


def _build_conv(settings: Settings, image_px: int, num_classes: int, noise: bool = False) -> nn.Module:
    from sweep.synth.networks import ConvGenerator

    width, latent = settings["width"], settings["latent"]
    return ConvGenerator(image_px, width=width, latent=latent, num_classes=num_classes, noise=noise)


def _build_skip(settings: Settings, image_px: int, num_classes: int) -> nn.Module:
    from sweep.synth.fastgan import SkipGenerator

    return SkipGenerator(image_px, width=settings["width"], latent=settings["latent"], num_classes=num_classes)


def _build_unet(settings: Settings, image_px: int, num_classes: int) -> nn.Module:
    from sweep.synth.unet import DenoisingUNet

    return DenoisingUNet(image_px, width=settings["width"], num_classes=num_classes, dropout=settings["dropout"])


def _train_conv(generator: nn.Module, feed: Feed, settings: Settings, **run: Any) -> nn.Module:
    from sweep.synth.adversarial import train_adversarial
    from sweep.synth.networks import ConvCritic

    spectral = "sn" in settings["lipschitz"]
    critic = ConvCritic(
        run.pop("image_px"), width=settings["width"], num_classes=run.pop("num_classes"), spectral=spectral
    )
    return train_adversarial(generator, critic, feed, settings, **run)


def _train_skip(generator: nn.Module, feed: Feed, settings: Settings, **run: Any) -> nn.Module:
    from sweep.synth.adversarial import train_adversarial
    from sweep.synth.fastgan import RedrawingCritic

    critic = RedrawingCritic(
        run.pop("image_px"), width=settings["width"], num_classes=run.pop("num_classes"),
        spectral="sn" in settings["lipschitz"], weight=settings["reconstruction"],
    )  # fmt: skip
    return train_adversarial(generator, critic, feed, settings, **run)


_TRAIN_DIFFUSION = Deferred("sweep.synth.diffusion", "train_diffusion")

COMMON = {
    "length": "quick", "steps": 300, "batch_size": 16, "width": 16, "ema": 0.99, "flip": False, "lr": 2e-4,
    "precision": "auto", "check_every": 0, "patience": 0, "feature_net": "texture+layout",
}  # fmt: skip
GAME = {
    **COMMON, "latent": 128, "critic_lr": 4e-4, "beta1": 0.0, "beta2": 0.9, "critic_steps": 1, "loss": "hinge",
    "lipschitz": "sn", "clip": 0.01, "penalty": 10.0, "augment": "translation",
}  # fmt: skip
PAPER = {**GAME, "steps": 150, "critic_lr": 2e-4, "critic_steps": 5, "loss": "wasserstein", "augment": "", "ema": 0.0}
FULL = {"steps": 20_000, "batch_size": 32, "width": 32, "ema": 0.999}
# The strongest augmentation helps in long runs; in a few hundred steps it keeps the critic from learning the images.
FULL_GAME = {**FULL, "critic_lr": 2e-4, "augment": "brightness_contrast+translation+cutout"}

# R1 and R2 keep the critic smooth in the place of spectral norm; the published annealing of rates and penalty is left out.
RELATIVISTIC = {
    **GAME, "loss": "relativistic", "lipschitz": "r1r2", "penalty": 1.0, "critic_lr": 2e-4, "beta2": 0.99,
    "augment": "translation+cutout",
}  # fmt: skip
DIFFUSION = {**COMMON, "steps": 800, "lr": 1e-3, "ema": 0.995, "dropout": 0.1, "denoising_steps": 25}
FULL_DIFFUSION = {
    "steps": 100_000, "batch_size": 32, "width": 64, "lr": 2e-4, "ema": 0.9995, "denoising_steps": 50,
}  # fmt: skip

GENERATORS: dict[str, GeneratorSpec] = {
    "wgan": GeneratorSpec(
        "convolutional Wasserstein GAN with a spectrally normalised critic, one for each class",
        True, _build_conv, _train_conv, _sample_directly, PAPER, FULL,
    ),
    "wgan_diffaug": GeneratorSpec(
        "the same networks with hinge loss, differentiable augmentation and a running average of the weights",
        True, _build_conv, _train_conv, _sample_directly, {**GAME, "augment": "translation+cutout"}, FULL_GAME,
    ),
    "cgan": GeneratorSpec(
        "projection GAN with a noise input for speckle, trained like wgan_diffaug",
        False, partial(_build_conv, noise=True), _train_conv, _sample_directly, GAME, FULL_GAME,
    ),
    "fastgan": GeneratorSpec(
        "skip-layer excitation and a critic that redraws the image",
        False, _build_skip, _train_skip, _sample_directly, {**GAME, "reconstruction": 1.0}, FULL_GAME,
    ),
    "ddpm": GeneratorSpec(
        "class-conditional diffusion with a small U-Net, cosine schedule and deterministic sampling",
        False, _build_unet, _TRAIN_DIFFUSION, Deferred("sweep.synth.diffusion", "denoise"),
        DIFFUSION, FULL_DIFFUSION,
    ),
    "r3gan": GeneratorSpec(
        "the networks of cgan with the relativistic pairing loss and zero-centred gradient penalties (R1 and R2) of R3GAN",
        False, _build_conv, _train_conv, _sample_directly, RELATIVISTIC, {**FULL, "critic_lr": 2e-4},
    ),
    "flow": GeneratorSpec(
        "class-conditional flow matching along straight paths, with the network and loop of ddpm",
        False, _build_unet,
        partial(_TRAIN_DIFFUSION, loss_of=Deferred("sweep.synth.flow_matching", "flow_loss")),
        Deferred("sweep.synth.flow_matching", "integrate"), DIFFUSION, FULL_DIFFUSION,
    ),
    "aae": GeneratorSpec(
        "adversarial autoencoder: the decoder of an autoencoder whose codes are made normal by a critic",
        False, _build_conv, Deferred("sweep.synth.autoencoder", "train_autoencoder"), _sample_directly,
        {**COMMON, "steps": 800, "lr": 1e-3, "critic_lr": 1e-3, "beta1": 0.5, "beta2": 0.99, "latent": 32, "match": 0.1},
        {**FULL, "lr": 2e-4, "critic_lr": 2e-4},
    ),
}  # fmt: skip


def build_network(name: str, settings: Settings, image_px: int, num_classes: int, seed: int) -> nn.Module:
    """The untrained network of row `name`; equal seeds give equal weights, and the global random state is unchanged."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return known_generator(name).build(settings, image_px, num_classes)
