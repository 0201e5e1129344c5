"""A cloud's preemption notice -> a drain of this Ray node, so that trials save at once and move. Needs Python alone.

nohup python spot_watch.py --cloud aws > /tmp/spot_watch.log 2>&1 &

AWS gives about 120 s, Google Cloud and Azure 30 s. Ray is not told by itself on virtual machines; on Kubernetes a stopped pod
drains its own node. The process ends once the node is drained.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

_REQUEST_S = 2
_DRAIN_TRY_S = 20  # `ray drain-node` joins the cluster first, which takes a few seconds
_RETRY_S = 1
_SHORTEST_NOTICE_S = 1
_OPENER = build_opener(ProxyHandler({}))  # metadata addresses are local to the machine: never through a proxy


@dataclass(frozen=True)
class Notice:
    """This machine will be taken away in `seconds`."""

    text: str
    seconds: float


def aws_notice(endpoint: str) -> Notice | None:
    """EC2 spot notice through IMDSv2; None while there is none.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
    """
    token = _fetch(f"{endpoint}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, method="PUT")
    if token is None:
        return None
    body = _fetch(f"{endpoint}/latest/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": token})
    action = _json(body)
    if not action.get("action"):
        return None
    when = datetime.fromisoformat(action["time"].replace("Z", "+00:00")) if action.get("time") else None
    return Notice(f"AWS will {action['action']} this instance", _seconds_until(when, default=120))


def gcp_notice(endpoint: str) -> Notice | None:
    """Compute Engine's `preempted` flag; None while it is FALSE.

    https://cloud.google.com/compute/docs/instances/create-use-spot#detect-preemption
    """
    body = _fetch(f"{endpoint}/computeMetadata/v1/instance/preempted", {"Metadata-Flavor": "Google"})
    return Notice("Google Cloud preempts this instance", 30) if (body or "").strip() == "TRUE" else None


def azure_notice(endpoint: str) -> Notice | None:
    """A scheduled event of Azure that ends this machine; events of other machines of the group are listed too and left alone.

    https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events
    """
    headers = {"Metadata": "true"}
    events = _json(_fetch(f"{endpoint}/metadata/scheduledevents?api-version=2020-07-01", headers)).get("Events") or []
    ending = [event for event in events if event.get("EventType") in ("Preempt", "Terminate", "Redeploy", "Reboot")]
    if not ending:
        return None
    name = _fetch(f"{endpoint}/metadata/instance/compute/name?api-version=2021-02-01&format=text", headers)
    for event in ending:
        if name is None or name.strip() in event.get("Resources", [name.strip()]):
            when = (
                parsedate_to_datetime(event["NotBefore"]) if event.get("NotBefore") else None
            )  # empty once it has started
            return Notice(f"Azure event {event['EventType']}", _seconds_until(when, default=30))
    return None


CLOUDS: dict[str, tuple[Callable[[str], Notice | None], str]] = {
    "aws": (aws_notice, "http://169.254.169.254"),
    "gcp": (gcp_notice, "http://metadata.google.internal"),
    "azure": (azure_notice, "http://169.254.169.254"),
}


def drain_command(command: list[str], notice: Notice, seconds_left: float) -> list[str]:
    """`ray drain-node` with the documented options; the node is the one it runs on unless `command` names another."""
    return [
        *command,
        *("--reason", "DRAIN_NODE_REASON_PREEMPTION"),
        *("--reason-message", notice.text),
        *("--deadline-remaining-seconds", str(max(_SHORTEST_NOTICE_S, int(seconds_left)))),
    ]


def watch(read_notice: Callable[[], Notice | None], interval_s: float) -> Notice:
    """Ask every `interval_s` seconds until there is a notice; an answer that cannot be understood counts as none."""
    while True:
        try:
            notice = read_notice()
        except (ValueError, KeyError, TypeError, AttributeError) as mistake:
            _say(f"notice not understood: {mistake}")
            notice = None
        if notice is not None:
            return notice
        time.sleep(interval_s)


def drain(command: list[str], notice: Notice, retry_s: float = _RETRY_S) -> bool:
    """Drain this node, retrying until Ray accepts it or the machine is gone; returns whether it was accepted."""
    deadline = time.monotonic() + notice.seconds
    while True:
        left = deadline - time.monotonic()
        try:
            done = subprocess.run(drain_command(command, notice, left), timeout=_DRAIN_TRY_S, check=False)
            outcome = f"exit code {done.returncode}"
            if done.returncode == 0:
                return True
        except (OSError, subprocess.TimeoutExpired) as mistake:
            outcome = str(mistake)
        _say(f"drain failed: {outcome}")
        if time.monotonic() + retry_s >= deadline:
            return False
        time.sleep(retry_s)


def main(arguments: list[str] | None = None, program: str | None = None) -> int:
    """The command: 0 once the node is drained, 1 when the drain was never accepted."""
    options = _parser(program).parse_args(arguments)
    read_notice, endpoint = CLOUDS[options.cloud]
    endpoint = (options.endpoint or endpoint).rstrip("/")
    notice = watch(lambda: read_notice(endpoint), options.interval)
    _say(f"{notice.text}; {notice.seconds:.0f} s left")
    return 0 if drain(shlex.split(options.drain), notice) else 1


class _Page(argparse.RawDescriptionHelpFormatter):
    """A help page that begins with 'Usage:'."""

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, prefix or "Usage: ")


def _parser(program: str | None) -> argparse.ArgumentParser:
    """argparse and not typer: the file is copied to machines that have Python and Ray alone. Its help looks like that of the other commands."""
    name = program or "python -m cluster.spot_watch"
    parser = argparse.ArgumentParser(
        prog=name,
        usage=f"{name} [OPTIONS]",
        add_help=False,
        description="Wait for the cloud's preemption notice of this machine, then drain its Ray node.",
        epilog=f"Examples:\n  {name} --cloud aws\n\nExit codes:\n  0  the node is drained\n  1  the drain was never accepted\n"
        "  2  the command line is wrong",
        formatter_class=_Page,
    )
    options = parser.add_argument_group("Options")
    options.add_argument(
        "--cloud", choices=sorted(CLOUDS), required=True, metavar="|".join(sorted(CLOUDS)), help="Whose metadata service is asked.  [required]",
    )  # fmt: skip
    options.add_argument("--endpoint", metavar="URL", help="Metadata service.  [default: the cloud's own]")
    options.add_argument(
        "--interval", metavar="SECONDS", type=float, default=5, help="Time between two requests.  [default: 5]"
    )
    options.add_argument(
        "--drain",
        metavar="COMMAND",
        default="ray drain-node",
        help="Command that drains; reason and deadline are appended.  [default: ray drain-node]",
    )
    options.add_argument("--help", action="help", help="Show this message and exit.")
    return parser


def _fetch(url: str, headers: Mapping[str, str], method: str = "GET") -> str | None:
    """The body, or None when the service has nothing there or does not answer."""
    try:
        with _OPENER.open(Request(url, headers=dict(headers), method=method), timeout=_REQUEST_S) as response:
            return response.read().decode()
    except HTTPError:
        return None
    except (URLError, OSError, UnicodeDecodeError) as mistake:
        _say(f"no answer from {url}: {mistake}")
        return None


def _json(body: str | None) -> dict:
    value = json.loads(body) if body else {}
    return value if isinstance(value, dict) else {}


def _seconds_until(when: datetime | None, default: float) -> float:
    if when is None:
        return default
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(_SHORTEST_NOTICE_S, (when - datetime.now(UTC)).total_seconds())


def _say(text: str) -> None:
    """One line to the log that the start command opened."""
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
