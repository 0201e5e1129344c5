"""records -> one HTML file that opens offline and loads nothing from elsewhere.

python -m analysis.report results/ratio --out report.html
"""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from analysis import selection
from analysis.frames import load_run
from analysis.glossary import GLOSSARY, anchor, explained
from analysis.page import Page, build_page
from sweep.core.command_line import Command, one_of, run_as_program
from sweep.core.errors import EXIT_COMPLETE, InputError
from sweep.core.storage import Storage

DASHBOARD = Path(__file__).parent / "dashboard"


def report_command(
    run: Annotated[str, typer.Argument(help="Run folder or URL, e.g. results/quickstart.", show_default=False)],
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="File to write.", show_default="RUN/report.html")
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(**one_of(selection.RULES), help="How a configuration is chosen.", show_default=selection.USUAL),
    ] = None,
) -> int:
    """Write a sweep's report as one HTML file that opens offline, and print its path."""
    path = out or Storage(run).address("report.html")
    sys.stdout.write(f"{write_report(run, path, rule)}\n")
    return EXIT_COMPLETE


def write_report(run_folder: str | Path, out: str | Path, rule: str | None = None) -> str:
    """Render the report of a run folder to `out`, a path or a URL, which is returned; InputError when the folder holds no finished record."""
    if rule is not None:
        selection.rule_named(rule)
    place, name = Storage.of_file(out)
    if not name or place.child(name).is_folder:
        raise InputError("--out", f"{out} is a folder", "give a file name such as report.html")
    loaded = load_run(run_folder)
    place.write(name, render(build_page(loaded, rule or selection.usual_rule(loaded))).encode())
    return str(out)


def render(page: Page, *, live: bool = False) -> str:
    """The page as HTML; `live` lets it ask its own server whether there is something new."""
    script = _asset("report.js") + (_asset("live.js") if live else "")
    return fill("report.html.j2", script, live, page=page, scatter=Markup(page.scatter))


def waiting(reason: str) -> str:
    """The live page of a sweep of which nothing has finished."""
    return fill("waiting.html.j2", _asset("live.js"), live=True, reason=reason)


def fill(template: str, script: str, live: bool = False, **facts: object) -> str:
    """A template of the dashboard folder with the page's style, its one script, and the facts it prints."""
    environment = Environment(
        loader=FileSystemLoader(DASHBOARD),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(explained=explained, anchor=anchor, css_text=_css_text, with_code=with_code)
    assets = {
        "glossary": GLOSSARY,
        "style": Markup(_asset("report.css")),
        "script": Markup(script),
        "policy": _policy(script, live),
    }
    return environment.get_template(template).render(**assets, **facts)


def _policy(script: str, live: bool) -> str:
    # The browser itself refuses every request but the page's own; only this one script may run.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    connect = "'self'" if live else "'none'"
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; connect-src {connect}; "
        "base-uri 'none'; form-action 'none'"
    )


def with_code(text: str) -> Markup:
    """Text as HTML, with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _css_text(text: str) -> Markup:
    """Text for a quoted string of a style sheet: what could end the string or the sheet is written as a code point."""
    return Markup(
        "".join(letter if letter.isalnum() or letter in " .,_-" else f"\\{ord(letter):x} " for letter in text)
    )


def _asset(name: str) -> str:
    return (DASHBOARD / name).read_text(encoding="utf-8")


main = Command(report_command, examples=("{} results/ratio", "{} results/ratio --out ratio.html --rule robust_val"))

run_as_program(main, __name__)
