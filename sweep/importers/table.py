"""Every published layout that can be read, one row each."""

from __future__ import annotations

from sweep.importers import phantom
from sweep.importers.raw import Importer

IMPORTERS: dict[str, Importer] = {
    "phantom-a": phantom.importer("a"),
    "phantom-b": phantom.importer("b"),
}
