"""Credentials found by their shape: in values, in arguments of commands, in the text of scripts.

A cluster file is committed, so a secret in it has been published. Names such as `password` and the published prefixes of access keys are
recognized, and long random-looking words whatever they are called.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import lru_cache

from cluster.document import Document
from sweep.core.errors import InputError

FIX = "take it out, and make a new one: this one has been seen"

_PREFIXED = (
    (re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"), "an AWS access key"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"), "a private key"),
    (re.compile(r"\b(gh[opsur]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,})"), "a token of a code forge"),
    (re.compile(r"\b(hf_[A-Za-z0-9]{20,}|sk-[\w-]{20,}|npm_[A-Za-z0-9]{20,}|xox[abprs]-[\w-]{10,})"), "an API token"),
    (re.compile(r"\bAIza[\w-]{30,}|\bya29\.[\w-]{20,}"), "a Google credential"),
    (re.compile(r"\beyJ[\w-]{10,}\.[\w-]{10,}"), "a JSON web token"),
    (re.compile(r"(?i)\b(AccountKey|SharedAccessSignature|sig)=[\w%+/]{16,}"), "an Azure credential"),
    (re.compile(r"://[^/\s:@$]+:[^@\s/$]+@"), "a password in a URL"),
    (re.compile(r"(?i)\bbearer\s+[\w.~+/-]{8,}"), "a bearer token"),
)
_ASSIGNED = re.compile(r"(?<![\w-])-{0,2}([A-Za-z][\w-]*)\s*[=:]\s*[\"']?([^\s\"',;]+)")
_OPTION = re.compile(r"(?<![\w-])--([a-z][\w-]*)\s+[\"']?([^\s\"',;-][^\s\"',;]*)")
_SECRET_WORDS = {
    *("secret", "secrets", "token", "password", "passwd", "pwd", "passphrase", "credential", "credentials"),
    *("apikey", "accesskey", "secretkey", "privatekey"),
}
_SECRET_PAIRS = {("api", "key"), ("access", "key"), ("account", "key"), ("private", "key"), ("encryption", "key")}
_NOT_THE_SECRET = {"path", "file", "name", "mode", "id", "dir", "url", "ref", "ttl", "type"}  # as in token_path
_REFERENCE = re.compile(r"[~/$<{(]|file:|\.\.?/|(s3|gs)://|(token|disabled|required|optional|true|false|null|none)$")
_RANDOM = re.compile(r"(?<![\w+/=.:-])[A-Za-z0-9+/_]{28,}={0,2}(?![\w+/=])")
_DIGESTS = re.compile(r"(sha256|sha512|md5)[:=][0-9a-f]+")


@lru_cache(maxsize=4096)  # files repeat their texts
def secret_in(text: str) -> str | None:
    """What kind of credential a text holds, None for none."""
    for pattern, kind in _PREFIXED:
        if pattern.search(text):
            return kind
    for pattern in (_ASSIGNED, _OPTION):
        for name, value in pattern.findall(text):
            if is_secret_name(name) and not _REFERENCE.match(value):
                return f"a secret ({name})"
    words = _RANDOM.findall(_DIGESTS.sub("", text))
    return "a long random-looking word, as secrets are" if any(map(_looks_random, words)) else None


def is_secret_name(name: str) -> bool:
    """Whether a key, a variable or an option of this name holds a credential: RAY_AUTH_TOKEN does, token_path does not."""
    parts = [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)]
    if not parts or parts[-1] in _NOT_THE_SECRET:
        return False
    return bool(_SECRET_WORDS & set(parts) or _SECRET_PAIRS & set(itertools.pairwise(parts)))


def no_secret_is_written(document: Document) -> Iterator[InputError]:
    """Every value of a document that is a credential, by its name or by its shape."""
    for place, value in document.scalars():
        if not isinstance(value, str) or not value:
            continue
        kind = secret_in(value)
        if kind is None and is_secret_name(str(place[-1])) and not _REFERENCE.match(value):
            kind = "a secret"
        if kind is None and place[-1] == "value" and is_secret_name(str(document.at((*place[:-1], "name")))):
            kind = f"a secret ({document.at((*place[:-1], 'name'))}); use valueFrom.secretKeyRef"
        if kind:
            yield document.violation(place, f"holds {kind}", FIX)


def secrets_in_lines(text: str) -> Iterator[InputError]:
    """The lines of a script that hold a credential, comments among them."""
    for number, line in enumerate(text.splitlines(), 1):
        kind = secret_in(line)
        if kind:
            yield InputError(f"line {number}", f"holds {kind}", FIX)


def _looks_random(word: str) -> bool:
    """Hexadecimal with letters and digits, or upper case, lower case and several digits mixed; words of a path are neither."""
    digits = sum(letter.isdigit() for letter in word)
    if re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", word):
        return 0 < digits < len(word)
    return digits >= 3 and word.lower() != word and word.upper() != word
