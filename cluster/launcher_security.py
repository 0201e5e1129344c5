"""Who may reach a launched cluster: the token on every node, the ports, and no secret in the file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.document import Document
from cluster.launcher_rules import provider_of, worker_types
from cluster.versions import Versions
from sweep.core.errors import InputError

_TOKEN_SWITCH = "RAY_AUTH_MODE=token"
_START = ("head_start_ray_commands", "worker_start_ray_commands")
_SSH_PORT = 22
_SECRETS = (  # patterns of credentials
    (re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"), "an AWS access key"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"), "a private key"),
    (
        re.compile(r"(?i)(secret|token|password|passwd|api_?key|access_?key)\w*\s*[=:]\s*['\"]?[^\s'\"$~/{]{8,}"),
        "a secret",
    ),
)
_SECRET_KEYS = re.compile(r"(?i)(secret|password|passwd|token|credentials)$")


def token_is_everywhere(document: Document, versions: Versions) -> Iterator[InputError]:
    """Ray without a token runs any code that reaches its ports; the same token must lie on every node."""
    options = [str(text) for text in document.items(("docker", "run_options"))]
    if not any(_TOKEN_SWITCH in text for text in options):
        for name in _START:
            if not any(_TOKEN_SWITCH in str(text) for text in document.items((name,))):
                yield document.violation(
                    (name,),
                    "Ray starts without token authentication",
                    f'add "--env {_TOKEN_SWITCH}" to docker.run_options',
                )
    mounts = document.section(("file_mounts",))
    if not any(str(target).endswith("/.ray/auth_token") for target in mounts):
        yield document.violation(
            ("file_mounts",), "the token does not reach the nodes", "add /home/ray/.ray/auth_token: ~/.ray/auth_token"
        )
    for target, source in mounts.items():
        if re.match(r"/(home|root|Users)/", str(source)):
            yield document.violation(
                ("file_mounts", str(target)),
                f"{source} exists on one machine only",
                "write it with ~ or relative to the checkout",
            )


def no_secret_is_written(document: Document, versions: Versions) -> Iterator[InputError]:
    """No credential stands in the file, which is committed."""
    for place, value in document.scalars():
        if not isinstance(value, str):
            continue
        kind = next((kind for pattern, kind in _SECRETS if pattern.search(value)), None)
        if kind is None and _SECRET_KEYS.search(str(place[-1])) and value and not value.startswith(("~", "/", "$")):
            kind = "a secret"
        if kind:
            yield document.violation(place, f"holds {kind}", "take it out, and make a new one: this one has been seen")


def ports_are_closed(document: Document, versions: Versions) -> Iterator[InputError]:
    """Only SSH may be open to the world; the dashboard, which runs code, is reached through it (`ray dashboard`)."""
    rules = document.items(("provider", "security_group", "IpPermissions"))
    for index, rule in enumerate(rules):
        ranges = str(rule)
        if ("0.0.0.0/0" in ranges or "::/0" in ranges) and not (
            isinstance(rule, dict) and rule.get("FromPort") == rule.get("ToPort") == _SSH_PORT
        ):
            place = ("provider", "security_group", "IpPermissions", index)
            yield document.violation(
                place, "opens more than SSH to the whole internet", "name your own addresses, or remove it"
            )
    for name in _START:
        for index, text in enumerate(document.items((name,))):
            if re.search(r"--dashboard-host[= ](0\.0\.0\.0|::|\*)", str(text)):
                yield document.violation(
                    (name, index),
                    "the dashboard listens to the whole network",
                    "write --dashboard-host=127.0.0.1 and use: ray dashboard FILE",
                )
    if not document.section(("auth",)).get("ssh_user"):
        yield document.violation(("auth", "ssh_user"), "is missing", "name the user of the machine image, like ubuntu")


def start_commands_meet(document: Document, versions: Versions) -> Iterator[InputError]:
    """The head starts with the autoscaler (version 2), the workers join it at its port, spot nodes watch for their notice."""
    head, worker = (" ; ".join(map(str, document.items((name,)))) for name in _START)
    for name, text in zip(_START, (head, worker), strict=True):
        if "ray start" not in text:
            yield document.violation((name,), "does not start Ray", "see the files of cluster/ for the command")
        elif not text.lstrip().startswith("ray stop"):
            yield document.violation((name,), "does not end an older Ray first", "begin with: ray stop")
        if re.search(r"RAY_enable_autoscaler_v2=(0|false)", text):
            yield document.violation(
                (name,), "turns the autoscaler's version 2 off", "leave RAY_enable_autoscaler_v2 out"
            )
    for option in ("--head", "--autoscaling-config=~/ray_bootstrap_config.yaml"):
        if "ray start" in head and option not in head:
            yield document.violation((_START[0],), f"lacks {option}", "add it to ray start")
    port = re.search(r"--port[= ](\d+)", head)
    joined = re.search(r"--address[= ]\$RAY_HEAD_IP:(\d+)", worker)
    if "ray start" in worker and joined is None:
        yield document.violation((_START[1],), "workers do not join the head", "add --address=$RAY_HEAD_IP:6379")
    elif joined and joined[1] != (port[1] if port else "6379"):
        yield document.violation(
            (_START[1],),
            f"workers join port {joined[1]}, the head listens at {port[1] if port else 6379}",
            "write the same port",
        )
    cloud = provider_of(document)
    if (
        cloud in ("aws", "gcp", "azure")
        and worker_types(document)
        and not re.search(rf"spot_watch\.py --cloud {cloud}\b.*&\s*$", worker)
    ):
        yield document.violation(
            (_START[1],),
            "nobody tells Ray when a spot node is taken away",
            f"add: nohup python /home/ray/spot_watch.py --cloud {cloud} > /tmp/spot_watch.log 2>&1 &",
        )
