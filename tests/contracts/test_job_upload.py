"""What `ray job submit --working-dir .` sends: all of the code, nothing of git, environments, data and results, and little of it."""

import subprocess

from ray._private.runtime_env.packaging import get_excludes_from_ignore_files

from cluster.versions import ROOT

MOST_BYTES = 4_000_000


def sent(path, excludes):
    """Files under `path` that are not excluded, the way Ray walks: an excluded folder is not entered."""
    for child in sorted(path.iterdir()):
        if (
            child.is_symlink()
            or any(exclude(child) for exclude in excludes)
            or (child.is_dir() and any(exclude(child / "x") for exclude in excludes))
        ):
            continue
        if child.is_dir():
            yield from sent(child, excludes)
        else:
            yield child


def test_upload_is_the_code_and_small():
    excludes = get_excludes_from_ignore_files(ROOT, include_gitignore=True)
    files = {path.relative_to(ROOT).as_posix() for path in sent(ROOT, excludes)}
    tracked = subprocess.run(
        ["git", "ls-files", "sweep", "analysis", "cluster", "search_spaces"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    code = {name for name in tracked.stdout.splitlines() if (ROOT / name).exists()} or {
        "sweep/run.py",
        "sweep/shards/reader.py",
    }
    assert code <= files, f"not sent: {sorted(code - files)[:5]}"
    forbidden = (".git/", ".venv", "results/", "shards/", "tests/", "build/", "dist/", ".hypothesis/", ".pytest_cache/")
    assert not [name for name in files if name.startswith(forbidden) or "__pycache__" in name]
    assert sum((ROOT / name).stat().st_size for name in files) < MOST_BYTES


def test_data_results_and_environments_stay_at_home(tmp_path):
    for name in (".rayignore", ".gitignore"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    kept = ("sweep/shards/reader.py", "sweep/run.py", "search_spaces/a.yaml")
    for name in (
        *kept,
        ".git/config",
        ".venv/bin/python",
        "results/a/ledger",
        "shards/busi/part.parquet",
        "tests/test_a.py",
        "sweep/__pycache__/run.pyc",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    files = {
        path.relative_to(tmp_path).as_posix()
        for path in sent(tmp_path, get_excludes_from_ignore_files(tmp_path, include_gitignore=True))
    }
    assert files == {*kept, ".rayignore", ".gitignore"}
