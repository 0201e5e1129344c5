"""One epsilon sweep against one torchattacks call per epsilon: passes, CPU seconds and both robust accuracies.

    python -m benchmarks.epsilon_sweep                    # three models, exact and fast mode
    python -m benchmarks.epsilon_sweep --models fragile --images 16

{fgsm, bim, pgd, mifgsm} x epsilon {0.5, 1, 2, 4, 8}/255 on a one-channel ResNet-18 at 128 px, 1 thread. The models are
trained here, seeded (some minutes), and kept in the temporary folder. Goals, CPU time of torchattacks over ours: exact mode
5.7 / 2.3 / 1.5 and fast mode 10 / 4.5 / 3 on the fragile, ordinary and adversarially trained model, with robust accuracy
equal or lower in every cell.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from sweep.attacks.attack_options import AttackOptions
from sweep.attacks.epsilon_sweep import epsilon_sweep
from sweep.core.devices import cpu_features
from sweep.training.adversarial import perturb
from sweep.training.precision import autocast

PX = 128
EPSILONS = tuple(level / 255 for level in (0.5, 1, 2, 4, 8))
BASELINES = {"fgsm": "FGSM", "bim": "BIM", "pgd": "PGD", "mifgsm": "MIFGSM"}  # the classes of torchattacks
CACHE_VERSION = 3  # raised when the training below changes, so that stale cached weights are not used


@dataclass(frozen=True)
class Fixture:
    """How a model of the benchmark is trained, and the speed-ups it is held against."""

    trained_on: tuple[float, float]  # weakest and strongest amplitude of the class pattern, in grey values
    tested_on: tuple[float, float]
    train_eps: float
    steps: int
    exact_goal: float
    fast_goal: float


FIXTURES = {
    "fragile": Fixture((0.009, 0.018), (0.002, 0.017), 0.0, 300, 5.7, 10.0),
    "ordinary": Fixture((0.02, 0.07), (0.02, 0.07), 0.0, 100, 2.3, 4.5),
    "adversarial": Fixture((0.008, 0.06), (0.008, 0.06), 4 / 255, 90, 1.5, 3.0),
}


def main() -> None:
    """Run the chosen models and print one block for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=FIXTURES, default=list(FIXTURES))
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=1, help="interleaved rounds; the median is printed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.models:
        model = trained(name, FIXTURES[name])
        images, labels = draw(FIXTURES[name].tested_on, arguments.images, seed=10_000)
        report(name, FIXTURES[name], model, images, labels, arguments.rounds)


def draw(strengths: tuple[float, float], count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Speckle with a faint grating, level (class 0) or upright (class 1), of random strength and phase."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    speckle = 0.5 + 0.12 * torch.randn(count, 1, PX, PX, generator=generator)
    low, high = strengths
    strength = low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)
    phase = 6.28 * torch.rand(count, 1, 1, 1, generator=generator)
    wave = torch.sin(torch.arange(PX) * (6.28 / 12) + phase).expand(count, 1, PX, PX)
    wave = torch.where(labels.view(-1, 1, 1, 1) == 1, wave, wave.transpose(2, 3))
    return (speckle + strength * wave).clamp(0, 1), labels


def with_torchattacks() -> bool:
    """Whether the baseline is installed."""
    return importlib.util.find_spec("torchattacks") is not None


def trained(name: str, fixture: Fixture, device: str = "cpu", steps: int | None = None) -> nn.Module:
    """The model of a fixture, from the cache or trained now; `steps` cuts its training short, for a rehearsal."""
    torch.manual_seed(0)
    model = resnet18(num_classes=2)
    model.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    path = Path(tempfile.gettempdir()) / f"epsilon-sweep-{name}-{CACHE_VERSION}{f'-{steps}' if steps else ''}.pt"
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.to(device).eval()
    model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for step in range(steps or fixture.steps):
        images, labels = (part.to(device) for part in draw(fixture.trained_on, 16, seed=step))
        if fixture.train_eps:
            # a warm-up of the budget: from the full one the first steps learn nothing
            budget = fixture.train_eps * min(1.0, (step + 1) / (0.6 * fixture.steps))
            images = pgd(model, images, labels, budget)
        model.train()
        optimizer.zero_grad()
        with autocast(
            torch.device(device), "auto"
        ):  # float32 where bfloat16 products would run at a fraction of its speed
            loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
    torch.save({key: value.cpu() for key, value in model.state_dict().items()}, path)
    return model.eval()


def pgd(model: nn.Module, images: Tensor, labels: Tensor, budget: float) -> Tensor:
    """Three steps of PGD from a random start, in eval mode, as adversarial training takes them."""
    model.eval()
    start = images + budget * (2 * torch.rand_like(images) - 1)
    loss = partial(_summed_loss, model, labels)
    return perturb(images, loss, start, eps=budget, stride=budget / 1.5, steps=3)


def _summed_loss(model: nn.Module, labels: Tensor, images: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(images), labels)


def baseline(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, list[float]]:
    """Robust accuracy by attack and epsilon, one torchattacks call each."""
    import torchattacks

    table = {}
    for name, kind in BASELINES.items():
        attack = getattr(torchattacks, kind)
        torch.manual_seed(0)
        table[name] = []
        for epsilon in EPSILONS:
            adversarial = attack(model, eps=epsilon)(images, labels)
            with torch.no_grad():
                table[name].append((model(adversarial).argmax(1) == labels).float().mean().item())
    return table


def report(name: str, fixture: Fixture, model: nn.Module, images: Tensor, labels: Tensor, rounds: int) -> None:
    """Time the baseline and both modes in interleaved rounds and print one block."""
    seconds: dict[str, list[float]] = {"torchattacks": [], "exact": [], "fast": []}
    results = {}
    for _ in range(rounds):
        for mode in seconds:
            started = time.process_time()
            if mode == "torchattacks":
                table = baseline(model, images, labels)
            else:
                results[mode] = epsilon_sweep(
                    model, images, labels, list(BASELINES), EPSILONS, AttackOptions(mode=mode)
                )
            seconds[mode].append(time.process_time() - started)
    median = {mode: sorted(times)[len(times) // 2] for mode, times in seconds.items()}
    passes = len(images) * len(EPSILONS)
    print(f"\n{name} on {cpu_features()}: {len(images)} images, clean accuracy {results['exact'].clean_accuracy:.3f}")
    print(f"  torchattacks  gradient {passes * 31:6d}  forward {passes * 4:5d}  CPU {median['torchattacks']:7.1f} s")
    for mode, goal in (("exact", fixture.exact_goal), ("fast", fixture.fast_goal)):
        p, speed = results[mode].passes, median["torchattacks"] / median[mode]
        counts = f"gradient {p.gradient:6d}  forward {p.forward:5d}  verdict {p.verdict:5d}"
        print(f"  {mode:12}  {counts}  CPU {median[mode]:7.1f} s  {speed:5.2f}x (goal {goal}x)")
    weaker = 0
    for threat, theirs in table.items():
        ours = {mode: [result.robust_accuracy(threat, e) for e in EPSILONS] for mode, result in results.items()}
        weaker += sum(a > b + 1e-6 for values in ours.values() for a, b in zip(values, theirs, strict=True))
        columns = (("torchattacks", theirs), *ours.items())
        print(f"  {threat:7}" + "   ".join(f"{who} " + " ".join(f"{v:.2f}" for v in row) for who, row in columns))
    print(f"  cells where ours is weaker: {weaker} of {len(results) * len(table) * len(EPSILONS)}")


if __name__ == "__main__":
    main()
