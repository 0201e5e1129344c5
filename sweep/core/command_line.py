"""One look for all commands: a function's signature is the command line, its docstring the help; examples and exit codes follow.

Help is plain text: brackets such as [default: ...] are not read as markup, and a pipe gets the same lines as a terminal.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from sweep.core.errors import EXIT_BAD_INPUT, EXIT_COMPLETE, EXIT_STOPPED, guarded

EXITS: Mapping[int, str] = {
    EXIT_COMPLETE: "done",
    EXIT_BAD_INPUT: "the input is wrong: the message names the place, the value and the fix",
    EXIT_STOPPED: "stopped by hand",
}
_TYPE = re.compile(r"<(?:list\[)?(\w+)\]?>")  # how typer writes the type of an option without a metavar
_TYPE_NAMES = {"str": "TEXT", "int": "N", "float": "NUMBER", "path": "PATH"}
_WIDTH = 110  # columns of a help page, where the terminal has as many
_INDENT = 2  # of an example
_WORDS = re.compile(r"(?:'[^']*'|\"[^\"]*\"|[^\s'\"])+")  # of a shell command; a quoted text is one


@dataclass(frozen=True)
class Command:
    """A function that returns an exit code, as a command; calling it with the words of a command line returns that code.

    `examples` holds one command line each, with {} for the command's own name. `optional_values` are options that may be given
    without a value, with the value that they then have.
    """

    function: Callable[..., int]
    examples: tuple[str, ...] = ()
    exits: Mapping[int, str] = field(default_factory=lambda: EXITS)
    optional_values: Mapping[str, str] = field(default_factory=dict)

    def app(self) -> typer.Typer:
        """The typer application of this command alone."""
        facts = {"examples": self.examples, "exits": self.exits, "optional_values": self.optional_values}
        app = _new_app()
        settings = {"max_content_width": _WIDTH}
        app.command(cls=type("Described", (_Described,), facts), context_settings=settings)(_exiting(self.function))
        return app

    def click_command(self, name: str) -> Any:
        """The command under another name, for a group."""
        command = typer.main.get_command(self.app())
        command.name = name
        return command

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        """Run the command line (sys.argv without arguments); returns the exit code."""
        return _run(self.app(), arguments, self.function.__module__)


@dataclass(frozen=True)
class Forwarded:
    """A command that reads its own command line, in a group: every word behind its name goes to `main`."""

    main: Callable[[list[str], str], int]

    def click_command(self, name: str) -> Any:
        """The command for a group."""
        app = _new_app()

        def forward(ctx: typer.Context) -> None:
            raise typer.Exit(self.main(ctx.args, ctx.command_path))

        settings: dict[str, Any] = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
        app.command(context_settings=settings)(forward)
        command = typer.main.get_command(app)
        command.name = name
        return command


@dataclass(frozen=True)
class Row:
    """A command of a group: one sentence, and the command or where it is ('module:name'), which is imported when it is used."""

    about: str
    command: Command | CommandGroup | Forwarded | str

    def load(self) -> Command | CommandGroup | Forwarded:
        """The command itself."""
        if not isinstance(self.command, str):
            return self.command
        module, _, name = self.command.partition(":")
        loaded: Command | CommandGroup | Forwarded = getattr(importlib.import_module(module), name)
        return loaded


@dataclass(frozen=True)
class CommandGroup:
    """Commands under one name: `sections` maps a heading to its rows.

    `version`, where given, adds --version and shell completion; `listing` adds --list, which prints it. `arrange` puts the words of
    a command line, without the group's own name, in the order in which they are parsed. `unlisted` gives the command of a name that no section lists; it
    raises InputError for one that is none.
    """

    about: str
    module: str
    sections: Mapping[str, Mapping[str, Row]]
    examples: tuple[str, ...] = ()
    version: Callable[[], str] | None = None
    listing: Callable[[], str] | None = None
    arrange: Callable[[Sequence[str]], list[str]] | None = None
    unlisted: Callable[[str], Command] | None = None

    def app(self) -> typer.Typer:
        """The typer application of the group."""
        facts = {"sections": self.sections, "examples": self.examples, "exits": EXITS, "own": self}
        app = _new_app(add_completion=self.version is not None)
        settings = {"max_content_width": _WIDTH}
        group = type("Table", (_Table,), facts)
        app.callback(cls=group, help=self.about, no_args_is_help=True, context_settings=settings)(self._options())
        return app

    def click_command(self, name: str) -> Any:
        """The group under another name, for a group above it."""
        command = typer.main.get_command(self.app())
        command.name = name
        return command

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        """Run the command line (sys.argv without arguments); returns the exit code."""
        return _run(self.app(), arguments, self.module)

    def _options(self) -> Callable[..., None]:
        text, flag, about = self.version, "--version", "Print the version and exit."
        if text is None:
            text, flag, about = self.listing, "--list", "Print a line on each command and exit."
        if text is None:
            return lambda: None

        def show(asked: bool) -> None:
            if asked:
                typer.echo(text())
                raise typer.Exit

        def options(
            asked: bool = typer.Option(False, flag, help=about, callback=show, is_eager=True),
        ) -> None:
            """The options before the command's name; all of them end the program by themselves."""

        return options


def run_as_program(main: Callable[[], int], module: str) -> None:
    """End the program with the code of `main`, where `module` (its __name__) was started by python -m; otherwise do nothing."""
    if module == "__main__":
        sys.exit(main())


