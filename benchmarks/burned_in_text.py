"""Recall and false positives of the search for burned-in text, on images of three published sets labelled by eye.

    python -m benchmarks.burned_in_text DATA      # the folder with BUSI/, BrEaST/ and chest_pneumonia_224/

`burned_in_text_labels.csv` names 192 images drawn at random: the thresholds were chosen on one half and not changed for the other.
`marked` is yes for letters, laterality markers and callipers, no for none, unclear for region frames (not counted).
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from pathlib import Path

from sweep.audit.burned_in_text import SUSPICIOUS, marks
from sweep.importers.decode import read_grey

LABELS = Path(__file__).with_name("burned_in_text_labels.csv")


def main() -> None:
    """Print recall and the share of false positives of each sample and data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    rows = list(csv.DictReader(LABELS.open(encoding="utf-8")))
    start = time.process_time()
    for row in rows:
        row["found"] = len(marks(read_grey(data / row["file"]).grey)) >= SUSPICIOUS
    seconds = time.process_time() - start
    for sample in dict.fromkeys(row["sample"] for row in rows):
        mine = [row for row in rows if row["sample"] == sample]
        for name in ("all", *dict.fromkeys(row["file"].split("/")[0] for row in mine)):
            print("\n".join(_lines(sample, name, [row for row in mine if name in ("all", row["file"].split("/")[0])])))
    print(f"{seconds / len(rows) * 1e3:.1f} CPU ms per image, reading included")


def _lines(sample: str, name: str, rows: list[dict]) -> Iterator[str]:
    counts = {marked: [row["found"] for row in rows if row["marked"] == marked] for marked in ("yes", "no")}
    found, false = sum(counts["yes"]), sum(counts["no"])
    recall = f"{found} of {len(counts['yes'])} marked found ({found / max(1, len(counts['yes'])):.0%})"
    wrong = f"{false} of {len(counts['no'])} others flagged ({false / max(1, len(counts['no'])):.1%})"
    yield f"{sample:>9}, {name:<20} {recall}, {wrong}"


if __name__ == "__main__":
    main()
