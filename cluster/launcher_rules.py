"""Rules for launcher files that Ray's schema does not cover: bounded cost, and a configuration that can work.

A rule is a function of document and versions that yields violations; `LAUNCHER_RULES` in check.py lists them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

from cluster.document import Document, Place
from cluster.versions import LOCK, ROOT, Versions, image_problem, is_checkout
from sweep.core.errors import InputError, suggestion

PROVIDERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # provider: what it needs, what it may have besides
    "aws": (
        ("region",),
        ("availability_zone", "cache_stopped_nodes", "security_group", "use_internal_ips", "cloudwatch"),
    ),
    "gcp": (
        ("region", "availability_zone", "project_id"),
        ("cache_stopped_nodes", "use_internal_ips", "gcp_credentials"),
    ),
    "azure": (
        ("location", "resource_group"),
        (
            "availability_zone",
            "cache_stopped_nodes",
            "subscription_id",
            "use_internal_ips",
            "use_external_head_ip",
            "tags",
            "unique_id",
            "subnet_mask",
        ),
    ),
    "local": (("head_ip", "worker_ips"), ("coordinator_address",)),
}
MOST_WORKERS = 16  # raise it knowingly: this many machines can be billed at once
LONGEST_IDLE_MINUTES = 10
_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
SDKS = {
    "aws": ("boto3",),
    "gcp": ("google-api-python-client",),
    "azure": ("azure-identity", "azure-mgmt-compute", "azure-mgmt-network", "azure-mgmt-resource"),
}
TYPES: Place = ("available_node_types",)


def provider_of(document: Document) -> str:
    """The provider's type; empty when it is missing."""
    return str(document.section(("provider",)).get("type", ""))


def worker_types(document: Document) -> dict[str, dict[str, Any]]:
    """Node types by name, without the head's."""
    types = document.section(TYPES)
    return {
        name: row
        for name, row in types.items()
        if name != document.tree.get("head_node_type") and isinstance(row, dict)
    }


def provider_is_known(document: Document, versions: Versions) -> Iterator[InputError]:
    """The provider is one these rules cover, with the keys it needs and no others."""
    kind = provider_of(document)
    if kind not in PROVIDERS:
        yield document.violation(("provider", "type"), f"{kind!r} is not covered", suggestion(kind, PROVIDERS))
        return
    needs, may = PROVIDERS[kind]
    section = document.section(("provider",))
    for name in needs:
        if section.get(name) in (None, "", []):
            yield document.violation(("provider", name), "is missing", f"{kind} needs {', '.join(needs)}")
    for name in section:
        if name not in (*needs, *may, "type"):
            yield document.violation(("provider", name), "unknown key", suggestion(str(name), (*needs, *may)))


def name_is_usable(document: Document, versions: Versions) -> Iterator[InputError]:
    """The cluster's name becomes part of the names of machines and networks."""
    name = document.tree.get("cluster_name")
    if isinstance(name, str) and not _NAME.fullmatch(name):
        yield document.violation(
            ("cluster_name",),
            f"{name!r} does not fit every cloud",
            "small letters, digits and -, a letter first, at most 41",
        )


def head_does_no_work(document: Document, versions: Versions) -> Iterator[InputError]:
    """No trial may be placed on the head: it would die with it, and a GPU there would never be given back."""
    if provider_of(document) == "local":
        command = " ".join(map(str, document.items(("head_start_ray_commands",))))
        if "--num-cpus=0" not in command or "--num-gpus=0" not in command:
            yield document.violation(
                ("head_start_ray_commands",),
                "the head offers its CPUs and GPUs",
                "start it with --num-cpus=0 --num-gpus=0",
            )
        return
    head = document.tree.get("head_node_type")
    if head not in document.section(TYPES):
        hint = suggestion(str(head), map(str, document.section(TYPES)))
        yield document.violation(("head_node_type",), f"{head} is not one of available_node_types", hint)
        return
    place = (*TYPES, str(head))
    resources = document.section((*place, "resources"))
    if resources.get("CPU") != 0:
        yield document.violation(
            (*place, "resources"),
            f"the head offers {resources.get('CPU', 'all its')} CPUs",
            "write resources: {CPU: 0}",
        )
    if resources.get("GPU", 0) != 0:
        yield document.violation(
            (*place, "resources", "GPU"), "the head is a GPU machine that never goes away", "leave GPU out"
        )
    for name in ("min_workers", "max_workers"):
        if document.section(place).get(name, 0) != 0:
            yield document.violation((*place, name), "counts further machines of the head's kind", "leave it out")


