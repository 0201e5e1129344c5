"""The live page in a real browser while a sweep runs: it renews itself, keeps to its policy and to the accessibility rules."""

import threading
from urllib.request import urlopen

import pytest

from analysis import serve
from analysis.freshness import ledger_version
from analysis.serve import make_server
from sweep.run import run_sweep
from tests.fakes.accessibility import CHECK
from tests.fakes.browser import CHROMIUM, visit, watch_address
from tests.fakes.run_folder import write_ledger
from tests.fakes.sweep_config import write_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
TINY = """
name: live
data: {source: phantom-a, target: phantom-b, image_px: 32, phantom_patients: 24}
objectives: [{metric: auroc/target, goal: maximize}]
grid: {colorizer: [none]}
fixed: {backbone: small_cnn, epochs: 1}
seeds: 2
resources: {engine: inline}
"""


@pytest.fixture
def served(tmp_path):
    (tmp_path / "run").mkdir()
    server = make_server(tmp_path / "run")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_the_page_follows_a_running_sweep(served, tmp_path):
    run = tmp_path / "run"
    for number, words in enumerate(("Nothing to rank yet", "leaderboard")):
        place = tmp_path / f"visit-{number}"
        place.mkdir()
        seen = watch_address(served, place, 10)
        html = seen.answer["html"]
        assert words in html and "connect-src 'self'" in html.replace("&#39;", "'")
        assert seen.console == [] and seen.requests and all(one.startswith(served) for one in seen.requests)
        with urlopen(served) as answer:  # as sent: the browser writes its document in another spelling
            checked = visit(answer.read().decode(), CHECK, place).answer
        assert checked.get("found") == []
        if not number:
            assert run_sweep(write_config(tmp_path, TINY), {}, False, False, str(run), None) == 0


def test_an_open_page_renews_itself(served, tmp_path, monkeypatch):
    """The first record is written while the browser has the page open: at the third time that it is asked for the ledger's state."""
    asked = []

    def version(folder):
        asked.append(1)
        if len(asked) == 4:
            record = {"event": "finish", "signature": "alpha", "seed": 0, "config": {"backbone": "alpha"}, "study": {}}
            figures = {"metrics": {"auroc/target": 0.7, "auroc/source_val": 0.7}, "seconds": {"total": 2.0}}
            write_ledger(tmp_path / "run", [{**record, **figures, "stages": [], "alarms": []}])
        return ledger_version(folder)

    (tmp_path / "run" / "records").mkdir()
    monkeypatch.setattr(serve, "ledger_version", version)
    seen = watch_address(served, tmp_path, 40)
    assert len(asked) > 4 and "Nothing to rank yet" not in seen.answer["html"] and "alpha" in seen.answer["html"]
    assert seen.console == []
