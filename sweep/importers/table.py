"""Every published layout that can be read, one row each."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from sweep.core.errors import InputError, suggestion
from sweep.importers import (
    brain4,
    brest,
    bus_uclm,
    busbra,
    busi,
    busis,
    chestmnist,
    chestxray14,
    chexpert,
    csv_table,
    dicom,
    folder,
    iqothnccd,
    kermany,
    medmnist,
    nih_sample,
    oasbud,
    phantom,
    rsna_pneumonia,
    udiat,
    vindr_cxr,
    volumes,
)
from sweep.importers.pipeline import Hooks, Settings, run_import
from sweep.importers.raw import Importer
from sweep.shards.schema import Manifest

IMPORTERS: dict[str, Importer] = {
    "phantom-a": phantom.importer(phantom.hospital_of("phantom-a")),
    "phantom-b": phantom.importer(phantom.hospital_of("phantom-b")),
    "busi": busi.ROW,
    "brest": brest.ROW,
    "busbra": busbra.ROW,
    "bus_uclm": bus_uclm.ROW,
    "udiat": udiat.ROW,
    "busis": busis.ROW,
    "oasbud": oasbud.ROW,
    "kermany": kermany.ROW,
    "chestxray14": chestxray14.ROW,
    "nih_sample": nih_sample.ROW,
    "rsna_pneumonia": rsna_pneumonia.ROW,
    "vindr_cxr": vindr_cxr.ROW,
    "chexpert": chexpert.ROW,
    "chestmnist": chestmnist.ROW,
    "medmnist": medmnist.ROW,
    "iqothnccd": iqothnccd.ROW,
    "brain4": brain4.ROW,
    "folder": folder.ROW,
    "csv": csv_table.ROW,
    "dicom": dicom.ROW,
    "volumes": volumes.ROW,
}


def import_dataset(name: str, src: Path | str | None, dst: Path | str, **settings: Any) -> Manifest:
    """Read `src` by the layout `name` and write shards to the new folder `dst`.

    `settings` are the fields of `pipeline.Settings` (domain, import_px, skip_bad, workers, depth, accept) and of `pipeline.Hooks`
    (on_image, on_skip, on_total, on_account), and the importer's own options. Raises InputError for an unknown name or anything
    wrong in the source, leaving nothing behind.
    """
    row = row_of(name)
    general = Settings(**_taken(Settings, settings))
    hooks = Hooks(**_taken(Hooks, settings))
    return run_import(name, row, src, dst, settings, general, hooks)


def row_of(name: str) -> Importer:
    """The importer of a name: a row of IMPORTERS, or a simulated hospital. Raises InputError for an unknown one."""
    if name in IMPORTERS:
        return IMPORTERS[name]
    if phantom.is_phantom(name):
        return phantom.importer(phantom.hospital_of(name))
    raise InputError("importer", f"{name!r} is unknown", suggestion(name, IMPORTERS))


def _taken(kind: type[Settings] | type[Hooks], settings: dict[str, Any]) -> dict[str, Any]:
    """Those of the settings that are fields of `kind`, taken out."""
    names = {field.name for field in dataclasses.fields(kind)} & set(settings)
    return {name: settings.pop(name) for name in names}
