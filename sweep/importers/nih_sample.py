"""The 5,606-image sample of ChestX-ray14 that is distributed apart from it, with the same table under another name.

python -m sweep.importers nih_sample sample shards/nih_sample
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweep.importers import chestxray14
from sweep.importers.files import only
from sweep.importers.raw import Ignored, RawImage

_TABLE = "sample_labels.csv"


def _iterate(src: Path, options: Mapping[str, Any]) -> Iterator[RawImage | Ignored]:
    return chestxray14.images_of_table(src, only(src, _TABLE, f"{_TABLE} and images/"), options)


ROW = replace(
    chestxray14.ROW,
    describe="adults' chest X-rays, NIH: the sample of 5,606 images, 14 findings",
    compared_with="published programs that read sample_labels.csv and images/",
    expects=f"the folder with {_TABLE} and images/ (00000013_005.png ...)",
    source="https://www.kaggle.com/datasets/nih-chest-xrays/sample",
    iterate=_iterate,
    options={name: value for name, value in chestxray14.ROW.options.items() if name != "split"},
    choices={name: value for name, value in chestxray14.ROW.choices.items() if name != "split"},
    help={name: value for name, value in chestxray14.ROW.help.items() if name != "split"},
    traps="a random sample of ChestX-ray14: its images are in that set too, so never use one as target of the other",
)
