"""Alarms: signs that a robust accuracy is high because the gradient misleads the attack, not because the model is robust.

    alarms = check_masking(model, images, labels)        # a few dozen images are enough
    alarms_of(result)                                    # from a sweep that has been run anyway

An alarm does not change a robust accuracy; it says that the number must not be trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sweep.attacks import criteria, input_checks
from sweep.attacks.attack_options import AttackOptions
from sweep.attacks.colorizer_bypass import around_colorizer
from sweep.attacks.epsilon_sweep import epsilon_sweep
from sweep.attacks.methods.transfer import transfer_from
from sweep.attacks.network import Model, device_of, frozen, gradient_of, normal_tensor
from sweep.attacks.outcomes import constant_accuracy
from sweep.attacks.result import EpsilonSweep
from sweep.attacks.threat import Threat

MODEST, LARGE, HALF = 8 / 255, 32 / 255, 0.5  # at 0.5 every image can be turned into the same grey one
_FEW = 0.05  # share of images (and at least two) that an attack must win by before it counts
_NOISE_SHARE = 0.8


@dataclass(frozen=True)
class Alarm:
    """One sign of a masked gradient: its name and the figures that raised it."""

    name: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}"


@dataclass(frozen=True)
class MaskingBattery:
    """Size of the battery that `check_masking` runs: PGD steps, square's queries, images per forward pass, and the seed."""

    seed: int = 0
    batch_size: int = 64
    steps: int = 20
    queries: int = 300


def alarms_of(result: EpsilonSweep) -> list[Alarm]:
    """Alarms from per-image outcomes: unusable gradients, attacks without effect, weaker attacks that beat stronger ones.

    Attacks are compared with each other only where each attacked every image, so not after `worst_only`.
    """
    found = _gradient_alarms(result)
    if result.worst_only and len(result.threats) > 1:
        return found
    strong = _breaks(result, "many_step")
    one_step = _breaks(result, "one_step")
    white = _either(strong, one_step)
    found += _without_effect(result)
    found += _beaten("one step beats many", result, (one_step, strong), ("one-step attacks", "many-step ones"))
    black_box = _breaks(result, "black_box")
    words = ("attacks without the gradient", "those with it")
    found += _beaten("black box beats white box", result, (black_box, white), words)
    return found + _noise_alarm(result, white)


def check_masking(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    surrogate: Model | None = None,
    battery: MaskingBattery | None = None,
) -> list[Alarm]:
    """Run a small battery on `images` [N, C, H, W] and return every alarm; empty for a model with a useful gradient.

    FGSM, PGD on both losses, noise, square and (given a `surrogate`, another model for the same images) transfer, each
    epsilon separately up to 0.5; then the prediction and its gradient at the clean images, and the gradient that skips a
    colorizer.
    """
    battery = battery or MaskingBattery()
    input_checks.check_images(images)
    labels = input_checks.checked_labels(labels, len(images))
    input_checks.check_model(model, images)
    steps = battery.steps
    white = [f"pgd{steps}x1", f"pgd{steps}x1_margin"]
    threats: list[str | Threat] = ["fgsm", *white, "noise", f"square{battery.queries}"]
    if surrogate is not None:
        threats.append(transfer_from(surrogate))
    options = AttackOptions(seed=battery.seed, batch_size=battery.batch_size)

    def run(
        threats: Sequence[str | Threat], epsilon: float, target: Model = model, chosen: Tensor | slice = slice(None)
    ) -> EpsilonSweep:
        # one epsilon at a time: a sweep carries breaks upwards and would hide an accuracy that rises
        return epsilon_sweep(target, images[chosen], labels[chosen], threats, [epsilon], options)

    modest = run(threats, MODEST)
    by_epsilon = {2 / 255: run(white, 2 / 255), MODEST: modest, LARGE: run(["fgsm", *white], LARGE)}
    found = [*alarms_of(modest), *alarms_of(by_epsilon[LARGE])]
    found += _rising_alarm(by_epsilon, steps, run)
    found += _large_alarm([*by_epsilon.values(), run(white, HALF)], white)
    found += _clean_alarms(model, images, labels, battery.batch_size)
    return _unique(found + _bypass_alarm(model, white, modest, run))


