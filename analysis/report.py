"""records -> one HTML file that opens offline and asks nobody for anything.

python -m analysis.report results/ratio --out report.html
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis import selection
from analysis.frames import load_run
from analysis.page import Page, build_page
from sweep.core.errors import InputError, guarded
from sweep.core.storage import Storage

DASHBOARD = Path(__file__).parent / "dashboard"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report and print its path; exit code 2 with a message when the input is wrong."""
    options = _parser().parse_args(arguments)

    def command() -> int:
        out = options.out or Storage(options.run).address("report.html")
        sys.stdout.write(f"{write_report(options.run, out, options.rule)}\n")
        return 0

    return guarded(command)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.report", description="Write a sweep's report as one HTML file."
    )
    parser.add_argument("run", help="run folder, e.g. results/quickstart")
    parser.add_argument("--out", help="file to write (RUN/report.html)")
    parser.add_argument(
        "--rule", default=selection.DEFAULT_RULE, help=f"how configurations are chosen: {', '.join(selection.RULES)}"
    )
    return parser


def write_report(run_folder: str | Path, out: str | Path, rule: str = selection.DEFAULT_RULE) -> str:
    """Render the report of a run folder to `out`, a path or a URL, which is returned; InputError when the folder holds no finished record."""
    selection.rule_named(rule)
    place, name = Storage.of_file(out)
    if not name or place.child(name).is_folder:
        raise InputError("--out", f"{out} is a folder", "give a file name such as report.html")
    place.write(name, render(build_page(load_run(run_folder), rule)).encode())
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
    assets = {"style": Markup(_asset("report.css")), "script": Markup(script), "policy": _policy(script, live)}
    return environment.get_template(template).render(**assets, **facts)


def _policy(script: str, live: bool) -> str:
    # The browser itself refuses every request but the page's own; only this one script may run.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    connect = "'self'" if live else "'none'"
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; connect-src {connect}; "
        "base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return (DASHBOARD / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
