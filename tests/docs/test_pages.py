"""Links, commands, tables and sizes of the documentation; nothing here runs a sweep."""

import ast
import importlib
import re

import pytest
import typer
from ruamel.yaml import YAML

import recipe_finder
from recipe_finder.__main__ import SECTIONS, main
from sweep.config.load import load_config
from sweep.config.shipped import shipped_configs
from sweep.config.sweep_config import SweepConfig
from sweep.core.command_line import CommandGroup, Forwarded
from tests.docs import gallery
from tests.docs.import_table import rewritten
from tests.docs.pages import OTHERS, PAGES, ROOT, anchors, blocks, commands, inline_commands, links, text_of

EVERY = [command for page in PAGES for command in commands(page)]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        place = (ROOT / page).parent / path if path else ROOT / page
        assert place.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(place.resolve().relative_to(ROOT).as_posix()), f"{page}: {target}"


def test_every_page_is_linked_from_the_readme():
    linked = {target for target in links("README.md") if target.endswith(".md")}
    assert {page for page in PAGES if page.startswith("docs/")} - linked <= {"docs/hyperparameters.md"}
    assert "hyperparameters.md" in links("docs/config.md")


def test_readme_is_short():
    assert len(text_of("README.md").splitlines()) <= 125


def _parse(words):
    """The command that the words name, read as its command line; typer's UsageError where it does not fit."""
    if words[0] != "recipe-finder":
        module = importlib.import_module(words[2])
        if not hasattr(module, "main"):
            module = importlib.import_module(f"{words[2]}.__main__")
        command, rest = module.main, words[3:]
    else:
        command, rest = main, words[1:]
    while isinstance(command, CommandGroup):
        rows = {name: row for section in command.sections.values() for name, row in section.items()}
        if not rest or rest[0] not in rows:
            assert rest[:1] in (["--help"], ["--version"], ["--list"], []) or rest[0].isupper(), (
                f"no command {rest}"
            )  # NAME stands for one
            return None, []
        command, rest = rows[rest[0]].load(), rest[1:]
    return command, rest


@pytest.mark.parametrize("command", EVERY, ids=lambda one: f"{one.page}:{one.line}")
def test_commands_exist_and_their_command_lines_fit(command):
    if not command.is_ours:
        words = command.words
        assert words[0] in OTHERS or words[:3] == ["python", "-m", "benchmarks"], command
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), command
        return
    found, rest = _parse(command.words)
    if found is None or isinstance(found, Forwarded) or "--help" in rest:
        return
    rest = rest[: rest.index(">")] if ">" in rest else rest
    typer.main.get_command(found.app()).make_context("docs", list(rest))


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_exist_with_their_flags(page):
    for text in inline_commands(page):
        if "sweep.{" in text or page == "CHANGELOG.md":
            continue
        words = text.split()
        found, rest = _parse(words)
        if found is None or isinstance(found, Forwarded):
            continue
        known = {name for parameter in typer.main.get_command(found.app()).params for name in parameter.opts}
        flags = {word.partition("=")[0] for word in rest if word.startswith("--") and len(word) > 2} - {"--help"}
        assert flags <= known, f"{page}: {text}"


@pytest.mark.parametrize("page", PAGES)
def test_sweep_configs_are_valid(page, tmp_path):
    for number, (line, text) in enumerate(blocks(page, "yaml")):
        keys = YAML(typ="safe", pure=True).load(text)
        if not isinstance(keys, dict) or not set(keys) <= set(SweepConfig.model_fields):
            continue
        if "name" not in keys:  # a part of one
            base = {
                "name": "part",
                "data": {"source": "phantom-a", "target": "phantom-b"},
                "fixed": {"colorizer": "none"},
            }
            if "search" in keys and any("colorizer" in str(value) for value in keys["search"].values()):
                base["grid"] = {"colorizer": ["none", "coloru"]}
                base["fixed"] = {}
            keys = base | keys
        path = tmp_path / f"{number}.yaml"
        with path.open("w") as file:
            YAML(typ="safe", pure=True).dump(keys, file)
        assert load_config(path).name == keys["name"], f"{page}:{line}"


def test_python_blocks_can_be_read():
    for page in PAGES:
        for _, text in blocks(page, "python"):
            ast.parse(text)


def test_config_page_names_every_key():
    page = text_of("docs/config.md")
    for name, section in SweepConfig.model_fields.items():
        assert name in page, name
        for key in getattr(section.annotation, "model_fields", {}):
            assert re.search(rf"`(?:{name}\.)?{key}`", page) or f"{key}:" in page, f"{name}.{key}"


def test_data_page_names_every_importer():
    from sweep.importers import IMPORTERS

    named = set(re.findall(r"`([\w-]+)`", (ROOT / "docs" / "data.md").read_text()))
    assert {name for name in IMPORTERS if not name.startswith("phantom")} <= named


def test_architecture_page_holds_the_import_table():
    page = text_of("docs/architecture.md")
    assert page == rewritten(page), "run: python -m tests.docs.import_table"


def test_gallery_page_holds_every_shipped_config_with_its_question():
    page = text_of("docs/gallery.md")
    assert page == gallery.rewritten(page), "run: python -m tests.docs.gallery"
    for name in shipped_configs():
        picture = gallery.PICTURES / f"{name}.webp"
        assert picture.is_file(), f"run: python -m tests.docs.gallery --run FOLDER {name}"
        assert 0 < picture.stat().st_size <= gallery.LARGEST and f"(gallery/{name}.webp)" in page


def test_api_page_names_the_whole_api():
    named = set(re.findall(r"`rf\.(\w+)\(", text_of("docs/api.md")))
    assert named == set(recipe_finder.__all__) - {"__version__"}


def test_contributing_names_tables_and_tests_that_exist():
    rows = re.findall(r"`(\w+)` in `([\w/]+\.py)` \| `(tests/[\w/.]+)`", text_of("CONTRIBUTING.md"))
    assert len(rows) >= 9
    for table, module, test in rows:
        assert re.search(rf"^{table}\b.*[=:]", (ROOT / module).read_text(), re.MULTILINE), (table, module)
        assert (ROOT / test).is_file(), test


def test_readme_and_help_name_the_same_commands():
    named = set(
        re.findall(
            r"(?<![=\w-])recipe-finder ([a-z][a-z-]*)",
            " ".join(text_of(page) for page in PAGES if page != "CHANGELOG.md"),
        )
    )
    assert named <= {name for rows in SECTIONS.values() for name in rows}
