"""Where the time went, and what shared artifacts saved."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from analysis.figures import svg
from analysis.figures.figure import DataTable, Figure, Panel
from analysis.frames import Run
from sweep.core.durations import duration


@dataclass(frozen=True)
class ComputeRow:
    """Seconds spent on one kind of work, how often it was done, how often it was taken over, and the seconds that saved."""

    work: str
    seconds: float
    done: int
    reused: int
    saved: float


def compute_rows(run: Run) -> tuple[ComputeRow, ...]:
    """Stages first, then the parts of a record's own time that no stage names; longest first."""
    rows = [_stage_row(name, group) for name, group in run.stages.groupby("stage", sort=False)]
    named = {row.work for row in rows}
    covered = {"train": {"model", "train"}, "attack": {"attack", "attacks"}}
    for part in run.seconds.columns:
        if part != "total" and part not in named and not covered.get(part, set()) & named:
            spent = run.seconds[part].dropna()
            rows.append(ComputeRow(part, float(spent.sum()), int((spent > 0).sum()), 0, 0.0))
    return tuple(sorted(rows, key=lambda row: -row.seconds))


def _stage_row(name: str, rows: pd.DataFrame) -> ComputeRow:
    reused = rows["reused"].astype(bool)
    cost = rows[~reused].groupby("hash")["seconds"].max()
    again = rows[reused]
    price = (
        pd.to_numeric(again["hash"].map(cost), errors="coerce").astype(float).fillna(cost.mean() if len(cost) else 0.0)
    )
    known = again["saved_s"].where(again["saved_s"] > 0, price) if "saved_s" in again else price
    saved = float((known.astype(float) - again["seconds"]).clip(lower=0).sum())
    return ComputeRow(str(name), float(rows["seconds"].sum()), int((~reused).sum()), int(reused.sum()), saved)


def draw_compute(rows: tuple[ComputeRow, ...]) -> Figure:
    """Bars of time spent, with what reuse saved beside them."""
    total, saved = sum(row.seconds for row in rows), sum(row.saved for row in rows)
    caption = (
        f"{duration(total)} of work were spent; results shared between configurations saved {duration(saved)} more."
        if saved
        else f"{duration(total)} of work were spent."
    )
    table = DataTable(
        ("work", "time", "computed", "taken over", "saved"),
        tuple((row.work, duration(row.seconds), str(row.done), str(row.reused), duration(row.saved)) for row in rows),
    )
    return Figure(
        "compute", "Where did the compute go?", caption, (Panel("", _draw(rows)),), table, wide=True, nav="Compute"
    )


_ROOM = 190  # pixels for the longest time and what was saved, '59 min 59 s, 23 h 59 min saved'


def _draw(rows: tuple[ComputeRow, ...]) -> Markup:
    step, left, width = 30, 130, 640
    height = step * len(rows) + 8
    longest = max((row.seconds + row.saved for row in rows), default=1.0) or 1.0
    scale = svg.Scale(0, longest, left, width - _ROOM)
    parts = [part for place, row in enumerate(rows) for part in _bar(row, 4 + place * step, scale)]
    return svg.figure_svg(width, height, "Time per kind of work", parts)


def _bar(row: ComputeRow, y: float, scale: svg.Scale) -> list[Markup]:
    end, far = scale(row.seconds), scale(row.seconds + row.saved)
    saved = f", {duration(row.saved)} saved" if row.saved >= 1 else ""
    return [
        svg.el(
            "text",
            row.work.replace("_", " "),
            x=scale.start - 10,
            y=y + 11,
            dy="0.35em",
            text_anchor="end",
            class_="label",
        ),
        svg.el("rect", x=scale.start, y=y, width=max(end - scale.start, 1.5), height=22, rx=3, class_="bar s0"),
        svg.el("rect", x=end, y=y, width=far - end, height=22, rx=3, class_="bar saved") if row.saved else Markup(),
        svg.el("text", duration(row.seconds) + saved, x=far + 8, y=y + 11, dy="0.35em", class_="tick"),
    ]
