"""Time and memory of the audit, as the number of images grows; and of 30 planted leaks how many it finds.

    python -m benchmarks.audit [--images 5000 10000 20000] [--shards FOLDER]      # generated images, 128 px; or a folder of your own and half of it

Each size is audited in a process of its own: CPU seconds of each part per 10,000 images, peak memory of the process (its anonymous
pages: what lies in the page cache is the system's to take back), and the growth of both extrapolated to CheXpert's 224,316 images.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from sweep.audit.audit import audit
from sweep.audit.burned_in_text import compiled, marks
from sweep.shards.reader import read_batches
from sweep.shards.schema import Header, ShardRow
from sweep.shards.writer import write_dataset

PX, LEAKS, CHEXPERT = 128, 30, 224_316
CHANGES = (
    lambda image: image[:, ::-1],
    lambda image: np.rot90(image),
    lambda image: np.clip(image.astype(float) * 1.15 + 8, 0, 255).astype(np.uint8),
    lambda image: image[4:-4, 4:-4],
    lambda image: np.clip(image + np.random.default_rng(0).normal(0, 4, image.shape), 0, 255).astype(np.uint8),
)


def main() -> None:
    """Audit every size in turn and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[5000, 10_000, 20_000])
    parser.add_argument("--shards", type=Path, help="audit this folder instead")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(_audited(arguments.one)))
        return
    if arguments.shards:
        with tempfile.TemporaryDirectory() as place:
            half = Path(place) / "half"
            write_dataset(half, Header(name="half", domain="half"), _every_second(arguments.shards))
            found = [_in_a_process(half), _in_a_process(arguments.shards)]
        for one in found:
            _print(one)
        more = found[1]["images"] - found[0]["images"]
        print(f"{(found[1]['seconds'] - found[0]['seconds']) / more * 1e4:.1f} CPU s for 10,000 images more")
        return
    found = []
    for count in arguments.images:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "set"
            write_dataset(folder, Header(name="blobs", domain="blobs"), _rows(count))
            found.append(_in_a_process(folder))
            _print(found[-1])
    _extrapolate(found)


def _every_second(folder: Path) -> Iterator[ShardRow]:
    columns = ("image_id", "image", "height", "width", "label")
    rows = (row for batch in read_batches(folder, columns) for row in batch.to_pylist())
    for row in itertools.islice(rows, 0, None, 2):
        pixels = np.frombuffer(row["image"], dtype=np.uint8).reshape(row["height"], row["width"])
        yield ShardRow(row["image_id"], pixels, row["label"])


def _rows(count: int) -> Iterator[ShardRow]:
    """Blobs in noise with a common shading, as one anatomy has; the last ones are changed copies of the first."""
    draw = np.random.default_rng(0)
    shade = gaussian_filter(draw.standard_normal((PX, PX)), 24) * 1500
    originals = []
    for number in range(count - LEAKS):
        image = _blobs(draw, shade)
        originals += [image] if number < LEAKS else []
        yield ShardRow(f"i{number}", image, "ab"[number % 2])
    for number, image in enumerate(originals):
        yield ShardRow(f"leak{number}", np.ascontiguousarray(CHANGES[number % len(CHANGES)](image)), "ab"[number % 2])


def _blobs(draw: np.random.Generator, shade: np.ndarray) -> np.ndarray:
    coarse = gaussian_filter(draw.standard_normal((32, 32)), 1.5, mode="wrap").repeat(4, axis=0).repeat(4, axis=1)
    return np.clip(coarse / coarse.std() * 30 + shade + 110 + draw.normal(0, 12, (PX, PX)), 0, 255).astype(np.uint8)


def _in_a_process(folder: Path) -> dict:
    command = [sys.executable, "-m", "benchmarks.audit", "--one", str(folder)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _audited(folder: Path) -> dict:
    """One audit in this process: images, CPU seconds, MB at its peak beyond the imports, pairs and leaks found."""
    loading = time.process_time()
    search = compiled()
    marks(np.tile(np.arange(PX, dtype=np.uint8), (PX, 1)), search)
    loading = time.process_time() - loading
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    report = audit([folder])
    seconds = time.process_time() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    leaks = {copy.second for copy in report.copies if copy.second.startswith("leak")}
    facts = report.sets[0]
    return {"images": facts.images, "seconds": seconds, "peak_mb": (after - before) / 1024, "base_mb": before / 1024,
            "once_s": loading, "pairs": len(report.copies), "leaks": len(leaks), "groups": facts.pictures}  # fmt: skip


def _print(found: dict) -> None:
    per = found["seconds"] / found["images"] * 1e4
    print(
        f"{found['images']:>7,} images: {found['seconds']:6.1f} CPU s, {per:5.1f} s per 10,000, and {found['once_s']:.1f} s once to load the compiled search for marks; {found['peak_mb']:6.0f} MB beyond the "
        f"{found['base_mb']:.0f} MB of the imports; {found['leaks']} of {LEAKS} planted leaks, {found['pairs'] - found['leaks']} other pairs, "
        f"{found['groups']:,} groups",
        flush=True,
    )


def _extrapolate(found: list[dict]) -> None:
    """Time as a N + b N^2 (every image is compared with every other by one small product), memory as a + b N."""
    if len(found) < 2:
        return
    images = np.array([one["images"] for one in found], float)
    seconds, memory = (np.array([one[name] for one in found]) for name in ("seconds", "peak_mb"))
    linear, square = np.linalg.lstsq(np.stack([images, images**2], axis=1), seconds, rcond=None)[0]
    slope = np.polyfit(images, memory, 1)[0]
    whole = linear * CHEXPERT + square * CHEXPERT**2
    growth = f"{linear * 1e4:.1f} s per 10,000 images and {square * 1e8:.2f} s per (10,000 images)^2"
    print(f"time: {growth}; {CHEXPERT:,} images: about {whole / 60:.0f} CPU minutes")
    print(
        f"memory: {slope * 1e4:.0f} MB per 10,000 images; {CHEXPERT:,} images: about {slope * CHEXPERT / 1024:.1f} GB"
    )


if __name__ == "__main__":
    main()
