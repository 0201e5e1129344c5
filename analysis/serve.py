"""The report of a running sweep, live on this machine only.

python -m analysis.serve results/ratio --port 8000
"""

from __future__ import annotations

import re
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated

import typer

from analysis import selection
from analysis.frames import load_run
from analysis.freshness import ledger_version
from analysis.page import build_page
from analysis.report import render, waiting
from sweep.core.command_line import Command, one_of, run_as_program
from sweep.core.errors import EXIT_COMPLETE, EXIT_STOPPED, InputError
from sweep.core.storage import Storage

HOST = "127.0.0.1"  # never another: the page shows images of patients to whoever can reach it
_OWN_NAME = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?")
_TIMEOUT_S = (
    10.0  # for a client to send its request, or to take the answer: a connection must not hold a thread for ever
)
DRAWS = 500  # a live page is soon replaced


def _is_own_name(hosts: list[str]) -> bool:
    """Whether a request has exactly one Host header, and it names this machine; with any port, which a tunnel may change."""
    return len(hosts) == 1 and _OWN_NAME.fullmatch(hosts[0]) is not None


class LiveReport:
    """The newest page of a run folder, rendered once for each state of its ledger."""

    def __init__(self, folder: str | Path, rule: str) -> None:
        self._folder, self._rule = folder, rule
        self._lock = threading.Lock()
        self._version, self._html = "", ""

    def version(self) -> str:
        """Name of the ledger's present state."""
        return ledger_version(self._folder)

    def html(self) -> str:
        """The page of the present state; a page that waits while nothing has finished."""
        with self._lock:
            version = self.version()
            if version != self._version:
                self._html, self._version = self._render(), version
            return self._html

    def _render(self) -> str:
        try:
            return render(build_page(load_run(self._folder), self._rule, draws=DRAWS), live=True)
        except InputError as nothing_yet:
            return waiting(str(nothing_yet))


def make_server(folder: str | Path, port: int = 0, rule: str = selection.DEFAULT_RULE) -> ThreadingHTTPServer:
    """A server on 127.0.0.1 (port 0: any free one), not yet running; InputError when the folder or port is unusable."""
    if not Storage(folder).exists():
        raise InputError(folder, "is no folder", "give the run folder of a sweep, e.g. results/quickstart")
    selection.rule_named(rule)
    report = LiveReport(folder, rule)

    class Handler(BaseHTTPRequestHandler):
        """Two addresses: the page and the state it was made from."""

        timeout = _TIMEOUT_S  # socketserver sets it on the connection

        def do_GET(self) -> None:
            # A foreign page may point a name of its own at this machine; only the two names of this machine are answered.
            if not _is_own_name(self.headers.get_all("Host", [])):
                self._answer(HTTPStatus.FORBIDDEN, "text/plain", "only this machine is served\n")
            elif self.path == "/":
                self._answer(HTTPStatus.OK, "text/html", report.html())
            elif self.path == "/version":
                self._answer(HTTPStatus.OK, "text/plain", report.version())
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", "no such page\n")

        def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            headers = {
                "Content-Type": f"{kind}; charset=utf-8",
                "Content-Length": str(len(body)),
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
                "X-Frame-Options": "DENY",
                "Referrer-Policy": "no-referrer",
            }
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent: the terminal belongs to the sweep."""

    try:
        return ThreadingHTTPServer((HOST, port), Handler)
    except (OSError, OverflowError) as taken:
        raise InputError(
            f"--port {port}", f"cannot be used ({taken})", "give another port, or 0 for any free one"
        ) from None


def serve_command(
    run: Annotated[str, typer.Argument(help="Run folder or URL, e.g. results/quickstart.", show_default=False)],
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 for any free one.")] = 8000,
    rule: Annotated[
        str, typer.Option(**one_of(selection.RULES), help="How a configuration is chosen.")
    ] = selection.DEFAULT_RULE,
) -> int:
    """Serve the report of a running sweep on 127.0.0.1; the page renews itself as records finish."""
    with make_server(run, port, rule) as server:
        sys.stdout.write(f"http://{HOST}:{server.server_address[1]}/  (Ctrl-C ends it)\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return EXIT_STOPPED
    return EXIT_COMPLETE


main = Command(serve_command, examples=("{} results/ratio", "{} results/ratio --port 0"))

run_as_program(main, __name__)
