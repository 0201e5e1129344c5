"""The import table: which folder may import which, no rings, short files, no code execution by loading."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("sweep", "analysis", "cluster", "recipe_finder")
SCIENCE = {
    "sweep.models",
    "sweep.synth",
    "sweep.losses",
    "sweep.training",
    "sweep.evaluation",
    "sweep.attacks",
    "sweep.search",
}
DATA_SETS = {"sweep.shards", "sweep.audit", "sweep.importers"}

# Folder -> the folders it may import. Command modules (top-level files of sweep/, every __main__) may import anything but each other.
ALLOWED = {
    "sweep.core": set(),
    "sweep.shards": {"sweep.core"},
    "sweep.audit": {"sweep.core", "sweep.shards"},
    "sweep.importers": {"sweep.core", "sweep.shards"},
    "sweep.losses": {"sweep.core"},
    "sweep.models": {"sweep.core", "sweep.losses"},
    "sweep.evaluation": {"sweep.core"},
    "sweep.training": {"sweep.core", "sweep.evaluation", "sweep.models"},
    "sweep.synth": {"sweep.core", "sweep.shards", "sweep.losses", "sweep.audit"},
    "sweep.attacks": {"sweep.core"},
    "sweep.search": {"sweep.core"},
    "sweep.shift": {"sweep.core", "sweep.evaluation"},
    "sweep.config": {"sweep.core", "sweep.shards", "sweep.shift"} | SCIENCE,
    "sweep.data": {"sweep.core", "sweep.config", "sweep.shift"} | DATA_SETS,
    "sweep.store": {"sweep.core", "sweep.config"},
    "sweep.deployment": {
        "sweep.core",
        "sweep.config",
        "sweep.data",
        "sweep.store",
        "sweep.pipeline",
        "sweep.shards",
        "sweep.importers",
        "sweep.models",
        "sweep.evaluation",
        "sweep.training",
        "sweep.shift",
    },
    "sweep.pipeline": {"sweep.core", "sweep.config", "sweep.data", "sweep.store", "sweep.shards", "sweep.shift"}
    | SCIENCE,
    "sweep.planning": {
        "sweep.core",
        "sweep.config",
        "sweep.data",
        "sweep.store",
        "sweep.pipeline",
        "sweep.search",
        "sweep.training",
        "sweep.attacks",
        "sweep.models",
        "sweep.shards",
        "sweep.synth",
    },
    "sweep.proposal": {"sweep.core", "sweep.importers", "sweep.shards"},
    "sweep.execution": {
        "sweep.core",
        "sweep.config",
        "sweep.data",
        "sweep.store",
        "sweep.pipeline",
        "sweep.planning",
        "sweep.search",
        "sweep.shards",
        "sweep.training",
    },
    "sweep.doctor": {
        "sweep.core",
        "sweep.config",
        "sweep.data",
        "sweep.store",
        "sweep.planning",
        "sweep.execution",
        "sweep.shards",
        "sweep.models",
    },
    "analysis": {"sweep.core", "sweep.store", "sweep.shift", "sweep.data"},
    "cluster": {"sweep.core"},
}
LIBRARIES = {  # library -> the only folders or modules that may import it
    "timm": ("sweep.models", "sweep.config"),
    "torchattacks": ("sweep.attacks",),
    "optuna": ("sweep.search", "analysis"),
    "ray": (
        "sweep.execution",
        "sweep.core.ray_internals",
        "sweep.shards.stream",
        "sweep.importers",
        "sweep.doctor",
        "cluster",
    ),
}
UNSEALING = "sweep.data.sealed_labels"  # what analysis may know of sweep.data, and only its command that unseals
LEDGER_ALONE = ("sweep.store.ledger", "sweep.store.__init__")  # what analysis may know of sweep.store
LONGEST_FILE_LINES = 400
FORBIDDEN_CALLS = ("eval", "exec", "pickle.load", "pickle.loads", "yaml.load", "yaml.unsafe_load")


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(tree):
    """Every module that a file names in an import, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folder(module):
    """sweep.shards for what lies in that folder; the module itself for a command."""
    parts = module.split(".")
    if parts[0] in ("analysis", "cluster"):
        return parts[0]
    return module if parts[-1] == "__main__" else ".".join(parts[:2])


