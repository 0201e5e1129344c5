"""The live page and the terminal view follow the ledger, and nobody else is served."""

import http.client
import socket
import threading

import pytest

from analysis import serve, watch
from analysis.freshness import ledger_version
from analysis.serve import make_server
from sweep.core.errors import InputError
from tests.fakes.run_folder import write_ledger


def finish(signature, value):
    return {
        "event": "finish",
        "signature": signature,
        "seed": 0,
        "config": {"backbone": signature},
        "study": {},
        "metrics": {"auroc/target": value, "auroc/source_val": value},
        "seconds": {"total": 2.0},
        "stages": [],
        "alarms": [],
    }


@pytest.fixture
def served(tmp_path):
    (tmp_path / "records").mkdir()
    server = make_server(tmp_path)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def get(path="/", host=None):
        connection = http.client.HTTPConnection(*server.server_address[:2], timeout=20)
        connection.request("GET", path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer

    yield tmp_path, server, get
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_waits_then_shows_and_follows(served):
    folder, _, get = served
    assert "Nothing to rank yet" in get()[1]
    first = get("/version")[1]
    write_ledger(folder, [finish("alpha", 0.7)])
    status, html, answer = get()
    assert status == 200 and "alpha" in html and "connect-src &#39;self&#39;" in html
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["X-Frame-Options"] == "DENY"
    second = get("/version")[1]
    write_ledger(folder, [finish("alpha", 0.7), finish("beta", 0.8)])
    assert "beta" in get()[1] and len({first, second, get("/version")[1]}) == 3


def test_the_page_is_rendered_once_a_state(served, monkeypatch):
    folder, _, get = served
    write_ledger(folder, [finish("alpha", 0.7)])
    calls = []
    monkeypatch.setattr(
        serve,
        "build_page",
        lambda *a, **k: calls.append(1) or pytest.fail("rendered twice") if calls else _real(calls, *a, **k),
    )
    assert get()[0] == get()[0] == 200 and len(calls) == 1


def _real(calls, *arguments, **options):
    from analysis.page import build_page

    calls.append(1)
    return build_page(*arguments, **options)


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        (["localhost"], 200),
        (["localhost:9000"], 200),  # through a tunnel
        ([], 403),
        (["localhost", "evil.example"], 403),
        (["localhost", "localhost"], 403),
        (["localhost:9000@evil.example"], 403),
        (["localhost:"], 403),
        (["localhost.evil.example"], 403),
    ],
)
def test_one_host_header_that_names_this_machine(served, hosts, status):
    _, server, _ = served
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=20)
    connection.putrequest("GET", "/version", skip_host=True)
    for host in hosts:
        connection.putheader("Host", host)
    connection.endheaders()
    assert connection.getresponse().status == status


def test_a_connection_that_says_nothing_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "_TIMEOUT_S", 0.05)
    (tmp_path / "records").mkdir()
    with make_server(tmp_path) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with socket.create_connection(server.server_address[:2], timeout=20) as connection:
            assert connection.recv(1) == b""  # the server's end, without a request
        server.shutdown()


def test_only_this_machine_is_served(served):
    _, server, get = served
    assert server.server_address[0] == "127.0.0.1"
    assert get(host="evil.example")[0] == 403 and get(host="localhost:1")[0] == 200
    assert get("/../environment.json")[0] == get("/records/")[0] == 404


@pytest.mark.parametrize(
    ("folder", "port", "rule", "words"),
    [
        ("nowhere", 0, "source_val", "is no folder"),
        (".", 99_999, "source_val", "cannot be used"),
        (".", 0, "nix", "no selection rule"),
    ],
)
def test_bad_input(folder, port, rule, words):
    with pytest.raises(InputError, match=words):
        make_server(folder, port, rule)


def test_command_line_of_serve(capsys):
    assert serve.main(["nowhere"]) == 2 and capsys.readouterr().err.startswith("error: nowhere")


def test_version_changes_with_every_line_and_only_then(tmp_path):
    write_ledger(tmp_path, [finish("a", 0.5)])
    before = ledger_version(tmp_path)
    assert ledger_version(tmp_path) == before
    write_ledger(tmp_path, [finish("a", 0.5), finish("b", 0.5)])
    assert ledger_version(tmp_path) != before


def test_watch_prints_one_snapshot_a_change(tmp_path):
    (tmp_path / "records").mkdir()
    seen = watch.watch(tmp_path, "source_val", 3, period_s=0.01, once=False)
    assert "no record has finished" in next(seen)
    write_ledger(tmp_path, [finish("alpha", 0.7)])
    text = next(seen)
    assert "1 records finished, 2 s of work" in text and "alpha" in text
    write_ledger(tmp_path, [finish("alpha", 0.7), finish("beta", 0.8)])
    assert "beta" in next(seen)


def test_watch_once(run_folder, capsys):
    assert watch.main([str(run_folder), "--once"]) == 0
    assert "36 of 39 records finished, 1 failed" in capsys.readouterr().out
    assert watch.main(["nowhere"]) == 2
    assert watch.main([str(run_folder), "--once", "--by", "nix"]) == 2
