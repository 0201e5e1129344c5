"""Are the synthetic images any good? Each pool's distance to the real images, beside what held-out real images reach, and its copies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from analysis.figures import svg
from analysis.figures.figure import DataTable, Figure, Legend, Panel, number
from analysis.frames import Run

KID = "kid/"
FRECHET_RADIOMICS = "frechet/radiomics"


@dataclass(frozen=True)
class PoolQuality:
    """One pool: KID with its interval on a named feature net, and shares; None where a figure is not known."""

    name: str
    images: int
    net: str
    kid: tuple[float, float, float]  # value, low, high
    real_kid: float | None  # of held-out real images, to the same training images
    frd: float | None  # logarithm of the Frechet distance of radiomic features
    real_frd: float | None
    precision: float | None
    recall: float | None
    coverage: float | None
    copy_rate: float
    real_copy_rate: float
    held_out_copies: int
    agreement: float | None


def pool_qualities(run: Run) -> tuple[PoolQuality, ...]:
    """Every pool that the records were trained with, once, largest first within its generator and class."""
    facts = {
        stage["hash"]: stage["facts"]
        for event in run.finishes
        for stage in event.get("stages", [])
        if stage.get("stage") == "pool" and stage.get("facts")
    }
    found = [
        _quality(known) for known in facts.values() if any(name.startswith(KID) for name in known.get("quality", {}))
    ]
    return tuple(sorted(found, key=lambda one: (one.name, -one.images)))


def _quality(facts: dict) -> PoolQuality:
    held_out = facts.get("quality_of_real", {})
    figures, net = facts["quality"], next(name.removeprefix(KID) for name in facts["quality"] if name.startswith(KID))
    low, high = (figures.get(f"kid_{end}/{net}", float("nan")) for end in ("low", "high"))
    return PoolQuality(
        name=f"{facts.get('generator', 'generator')}, {facts['class']}"
        + (", relabelled" if "agreement" in facts else ""),
        images=facts["images"],
        net=net,
        kid=(figures[f"{KID}{net}"], low, high),
        real_kid=held_out.get(f"{KID}{net}"),
        frd=_frd(figures),
        real_frd=_frd(held_out),
        precision=figures.get(f"precision/{net}"),
        recall=figures.get(f"recall/{net}"),
        coverage=figures.get(f"coverage/{net}"),
        copy_rate=facts["copy_rate"],
        real_copy_rate=facts["real_copy_rate"],
        held_out_copies=facts.get("held_out_copies", 0),
        agreement=facts.get("agreement"),
    )


def _frd(figures: Mapping[str, float]) -> float | None:
    """FRD (Konz et al. 2024): the natural logarithm of the distance; None where it is 0 or was not recorded."""
    distance = figures.get(FRECHET_RADIOMICS, 0.0)
    return math.log(distance) if distance > 0 else None


def draw_pools(pools: tuple[PoolQuality, ...]) -> Figure:
    """Distances with their intervals, one panel a feature net; shares and copies in the table."""
    panels = tuple(
        Panel(f"KID on {net} features", _draw([one for one in pools if one.net == net]))
        for net in dict.fromkeys(one.net for one in pools)
    )
    copied = max(one.copy_rate for one in pools)
    caption = (
        "KID is the distance of each pool to its class's training images, with its 95 % interval; a hollow mark is the distance of real images that the "
        f"generator never saw, which is as near as a pool can honestly come. At most {100 * copied:.1f} % of a pool's images copy a training image; "
        f"by the same rule {100 * max(one.real_copy_rate for one in pools):.1f} % of the real ones have a near copy among the others. FRD in the table "
        "is the logarithm of the Frechet distance of radiomic features; it falls with the number of images, so compare pools of equal size."
    )
    legend = (Legend("synthetic", "dot s0", shape=0), Legend("real, held out", "ring s1", shape=1))
    notes = tuple(
        f"{one.held_out_copies} images of {one.name} lie nearer to a held-out image than to any training image."
        for one in pools
        if one.held_out_copies
    )
    return Figure(
        "synthetic",
        "Are the synthetic images any good?",
        caption,
        panels,
        _table(pools),
        legend,
        wide=True,
        nav="Synthetic images",
        notes=notes,
    )


def _table(pools: tuple[PoolQuality, ...]) -> DataTable:
    columns = (
        "pool",
        "images",
        "feature net",
        "KID",
        "KID of real images",
        "FRD",
        "FRD of real images",
        "precision",
        "recall",
        "coverage",
        "copies",
        "copies among real",
        "agree with the real-only model",
    )
    rows = tuple(
        (
            one.name, str(one.images), one.net, f"{number(one.kid[0])} [{number(one.kid[1])}, {number(one.kid[2])}]", number(one.real_kid),
            number(one.frd, 2), number(one.real_frd, 2), number(one.precision, 2), number(one.recall, 2), number(one.coverage, 2), f"{100 * one.copy_rate:.1f} %", f"{100 * one.real_copy_rate:.1f} %", number(one.agreement, 2),
        )
        for one in pools
    )  # fmt: skip
    return DataTable(columns, rows)


def _draw(pools: list[PoolQuality]) -> Markup:
    step, left, width = 30, 190, 640
    bottom = step * len(pools) + 6
    values = [value for one in pools for value in (*one.kid, one.real_kid, 0.0) if value is not None]
    scale = svg.Scale(*svg.nice_range(values), left, width - 20)
    marks = [mark for place, one in enumerate(pools) for mark in _marks(one, 18 + place * step, scale)]
    ticks = [
        part
        for value in svg.ticks(scale.low, scale.high)
        for part in (
            svg.el("line", x1=scale(value), x2=scale(value), y1=4, y2=bottom, class_="grid"),
            svg.el("text", svg.tick_text(value), x=scale(value), y=bottom + 16, text_anchor="middle", class_="tick"),
        )
    ]
    return svg.figure_svg(width, bottom + 24, "Distance of each pool to the real images", [*ticks, *marks])


def _marks(one: PoolQuality, y: float, scale: svg.Scale) -> list[Markup]:
    value, low, high = one.kid
    text = f"{one.name}, {one.images} images: KID {number(value)} [{number(low)}, {number(high)}]"
    parts = [
        svg.el(
            "text",
            f"{one.name} ({one.images})",
            x=scale.start - 12,
            y=y,
            dy="0.35em",
            text_anchor="end",
            class_="label",
        )
    ]
    if low == low:
        parts.append(svg.el("line", x1=scale(low), x2=scale(high), y1=y, y2=y, class_="whisker s0"))
    if one.real_kid is not None:
        parts.append(svg.el("path", d=svg.marker(1, scale(one.real_kid), y), class_="ring s1"))
    return [*parts, svg.el("path", svg.el("title", text), d=svg.marker(0, scale(value), y), class_="dot s0")]