def workers_are_few(document: Document, versions: Versions) -> Iterator[InputError]:
    """max_workers is explicit and small, min_workers is 0, every worker type offers CPUs."""
    yield from _limit(document, ("max_workers",), document.tree.get("max_workers"))
    if provider_of(document) == "local":
        return
    if document.tree.get("available_node_types") is None:
        yield document.violation(TYPES, "is missing", "describe the head and the workers, as in the files of cluster/")
    elif not worker_types(document):
        yield document.violation(TYPES, "holds no worker", "add a node type beside the head's")
    for name, row in worker_types(document).items():
        place = (*TYPES, name)
        yield from _limit(document, (*place, "max_workers"), row.get("max_workers"))
        if row.get("min_workers", 0) != 0:
            yield document.violation(
                (*place, "min_workers"),
                f"{row['min_workers']} machines are paid for without work",
                "write min_workers: 0",
            )
        if not document.section((*place, "resources")).get("CPU"):
            yield document.violation(
                (*place, "resources"), "offers no CPU, so no trial fits", "write the machine's CPUs: {CPU: 4}"
            )


def idle_nodes_go_away(document: Document, versions: Versions) -> Iterator[InputError]:
    """The idle timeout is explicit and short; idle nodes are deleted, because the disk of a stopped machine is billed."""
    minutes = document.tree.get("idle_timeout_minutes")
    if not _number(minutes) or not 0 < minutes <= LONGEST_IDLE_MINUTES:
        problem = "is missing" if minutes is None else f"{minutes!r} keeps idle machines"
        yield document.violation(
            ("idle_timeout_minutes",), problem, f"give minutes above 0, at most {LONGEST_IDLE_MINUTES}"
        )
    for name, row in worker_types(document).items():
        seconds = row.get("idle_timeout_s")
        if seconds is not None and (not _number(seconds) or not 0 < seconds <= 60 * LONGEST_IDLE_MINUTES):
            place = (*TYPES, name, "idle_timeout_s")
            yield document.violation(
                place, f"{seconds!r} keeps idle machines", f"give seconds, at most {60 * LONGEST_IDLE_MINUTES}"
            )
    speed = document.tree.get("upscaling_speed", 1)
    if _number(speed) and not 0 < speed <= 10:
        yield document.violation(
            ("upscaling_speed",), f"{speed:g} asks for too many machines at once, or none", "give 1.0"
        )
    if (
        provider_of(document) in ("aws", "gcp", "azure")
        and document.at(("provider", "cache_stopped_nodes")) is not False
    ):
        yield document.violation(
            ("provider", "cache_stopped_nodes"),
            "disks of idle nodes are kept and paid for",
            "write cache_stopped_nodes: false",
        )


def images_match_the_lock(document: Document, versions: Versions) -> Iterator[InputError]:
    """Head and workers run in images with the Ray and Python of the lock, and hold its packages."""
    docker = document.section(("docker",))
    names = ["image"] if docker.get("image") else ["head_image", "worker_image"]
    names += [name for name in ("head_image", "worker_image") if docker.get(name) and name not in names]
    places: list[Place] = [("docker", name) for name in names]
    places += [
        place
        for name in worker_types(document)
        if document.at(place := (*TYPES, name, "docker", "worker_image")) is not None
    ]
    for place in places:
        found = image_problem(document.at(place), versions)
        if found:
            yield document.violation(place, *found)
    if not docker.get("container_name"):
        yield document.violation(("docker", "container_name"), "is missing", "write container_name: ray_container")
    yield from _packages(document, versions, [str(document.at(place)) for place in places])


