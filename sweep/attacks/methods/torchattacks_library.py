"""Any class of torchattacks as a threat, `torchattacks:NAME`, judged by the referee like every other threat."""

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

from sweep.attacks.network import finite_entries
from sweep.attacks.random_starts import Draws
from sweep.attacks.referee import Referee
from sweep.attacks.threat import L2, LIBRARY_PREFIX, LINF, Threat, misfit
from sweep.core.errors import InputError, suggestion

_MEASURED_IN_L2 = {"CW", "PGDL2", "PGDRSL2", "DeepFool", "EADEN", "EADL1"}
_ONE_STEP = {"FGSM", "FFGSM"}
_BLIND = {"Square", "SPSA", "Pixle", "OnePixel", "GN"}  # ask for predictions only
# The DLR loss of the first two reads the third and fourth largest logits; JSMA aims at class (label + 1) modulo 10.
_LEAST_CLASSES = {"APGDT": 4, "AutoAttack": 4, "JSMA": 10}
_COLOUR = {"PIFGSM", "PIFGSMPP", "TIFGSM"}  # convolve the gradient with a kernel of three channels
_WRAPPERS = {"MultiAttack", "LGV", "VANILA"}  # not attacks on one model


def library_threat(
    class_name: str, *, name: str | None = None, measured_in: str | None = None, **options: object
) -> Threat:
    """The row for one torchattacks class with its default settings, `options` overriding.

    `measured_in` (linf or l2) is the norm the referee measures in, by default the class's own. InputError for an unknown
    class or option.
    """
    try:
        import torchattacks  # slow to import, and only this row needs it
    except ImportError as error:
        fix = "install it (pip install torchattacks), or choose an attack of the table"
        raise InputError(
            "threats", f"{LIBRARY_PREFIX}{class_name} needs the package torchattacks ({error})", fix
        ) from error

    known = set(torchattacks.__all__) - _WRAPPERS
    if class_name not in known:
        raise InputError("threats", f"torchattacks has no attack {class_name!r}", suggestion(class_name, known))
    kind = getattr(torchattacks, class_name)
    accepted = inspect.signature(kind).parameters
    if unknown := set(options) - set(accepted):
        raise InputError("threats", f"{class_name} takes no {min(unknown)!r}", suggestion(min(unknown), accepted))
    default = L2 if class_name in _MEASURED_IN_L2 or options.get("norm") == "L2" else LINF
    return Threat(
        name or LIBRARY_PREFIX + class_name, partial(_search, kind), norm=measured_in or default, options=options,
        steps=1 if class_name in _ONE_STEP else 10, family="black_box" if class_name in _BLIND else "gradient",
        once="eps" not in accepted or class_name == "FAB", multi_label=False,
        least_classes=_LEAST_CLASSES.get(class_name, 2), channels=3 if class_name in _COLOUR else None,
    )  # fmt: skip


def _search(kind: type, referee: Referee, rows: Tensor, epsilon: Tensor, threat: Threat, draws: Draws) -> Tensor:
    points = referee.images[rows]
    for radius in epsilon.unique().tolist():  # these attacks take one epsilon per call
        here = epsilon == radius
        points[here] = _run(kind, referee, rows[here], radius, threat, draws)
    referee.forward(rows, points)
    return points


def _run(kind: type, referee: Referee, rows: Tensor, radius: float, threat: Threat, draws: Draws) -> Tensor:
    labels, classes = referee.labels[rows], referee.classes
    if refused := misfit(threat, classes, labels.ndim == 2, referee.images.shape[1]):
        raise refused
    model = _Watched(referee, rows)
    accepted = inspect.signature(kind).parameters
    settings = dict(threat.options)
    if "eps" in accepted:
        settings.setdefault("eps", radius)
    if "n_classes" in accepted:
        settings.setdefault("n_classes", classes)
    with _own_randomness(draws.seed_of("library", int(rows[0]))), contextlib.redirect_stdout(io.StringIO()):
        try:
            points = kind(model, **settings)(referee.images[rows], labels).detach()
        except (IndexError, ValueError, RuntimeError, AssertionError) as error:
            raise InputError(
                "threats", f"{threat.name} failed: {error}", "choose another attack or other options"
            ) from error
    model.report()
    return points


class _Watched(nn.Module):
    """The network's model as a library attack sees it: samples counted, the input gradient made finite and recorded.

    The library calls it with any subset of `rows` in any order, so what its gradients were is recorded for all of them.
    """

    def __init__(self, referee: Referee, rows: Tensor) -> None:
        super().__init__()
        self.model, self._passes = referee.network.model, referee.network.passes
        self._referee, self._rows = referee, rows
        self.training = False
        self.asked, self.nonzero, self.non_finite = False, False, False

    def forward(self, images: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and images.requires_grad):
            self._passes.forward += len(images)
            return self.model(images)
        self._passes.gradient += len(images)
        self.asked = True
        watched = images.view_as(images)  # a hook on a non-leaf, so that it sees the gradient before the library does
        watched.register_hook(self._finite)
        return self.model(watched)

    def _finite(self, gradient: Tensor) -> Tensor:
        gradient, finite = finite_entries(gradient)
        self.non_finite |= not bool(finite.all())
        self.nonzero |= bool(gradient.any())
        return gradient

    def report(self) -> None:
        """Record what the gradients were worth with the referee."""
        if self.asked:
            self._referee.asked[self._rows] = True
            self._referee.with_gradient[self._rows] |= self.nonzero
            self._referee.non_finite[self._rows] |= self.non_finite


@contextlib.contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """The library draws from (and reseeds) the global generators: seed them, then restore the caller's state."""
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