def _gradient_alarms(result: EpsilonSweep) -> list[Alarm]:
    """Non-finite and zero input gradients, by the threat that met most of them."""
    found, images = [], len(result.clean_right)
    name, count = _worst(result.non_finite)
    if count:
        evidence = f"{name}: the input gradient has NaN or infinite entries at {count} of {images} images"
        found.append(Alarm("non-finite gradients", f"{evidence} (used as zero)"))
    name, count = _worst({name: rows & result.clean_right for name, rows in result.no_gradient.items()})
    if count >= max(1, _FEW * images):
        evidence = f"{name}: every input gradient is zero at {count} of {images} images"
        found.append(Alarm("zero gradients", evidence))
    return found


def _worst(by_threat: dict[str, Tensor]) -> tuple[str, int]:
    counts = {name: int(rows.sum()) for name, rows in by_threat.items()}
    return max(counts.items(), key=lambda item: item[1], default=("", 0))


def _without_effect(result: EpsilonSweep) -> list[Alarm]:
    """Attacks that broke no image (white box), or changed none (any), where others in the same norm broke some."""
    found = []
    breaks = {name: _breaks_of(result, [name])[-1] for name in result.threats}
    for name, broken in breaks.items():
        others = [rows for other, rows in breaks.items() if other != name and result.norms[other] == result.norms[name]]
        by_others = int(torch.stack(others).any(dim=0).sum()) if others else 0
        unmoved = result.unmoved.get(name, torch.zeros_like(result.clean_right)) & result.clean_right
        still = bool(unmoved.any()) and bool((unmoved | ~result.clean_right).all())
        white_box = result.kinds[name] in ("one_step", "many_step")
        if broken.any() or not (still or white_box) or not _many(by_others, result):
            continue
        did = "changes no pixel of any image" if still else "breaks no image"
        at = f"{result.epsilons[-1]:.4g} ({result.norms[name]})"
        found.append(Alarm("attack without effect", f"{name} {did} up to {at}, where other attacks break {by_others}"))
    return found


def _beaten(
    name: str, result: EpsilonSweep, breaks: tuple[Tensor | None, Tensor | None], words: tuple[str, str]
) -> list[Alarm]:
    """An alarm when the weaker attacks break images that the stronger ones do not; `breaks` are [epsilons, N]."""
    weak, strong = breaks
    if weak is None or strong is None:
        return []
    missed = (weak & ~strong).sum(dim=1)
    worst = int(missed.argmax())
    if not _many(int(missed[worst]), result):
        return []
    at = f"{result.epsilons[worst] * 255:g}/255"
    return [Alarm(name, f"at {at} {words[0]} break {int(missed[worst])} images that {words[1]} do not")]


def _breaks(result: EpsilonSweep, kind: str) -> Tensor | None:
    """Which images [epsilons, N] any threat of a kind breaks, at each epsilon of the grid; None without such a threat."""
    names = [name for name, its_kind in result.kinds.items() if its_kind == kind]
    return _breaks_of(result, names) if names else None


def _breaks_of(result: EpsilonSweep, names: Sequence[str]) -> Tensor:
    nearest = torch.stack([result.breaking_epsilon[name] for name in names]).amin(dim=0)
    return torch.stack([(nearest <= epsilon) & result.clean_right for epsilon in result.epsilons])


