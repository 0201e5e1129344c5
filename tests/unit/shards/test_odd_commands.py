"""The commands on shard folders, given what is no data set, or a place where writing would destroy one."""

import os
import shutil

import pytest

from sweep.shards.__main__ import main
from tests.fakes import damaged_shards


def _linked(folder):
    os.symlink(folder, folder.parent / "link")
    return folder.parent / "link"


def _pipe(path):
    path.unlink()
    os.mkfifo(path)
    return path.parent


WORDS = {
    "a file": (lambda s: ["verify", s / "manifest.json"], "a file, not the folder of a data set"),
    "a device": (lambda s: ["audit", "/dev/null"], "a file, not the folder of a data set"),
    "nothing": (lambda s: ["verify", ""], "not a usable address (it is empty)"),
    "two lines": (lambda s: ["verify", "a\nb"], "it has a NUL byte or a line break"),
    "unknown store": (lambda s: ["verify", "ftp://x/y"], "not a usable address"),
    "no bucket": (lambda s: ["audit", "s3://"], "it names no bucket"),
    "a pipe as part": (lambda s: ["verify", _pipe(s / damaged_shards.PART)], "listed in the manifest, but absent"),
    "a pipe as manifest": (lambda s: ["audit", _pipe(s / "manifest.json")], "no manifest.json"),
    "one folder by a link": (lambda s: ["audit", s, _linked(s)], "the folder is given twice"),
    "one folder by a detour": (lambda s: ["audit", s, s / ".." / s.name], "the folder is given twice"),
    "page over the manifest": (lambda s: ["audit", s, "--html", s / "manifest.json"], "would be lost"),
    "facts over a part": (lambda s: ["audit", s, "--json", s / damaged_shards.PART], "would be lost"),
    "page and facts in one file": (lambda s: ["audit", s, "--html", s.parent / "a", "--json", s.parent / "a"], "is the file of --html, too"),
    "page in a folder's place": (lambda s: ["audit", s, "--html", s.parent], "is a folder"),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return damaged_shards.write(tmp_path_factory.mktemp("shards") / "set")


@pytest.mark.parametrize("kind", WORDS)
def test_words_on_the_command_line(whole, tmp_path, capsys, kind):
    words, said = WORDS[kind]
    folder = tmp_path / "set"
    shutil.copytree(whole, folder)
    assert main([str(word) for word in words(folder)]) == 2
    message = capsys.readouterr().err
    assert said in message and "Traceback" not in message
    if "pipe" not in kind:
        assert all((folder / path.name).read_bytes() == path.read_bytes() for path in whole.iterdir())
