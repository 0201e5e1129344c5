"""The public Python API of the recipe finder; every name is imported when it is first used.

import recipe_finder as rf

folder = rf.run("quickstart", smoke=True)
rf.rank(folder)
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recipe_finder.api import load_model, plan, predict, rank, replay, report, run
    from sweep.attacks.attack_options import AttackOptions
    from sweep.attacks.epsilon_sweep import epsilon_sweep
    from sweep.audit.audit import audit
    from sweep.config.load import load_config
    from sweep.importers.table import import_dataset
    from sweep.losses.glcm import GLCMLoss, glcm
    from sweep.models.classifier import ClassifierSpec, build_classifier
    from sweep.shards.mixing import mix
    from sweep.store.ledger import read_ledger

try:
    __version__ = version("recipe-finder")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0.1.0+checkout"

_HOMES = {
    "load_config": "sweep.config.load",
    "plan": "recipe_finder.api",
    "run": "recipe_finder.api",
    "read_ledger": "sweep.store.ledger",
    "rank": "recipe_finder.api",
    "report": "recipe_finder.api",
    "replay": "recipe_finder.api",
    "load_model": "recipe_finder.api",
    "predict": "recipe_finder.api",
    "import_dataset": "sweep.importers.table",
    "audit": "sweep.audit.audit",
    "ClassifierSpec": "sweep.models.classifier",
    "build_classifier": "sweep.models.classifier",
    "GLCMLoss": "sweep.losses.glcm",
    "glcm": "sweep.losses.glcm",
    "AttackOptions": "sweep.attacks.attack_options",
    "epsilon_sweep": "sweep.attacks.epsilon_sweep",
    "mix": "sweep.shards.mixing",
}
__all__ = [
    "AttackOptions",
    "ClassifierSpec",
    "GLCMLoss",
    "__version__",
    "audit",
    "build_classifier",
    "epsilon_sweep",
    "glcm",
    "import_dataset",
    "load_config",
    "load_model",
    "mix",
    "plan",
    "predict",
    "rank",
    "read_ledger",
    "replay",
    "report",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