def _either(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first | second


def _many(count: int, result: EpsilonSweep) -> bool:
    return count >= max(2, _FEW * len(result.clean_right))


def _noise_alarm(result: EpsilonSweep, white: Tensor | None) -> list[Alarm]:
    noise = _breaks(result, "noise")
    if noise is None or white is None:
        return []
    for epsilon, by_noise, by_attack in zip(result.epsilons, noise.sum(dim=1), white.sum(dim=1), strict=True):
        if epsilon <= MODEST and _many(int(by_noise), result) and by_noise >= _NOISE_SHARE * by_attack:
            evidence = f"at {epsilon * 255:g}/255 noise breaks {int(by_noise)} images, the attacks {int(by_attack)}"
            return [Alarm("noise as strong as the attack", evidence)]
    return []


def _rising_alarm(by_epsilon: dict[float, EpsilonSweep], steps: int, run: Callable[..., EpsilonSweep]) -> list[Alarm]:
    """More images stand in the larger ball than in the smaller one, and still do when the attack gets four times the steps.

    An attack that is too short for the larger ball says nothing about the model, so what it misses is attacked again.
    """
    found = []
    for small, large in zip(list(by_epsilon)[:-1], list(by_epsilon)[1:], strict=True):
        for loss in ("", "_margin"):
            name = f"pgd{steps}x1{loss}"
            broke, stands = by_epsilon[small].breaking(name) <= small, by_epsilon[large].breaking(name) > large
            rescued = broke & stands
            if not _many(int(stands.sum()) - int((~broke).sum()), by_epsilon[small]):
                continue
            longer = run([f"pgd{4 * steps}{loss}"], large, chosen=rescued)
            left = round(longer.worst_case(large) * len(longer.labels))
            if _many(left, by_epsilon[small]):
                at = f"{int(rescued.sum())} images broken at {small * 255:g}/255 stand at {large * 255:g}/255"
                evidence = f"{name}: {at}, {left} of them after four times the steps"
                found.append(Alarm("accuracy rises with epsilon", evidence))
    return found


def _large_alarm(results: list[EpsilonSweep], white: list[str]) -> list[Alarm]:
    constant = constant_accuracy(results[0].labels)
    # balls are nested: what breaks in a smaller ball also breaks in this one
    stands = torch.stack([torch.isinf(one.breaking(name)) for one in results for name in white]).all(dim=0)
    left = stands.double().mean().item()
    if left <= constant + 1e-9 and (left <= constant / 2 or results[0].clean_accuracy <= constant + 1e-9):
        return []
    evidence = f"accuracy {left:.2f} at epsilon 0.5, where all images can be made equal; a constant predictor has {constant:.2f}"
    return [Alarm("large epsilon does not break it", evidence)]


def _clean_alarms(model: Model, images: Tensor, labels: Tensor, batch_size: int) -> list[Alarm]:
    device, zero, found = device_of(model), 0, []
    with frozen(model):
        images, labels = normal_tensor(images), normal_tensor(labels)
        for part, its_labels in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            part, its_labels = part.to(device), its_labels.to(device)
            answer = gradient_of(model, part, its_labels, criteria.cross_entropy)
            zero += int((~answer.gradient.flatten(1).any(dim=1)).sum())
        logits = answer.logits
        with torch.no_grad():
            again = model(part)
    if zero >= max(1, _FEW * len(images)):
        found.append(Alarm("zero gradients", f"the loss has no gradient at {zero} of {len(images)} clean images"))
    if (again - logits).abs().max() > 1e-3 * logits.abs().max().clamp(min=1e-6):
        found.append(Alarm("random predictions", "the same images got different logits twice"))
    if (logits >= 0).all() and torch.allclose(logits.sum(dim=1), torch.ones(len(logits), device=device), atol=1e-4):
        evidence = "outputs are positive and sum to one: the softmax saturates the loss"
        found.append(Alarm("probabilities instead of logits", evidence))
    return found


def _bypass_alarm(
    model: Model, white: Sequence[str], through: EpsilonSweep, run: Callable[..., EpsilonSweep]
) -> list[Alarm]:
    detour = around_colorizer(model) if isinstance(model, nn.Module) else None
    if detour is None:
        return []
    around = run(white, MODEST, detour)
    more = int((_breaks_of(around, white) & ~_breaks_of(through, white)).sum())
    if not _many(more, through):
        return []
    evidence = f"the backbone's gradient alone breaks {more} images that the whole model's does not"
    return [Alarm("colorizer hides the gradient", evidence)]


def _unique(alarms: list[Alarm]) -> list[Alarm]:
    return list({alarm.name: alarm for alarm in reversed(alarms)}.values())[::-1]
