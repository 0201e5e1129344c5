"""`colorizer_from` -> the file with a colorizer's weights: of a trial, of one of its seeds, or a file given directly."""

from __future__ import annotations

import re

from sweep.core.errors import InputError
from sweep.core.location import below, split_last
from sweep.core.storage import Storage
from sweep.store.trial import COLORIZER

_SEED = re.compile(r"seed-\d+")
MISSING_FIX = "name RUN/SIGNATURE or RUN/SIGNATURE/seed-K of a finished trial with a learned colorizer, or a .safetensors file that holds one"


def colorizer_file(reference: str) -> str:
    """The address of the file; a reference to a file is returned as it is.

    RUN/SIGNATURE is the trial's first seed. RUN is a path or a URL, with or without the `trials` folder in it.
    """
    folder, name = split_last(reference)
    if name.endswith(".safetensors"):
        return below(folder, name)
    seed = name if _SEED.fullmatch(name) else "seed-0"
    run, signature = split_last(folder) if seed == name else (folder, name)
    if split_last(run)[1] == "trials":
        run = split_last(run)[0]
    return below(run, f"trials/{signature}/{seed}/{COLORIZER}")


def read_colorizer_file(reference: str) -> bytes:
    """The file's content. Raises InputError when there is none."""
    address = colorizer_file(reference)
    place, name = Storage.of_file(address)
    try:
        return place.read(name)
    except OSError as error:
        raise InputError(f"colorizer_from: {reference}", f"no colorizer at {address}", MISSING_FIX) from error
