"""The layer under every command: help pages, exit codes, groups."""

from typing import Annotated

import pytest
import typer

from sweep.core.command_line import EXITS, Command, CommandGroup, Forwarded, Row, key_values, one_of
from sweep.core.durations import duration
from sweep.core.errors import InputError


def greet(
    name: Annotated[str, typer.Argument(help="Who is greeted.", show_default=False)],
    words: Annotated[str, typer.Option(**one_of(("hello", "good day")), help="What is said.")] = "hello",
    page: Annotated[str | None, typer.Option(metavar="[FILE]", help="Where to.", show_default="NAME.txt")] = None,
) -> int:
    """Greet somebody."""
    if name == "nobody":
        raise InputError("NAME", "nobody is there", "name somebody")
    if name == "ctrl-c":
        raise KeyboardInterrupt
    print(words, name, page)
    return 3 if name == "failed" else 0


main = Command(greet, examples=("{} world",), exits={**EXITS, 3: "failed"}, optional_values={"--page": "page.txt"})


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["world"], 0),
        (["failed"], 3),
        (["nobody"], 2),
        (["ctrl-c"], 130),
        ([], 2),
        (["world", "--nix"], 2),
        (["--help"], 0),
    ],
)
def test_the_exit_code_is_returned(words, code):
    assert main(words) == code


def test_help_shows_defaults_examples_and_exit_codes_in_plain_text(capsys):
    main(["--help"])
    page = " ".join(capsys.readouterr().out.split())
    assert "greet" not in page.split("Greet")[0] and "[OPTIONS] NAME" in page
    assert "[default: hello]" in page and "[default: (NAME.txt)]" in page and "hello|good day" in page
    assert "Examples: python -m test_command_line world" in page.replace("tests.unit.core.", "")
    assert "0 done 2 the input is wrong" in page and "3 failed 130 stopped by hand" in page


def test_errors_name_arguments_and_flags(capsys):
    main([])
    assert "Missing argument 'NAME'" in capsys.readouterr().err
    main(["world", "--words", "nix"])
    assert "Invalid value for '--words': 'nix' is not one of hello, good day" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "page"),
    [
        (["x"], "None"),
        (["x", "--page"], "page.txt"),
        (["--page", "--words", "hello", "x"], "page.txt"),
        (["x", "--page", "a"], "a"),
    ],
)
def test_an_option_that_may_stand_alone(capsys, words, page):
    assert main(words) == 0 and capsys.readouterr().out == f"hello x {page}\n"


def test_group_lists_without_importing_and_suggests(capsys):
    def late(words, program):
        print(program, words)
        return 7

    rows = {
        "greet": Row("greets", main),
        "nowhere": Row("is not there", "no.such.module:main"),
        "late": Row("own", Forwarded(late)),
    }
    group = CommandGroup("Two commands.", "tests", {"Commands": rows}, version=lambda: "1.2.3")
    assert group(["--help"]) == 0 and "is not there" in capsys.readouterr().out
    assert group(["--version"]) == 0 and capsys.readouterr().out == "1.2.3\n"
    assert group(["gret", "x"]) == 2 and "Did you mean 'greet'?" in capsys.readouterr().err
    assert group(["greet", "failed"]) == 3
    capsys.readouterr()
    assert group(["late", "--help", "x"]) == 7 and capsys.readouterr().out == "python -m tests late ['--help', 'x']\n"


def test_key_values():
    assert key_values(["a.b=1", "c=x=y"]) == {"a.b": "1", "c": "x=y"}
    for wrong in ("a", "=1"):
        with pytest.raises(typer.BadParameter, match="no '='"):
            key_values([wrong])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (190, "3 min 10 s"),
        (18720, "5 h 12 min"),
        (0.44, "0.4 s"),
        (2.0, "2 s"),
        (9.96, "10 s"),
        (183600, "2 d 3 h"),
        (7200, "2 h"),
        (172800, "2 d"),
    ],
)
def test_durations_are_said_in_one_way(seconds, text):
    assert duration(seconds) == text
