"""Who may reach a launched cluster: the token on every node, the ports, and no secret in the file."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from cluster.document import Document
from cluster.kuberay_fields import START_OPTIONS
from cluster.launcher_rules import provider_of, worker_types
from cluster.secret_shapes import no_secret_is_written as secrets_of
from cluster.shell_rules import commands_are_harmless as commands_of
from cluster.shell_rules import turns_token_on
from cluster.versions import Versions
from sweep.core.errors import InputError, suggestion

_TOKEN_SWITCH = "RAY_AUTH_MODE=token"
_START = ("head_start_ray_commands", "worker_start_ray_commands")
_SSH_PORT = 22
_IMAGE_USERS = ("ubuntu", "ec2-user", "azureuser", "admin", "debian", "centos", "rocky")


def token_is_everywhere(document: Document, versions: Versions) -> Iterator[InputError]:
    """Ray without a token runs any code that reaches its ports; the same token must lie on every node."""
    options = [str(text) for text in document.items(("docker", "run_options"))]
    if not any(map(turns_token_on, options)):
        for name in _START:
            if not any(turns_token_on(str(text)) for text in document.items((name,))):
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
    yield from secrets_of(document)


def commands_are_harmless(document: Document, versions: Versions) -> Iterator[InputError]:
    """No command downloads and runs code, turns the token off, or opens a port or a tunnel."""
    yield from commands_of(document)


def ports_are_closed(document: Document, versions: Versions) -> Iterator[InputError]:
    """Only SSH may be open to the world; the dashboard, which runs code, is reached through it (`ray dashboard`)."""
    place = ("provider", "security_group", "IpPermissions")
    for index, rule in enumerate(document.items(place)):
        ssh = isinstance(rule, dict) and rule.get("FromPort") == rule.get("ToPort") == _SSH_PORT
        wide = [text for text in re.findall(r"[0-9a-fA-F.:]+/\d+", str(rule)) if _is_wide(text)]
        if wide and not ssh:
            problem = f"opens more than SSH to {wide[0]}"
            yield document.violation((*place, index), problem, "name your own addresses, or remove it")
    user = document.section(("auth",)).get("ssh_user")
    if not user:
        yield document.violation(("auth", "ssh_user"), "is missing", "name the user of the machine image, like ubuntu")
    elif provider_of(document) != "local" and user not in (*_IMAGE_USERS, "root"):
        yield document.violation(
            ("auth", "ssh_user"), f"{user!r} is no user of machine images", suggestion(str(user), _IMAGE_USERS)
        )
    elif user == "root":
        yield document.violation(
            ("auth", "ssh_user"), "every command would run as root", "name a user without its rights"
        )


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
        for option in re.findall(r"\s--([\w-]+)", re.sub(r"nohup.*", "", text)):
            if option not in (*START_OPTIONS, "head"):
                yield document.violation(
                    (name,), f"ray start has no option --{option}", suggestion(option, START_OPTIONS)
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
            "Ray is not told when a spot node is taken away",
            f"add: nohup python /home/ray/spot_watch.py --cloud {cloud} > /tmp/spot_watch.log 2>&1 &",
        )


def _is_wide(network: str) -> bool:
    """Whether an address range in CIDR notation holds more than a large organization: /0 to /7 of IPv4, /0 to /15 of IPv6."""
    try:
        parsed = ipaddress.ip_network(network, strict=False)
    except ValueError:
        return True  # what cannot be read may be the whole internet
    return parsed.prefixlen < (8 if parsed.version == 4 else 16)
