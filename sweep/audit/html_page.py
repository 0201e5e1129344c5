"""An audit as one offline HTML page: the facts, and the copied pictures side by side."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from sweep.audit.audit import AuditReport, Copy
from sweep.audit.text import sections, verdict
from sweep.shards.reader import read_images

_PX = 128
_PICTURES = 60  # pairs drawn; the rest stands in the lists
# Colours, type and measures of the report's page, light and dark.
_STYLE = """
:root { --paper: #fbfaf7; --ink: #1c2126; --soft: #5c646d; --rule: #e5e1d8; --accent: #14606e; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181b; --ink: #e9e6df; --soft: #a7adb2; --rule: #2d343a; --accent: #6cc0cd; } }
body { font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", Arial, sans-serif; margin: 0;
  background: var(--paper); color: var(--ink); font-variant-numeric: tabular-nums; }
main { max-width: 1120px; margin: 0 auto; padding: 44px 24px; }
h1 { margin: 0 0 2px; font-size: 13px; font-weight: 600; letter-spacing: .08em; text-transform: uppercase; color: var(--accent); }
.verdict { margin: 0 0 14px; max-width: 47em; }
.verdict, h2 { font-family: "Iowan Old Style", "Palatino Linotype", Palatino, "URW Palladio L", "TeX Gyre Pagella", Georgia, serif; }
.verdict { font-size: 24px; line-height: 1.42; }
h2 { margin: 30px 0 6px; padding-top: 22px; border-top: 1px solid var(--rule); font-size: 20px; line-height: 1.25; break-after: avoid; }
ul { margin: 0; padding-left: 20px; } li { overflow-wrap: anywhere; }
p, figcaption { color: var(--soft); } .verdict { color: var(--ink); } code { font: 12px ui-monospace, Menlo, Consolas, monospace; }
figure { display: inline-block; margin: 0 14px 14px 0; break-inside: avoid; vertical-align: top; }
figcaption { font-size: 12px; max-width: 256px; overflow-wrap: anywhere; }
img { display: block; max-width: 100%; background: #000; border-radius: 5px; }
@media print { :root { --paper: #fff; --ink: #000; --soft: #333; } }
"""


# Nothing is fetched and no script runs, whatever a file name contains.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render_html(report: AuditReport, written: str = "") -> str:
    """The whole page: verdict and counts, pictures of the copies, then the long lists; `written` says where it is stored.

    Every name from the data is escaped, and nothing is fetched from anywhere.
    """
    parts = sections(report)
    lists = "".join(_section(title, lines) for title, lines in parts)
    counts = "".join(f"<li>{html.escape(title)}</li>" for title, _ in parts[len(report.sets) :])
    images = "".join(
        f"<li>{html.escape(facts.name)}: {facts.images} images, {facts.patients or 'no'} patients known</li>"
        for facts in report.sets
    )
    place = f"<p>Written to <code>{html.escape(written)}</code>.</p>" if written else ""
    figures = "".join(_figures(report)) or "<p>No copies were found.</p>"
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<meta http-equiv='Content-Security-Policy' content=\"{_POLICY}\">"
        "<meta name='viewport' content='width=device-width, initial-scale=1'><title>Data audit</title>"
        f"<style>{_STYLE}</style></head><body><main><h1>Data audit</h1><p class='verdict'>{html.escape(verdict(report))}</p>"
        f"<ul>{images}{counts}</ul>{place}<h2>Copies, side by side</h2>{figures}{lists}</main></body></html>"
    )


def _section(title: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines) or "<li>none</li>"
    return f"<h2>{html.escape(title)}</h2><ul>{items}</ul>"


def _figures(report: AuditReport) -> Iterator[str]:
    folders = {facts.name: facts.folder for facts in report.sets}
    worst = sorted(report.copies, key=lambda copy: (not copy.conflicts, not copy.crosses))[:_PICTURES]
    pictures = _pictures(folders, worst)
    for copy in worst:
        both = np.hstack([pictures[copy.first_set, copy.first], pictures[copy.second_set, copy.second]])
        names = html.escape(f"{copy.first} ({copy.first_label}) / {copy.second} ({copy.second_label}), {copy.how}")
        yield f"<figure><img alt='{names}' src='{_png(both)}'><figcaption>{names}</figcaption></figure>"


def _pictures(folders: dict[str, str], copies: Sequence[Copy]) -> dict[tuple[str, str], np.ndarray]:
    wanted = {(name, image) for copy in copies
              for name, image in ((copy.first_set, copy.first), (copy.second_set, copy.second))}  # fmt: skip
    found: dict[tuple[str, str], np.ndarray] = {}
    for name, folder in folders.items():
        ids = sorted(image for owner, image in wanted if owner == name)
        if ids:
            images = read_images(folder, _PX, ids, normals="keep")
            found |= {(name, image_id): image for image_id, image in zip(ids, images.images, strict=True)}
    return found


def _png(image: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
