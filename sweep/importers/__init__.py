"""Published data set layouts -> shards: `IMPORTERS` lists them, `import_dataset` runs one."""

from sweep.importers.table import IMPORTERS, import_dataset

__all__ = ["IMPORTERS", "import_dataset"]