def one_of(names: Iterable[str]) -> dict[str, Any]:
    """Keywords of a typer option that takes one of these names: shown in the help, checked, completed by the shell."""
    known = tuple(names)

    def check(value: str | None) -> str | None:
        if value is not None and value not in known:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(known)}")
        return value

    return {"callback": check, "metavar": "|".join(known), "autocompletion": lambda: list(known)}


def key_values(texts: Iterable[str] | None, option: str = "--set") -> dict[str, str]:
    """['a.b=1'] as {'a.b': '1'}; a text without '=' is a mistake of the option named."""
    pairs = {}
    for text in texts or ():
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            raise typer.BadParameter(f"{text!r} has no '='; write it like data.image_px=64", param_hint=option)
        pairs[key.strip()] = value
    return pairs


class _Page:
    """The help page: usage, arguments and options by the names in the text, then examples and exit codes."""

    examples: ClassVar[tuple[str, ...]] = ()
    exits: ClassVar[Mapping[int, str]] = {}

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        named = [
            (_argument_name(parameter), parameter.required)
            for parameter in self.get_params(ctx)  # type: ignore[attr-defined]
            if _is_argument(parameter)
        ]
        end = [self.subcommand_metavar] if isinstance(self, TyperGroup) else []
        return ["[OPTIONS]", *(name if required else f"[{name}]" for name, required in named), *end]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments, options = [], []
        for parameter in self.get_params(ctx):  # type: ignore[attr-defined]
            record = parameter.get_help_record(ctx)
            if record is not None and _is_argument(parameter):
                arguments.append((_argument_name(parameter), record[1]))
            elif record is not None:
                options.append((_TYPE.sub(lambda found: _TYPE_NAMES.get(found[1], "VALUE"), record[0]), record[1]))
        for heading, rows in (("Arguments", arguments), ("Options", options)):
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)
        if isinstance(self, TyperGroup):
            self.format_commands(ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    for line in _continued(example.format(ctx.command_path), formatter.width - _INDENT):
                        formatter.write(f"{' ' * _INDENT}{line}\n")
        if self.exits:
            with formatter.section("Exit codes"):
                formatter.write_dl([(str(code), meaning) for code, meaning in sorted(self.exits.items())])


class _Described(_Page, TyperCommand):
    optional_values: ClassVar[Mapping[str, str]] = {}

    def __init__(self, *words: Any, **facts: Any) -> None:
        super().__init__(*words, **facts)
        for parameter in filter(_is_argument, self.params):  # errors name an argument as the help page does
            parameter.metavar = _argument_name(parameter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Options that may stand without a value get theirs where none follows."""
        whole = []
        for word, following in zip(args, [*args[1:], "--"], strict=False):
            bare = word in self.optional_values and following.startswith("-")
            whole += [word, self.optional_values[word]] if bare else [word]
        return super().parse_args(ctx, whole)


class _Table(_Page, TyperGroup):
    sections: ClassVar[Mapping[str, Mapping[str, Row]]] = {}
    own: ClassVar[CommandGroup]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words in the group's own order."""
        return super().parse_args(ctx, args if self.own.arrange is None else self.own.arrange(args))

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for rows in self.sections.values() for name in rows]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        row = next((rows[cmd_name] for rows in self.sections.values() if cmd_name in rows), None)
        if row is not None:
            return row.load().click_command(cmd_name)
        return None if self.own.unlisted is None else self.own.unlisted(cmd_name).click_command(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Unknown names are answered from the table alone; typer's own suggestion would look in its own, empty one."""
        self.commands: Any = dict.fromkeys(self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The table's own sentences: no command is imported to list it."""
        for heading, rows in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name, row.about) for name, row in rows.items()])


def _continued(command: str, width: int) -> list[str]:
    """A shell command on as many lines as `width` columns need, each but the last with a backslash at its end."""
    lines = [""]
    for word in _WORDS.findall(command):
        if lines[-1] and len(f"{lines[-1]} {word} \\") > width:
            lines.append("  ")
        lines[-1] += word if not lines[-1].strip() else f" {word}"
    return [*(f"{line} \\" for line in lines[:-1]), lines[-1]]


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _argument_name(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.strip("_").upper())


def _new_app(add_completion: bool = False) -> typer.Typer:
    return typer.Typer(rich_markup_mode=None, add_completion=add_completion, pretty_exceptions_enable=False)


def _exiting(function: Callable[..., int]) -> Callable[..., None]:
    @functools.wraps(function)
    def command(**given: Any) -> None:
        def stoppable() -> int:
            try:
                return function(**given)
            except KeyboardInterrupt:
                typer.echo("stopped", err=True)
                return EXIT_STOPPED

        raise typer.Exit(guarded(stoppable))

    command.__doc__ = inspect.cleandoc(function.__doc__ or "")
    return command


def _run(app: typer.Typer, arguments: Sequence[str] | None, module: str) -> int:
    named = arguments is not None and module != "__main__"  # else from sys.argv, which knows the console script too
    name = f"python -m {module.removesuffix('.__main__')}" if named else None

    def parsed_and_run() -> int:
        try:
            app(None if arguments is None else list(arguments), prog_name=name)
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        return EXIT_COMPLETE

    return guarded(parsed_and_run)  # what a name beyond a table means may be refused while the command line is read
