"""The table of docs/gallery.md, from the shipped sweep configs, and the pictures of their reports.

python -m tests.docs.gallery                    writes the table anew into the page
python -m tests.docs.gallery --run FOLDER NAME  first runs these configs with --smoke into FOLDER: docs/gallery/NAME.webp; all where none is named

Sweeps run one after the other by the inline engine on the CPU; a picture is the first screen of the report in Chromium.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from pathlib import Path

from PIL import Image

from sweep.config.load import load_config
from sweep.config.shipped import shipped_configs, summary
from sweep.planning.grid import cells
from tests.docs.pages import ROOT
from tests.fakes.browser import CHROMIUM, QUIET

PAGE = ROOT / "docs" / "gallery.md"
PICTURES = ROOT / "docs" / "gallery"
# Of the whole sweep on two cores, as docs/benchmarks.md has them; the others are not measured.
MEASURED = {"quickstart": "126 s", "busi_brest": "7 min"}
BEGIN, END = "<!-- table: python -m tests.docs.gallery -->\n", "<!-- end -->\n"
_SCREEN = 1200, 850  # px, of which the picture keeps two thirds
_QUALITY = 55


def table() -> str:
    """A row a sweep config: name, question, grid, configurations, the least number of records, measured time, and the picture of a smoke run."""
    heads = (
        "sweep config",
        "question",
        "crossed",
        "configurations",
        "records, at least",
        "measured on two cores",
        "its report at smoke size",
    )
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, path in shipped_configs().items():
        config = load_config(path)
        crossed = " x ".join(f"{len(values)} {key}" for key, values in config.grid.items())
        count = len(cells(config.grid)) * config.searcher.trials
        shown = f"[first screen](gallery/{name}.webp)" if (PICTURES / f"{name}.webp").exists() else ""
        cell = (
            f"[`{name}`](../search_spaces/{path.name})",
            summary(path),
            crossed,
            str(count),
            str(count * config.seeds.min),
        )
        rows.append(f"| {' | '.join((*cell, MEASURED.get(name, ''), shown))} |")
    return "\n".join(rows) + "\n"


def rewritten(text: str) -> str:
    """The page with its table as it should be."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def run(name: str, folder: Path) -> None:
    """Run one config with --smoke into `folder` and keep the first screen of its report."""
    place = folder / name
    words = [sys.executable, "-m", "sweep.run", str(shipped_configs()[name]), "--smoke", "--storage", str(place)]
    subprocess.run([*words, "--set", "resources.engine=inline"], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    shot = place / "first_screen.png"
    size = ",".join(map(str, _SCREEN))
    page = (place / "report.html").absolute().as_uri()
    flags = ["--hide-scrollbars", f"--screenshot={shot}", f"--window-size={size}"]
    subprocess.run([CHROMIUM or "chromium", *QUIET, *flags, page], check=True, capture_output=True)
    kept = io.BytesIO()
    with Image.open(shot) as picture:
        smaller = picture.convert("RGB").resize((_SCREEN[0] * 2 // 3, _SCREEN[1] * 2 // 3), Image.Resampling.LANCZOS)
        smaller.save(kept, "WEBP", quality=_QUALITY, method=6)
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / f"{name}.webp").write_bytes(kept.getvalue())


def main() -> None:
    """Write the page, with --run after the smoke runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, metavar="FOLDER", help="empty folder for the smoke runs")
    parser.add_argument("names", nargs="*", help="sweep configs; all where none is named")
    chosen = parser.parse_args()
    for name in (chosen.names or shipped_configs()) if chosen.run else ():
        run(name, chosen.run)
        print(PICTURES / f"{name}.webp", flush=True)
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
