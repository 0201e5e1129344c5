"""Published data set layouts -> shards: `IMPORTERS` lists them, `import_dataset` runs one."""

from sweep.importers.pipeline import import_dataset
from sweep.importers.table import IMPORTERS

__all__ = ["IMPORTERS", "import_dataset"]
