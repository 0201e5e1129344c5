"""Options of the containers that a launcher starts, and what its nodes offer: only what is known to be harmless."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Iterator

from cluster.document import Document, Place
from cluster.launcher_rules import TYPES, provider_of
from cluster.versions import Versions
from sweep.core.errors import InputError, suggestion

_OPTIONS = {  # of `docker run`: whether a value follows
    **dict.fromkeys(("--ulimit", "--env", "-e", "--volume", "-v", "--shm-size", "--memory", "--cpus", "--gpus"), True),
    **dict.fromkeys(("--label", "--log-opt", "--log-driver", "--tmpfs", "--runtime", "--pull", "--workdir"), True),
    **dict.fromkeys(("--init", "--read-only"), False),
}
_OF_THE_MACHINE = re.compile(r"/$|/(etc|root|proc|sys|dev|boot|run|var|usr|bin|sbin|lib\w*|home|opt)(/|$)|~|\.")
_RESOURCES = ("CPU", "GPU", "memory", "object_store_memory")  # Ray takes any other word for a resource of your own
_ULIMIT = re.compile(r"(nofile|memlock|nproc|stack|core)=-?\d+(:-?\d+)?")
_DISK_GB = (60, 2000)  # the machine images hold about 60 GB; more than 2 TB is a slip of the keyboard
_DISK_KEYS = ("VolumeSize", "diskSizeGb", "osDiskSize")


def docker_options_are_known(document: Document, versions: Versions) -> Iterator[InputError]:
    """Only options of `docker run` that keep the container isolated; only folders are mounted, never the root of the machine."""
    for place, options in _option_lists(document):
        try:
            words = shlex.split(" ".join(map(str, options)))
        except ValueError:
            continue  # named by the rule on commands
        rest = iter(words)
        for word in rest:
            name, sign, value = word.partition("=")
            if name not in _OPTIONS:
                yield document.violation(place, f"{name} is no option that containers need", suggestion(name, _OPTIONS))
                continue
            if _OPTIONS[name] and not sign:
                value = next(rest, "")
            if _OPTIONS[name] and not value:
                yield document.violation(place, f"{name} has no value", "write it behind the option")
            elif name in ("--volume", "-v"):
                yield from _mount(document, place, value)
            elif name == "--ulimit" and not _ULIMIT.fullmatch(value):
                yield document.violation(place, f"{value} is no limit", "write it like nofile=65536:65536")


def resources_are_known(document: Document, versions: Versions) -> Iterator[InputError]:
    """Ray takes a misspelt resource for one of your own, which no trial ever asks for."""
    for name in document.section(TYPES):
        place = (*TYPES, str(name), "resources")
        for resource in document.section(place):
            if resource not in _RESOURCES:
                hint = suggestion(str(resource), _RESOURCES)
                yield document.violation((*place, str(resource)), "is no resource that trials ask for", hint)


def disks_are_bounded(document: Document, versions: Versions) -> Iterator[InputError]:
    """The disk of every machine holds its image, and no more than a sweep needs: it is billed by the gigabyte."""
    least, most = _DISK_GB
    for place, value in document.scalars():
        if place[-1] not in _DISK_KEYS:
            continue
        size = int(value) if str(value).isdigit() else 0
        if not least <= size <= most:
            yield document.violation(place, f"{value!r} GB", f"give a whole number from {least} to {most}")


def own_machines_are_named(document: Document, versions: Versions) -> Iterator[InputError]:
    """Addresses of machines of your own: each once, each an address or a host name, as many as max_workers counts."""
    if provider_of(document) != "local":
        return
    section = document.section(("provider",))
    workers = document.items(("provider", "worker_ips"))
    named: list[tuple[Place, object]] = [(("provider", "head_ip"), section.get("head_ip"))]
    named += [(("provider", "worker_ips", index), address) for index, address in enumerate(workers)]
    seen: set[str] = set()
    for place, address in named:
        if address is None:
            continue
        text = str(address)
        if not _is_host(text):
            yield document.violation(
                place, f"{text!r} is neither an address nor a host name", "write it like 192.0.2.10"
            )
        if text in seen:
            yield document.violation(place, f"{text} is named twice", "name every machine once")
        seen.add(text)
    most = document.tree.get("max_workers")
    if isinstance(most, int) and workers and most != len(workers):
        yield document.violation(
            ("max_workers",), f"{most}, but {len(workers)} worker_ips are named", "write the same number"
        )


def _option_lists(document: Document) -> Iterator[tuple[Place, list[object]]]:
    for name in ("run_options", "head_run_options", "worker_run_options"):
        yield ("docker", name), document.items(("docker", name))
    for name in document.section(TYPES):
        place = (*TYPES, str(name), "docker", "worker_run_options")
        yield place, document.items(place)


def _mount(document: Document, place: Place, value: str) -> Iterator[InputError]:
    source = value.partition(":")[0]
    if _OF_THE_MACHINE.match(source) and not source.startswith(("/home/ray/", "/opt/sweeps")):
        yield document.violation(
            place, f"mounts {source}, a folder of the machine itself", "mount a folder that holds sweeps alone"
        )
    if ":" not in value or not value.partition(":")[2].startswith("/"):
        yield document.violation(
            place, f"{value} names no folder of the container", "write it like /mnt/sweeps:/mnt/sweeps"
        )


def _is_host(text: str) -> bool:
    try:
        return not ipaddress.ip_address(text).is_unspecified
    except ValueError:
        words = text.split(".")
        return (
            all(re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?", word) for word in words)
            and not words[-1].isdigit()
        )
