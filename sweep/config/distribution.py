"""The distribution of one searched hyperparameter."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from sweep.config.section import Section
from sweep.core.hyperparameter import Scalar
from sweep.search.sampling import bounds

_NEEDS = {"values": ("values",), "normal": ("mean", "sd"), "q_uniform": ("min", "max", "q")}
_SUM_TOLERANCE = 1e-6  # of probabilities, which are written with few digits


class Distribution(Section):
    """One searched hyperparameter."""

    distribution: Literal["uniform", "log_uniform", "int_uniform", "q_uniform", "normal", "values"] = "values"
    min: float | None = Field(None, description="of normal: where its draws are cut off")
    max: float | None = None
    q: float | None = Field(None, gt=0)
    mean: float | None = None
    sd: float | None = Field(None, gt=0)
    values: list[Scalar] | None = Field(None, min_length=1)
    probabilities: list[float] | None = None
    when: dict[str, Any] | None = Field(
        None, description="drawn only where this holds: {NAME: VALUE}, {NAME: [VALUES]} or {NAME: {not: ...}}"
    )

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Distribution:
        kind = self.distribution
        needs = _NEEDS.get(kind, ("min", "max"))
        missing = [name for name in needs if getattr(self, name) is None]
        if missing:
            raise ValueError(f"{kind} needs {' and '.join(needs)}; add {', '.join(missing)}")
        if self.min is not None and self.max is not None:
            self._check_bounds(self.min, self.max)
        if kind == "normal":
            self._check_bell()
        if self.probabilities is not None:
            self._check_probabilities(self.probabilities)
        return self

    def _check_bounds(self, low: float, high: float) -> None:
        kind = self.distribution
        if low == high:
            raise ValueError(f"min and max are both {low:g}; give a max above min, or put the one value under fixed")
        if low > high:
            raise ValueError(f"min {low:g} is not below max {high:g}; swap them")
        if kind == "log_uniform" and low <= 0:
            raise ValueError(f"min {low:g} has no logarithm; give a min above 0")
        if kind == "q_uniform" and self.q is not None and self.q > high - low:
            raise ValueError(f"q {self.q:g} is wider than the {high - low:g} from min to max; give a smaller q")
        broken = [f"{name} {value:g}" for name, value in (("min", low), ("max", high)) if not value.is_integer()]
        if kind == "int_uniform" and broken:
            raise ValueError(f"{' and '.join(broken)} cannot be drawn by int_uniform; give whole numbers")

    def _check_bell(self) -> None:
        low, high = bounds(self) or (0.0, 1.0)
        if not low < high:
            raise ValueError(
                f"mean {self.mean:g} with sd {self.sd:g} draws next to nothing between min and max; move them to where the distribution lies"
            )

    def _check_probabilities(self, given: list[float]) -> None:
        values = self.values or []
        if len(given) != len(values) or min(given, default=0) < 0 or abs(sum(given) - 1) > _SUM_TOLERANCE:
            raise ValueError(
                f"probabilities {given} do not fit {len(values)} values; give one from 0 to 1 for each value, 1 in sum"
            )
