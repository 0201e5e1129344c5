"""Simulated races of recipes: how often the best is dropped at any time, and what a race spends, by e-values and by alpha spent in rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from sweep.core.holm import holm
from sweep.core.seeds import rng
from sweep.search.paired_differences import leads
from sweep.search.racing import Race

RECIPES, LEAST, MOST = 6, 3, 10
Dropped = Callable[[Race, Mapping[str, Mapping[int, tuple[float]]], set[str]], set[str]]


@dataclass(frozen=True)
class Shape:
    """A kind of race: gap between neighbours in standard deviations of a seed, each recipe's noise, whether tails are heavy (t with 4 df)."""

    name: str
    gap: float
    noise: tuple[float, ...] = (1.0,) * RECIPES
    heavy: bool = False


SHAPES = (
    Shape("all equal", 0.0),
    Shape("all equal, heavy tails", 0.0, heavy=True),
    Shape("all equal, best is noisiest", 0.0, (3.0, 1.0, 1.0, 0.3, 1.0, 1.0)),
    Shape("half a deviation apart", 0.5),
    Shape("one deviation apart", 1.0),
    Shape("two deviations apart", 2.0),
    Shape("four deviations apart", 4.0),
)


def by_evidence(race: Race, known: Mapping[str, Mapping[int, tuple[float]]], gone: set[str]) -> set[str]:
    """Whom the product's race drops."""
    return {name for name, made in race.standings(known, ended=gone).items() if made.state == "dropped"}


def by_spending(race: Race, known: Mapping[str, Mapping[int, tuple[float]]], gone: set[str]) -> set[str]:
    """Whom version 0.1 dropped: alpha shared by the rounds, Holm's correction over the rivals still racing."""
    allowed = race.alpha / max(1, race.max_seeds - race.min_seeds)
    table = leads(
        {
            name: {seed: np.array(value) for seed, value in seeds.items()}
            for name, seeds in known.items()
            if name not in gone
        },
        least=race.min_seeds,
    )
    found = set()
    for name in known:
        p_values = [made[0].p for (_, behind), made in table.items() if behind == name]
        if len(known[name]) < race.max_seeds and p_values and holm(p_values).min() <= allowed:
            found.add(name)
    return found


RULES: dict[str, Dropped] = {"e-values": by_evidence, "alpha spent in rounds": by_spending}


def play(race: Race, values: np.ndarray, rule: Dropped) -> tuple[set[str], int]:
    """(who was ever dropped, seeds spent) of a race on scores [seeds, recipes]; equal to stopping it at the worst moment."""
    known = {
        str(k): {seed: (float(values[seed, k]),) for seed in range(race.min_seeds)} for k in range(values.shape[1])
    }
    gone: set[str] = set()
    while True:
        gone |= rule(race, known, gone)
        racing = [name for name in known if name not in gone and len(known[name]) < race.max_seeds]
        if not racing or len(known) - len(gone) == 1:
            return gone, sum(len(seeds) for seeds in known.values())
        for name in racing:
            known[name][len(known[name])] = (float(values[len(known[name]), int(name)]),)


def one_race(shape: Shape, number: int) -> dict[str, float]:
    """Both rules on the same scores; recipe 0 is the best, or as good as any."""
    draw = rng(number, "race", shape.name)
    size = (MOST, RECIPES)
    noise = draw.standard_t(4, size) / np.sqrt(2) if shape.heavy else draw.standard_normal(size)
    values = -shape.gap * np.arange(RECIPES) + draw.normal(size=(MOST, 1)) + np.array(shape.noise) * noise
    race, found = Race(["maximize"], LEAST, MOST), {}
    for name, rule in RULES.items():
        gone, spent = play(race, values, rule)
        found[f"best dropped, {name}"] = float("0" in gone)
        found[f"seeds, {name}"] = float(spent)
    return found
