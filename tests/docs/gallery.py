"""The table of docs/gallery.md, from the shipped sweep configs, and the pictures and times of their runs.

python -m tests.docs.gallery                    writes the table anew into the page
python -m tests.docs.gallery --run FOLDER NAME  first runs these configs with --smoke into FOLDER: docs/gallery/NAME.webp and its processor time
python -m tests.docs.gallery --plan NAME        first times a few steps of each whole sweep and keeps how long it would take here

Without NAME all configs are meant. Sweeps run one after the other by the inline engine on the CPU; one that has its report in FOLDER already
is not run again. A picture is the first screen of the report in Chromium. Times are kept in docs/gallery/times.json.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import resource
import subprocess
import sys
from pathlib import Path

from PIL import Image

from recipe_finder import plan
from sweep.config.load import load_config
from sweep.config.shipped import shipped_configs, summary
from sweep.core.durations import duration
from sweep.planning.grid import cells
from tests.docs.pages import ROOT
from tests.fakes.browser import CHROMIUM, QUIET

PAGE = ROOT / "docs" / "gallery.md"
PICTURES = ROOT / "docs" / "gallery"
TIMES = PICTURES / "times.json"
# Of the whole sweep on two cores, as docs/benchmarks.md has them; the others are only foreseen.
MEASURED = {"quickstart": "126 s", "busi_brest": "7 min"}
BEGIN, END = "<!-- table: python -m tests.docs.gallery -->\n", "<!-- end -->\n"
SMOKE, WHOLE = "smoke", "whole"
LARGEST = 40_000  # bytes of a picture
_SCREEN = 1200, 850  # px, of which the picture keeps two thirds
_QUALITIES = range(55, 20, -5)
_FORESEEN = re.compile(r"on this machine: .*, about (.+)$", re.MULTILINE)


def times() -> dict[str, dict[str, str]]:
    """Config -> {"smoke": processor time of its smoke run, "whole": time foreseen for the whole sweep}, as words, where they are known."""
    kept: dict[str, dict[str, str]] = json.loads(TIMES.read_text(encoding="utf-8")) if TIMES.exists() else {}
    return kept


def table() -> str:
    """A row a sweep config: name, question, grid, size, the time of its smoke run and of the whole sweep, and the picture of the smoke run."""
    heads = (
        "sweep config",
        "question",
        "crossed",
        "configurations",
        "records, at least",
        "smoke run, processor time",
        "whole sweep on two cores",
        "its report at smoke size",
    )
    rows, known = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"], times()
    for name, path in shipped_configs().items():
        config = load_config(path)
        crossed = " x ".join(f"{len(values)} {key}" for key, values in config.grid.items())
        count = len(cells(config.grid)) * config.searcher.trials
        shown = f"[first screen](gallery/{name}.webp)" if (PICTURES / f"{name}.webp").exists() else ""
        own = known.get(name, {})
        foreseen = f"about {own[WHOLE]}, foreseen" if WHOLE in own else ""
        cell = (
            f"[`{name}`](../search_spaces/{path.name})",
            summary(path),
            crossed,
            str(count),
            str(count * config.seeds.min),
            own.get(SMOKE, ""),
            f"{MEASURED[name]}, measured" if name in MEASURED else foreseen,
        )
        rows.append(f"| {' | '.join((*cell, shown))} |")
    return "\n".join(rows) + "\n"


def rewritten(text: str) -> str:
    """The page with its table as it should be."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def keep_time(name: str, which: str, words: str) -> None:
    """Write one time into TIMES."""
    kept = times()
    kept.setdefault(name, {})[which] = words
    TIMES.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _processor_seconds() -> float:
    """Processor time of all programs that this one has started and that have ended: hardly moved by what else the machine does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(name: str, folder: Path) -> None:
    """Run one config with --smoke into `folder` and keep its time and the first screen of its report."""
    place = folder / name
    if not (place / "report.html").exists():
        before = _processor_seconds()
        words = [sys.executable, "-m", "sweep.run", str(shipped_configs()[name]), "--smoke", "--storage", str(place)]
        subprocess.run([*words, "--set", "resources.engine=inline"], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        keep_time(name, SMOKE, duration(round(_processor_seconds() - before)))
    shot = place / "first_screen.png"
    size = ",".join(map(str, _SCREEN))
    page = (place / "report.html").absolute().as_uri()
    flags = ["--hide-scrollbars", f"--screenshot={shot}", f"--window-size={size}"]
    subprocess.run([CHROMIUM or "chromium", *QUIET, *flags, page], check=True, capture_output=True)
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / f"{name}.webp").write_bytes(_smaller(shot))


def _smaller(shot: Path) -> bytes:
    """A screenshot as WebP of at most LARGEST bytes, at the best of _QUALITIES that allows it."""
    with Image.open(shot) as picture:
        size = _SCREEN[0] * 2 // 3, _SCREEN[1] * 2 // 3
        smaller = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    for quality in _QUALITIES:
        kept = io.BytesIO()
        smaller.save(kept, "WEBP", quality=quality, method=6)
        if len(kept.getvalue()) <= LARGEST:
            break
    return kept.getvalue()


def foresee(name: str, overrides: dict[str, str]) -> None:
    """Keep how long the whole sweep would take here, by the timing of a few steps."""
    found = _FORESEEN.search(plan(shipped_configs()[name], overrides=overrides, measure=True))
    assert found, f"{name}: the plan says no time"
    keep_time(name, WHOLE, found[1])


def main() -> None:
    """Write the page, with --run after the smoke runs, with --plan after the timing of the whole sweeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, metavar="FOLDER", help="folder of the smoke runs")
    parser.add_argument("--plan", action="store_true", help="time a few steps of the whole sweeps")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="with --plan: override one key")
    parser.add_argument("names", nargs="*", help="sweep configs; all where none is named")
    chosen = parser.parse_args()
    for name in chosen.names or shipped_configs():
        if chosen.run:
            run(name, chosen.run)
            print(PICTURES / f"{name}.webp", flush=True)
        if chosen.plan:
            foresee(name, dict(pair.split("=", 1) for pair in chosen.set))
            print(f"{name}: {times()[name][WHOLE]}", flush=True)
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