def files_are_sent(document: Document, versions: Versions) -> Iterator[InputError]:
    """A file that a command names in the container's home is one of file_mounts, and what those name is there to be sent."""
    sent = document.section(("file_mounts",))
    for name in (*_COMMANDS, "head_start_ray_commands", "worker_start_ray_commands"):
        for index, text in enumerate(document.items((name,))):
            for path in re.findall(r"(?<![\w:])/home/ray/[\w./-]+", str(text)):
                if path not in sent:
                    yield document.violation((name, index), f"{path} is not sent to the nodes", "add it to file_mounts")
    for target, source in sent.items():
        place, text = ("file_mounts", str(target)), str(source)
        if not str(target).startswith(("/home/ray/", "/root/", "/mnt/", "/tmp/")):
            yield document.violation(place, f"{target} is no path of the container", "begin with /home/ray/")
        if str(target).endswith("/auth_token") and text != "~/.ray/auth_token":
            yield document.violation(place, f"{text} is not where Ray keeps its token", "write ~/.ray/auth_token")
        elif not text.startswith(("~", "/")) and not (
            Path(text).exists() or (is_checkout() and (ROOT / text).exists())
        ):
            yield document.violation(place, f"{text} is not here", "give a path from where `ray up` is called")


def head_has_the_sdk(document: Document, versions: Versions) -> Iterator[InputError]:
    """The head starts nodes through the cloud's SDK; any other package is one of the lock, compared by hash."""
    known = SDKS.get(provider_of(document), ())
    found: set[str] = set()
    for name in _COMMANDS:
        for index, text in enumerate(document.items((name,))):
            for command in re.findall(r"\bpip3?\s+install\s+([^;&|]*)", str(text)):
                if "--require-hashes" in command:
                    continue
                for package in (word for word in command.split() if not word.startswith("-")):
                    base = re.split(r"[\[=<>~!]", package.strip("'\""))[0]
                    found.add(base)
                    if base not in known and base != "ray":
                        problem = f"{package} is installed without comparing its hash"
                        yield document.violation(
                            (name, index), problem, f"add it to {LOCK}; beside it may stand: {', '.join(known)}"
                        )
    missing = [package for package in known if package not in found]
    if missing and document.items(("setup_commands",)):
        yield document.violation(
            ("head_setup_commands",),
            f"the head cannot start nodes without {missing[0]}",
            f"add: pip install {' '.join(known)}",
        )


def _packages(document: Document, versions: Versions, images: list[str]) -> Iterator[InputError]:
    commands = [(name, index, str(text)) for name in _COMMANDS for index, text in enumerate(document.items((name,)))]
    if any(image.startswith("rayproject/") for image in images) and not any(
        re.search(r"\bpip3? install\b.*\s-r\s.*requirements\.lock", text) for *_, text in commands
    ):
        yield document.violation(
            ("setup_commands",),
            "Ray's image holds none of this project's packages",
            "install requirements.lock there, or use an image made from cluster/Dockerfile",
        )
    for name, index, text in commands:
        if re.search(r"requirements\.lock", text) and "--require-hashes" not in text:
            yield document.violation(
                (name, index), "packages are installed without comparing their hashes", "add --require-hashes"
            )
        for pinned in re.findall(r"\bray(?:\[[\w,]*\])?\s*==\s*([\w.]+)", text):
            if pinned != versions.ray:
                yield document.violation(
                    (name, index), f"installs Ray {pinned}", f"write {versions.ray}, as in requirements.lock"
                )
        if re.search(r"pip install(?:\s+-\S+)*\s+(?:\S+\s+)*\"?ray(\[[\w,]*\])?\"?(\s|$)", text):
            yield document.violation((name, index), "installs whatever Ray is newest", "leave Ray to the image")


_COMMANDS = ("setup_commands", "head_setup_commands", "worker_setup_commands", "initialization_commands")


def _limit(document: Document, place: Place, value: Any) -> Iterator[InputError]:
    fix = f"give a whole number from 1 to {MOST_WORKERS}"
    if value is None:
        yield document.violation(place, "is missing, so nothing bounds the cost", fix)
    elif not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_WORKERS:
        yield document.violation(place, f"{value!r} machines", fix)


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
