"""Masks of a published data set -> `subgroups.csv`: the size of each lesion, by which a report divides the target.

python -m sweep.importers.lesion_sizes brest PATH/TO/BrEaST results/busi-brest/subgroups.csv
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from sweep.core.command_line import Command, run_as_program
from sweep.core.errors import EXIT_COMPLETE, InputError
from sweep.core.storage import Storage
from sweep.importers.decode import decode, read_grey
from sweep.importers.pipeline import chosen_options, source_folder
from sweep.importers.raw import RawImage
from sweep.importers.roi import lesion
from sweep.importers.table import IMPORTERS, row_of

COLUMN = "lesion, % of the image"
WITH_MASKS = tuple(name for name, row in IMPORTERS.items() if "mask" in row.choices.get("roi", ()))


def lesion_sizes(name: str, src: Path | str) -> pd.DataFrame:
    """image_id and the share of the image, in percent, that the masks of its lesion cover; images without a lesion are left out.

    Raises InputError for an importer that knows no masks, and for masks that are missing, unreadable, empty or of different sizes.
    """
    row = row_of(name)
    if name not in WITH_MASKS:
        raise InputError(name, "is no data set with masks of lesions", f"give one of {', '.join(WITH_MASKS)}")
    folder, options = source_folder(name, row, src), chosen_options(name, row, {"roi": "mask"})
    found = [
        (image.image_id, _percent(image))
        for image in row.iterate(folder, {**options, "depth": None, "accept": ()})
        if isinstance(image, RawImage) and image.bad is None
    ]
    if not found:
        raise InputError(src, "no lesion with a mask was found", f"expects {row.expects}")
    return pd.DataFrame(found, columns=["image_id", COLUMN])


def _percent(image: RawImage) -> float:
    where = image.path or Path(image.image_id)
    shape = decode(image.masks[0], read_grey).grey.shape if image.masks else (0, 0)
    return round(100 * float(lesion(image.masks, shape, where).mean()), 3)


def lesion_sizes_command(
    importer: Annotated[str, typer.Argument(help=f"The data set's importer: {', '.join(WITH_MASKS)}.")],
    src: Annotated[str, typer.Argument(help="The data set as published, with its masks.")],
    out: Annotated[str, typer.Argument(help="New file: subgroups.csv in the run folder that the report is made of.")],
) -> int:
    """Measure the lesions of a data set by its masks, for a report that says how a recipe does on small and on large ones."""
    folder, _, file = out.rpartition("/")
    place = Storage(folder or ".")
    if place.exists(file):
        raise InputError(out, "is there already", "remove it, or write to another file and join the columns")
    table = lesion_sizes(importer, src)
    place.write(file, table.to_csv(index=False).encode())
    spread = table[COLUMN].quantile([0, 0.5, 1]).tolist()
    typer.echo(
        f"{out}: {len(table)} lesions, smallest {spread[0]:.2g} %, median {spread[1]:.2g} %, largest {spread[2]:.2g} % of the image"
    )
    return EXIT_COMPLETE


main = Command(lesion_sizes_command, examples=("{} brest PATH/TO/BrEaST results/busi-brest/subgroups.csv",))
run_as_program(main, __name__)
