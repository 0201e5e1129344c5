"""Every shipped sweep config runs to its report with --smoke."""

from pathlib import Path

import pytest

from tests.integration import sweep_process

SPACES = sorted((sweep_process.REPOSITORY / "search_spaces").rglob("*.yaml"))


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_sweep_config_runs_with_smoke(path: Path, tmp_path):
    done = sweep_process.run(tmp_path, path, "--smoke", "--storage", tmp_path / "run", timeout_s=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
