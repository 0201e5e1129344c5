"""Published data set layouts -> shards: `IMPORTERS` lists them, `import_dataset` runs one.

Both are loaded on first use: the process that decodes files imports modules of this package without the table of importers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep.importers.table import IMPORTERS, import_dataset

__all__ = ["IMPORTERS", "import_dataset"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from sweep.importers import table

        return getattr(table, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
