"""Rewrite the import table of docs/architecture.md from the one that tests/test_architecture.py holds.

python -m tests.docs.import_table
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.docs.pages import ROOT
from tests.test_architecture import ALLOWED

PAGE = ROOT / "docs" / "architecture.md"
_ROWS = re.compile(r"(\| folder \| does \| may import \|\n\|---\|---\|---\|\n)((?:\|.*\n)+)")


def rewritten(text: str, allowed: Mapping[str, set[str]] = ALLOWED) -> str:
    """The page with its table as the test holds it; what a folder does is kept, or its docstring where it is new."""
    about = dict(re.findall(r"^\| `([\w.]+)` \| (.*) \| [^|]+ \|$", text, re.MULTILINE))
    rows = "".join(
        f"| `{folder}` | {about.get(folder) or _docstring(folder)} | {_names(others)} |\n"
        for folder, others in allowed.items()
    )
    return _ROWS.sub(lambda found: found[1] + rows, text)


def _names(folders: set[str]) -> str:
    return ", ".join(sorted(name.removeprefix("sweep.") for name in folders)) or "nothing of ours"


def _docstring(folder: str) -> str:
    first = (ROOT / folder.replace(".", "/") / "__init__.py").read_text(encoding="utf-8").splitlines()[0]
    return first.strip('"').rstrip(".")


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
