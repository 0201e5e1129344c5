"""The documentation as data: its pages, links, headings and fenced blocks."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "cluster/*.md")
    for path in ROOT.glob(pattern)
)
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
OURS = ("recipe-finder", "python -m sweep", "python -m analysis", "python -m cluster", "python -m recipe_finder")
OTHERS = {
    "sky",
    "make",
    "ray",
    "kubectl",
    "docker",
    "sbatch",
    "export",
    "chmod",
    "tensorboard",
    "pip",
}  # first words of what is not ours


@dataclass(frozen=True)
class Command:
    """One line of a shell block."""

    page: str
    line: int
    text: str

    @property
    def words(self) -> list[str]:
        """As a shell splits it, comments left out."""
        return shlex.split(self.text, comments=True)

    @property
    def is_ours(self) -> bool:
        """Whether it is a command of this project; else a known tool of others."""
        return self.text.startswith(OURS)


def text_of(page: str) -> str:
    """A page's Markdown."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[tuple[int, str]]:
    """(line, text) of every fenced block in a language."""
    text = text_of(page)
    return [
        (text.count("\n", 0, found.start()) + 2, found[2]) for found in _FENCE.finditer(text) if found[1] == language
    ]


def commands(page: str) -> list[Command]:
    """Every command of the page's shell blocks, in order."""
    return [
        Command(page, first + offset, line)
        for first, text in blocks(page, "sh")
        for offset, line in enumerate(text.splitlines())
        if line.strip() and not line.lstrip().startswith("#")
    ]


def inline_commands(page: str) -> list[str]:
    """Commands of ours in the running text, in `code`."""
    return [code for code in re.findall(r"(?<!`)`([^`\n]+)`", text_of(page)) if code.startswith(OURS)]


def links(page: str) -> list[str]:
    """Targets of the page's links and images, without those to other sites."""
    return [target for target in _LINK.findall(text_of(page)) if not re.match(r"[a-z]+://|mailto:", target)]


def anchors(page: str) -> set[str]:
    """What a link to a heading of the page may name."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
