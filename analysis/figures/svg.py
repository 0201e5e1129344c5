"""SVG by hand: escaped elements, linear scales, axes. Colours come from the page's style, so both themes and print follow it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

SERIES = 8  # the page's style has colours s0 ... s7


def el(tag: str, *children: str | Markup, **attributes: object) -> Markup:
    """One element; text and attribute values are escaped, `class_` is class and `_` is written as `-`."""
    parts = [
        f' {name.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for name, value in attributes.items()
        if value is not None
    ]
    if not children:
        return Markup(f"<{tag}{''.join(parts)}/>")
    inside = "".join(escape(child) for child in children)
    return Markup(f"<{tag}{''.join(parts)}>{inside}</{tag}>")


def group(children: Iterable[str | Markup], **attributes: object) -> Markup:
    """A <g> around many children."""
    return el("g", *children, **attributes)


def figure_svg(width: float, height: float, label: str, children: Iterable[Markup], **attributes: object) -> Markup:
    """A whole drawing with its name for screen readers: one picture, or a group where marks in it take the focus."""
    inside = Markup("").join(children)
    return el(
        "svg",
        inside,
        viewBox=f"0 0 {_text(width)} {_text(height)}",
        aria_label=label,
        **{
            "style": f"--w: {_text(width)}px",  # the page keeps it near this width, so that its text stays readable on a phone
            "role": "group" if 'tabindex="0"' in inside else "img",
            "class_": "plot",
            **attributes,
        },
    )


def path(points: Sequence[tuple[float, float]], *, close: bool = False) -> str:
    """Path data through the points."""
    return "M" + "L".join(f"{_text(x)} {_text(y)}" for x, y in points) + ("Z" if close else "")


def band(low: Sequence[tuple[float, float]], high: Sequence[tuple[float, float]]) -> str:
    """Path data of the area between two lines."""
    return path([*low, *reversed(high)], close=True)


@dataclass(frozen=True)
class Scale:
    """Linear map from data [low, high] to pixels [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)


def nice_range(
    values: Iterable[float], *, pad: float = 0.06, floor: float | None = None, ceiling: float | None = None
) -> tuple[float, float]:
    """A range around the finite values with some air, within [floor, ceiling]."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    air = (high - low) * pad or abs(high) * pad or 0.5
    low, high = low - air, high + air
    return (low if floor is None else max(floor, low)), (high if ceiling is None else min(ceiling, high))


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values inside [low, high], about `count` of them."""
    rough = (high - low) / max(count, 1)
    if rough <= 0 or not math.isfinite(rough):
        return [low]
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(step * number, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_text(value: float) -> str:
    """A tick's number, short: 0.75, 12, 1e-05."""
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True)
class Plot:
    """A drawing area with its two scales; margins in px."""

    width: float
    height: float
    x: Scale
    y: Scale

    @classmethod
    def over(
        cls,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        width: float = 340,
        height: float = 240,
        left: float = 54,
        right: float = 14,
        top: float = 12,
        bottom: float = 40,
    ) -> Plot:
        """A drawing area whose scales fill it but for the margins."""
        return cls(width, height, Scale(*x, left, width - right), Scale(*y, height - bottom, top))

    def axes(
        self, x_title: str, y_title: str, *, x_ticks: Sequence[tuple[float, str]] | None = None, y_count: int = 5
    ) -> Markup:
        """Grid lines, tick numbers and titles."""
        xs = x_ticks if x_ticks is not None else [(value, tick_text(value)) for value in ticks(self.x.low, self.x.high)]
        ys = [(value, tick_text(value)) for value in ticks(self.y.low, self.y.high, y_count)]
        parts = [el("line", x1=self.x.start, x2=self.x.end, y1=self.y(v), y2=self.y(v), class_="grid") for v, _ in ys]
        parts += [
            el("text", text, x=self.x.start - 7, y=self.y(v), dy="0.35em", text_anchor="end", class_="tick")
            for v, text in ys
        ]
        parts.append(el("line", x1=self.x.start, x2=self.x.end, y1=self.y.start, y2=self.y.start, class_="axis"))
        for value, text in xs:
            parts.append(
                el("line", x1=self.x(value), x2=self.x(value), y1=self.y.start, y2=self.y.start + 4, class_="axis")
            )
            parts.append(el("text", text, x=self.x(value), y=self.y.start + 16, text_anchor="middle", class_="tick"))
        middle = (self.x.start + self.x.end) / 2
        parts.append(el("text", x_title, x=middle, y=self.height - 4, text_anchor="middle", class_="axis-title"))
        parts.append(
            el(
                "text",
                y_title,
                x=-(self.y.start + self.y.end) / 2,
                y=12,
                transform="rotate(-90)",
                text_anchor="middle",
                class_="axis-title",
            )
        )
        return group(parts, aria_hidden="true")

    def points(self, xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
        """Data to pixels."""
        return [(self.x(x), self.y(y)) for x, y in zip(xs, ys, strict=True)]


def marker(shape: int, x: float, y: float, size: float = 4.5) -> str:
    """Path data of the n-th marker shape (circle, square, diamond, triangle, cross), so that colour is not the only sign."""
    s = size
    if shape % 5 == 0:
        return f"M{_text(x - s)} {_text(y)}a{s} {s} 0 1 0 {2 * s} 0a{s} {s} 0 1 0 {-2 * s} 0Z"
    corners = {
        1: [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
        2: [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
        3: [(0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
        4: [
            (-1.2, -0.4),
            (-0.4, -0.4),
            (-0.4, -1.2),
            (0.4, -1.2),
            (0.4, -0.4),
            (1.2, -0.4),
            (1.2, 0.4),
            (0.4, 0.4),
            (0.4, 1.2),
            (-0.4, 1.2),
            (-0.4, 0.4),
            (-1.2, 0.4),
        ],
    }[shape % 5]
    return path([(x + dx * s, y + dy * s) for dx, dy in corners], close=True)


def _text(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
