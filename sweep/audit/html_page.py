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
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c; }
.verdict { font-size: 1.3rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; } li { font-variant-numeric: tabular-nums; }
figure { display: inline-block; margin: 0 1rem 1rem 0; } figcaption { font-size: .75rem; max-width: 16rem; }
img { image-rendering: auto; background: #000; }
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
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
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
