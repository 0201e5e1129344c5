"""Commands in a cluster file: what runs downloaded code, opens Ray to others, or weakens the container's isolation.

The text is read as a shell reads it: a comment is no command, so a commented-out setting counts as absent.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from functools import lru_cache

from cluster.document import Document, Place
from sweep.core.errors import InputError, suggestion

Finding = tuple[str, str]  # problem and fix

_SHELLS = r"(?:\S*/)?(?:ba|da|z|k)?sh\b|(?:\S*/)?(?:python[\d.]*|perl|ruby|node)\b"
_READ_FIRST = "install from requirements.lock, or from a file that was read before"
_TOKEN_OFF = re.compile(
    r"RAY_AUTH_MODE[\"']?(?:=|:\s*)[\"']?(?!token\b)|unset\s+RAY_AUTH_MODE|env\s+-u\s*RAY_AUTH_MODE"
)
_TOKEN_ON = (
    re.compile(  # exported, handed to a container, or in front of the command itself: otherwise Ray never sees it
        r"(?:^|[\s;&])(?:export\s+(?:\w+=\S*\s+)*|--env[ =]|-e[ =]?)RAY_AUTH_MODE=[\"']?token\b"
        r"|(?:^|[\s;&])RAY_AUTH_MODE=[\"']?token[\"']?\s+(?:\w+=\S*\s+)*\S*ray\s"
    )
)
_DANGERS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(rf"\|\s*(?:sudo\s+(?:-\S+\s+)*)?(?:{_SHELLS})(?!\s+[\w./-]+\.(?:py|sh))"),
        "runs whatever a pipe brings",
        _READ_FIRST,
    ),
    (
        re.compile(rf"(?:{_SHELLS}|eval|source|\.)\s+(?:-c\s+)?[\"']?(?:<\(|\$\(|`)\s*(?:curl|wget)\b"),
        "runs what it downloads",
        _READ_FIRST,
    ),
    (
        re.compile(rf"\b(?:curl|wget)\b[^|]*?(?:;|&&|\n)\s*(?:sudo\s+)?(?:{_SHELLS}|chmod\s+\S*[x7]|\./)"),
        "downloads a program and runs it",
        _READ_FIRST,
    ),
    (
        re.compile(r"--(?:privileged|cap-add|device|security-opt|userns|pid|ipc|uts|cgroupns)\b"),
        "weakens the container's isolation",
        "leave the flag out",
    ),
    (re.compile(r"docker\.sock"), "gives control of the machine's container service", "leave the mount out"),
    (
        re.compile(r"--dashboard-host[= ][\"']?(?!(?:127\.0\.0\.1|localhost)(?![\w.]))"),
        "the dashboard listens to the whole network",
        "write --dashboard-host=127.0.0.1 and reach it through SSH or kubectl port-forward",
    ),
    (
        re.compile(
            r"\bcurl\b[^;|&\n]*\s(?:-\w*k\w*|--insecure)\b|--no-check-certificate|--trusted-host|sslVerify=false"
        ),
        "accepts any certificate",
        "keep the check of certificates on",
    ),
    (re.compile(r"--(?:extra-)?index-url[= ]http://|StrictHostKeyChecking[= ]no"), "is not encrypted", "use https://"),
    (
        re.compile(r"\bchmod\s+(?:-\w+\s+)*(?:0?[0-7]?[0-7][2367][2367]|0?[0-7]?[0-7]{2}[2367]|[augo]*[ao]\+\w*w)\b"),
        "lets everybody write",
        "give the owner alone the right to write",
    ),
    (re.compile(r"\brm\s+(?:-\w+\s+)+[\"']?(?:/|~|\$HOME)[\"']?(?:\s|$|\*)"), "deletes everything", "name a folder"),
    (
        re.compile(r"/dev/tcp/|\b(?:nc|ncat|socat)\s+-\w*[le]|\bngrok\b|\bcloudflared\b|\bssh\s+(?:-\w+\s+)*-\w*R"),
        "lets others connect from outside",
        "reach the cluster through SSH or kubectl port-forward",
    ),
)
SWEEP_OPTIONS = {  # of sweep.run: name, and whether a value follows
    "--set": True,
    "--smoke": False,
    "--plan": False,
    "--storage": True,
    "--address": True,
    "--engine": True,
    "--help": False,
}


def without_comments(text: str) -> str:
    """A shell text with its comments blanked, and lines that end in a backslash joined; # inside quotes or words is no comment."""
    kept, quote, previous = [], "", "\n"
    letters = iter(text.replace("\\\n", " "))
    for letter in letters:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and previous.isspace():
            letter = next((later for later in letters if later == "\n"), "\n")
        kept.append(letter)
        previous = letter
    return "".join(kept)


