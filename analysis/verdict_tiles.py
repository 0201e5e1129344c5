"""What the first screen shows of a verdict, whatever it was made from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """One number of the first screen: its name, value, interval and what it stands beside."""

    title: str
    value: str
    interval: str
    beside: str = ""


@dataclass(frozen=True)
class Verdict:
    """The recommendation, the answer to the sweep's question, their numbers, and what more data would buy."""

    label: str
    recommendation: str
    answer: str
    tiles: tuple[Tile, ...]
    power: str
    usable: bool
