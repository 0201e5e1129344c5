"""Runs a page in headless Chromium with a probe script, and tells what it saw: console lines, requests, the probe's answer."""

from __future__ import annotations

import base64
import hashlib
import html as html_escapes
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-features=AutofillServerCommunication",  # it asks a server about every form of a page that is served
    "--metrics-recording-only",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@dataclass(frozen=True)
class Visit:
    """What a visit left behind."""

    answer: dict
    console: list[str]
    requests: list[str]  # of the page, to http, https, ws and wss addresses


def visit(page: str, probe: str, folder: Path, *, width: int = 1280, height: int = 900) -> Visit:
    """Open `page` (HTML text); `probe` is a JavaScript function body that returns what to answer."""
    file = folder / "page.html"
    file.write_text(_with_probe(page, probe), encoding="utf-8")
    log = folder / "net.json"
    done = subprocess.run(
        [
            CHROMIUM,
            *QUIET,
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={width},{height}",
            "--enable-logging=stderr",
            "--v=0",
            f"--log-net-log={log}",
            "--virtual-time-budget=4000",
            "--dump-dom",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    answer = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)
    assert answer, f"the probe did not run: {done.stderr[-2000:]}"
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Visit(json.loads(html_escapes.unescape(answer.group(1))), console, _requests(log))


def _with_probe(page: str, probe: str) -> str:
    script = (
        "addEventListener('load', () => { let answer; try { answer = (() => {"
        + probe
        + "})(); } catch (error) { answer = {error: String(error)}; }"
        "const pre = document.createElement('pre'); pre.id = 'probe'; pre.textContent = JSON.stringify(answer); document.body.append(pre); });"
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = page.replace(
        "script-src &#39;", f"script-src &#39;sha256-{digest}&#39; &#39;", 1
    )  # the page's own policy stays in force
    return page.replace("</body>", f"<script>{script}</script></body>")


def _requests(log: Path, origin: str = "file://") -> list[str]:
    # The browser's own errands carry no page as their origin; a page is isolated under its origin.
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    of_page = [line for line in lines if '"initiator":' in line and f'"network_isolation_key":"{origin}' in line]
    return sorted(
        {found.group(1) for line in of_page if (found := re.search(r'"url":"((?:https?|wss?)://[^"]*)"', line))}
    )


def watch_address(address: str, folder: Path, seconds: float) -> Visit:
    """Leave `address` open for `seconds` of the browser's time; the answer is its last document, as {"html": text}."""
    log = folder / "net.json"
    done = subprocess.run(
        [
            CHROMIUM,
            *QUIET,
            f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr",
            "--v=0",
            f"--log-net-log={log}",
            f"--virtual-time-budget={int(1000 * seconds)}",
            "--dump-dom",
            address,
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Visit({"html": done.stdout}, console, _requests(log, "http://127.0.0.1"))
