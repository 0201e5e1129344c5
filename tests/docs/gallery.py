"""The table of docs/gallery.md, from the shipped sweep configs.

python -m tests.docs.gallery        writes it anew into the page
"""

from __future__ import annotations

from sweep.config.load import load_config
from sweep.config.shipped import shipped_configs, summary
from sweep.planning.grid import cells
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "gallery.md"
BEGIN, END = "<!-- table: python -m tests.docs.gallery -->\n", "<!-- end -->\n"


def table() -> str:
    """A row a sweep config: name, question, grid, configurations and the least number of records."""
    rows = ["| sweep config | question | crossed | configurations | records, at least |", "|---|---|---|---|---|"]
    for name, path in shipped_configs().items():
        config = load_config(path)
        crossed = " x ".join(f"{len(values)} {key}" for key, values in config.grid.items())
        count = len(cells(config.grid)) * config.searcher.trials
        rows.append(
            f"| [`{name}`](../search_spaces/{path.name}) | {summary(path)} | {crossed} | {count} | {count * config.seeds.min} |"
        )
    return "\n".join(rows) + "\n"


def rewritten(text: str) -> str:
    """The page with its table as it should be."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