PATHS = {module_of(path): path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
PUBLIC = {module for module in PATHS if module.split(".")[0] == "recipe_finder"}  # above all folders and commands
COMMANDS = {
    module
    for module in PATHS
    if module.endswith("__main__")
    or (module.count(".") == 1 and module.startswith("sweep.") and PATHS[module].name != "__init__.py")
}


@cache
def trees():
    """Module -> its syntax tree; parsed when a test asks for it, not when tests are collected."""
    return {module: ast.parse(path.read_text()) for module, path in PATHS.items()}


@cache
def ours():
    """Module -> the modules of this project that it imports."""
    return {
        module: {name for name in imports(tree) if name in PATHS and name != "sweep"}
        for module, tree in trees().items()
    }


def test_each_folder_imports_only_what_its_row_names():
    found = [
        f"{module} imports {other}"
        for module, others in ours().items()
        for other in others
        if module not in COMMANDS | PUBLIC
        and module != "sweep"
        and folder(other) not in ALLOWED[folder(module)] | {folder(module)}
    ]
    assert not found, "\n".join(found)


def test_every_folder_has_a_row():
    assert {folder(module) for module in PATHS if module not in COMMANDS | PUBLIC and module != "sweep"} == set(ALLOWED)


def test_nothing_imports_the_public_package():
    found = [f"{module} imports {other}" for module in set(PATHS) - PUBLIC for other in ours()[module] & PUBLIC]
    assert not found, "\n".join(found)


def test_no_import_ring_between_folders():
    TopologicalSorter(ALLOWED).prepare()


def test_commands_import_no_other_command():
    found = [
        f"{module} imports {other}" for module in COMMANDS - PUBLIC for other in ours()[module] if other in COMMANDS
    ]
    assert not found, "\n".join(found)


def imported_by_analysis(start):
    """(module of analysis, module whose name begins with `start` that it imports)."""
    return [
        (module, other)
        for module, others in ours().items()
        for other in others
        if folder(module) == "analysis" and other.startswith(start)
    ]


def test_analysis_knows_a_run_by_its_ledger_alone():
    found = [
        f"{module} imports {other}"
        for module, other in imported_by_analysis("sweep.store.")
        if other not in LEDGER_ALONE and not other.startswith("sweep.store.ledger")
    ]
    assert not found, "\n".join(found)


def test_only_the_unsealing_command_knows_the_data():
    found = [
        f"{module} imports {other}"
        for module, other in imported_by_analysis("sweep.data")
        if module != "analysis.unseal" or other not in (UNSEALING, "sweep.data")
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("library", sorted(LIBRARIES))
def test_library_is_imported_only_where_it_belongs(library):
    homes = LIBRARIES[library]
    found = [
        module
        for module, tree in trees().items()
        if library in {name.split(".")[0] for name in imports(tree)}
        and not any(module == home or module.startswith(home + ".") for home in homes)
    ]
    assert not found, f"{library} is imported by {found}"


def test_private_interfaces_of_ray_are_in_one_file():
    found = [
        module
        for module, path in PATHS.items()
        for name in ("ray._private", "ray.autoscaler._private", "_internal")
        if f"{name}." in path.read_text() and module != "sweep.core.ray_internals" and "ray" in path.read_text()
    ]
    assert not [
        module
        for module in found
        if any("ray." in name and ("_private" in name or "_internal" in name) for name in imports(trees()[module]))
    ]


def test_files_are_short_and_say_what_they_are_for():
    long = [
        f"{module}: {count} lines"
        for module, path in PATHS.items()
        if (count := path.read_text().count("\n")) > LONGEST_FILE_LINES
    ]
    silent = [module for module, tree in trees().items() if tree.body and not ast.get_docstring(tree)]
    assert not long and not silent, (long, silent)


def test_nothing_is_loaded_that_could_run_code():
    found = []
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name, keywords = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
                unsafe = (
                    name in FORBIDDEN_CALLS
                    or (name == "torch.load" and keywords.get("weights_only") != "True")
                    or keywords.get("shell") == "True"
                )
                found += [f"{module}:{node.lineno}: {name}"] if unsafe else []
    assert not found, "\n".join(found)
