"""Any class of torchattacks as a threat: `torchattacks:NAME`, judged by the referee like every other."""

from __future__ import annotations

import contextlib
import inspect
import io
import random
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from sweep.attacks.network import Network
from sweep.attacks.norms import L2, LINF
from sweep.attacks.random_starts import Draws
from sweep.attacks.referee import Referee
from sweep.attacks.threat import Threat
from sweep.core.errors import InputError, suggestion

PREFIX = "torchattacks:"
_MEASURED_IN_L2 = {"CW", "PGDL2", "PGDRSL2", "DeepFool", "EADEN", "EADL1"}
_ONE_STEP = {"FGSM", "FFGSM"}
_BLIND = {"Square", "SPSA", "Pixle", "OnePixel", "GN"}  # ask for predictions only
_LEAST_CLASSES = {"APGDT": 4, "AutoAttack": 4}  # their DLR loss reads the third and fourth largest logits
_WRAPPERS = {"MultiAttack", "LGV", "VANILA"}  # not attacks on one model


def library_threat(
    class_name: str, *, name: str | None = None, measured_in: str | None = None, **options: object
) -> Threat:
    """The row for one torchattacks class with its default settings, `options` overriding.

    `measured_in` (linf or l2) is the norm the referee measures in, by default the class's own. InputError for an unknown
    class or option.
    """
    import torchattacks  # slow to load, and only this row needs it

    known = set(torchattacks.__all__) - _WRAPPERS
    if class_name not in known:
        raise InputError("threats", f"torchattacks has no attack {class_name!r}", suggestion(class_name, known))
    kind = getattr(torchattacks, class_name)
    accepted = inspect.signature(kind).parameters
    if unknown := set(options) - set(accepted):
        raise InputError("threats", f"{class_name} takes no {min(unknown)!r}", suggestion(min(unknown), accepted))
    default = L2 if class_name in _MEASURED_IN_L2 or options.get("norm") == "L2" else LINF
    return Threat(
        name or PREFIX + class_name, partial(_search, kind), norm=measured_in or default, options=options,
        steps=1 if class_name in _ONE_STEP else 10, family="black_box" if class_name in _BLIND else "gradient",
        once="eps" not in accepted or class_name == "FAB", multi_label=False,
    )  # fmt: skip


def _search(kind: type, referee: Referee, rows: Tensor, epsilon: Tensor, threat: Threat, draws: Draws) -> Tensor:
    points = referee.images[rows]
    for radius in epsilon.unique().tolist():  # these attacks know one epsilon per call
        here = epsilon == radius
        points[here] = _run(kind, referee, rows[here], radius, threat, draws)
    referee.forward(rows, points)
    return points


def _run(kind: type, referee: Referee, rows: Tensor, radius: float, threat: Threat, draws: Draws) -> Tensor:
    labels = referee.labels[rows]
    if labels.ndim == 2:
        raise InputError("threats", f"{threat.name} on multi-label data", "torchattacks knows single labels only")
    model = _Counting(referee.network)
    accepted = inspect.signature(kind).parameters
    settings = dict(threat.options)
    if "eps" in accepted:
        settings.setdefault("eps", radius)
    classes = referee.classes
    if "n_classes" in accepted:
        settings.setdefault("n_classes", classes)
    if classes < _LEAST_CLASSES.get(kind.__name__, 2):
        raise InputError("threats", f"{threat.name} with {classes} classes", "it needs four; use apgd and apgd_margin")
    with _own_randomness(draws.seed_of("library", rows[0].item())), contextlib.redirect_stdout(io.StringIO()):
        try:
            return kind(model, **settings)(referee.images[rows], labels).detach()
        except (IndexError, ValueError, RuntimeError, AssertionError) as error:
            raise InputError(
                "threats", f"{threat.name} failed: {error}", "choose another attack or other options"
            ) from error


class _Counting(nn.Module):
    """The network's model, each sample counted as a forward or a gradient pass."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.model, self._passes = network.model, network.passes
        self.training = False

    def forward(self, images: Tensor) -> Tensor:
        if torch.is_grad_enabled() and images.requires_grad:
            self._passes.gradient += len(images)
        else:
            self._passes.forward += len(images)
        return self.model(images)


@contextlib.contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """The library draws from (and reseeds) the global generators: give it seeded ones, then put the caller's back."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)


def parse_library_name(threat: str) -> Threat | None:
    """The row of `torchattacks:NAME`; None for other names."""
    return library_threat(threat.removeprefix(PREFIX)) if threat.startswith(PREFIX) else None
