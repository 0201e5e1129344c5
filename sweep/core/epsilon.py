"""Attack budgets written in grey levels ("2/255") or as numbers in [0, 1]; the text is kept as their name."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sweep.core.errors import InputError

SAME = 1e-6  # relative: 0.0039215686 is 1/255 written with eight significant digits


def parse_epsilon(text: str | float | int) -> float:
    """The number behind "2/255", "0.5/255", "0.01" or 0.01; InputError unless it is finite and not negative."""
    try:
        top, _, bottom = str(text).partition("/")
        value = float(top) / float(bottom) if bottom else float(top)
    except (ValueError, ZeroDivisionError):
        raise _bad(text, "is not a number") from None
    if not math.isfinite(value) or value < 0:
        raise _bad(text, "is not a finite number >= 0")
    return value


def epsilon_name(epsilon: str | float) -> str:
    """The text of an epsilon: kept when it is text already, else as k/255 (0.5/255) when it is that, else the number."""
    if isinstance(epsilon, str):
        return epsilon.strip()
    levels = round(epsilon * 255, 6)
    if levels and math.isclose(levels / 255, epsilon, rel_tol=1e-9):
        return f"{levels:g}/255"
    return f"{epsilon:g}"


def same_epsilon(one: str | float, other: str | float) -> bool:
    """Whether two spellings mean the same budget: "1/255", 0.00392156862745098 and 0.0039215686 do."""
    return math.isclose(parse_epsilon(one), parse_epsilon(other), rel_tol=SAME)


def parse_grid(epsilons: Iterable[str | float] | str | float) -> tuple[float, ...]:
    """Ascending epsilons without repeats; InputError when there is none. A single one is a grid of one."""
    if isinstance(epsilons, (str, int, float)):
        epsilons = [epsilons]
    if not isinstance(epsilons, Iterable):
        raise _bad(epsilons, "is no list of numbers")
    grid = tuple(sorted({parse_epsilon(item) for item in epsilons}))
    if not grid:
        raise InputError("epsilons", "the list is empty", "give at least one, e.g. [1/255, 2/255]")
    return grid


def _bad(text: object, problem: str) -> InputError:
    return InputError("epsilons", f"{text!r} {problem}", "write it as 2/255 or as a number such as 0.008")
