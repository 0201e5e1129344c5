"""A large import gives what a small one would, goes on after a kill, and decodes nothing twice."""

import os
import signal
import subprocess
import sys
import weakref
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from sweep.core.errors import InputError
from sweep.importers import blocks, import_dataset, pipeline
from sweep.importers.raw import Importer, RawImage
from sweep.shards.reader import read_manifest, read_metadata
from tests.fakes.pictures import save_grey

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Forty small images in two class folders."""
    folder = tmp_path_factory.mktemp("source")
    for number in range(40):
        save_grey(folder / ("well" if number % 2 else "ill") / f"{number:02d}.png", seed=number, height=24, width=24)
    return folder


@pytest.fixture
def whole(source, tmp_path):
    """The manifest of an import in one go."""
    return import_dataset("folder", source, tmp_path / "whole")


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 8)
    monkeypatch.setattr(pipeline, "BLOCK", 8)
    monkeypatch.setattr(blocks, "_WAVE", 3)


@pytest.fixture
def decoded(monkeypatch):
    """The files that were decoded, in order."""
    seen = []
    read = pipeline.decode
    monkeypatch.setattr(pipeline, "decode", lambda path, how: seen.append(path.name) or read(path, how))
    return seen


def hidden(folder):
    return [path for path in folder.iterdir() if path.name.startswith(".")]


def test_by_block_is_the_same_data_set(source, tmp_path, whole, small_blocks):
    told = []
    cut = import_dataset("folder", source, tmp_path / "cut", on_image=told.append)
    assert cut == whole and told == list(range(1, 41)) and not hidden(tmp_path)
    assert read_metadata(tmp_path / "cut").equals(read_metadata(tmp_path / "whole"))


def test_bad_images_of_several_blocks_count_together(source, tmp_path, small_blocks):
    folder = tmp_path / "bad"
    for path in source.rglob("*.png"):
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        (folder / path.parent.name / path.name).write_bytes(
            b"" if path.stem in ("02", "20", "33") else path.read_bytes()
        )
    with pytest.raises(InputError, match="33.png"):
        import_dataset("folder", folder, tmp_path / "two", skip_bad=2)
    assert not (tmp_path / "two").exists()
    manifest = import_dataset("folder", folder, tmp_path / "three", skip_bad=3)
    assert manifest.images == 37 and [Path(text.split(":")[0]).stem for text in manifest.settings["skipped"]] == [
        "02",
        "20",
        "33",
    ]


def test_a_stopped_import_goes_on_and_looks_at_changed_files_again(source, tmp_path, whole, small_blocks, decoded):
    def stop(done):
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_dataset("folder", source, tmp_path / "set", on_image=stop)
    assert not (tmp_path / "set").exists() and len(hidden(tmp_path)) == 1
    before = set(decoded)
    decoded.clear()
    first = next(path for path in sorted(source.rglob("*.png")) if path.name in before)
    os.utime(first, ns=(1, 1))
    assert import_dataset("folder", source, tmp_path / "set") == whole
    again = before & set(decoded)
    assert first.name in again and len(again) == 8  # the one block with the changed file
    assert not hidden(tmp_path)


def test_a_killed_process_leaves_what_the_next_one_needs(source, tmp_path, whole, small_blocks, decoded):
    script = (
        "import time\nfrom sweep.importers import blocks, import_dataset, pipeline\n"
        "blocks.BLOCK = pipeline.BLOCK = 8\nblocks._WAVE = 1\n"
        "def slowly(done):\n    print(done, flush=True)\n    time.sleep(0.2 if done > 9 else 0)\n"
        f"import_dataset('folder', {str(source)!r}, {str(tmp_path / 'set')!r}, on_image=slowly)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert next(line for line in process.stdout if line.strip() == "10")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "set").exists()
    decoded.clear()
    assert import_dataset("folder", source, tmp_path / "set") == whole
    assert len(decoded) <= 24 and not hidden(tmp_path)


def test_one_import_at_a_time(tmp_path):
    with (
        blocks.cache(tmp_path / "set"),
        pytest.raises(InputError, match="another process"),
        blocks.cache(tmp_path / "set"),
    ):
        pass


def test_repeated_ids_count_like_bad_images(source, tmp_path, small_blocks):
    table = source.parent / "twice.csv"
    names = [path.relative_to(source).as_posix() for path in sorted(source.rglob("*.png"))]
    table.write_text(
        "path,label\n" + "\n".join(f"{name},{name[:4]}" for name in [*names, names[3], "ill/not there.png"]) + "\n"
    )
    told = []
    with pytest.raises(InputError, match="not there"):
        import_dataset("csv", table, tmp_path / "one", root=str(source), skip_bad=1)
    manifest = import_dataset("csv", table, tmp_path / "set", root=str(source), skip_bad=2, on_skip=told.append)
    assert manifest.images == 40 and [str(error) for error in told] == manifest.settings["skipped"]
    assert (
        "comes twice" in manifest.settings["skipped"][0]
        and "row 43, column path: no image" in manifest.settings["skipped"][1]
    )


def fake_importer(alive, files, count=200):
    """An importer of decoded images, or of files; `alive` gets every array while something holds it."""

    def iterate(src, options):
        for number in range(count):
            pixels = np.full((16, 16), 100 + number % 100, np.uint8)
            key = id(pixels)
            alive.add(key)
            weakref.finalize(pixels, alive.discard, key)
            most.append(len(alive))
            yield RawImage(
                f"i{number}",
                "ab"[number % 2],
                pixels=None if files else pixels,
                bad=InputError("x", "y", "z") if files else None,
            )

    most = []
    return Importer("fake", "nothing", "none", "", "", iterate, "fake", needs_source=False), most


def test_an_import_of_decoded_images_holds_one_block(tmp_path, small_blocks):
    row, most = fake_importer(set(), files=False)
    manifest = pipeline.run_import("fake", row, None, tmp_path / "set", {})
    assert manifest.images == 200 and max(most) <= 2 * 8 + 2  # a block, and what was looked at ahead of it


@pytest.mark.parametrize(("files", "count", "given", "expected"), [
    (True, 19, None, 1), (True, 20, None, 7), (True, 20, 2, 2), (True, 12, 3, 3), (False, 20, None, 1), (False, 20, 4, 1),
])  # fmt: skip
def test_many_files_are_decoded_on_every_core(tmp_path, small_blocks, monkeypatch, files, count, given, expected):
    seen = []
    monkeypatch.setattr(pipeline, "_PARALLEL_FROM", 20)
    monkeypatch.setattr(pipeline.os, "cpu_count", lambda: 7)
    monkeypatch.setattr(pipeline, "_ray", lambda workers: nullcontext())
    monkeypatch.setattr(
        pipeline, "rows_by_block", lambda images, folder, job: seen.append((job.workers, len(list(images)))) or iter(())
    )
    with pytest.raises(InputError, match="no image"):
        settings = pipeline.Settings(workers=given)
        pipeline.run_import("fake", fake_importer(set(), files, count)[0], None, tmp_path / "set", {}, settings)
    assert seen == [(expected, count)]


def test_a_folder_that_cannot_be_made_is_named(source, small_blocks):
    with pytest.raises(InputError, match="cannot be written"):
        import_dataset("folder", source, "/proc/x/y")


@pytest.mark.slow  # starts Ray
@pytest.mark.e2e
def test_in_parallel_by_ray_data(source, tmp_path, whole, small_blocks):
    together = import_dataset("folder", source, tmp_path / "set", workers=2)
    assert together == whole and read_manifest(tmp_path / "set") == whole
    (source / "ill" / "98.png").write_bytes(b"not a picture")
    try:
        with pytest.raises(InputError, match="98.png.*not an image"):
            import_dataset("folder", source, tmp_path / "bad", workers=2)
    finally:
        (source / "ill" / "98.png").unlink()


@pytest.mark.e2e
@pytest.mark.slow
def test_relative_paths_are_those_of_this_process(source, tmp_path, monkeypatch, whole, small_blocks):
    """Ray may have been started from another folder than the one this process works in now."""
    with pipeline._ray(2):
        monkeypatch.chdir(source.parent)
        assert import_dataset("folder", source.name, tmp_path / "set", workers=2) == whole
