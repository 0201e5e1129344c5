"""One attack with its settings: a row of the THREATS table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sweep.core.deferred import Deferred
from sweep.core.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

LINF, L2 = "linf", "l2"
LIBRARY_PREFIX = "torchattacks:"
_FINDINGS = (
    "use an attack of the table (fgsm, bim, pgd, mifgsm, apgd, square, fmn), or import one finding as two classes"
)


@dataclass(frozen=True)
class Threat:
    """An attack and its settings; `search` proposes points to a Referee.

    Step size: `alpha` in grey values (1 = full range), or `alpha_per_eps` times the epsilon when `alpha` is None.
    `steps` are gradient steps (queries for black boxes). `decay` is the momentum (None: none). `once`: one run finds the
    smallest perturbation, so only the largest epsilon is tried. `multi_label`: whether it can attack several findings at once.
    `least_classes`: with fewer it has no meaning. `channels`: of the images that it takes, None for any number.
    `options` go to a wrapped library attack.
    """

    name: str
    search: Callable[..., Tensor]
    norm: str = LINF
    loss: str = "ce"
    steps: int = 10
    restarts: int = 1
    alpha: float | None = None
    alpha_per_eps: float = 1.0
    random_start: bool = False
    decay: float | None = None
    family: str = "gradient"  # or "black_box", "noise"
    once: bool = False
    multi_label: bool = True
    least_classes: int = 2
    channels: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> Callable[..., Tensor]:
        """The function behind `search`, imported where the table has deferred that."""
        return self.search.load() if isinstance(self.search, Deferred) else self.search

    @property
    def uses_gradient(self) -> bool:
        """Whether the attack sees the gradient of the model it attacks."""
        return self.family == "gradient"

    @property
    def kind(self) -> str:
        """one_step, many_step, black_box or noise: what the masking alarms compare."""
        if not self.uses_gradient:
            return self.family
        return "one_step" if self.steps * self.restarts == 1 else "many_step"

    @property
    def asks_clean_gradient(self) -> bool:
        """Whether the first query is the cross-entropy gradient at the clean image itself."""
        return self.uses_gradient and not self.random_start and self.loss == "ce"

    def step_size(self, epsilon: Tensor) -> Tensor:
        """Step length per image [n], in the norm of the threat."""
        if self.alpha is None:
            return epsilon * self.alpha_per_eps
        return epsilon.new_full((), self.alpha).expand_as(epsilon)


def misfit(threat: Threat, classes: int, multi_label: bool, channels: int = 1) -> InputError | None:
    """Why `threat` has no meaning for images of `channels` channels with these labels, and what does; None where it has one."""
    where = f"threats.attacks, {threat.name}"
    if multi_label and not threat.multi_label:
        return InputError(where, "takes single labels only, these data have several findings an image", _FINDINGS)
    if not multi_label and classes < threat.least_classes:
        found = f"needs {threat.least_classes} classes or more, these data have {classes}"
        return InputError(where, found, "use apgd and apgd_margin, or another attack of the table")
    if threat.channels not in (None, channels):
        found = f"takes images of {threat.channels} channels, these have {channels}"
        return InputError(where, found, "use mifgsm, or another attack of the table")
    return None