def turns_token_on(text: str) -> bool:
    """Whether the commands set RAY_AUTH_MODE=token, and nothing later undoes it."""
    code = without_comments(text)
    return bool(_TOKEN_ON.search(code)) and not _TOKEN_OFF.search(code)


@lru_cache(maxsize=4096)  # files repeat their texts
def shell_findings(text: str) -> tuple[Finding, ...]:
    """Dangerous commands in a shell text."""
    return tuple(_shell_findings(text))


def _shell_findings(text: str) -> Iterator[Finding]:
    code = without_comments(text)
    if _TOKEN_OFF.search(code):
        yield "turns token authentication off", "write RAY_AUTH_MODE=token"
    for pattern, problem, fix in _DANGERS:
        found = pattern.search(code)
        if found:
            yield f"{problem} ({' '.join(found[0].split())})", fix
    try:
        shlex.split(code)
    except ValueError:
        yield "a quotation mark is not closed", "close it"


def commands_are_harmless(document: Document) -> Iterator[InputError]:
    """The dangerous commands in every text of a document: start commands, entrypoints, arguments, variables, init files."""
    for place, value in document.scalars():
        if place[-1] == "RAY_AUTH_MODE" and value != "token":
            yield document.violation(place, f"{value!r} turns token authentication off", "write token")
        if isinstance(value, str):
            for problem, fix in shell_findings(value):
                yield document.violation(place, problem, fix)
    for place, words in _argument_lists(document.tree, ()):
        for problem, fix in shell_findings(" ".join(words)):
            yield document.violation(place, problem, fix)


def sweep_findings(text: str) -> Iterator[Finding]:
    """What is wrong with a single command that runs a sweep: it runs more than one command, or an option of sweep.run is misspelt."""
    try:
        lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:
        return  # an unclosed quotation mark, which shell_findings names
    extra = next((word for word in words if set(word) <= set("();<>|&") or "`" in word or "$(" in word), None)
    if extra:
        yield f"runs more than the sweep ({extra})", "write one command: python -m sweep.run CONFIG --storage URL"
    before = words[: words.index("sweep.run")] if "sweep.run" in words else []
    if before not in (["python", "-m"], ["python", "-u", "-m"], ["python3", "-m"]):
        yield f"{' '.join(before) or 'nothing'} does not start Python with -m", "write python -m sweep.run"
    yield from sweep_option_findings(words)


def sweep_option_findings(words: Sequence[str]) -> Iterator[Finding]:
    """Unknown options of sweep.run, options without a value, and a second config, in the words of a command line."""
    if "sweep.run" not in words:
        return
    rest, configs = iter(words[words.index("sweep.run") + 1 :]), 0
    for word in rest:
        name, sign, _ = word.partition("=")
        if not word.startswith("-"):
            configs += 1
        elif name not in SWEEP_OPTIONS:
            yield f"sweep.run has no option {name}", suggestion(name, SWEEP_OPTIONS)
        elif SWEEP_OPTIONS[name] and not sign and not next(rest, ""):
            yield f"{name} has no value", "write it behind the option"
    if configs != 1:
        yield f"sweep.run gets {configs} sweep configs", "give one"


def _argument_lists(node: object, place: Place) -> Iterator[tuple[Place, list[str]]]:
    """Lists of words that together are a command line: command, args and options of containers."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _argument_lists(value, (*place, str(key)))
    elif isinstance(node, list):
        if place and place[-1] in ("command", "args", "run_options", "head_run_options", "worker_run_options"):
            yield place, [str(word) for word in node]
        else:
            for index, value in enumerate(node):
                yield from _argument_lists(value, (*place, index))
