"""Whether a run folder has something new to say."""

from __future__ import annotations

from pathlib import Path

from sweep.core.hashing import content_hash
from sweep.core.storage import Storage
from sweep.store.ledger import FOLDER


def ledger_version(folder: str | Path) -> str:
    """A name for the ledger's present state: changes whenever a line is added; cheap enough to ask every second."""
    return content_hash(Storage(folder).sizes(FOLDER))
