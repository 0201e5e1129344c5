"""Is the model robust, or is its gradient of no use to an attacker? Signs of the second, each with its evidence.

    alarms = check_masking(model, images, labels)        # a few dozen images are enough
    alarms_of(result)                                    # from a sweep that has been run anyway

An alarm does not lower a robust accuracy; it says that the number must not be believed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sweep.attacks import criteria, input_checks
from sweep.attacks.colorizer_bypass import around_colorizer
from sweep.attacks.epsilon_sweep import epsilon_sweep
from sweep.attacks.methods.transfer import transfer_from
from sweep.attacks.network import Model, device_of, frozen, gradient_of
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


def alarms_of(result: EpsilonSweep) -> list[Alarm]:
    """Alarms that follow from per-image outcomes: a weaker attack breaks what stronger ones leave standing."""
    strong = _breaks(result, "many_step")
    white = _either(strong, _breaks(result, "one_step"))
    pairs = (
        ("one step beats many", _breaks(result, "one_step"), strong, "one-step attacks", "many-step ones"),
        (
            "black box beats white box",
            _breaks(result, "black_box"),
            white,
            "attacks without the gradient",
            "those with it",
        ),
    )
    found = []
    for name, weak_breaks, strong_breaks, weak, better in pairs:
        if weak_breaks is None or strong_breaks is None:
            continue
        missed = (weak_breaks & ~strong_breaks).sum(dim=1)
        worst = int(missed.argmax())
        if _many(int(missed[worst]), result):
            at = f"{result.epsilons[worst] * 255:g}/255"
            found.append(Alarm(name, f"at {at} {weak} break {int(missed[worst])} images that {better} do not"))
    return found + _noise_alarm(result, white)


def check_masking(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    surrogate: Model | None = None,
    seed: int = 0,
    batch_size: int = 64,
    steps: int = 20,
    queries: int = 300,
) -> list[Alarm]:
    """Run a small battery on `images` [N, C, H, W] and return every alarm; empty for a model with an honest gradient.

    FGSM, PGD on both losses, noise, square and (given another model for the same images as `surrogate`) transfer, each
    epsilon by itself up to 0.5; then the prediction and its gradient at the clean images, and the way around a colorizer.
    """  # fmt: skip
    input_checks.check_images(images)
    input_checks.check_labels(labels, len(images))
    threats: list[str | Threat] = ["fgsm", f"pgd{steps}x1", f"pgd{steps}x1_margin", "noise", f"square{queries}"]
    if surrogate is not None:
        threats.append(transfer_from(surrogate))

    def run(
        threats: list[str | Threat], epsilon: float, target: Model = model, chosen: Tensor | slice = slice(None)
    ) -> EpsilonSweep:
        # one epsilon at a time: a sweep carries breaks upwards and would hide an accuracy that rises
        return epsilon_sweep(
            target, images[chosen], labels[chosen], threats, [epsilon], seed=seed, batch_size=batch_size
        )

    white = threats[1:3]
    modest = run(threats, MODEST)
    by_epsilon = {2 / 255: run(white, 2 / 255), MODEST: modest, LARGE: run(["fgsm", *white], LARGE)}
    found = [*alarms_of(modest), *alarms_of(by_epsilon[LARGE])]
    found += _rising_alarm(by_epsilon, steps, run)
    found += _large_alarm([*by_epsilon.values(), run(white, HALF)], white)
    found += _clean_alarms(model, images, labels, batch_size)
    return _unique(found + _bypass_alarm(model, white, modest, run))


def _breaks(result: EpsilonSweep, kind: str) -> Tensor | None:
    """Which images [epsilons, N] any threat of a kind breaks, at each epsilon of the grid; None without such a threat."""
    rows = [result.breaking_epsilon[name] for name, its_kind in result.kinds.items() if its_kind == kind]
    if not rows:
        return None
    nearest = torch.stack(rows).amin(dim=0)
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
    """More images stand in the larger ball than in the smaller one, and go on standing when the attack gets four times the steps.

    An attack that is merely too short for the larger ball is not the model's fault, so what it misses is attacked again.
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
            if _many(left := round(longer.worst_case(large) * len(longer.labels)), by_epsilon[small]):
                evidence = f"{name}: {int(rescued.sum())} images broken at {small * 255:g}/255 stand at {large * 255:g}/255, {left} of them after four times the steps"
                found.append(Alarm("accuracy rises with epsilon", evidence))
    return found


def _large_alarm(results: list[EpsilonSweep], white: list[str]) -> list[Alarm]:
    constant = constant_accuracy(results[0].labels)
    # balls are nested: what a smaller one breaks, this one does
    stands = torch.stack([torch.isinf(one.breaking(name)) for one in results for name in white]).all(dim=0)
    left = stands.double().mean().item()
    if left <= constant + 1e-9 and (left <= constant / 2 or results[0].clean_accuracy <= constant + 1e-9):
        return []
    evidence = f"accuracy {left:.2f} at epsilon 0.5, where all images can be made equal; a constant predictor has {constant:.2f}"
    return [Alarm("large epsilon does not break it", evidence)]


def _clean_alarms(model: Model, images: Tensor, labels: Tensor, batch_size: int) -> list[Alarm]:
    device, zero, found = device_of(model), 0, []
    with frozen(model):
        for part, its_labels in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            part, its_labels = part.to(device), its_labels.to(device)
            logits, _, gradient = gradient_of(model, part, its_labels, criteria.cross_entropy)
            zero += int((gradient.flatten(1).abs().amax(dim=1) == 0).sum())
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
    model: Model, white: list[str | Threat], through: EpsilonSweep, run: Callable[..., EpsilonSweep]
) -> list[Alarm]:
    detour = around_colorizer(model) if isinstance(model, nn.Module) else None
    if detour is None:
        return []
    around = run(white, MODEST, detour)
    more = int((_breaks(around, "many_step") & ~_breaks(through, "many_step")).sum())
    if not _many(more, through):
        return []
    evidence = f"the backbone's gradient alone breaks {more} images that the whole model's does not"
    return [Alarm("colorizer hides the gradient", evidence)]


def _unique(alarms: list[Alarm]) -> list[Alarm]:
    return list({alarm.name: alarm for alarm in reversed(alarms)}.values())[::-1]
