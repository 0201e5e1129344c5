"""Notices of three clouds from a metadata service on loopback -> the drain command, with its reason and deadline."""

import json
import sys
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cluster.spot_watch import CLOUDS, Notice, drain, main

SOON = datetime.now(UTC) + timedelta(seconds=90)


class Metadata:
    """A metadata service: `pages` is path -> (status, body); what was asked is kept with its headers."""

    def __init__(self):
        self.pages, self.asked = {}, []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                service.asked.append(
                    (self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
                )
                status, body = service.pages.get(self.path, (404, "not found"))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            do_GET = do_PUT = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def metadata():
    service = Metadata()
    yield service
    service.server.shutdown()
    service.server.server_close()


@pytest.fixture
def fake_drain(tmp_path):
    """A drain command that writes down its arguments, and fails as often as `failures` says."""
    log, script = tmp_path / "drained.jsonl", tmp_path / "drain.py"
    script.write_text(
        "import json, sys, pathlib\n"
        f"log = pathlib.Path({str(log)!r})\n"
        "tries = log.read_text().count(chr(10)) if log.exists() else 0\n"
        "log.open('a').write(json.dumps(sys.argv[2:]) + chr(10))\n"
        "sys.exit(tries < int(sys.argv[1]))\n"
    )

    def command(failures=0):
        return [sys.executable, str(script), str(failures)]

    command.calls = lambda: [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return command


AWS_TOKEN, AWS_PAGE = "/latest/api/token", "/latest/meta-data/spot/instance-action"
GCP_PAGE = "/computeMetadata/v1/instance/preempted"
AZURE_PAGE, AZURE_NAME = (
    "/metadata/scheduledevents?api-version=2020-07-01",
    "/metadata/instance/compute/name?api-version=2021-02-01&format=text",
)


def azure_events(*events):
    return 200, json.dumps({"DocumentIncarnation": 1, "Events": list(events)})


def event(kind="Preempt", machine="me", before=SOON):
    return {
        "EventId": "1",
        "EventType": kind,
        "Resources": [machine],
        "EventStatus": "Scheduled",
        "NotBefore": format_datetime(before, usegmt=True) if before else "",
    }


QUIET = {
    "aws": {AWS_TOKEN: (200, "t0ken"), AWS_PAGE: (404, "")},
    "gcp": {GCP_PAGE: (200, "FALSE")},
    "azure": {AZURE_PAGE: azure_events(), AZURE_NAME: (200, "me")},
}
NOTICED = {
    "aws": {
        AWS_TOKEN: (200, "t0ken"),
        AWS_PAGE: (200, json.dumps({"action": "terminate", "time": SOON.strftime("%Y-%m-%dT%H:%M:%SZ")})),
    },
    "gcp": {GCP_PAGE: (200, "TRUE")},
    "azure": {AZURE_PAGE: azure_events(event()), AZURE_NAME: (200, "me")},
}


@pytest.mark.parametrize("cloud", CLOUDS)
class TestEveryCloud:
    def test_no_notice_while_there_is_none(self, cloud, metadata):
        metadata.pages = QUIET[cloud]
        assert CLOUDS[cloud][0](metadata.url) is None

    def test_notice_with_the_time_left(self, cloud, metadata):
        metadata.pages = NOTICED[cloud]
        notice = CLOUDS[cloud][0](metadata.url)
        assert notice is not None
        assert notice.seconds == 30 if cloud == "gcp" else 0 < notice.seconds <= 90

    def test_a_failing_service_is_no_notice(self, cloud, metadata):
        metadata.pages = {path: (503, "busy") for path in NOTICED[cloud]}
        assert CLOUDS[cloud][0](metadata.url) is None

    def test_an_unreachable_service_is_no_notice(self, cloud):
        assert CLOUDS[cloud][0]("http://127.0.0.1:9") is None

    def test_watched_until_the_notice_then_drained(self, cloud, metadata, fake_drain):
        metadata.pages = QUIET[cloud]
        threading.Timer(0.15, lambda: setattr(metadata, "pages", NOTICED[cloud])).start()
        arguments = [
            "--cloud",
            cloud,
            "--endpoint",
            metadata.url + "/",
            "--interval",
            "0.02",
            "--drain",
            " ".join(fake_drain()),
        ]
        assert main(arguments) == 0
        (call,) = fake_drain.calls()
        assert call[:2] == ["--reason", "DRAIN_NODE_REASON_PREEMPTION"] and call[2] == "--reason-message"
        assert call[4] == "--deadline-remaining-seconds" and 1 <= int(call[5]) <= 90
        assert len(metadata.asked) > 2


def test_aws_is_asked_with_a_session_token(metadata):
    metadata.pages = NOTICED["aws"]
    CLOUDS["aws"][0](metadata.url)
    (put, _, put_headers), (get, _, get_headers) = metadata.asked
    assert (put, get) == ("PUT", "GET") and "x-aws-ec2-metadata-token-ttl-seconds" in put_headers
    assert get_headers["x-aws-ec2-metadata-token"] == "t0ken"


def test_headers_without_which_the_other_clouds_refuse(metadata):
    for cloud, name in (("gcp", "metadata-flavor"), ("azure", "metadata")):
        metadata.pages = NOTICED[cloud]
        CLOUDS[cloud][0](metadata.url)
        assert name in metadata.asked[-1][2]


@pytest.mark.parametrize(
    ("events", "noticed"),
    [
        ([event(machine="other")], False),
        ([event("Freeze")], False),
        ([event(machine="other"), event("Terminate")], True),
        ([event(before=None)], True),
    ],
)
def test_azure_lists_events_of_the_whole_group(metadata, events, noticed):
    metadata.pages = {AZURE_PAGE: azure_events(*events), AZURE_NAME: (200, "me")}
    assert (CLOUDS["azure"][0](metadata.url) is not None) == noticed


def test_proxy_settings_are_not_followed(metadata, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    metadata.pages = NOTICED["gcp"]
    assert CLOUDS["gcp"][0](metadata.url) is not None


def test_answer_that_cannot_be_understood_is_passed_over(metadata, fake_drain):
    metadata.pages = {AWS_TOKEN: (200, "t"), AWS_PAGE: (200, "<html>")}
    threading.Timer(0.1, lambda: setattr(metadata, "pages", NOTICED["aws"])).start()
    assert (
        main(["--cloud", "aws", "--endpoint", metadata.url, "--interval", "0.02", "--drain", " ".join(fake_drain())])
        == 0
    )


def test_drain_is_tried_again_until_accepted(fake_drain):
    assert drain(fake_drain(failures=2), Notice("gone", 30), retry_s=0.01)
    assert len(fake_drain.calls()) == 3


def test_drain_gives_up_when_the_machine_is_gone(fake_drain):
    assert not drain(fake_drain(failures=10**6), Notice("gone", 0.3), retry_s=0.05)


def test_drain_command_that_is_not_there():
    assert not drain(["no-such-command"], Notice("gone", 0.1), retry_s=0.05)


def test_options_are_those_of_ray():
    from ray.scripts.scripts import drain_node

    names = {name for option in drain_node.params for name in option.opts}
    assert {"--reason", "--reason-message", "--deadline-remaining-seconds", "--node-id"} <= names
    reason = next(option for option in drain_node.params if "--reason" in option.opts)
    assert "DRAIN_NODE_REASON_PREEMPTION" in reason.type.choices
