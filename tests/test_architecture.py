"""The tree holds what the README says of it: who may import whom, no rings, short files, safe loading."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("sweep", "analysis", "cluster")

# In sweep/ files steer and folders work: a folder imports only what its row names, and never a file above it.
ALLOWED = {
    "sweep.core": set(),
    "sweep.shards": {"sweep.core"},
    "sweep.importers": {"sweep.core", "sweep.shards"},
    "sweep.losses": {"sweep.core"},
    "sweep.models": {"sweep.core", "sweep.losses"},
    "sweep.synth": {"sweep.core", "sweep.shards", "sweep.losses"},
    "sweep.training": {"sweep.core", "sweep.evaluation"},
    "sweep.attacks": {"sweep.core"},
    "sweep.evaluation": {"sweep.core"},
    "sweep.search": {"sweep.core"},
    "sweep.questions": {"sweep.core", "sweep.shards", "sweep.models", "sweep.synth", "sweep.training", "sweep.attacks", "sweep.evaluation", "sweep.search"},
    "analysis": {"sweep.core", "sweep.records", "sweep.storage"},
    "cluster": {"sweep.core", "sweep.storage", "sweep.address"},
}
OWNERS = {  # the only places that may import a library of a room
    "timm": {"sweep.models", "sweep.questions"},
    "torchattacks": {"sweep.attacks"},
    "ray": {"sweep.*", "sweep.shards.stream", "sweep.shards.unhurried", "sweep.importers", "cluster"},
}
LONGEST_FILE_LINES = 400


def sources():
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path):
    """Every module that a file names in an import, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(module):
    """sweep.shards for what lies in the folder, sweep.run for a file that steers."""
    parts = module.split(".")
    return parts[0] if parts[0] in ("analysis", "cluster") else ".".join(parts[:2])


MODULES = {module_of(path): path for path in sources()}


def inner_imports(path):
    return {name for name in imports(path) if name in MODULES}


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_room_imports_only_what_its_row_names(name):
    for module, path in MODULES.items():
        if room(module) == name:
            strangers = {room(other) for other in inner_imports(path)} - ALLOWED[name] - {name, "sweep"}
            assert not strangers, f"{module} imports {sorted(strangers)}"


def test_no_ring_of_rooms():
    graph = {}
    for module, path in MODULES.items():
        graph.setdefault(room(module), set()).update(room(other) for other in inner_imports(path))
    TopologicalSorter({name: others - {name, "sweep"} for name, others in graph.items()}).prepare()


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_library_stays_in_its_room(library):
    for module, path in MODULES.items():
        steers = path.parent == ROOT / "sweep" and "sweep.*" in OWNERS[library]
        at_home = steers or any(module == owner or module.startswith(owner + ".") for owner in OWNERS[library])
        if not at_home:
            assert library not in {name.split(".")[0] for name in imports(path)}, f"{module} imports {library}"


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_file_is_short_and_says_its_place(path):
    text = path.read_text()
    assert text.count("\n") <= LONGEST_FILE_LINES
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "the file has no first line that says what it is for"


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_nothing_is_loaded_that_could_run_code(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name, keywords = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
        assert name not in ("eval", "exec", "pickle.load", "pickle.loads", "yaml.load", "yaml.unsafe_load"), name
        assert name != "torch.load" or keywords.get("weights_only") == "True", "torch.load without weights_only=True"
        assert keywords.get("shell") != "True", "a shell is started"
