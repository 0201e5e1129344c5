"""Machine rules of a launcher file for each cloud: spot with an on-demand fallback, GPUs that match the resources, deadlines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cluster.document import Document, Place, dotted
from cluster.launcher_rules import TYPES, provider_of, worker_types
from cluster.versions import Versions
from sweep.core.errors import InputError

_LONGEST_LIFE_S = 7 * 86400


@dataclass(frozen=True)
class Cloud:
    """Where a cloud's machine description holds machine type, GPU and spot settings."""

    machine: Place  # within node_config
    gpu_machines: re.Pattern[str]
    spot: Place
    spot_value: str


CLOUDS = {
    "aws": Cloud(("InstanceType",), re.compile(r"(g\d|p\d)\w*\..+"), ("InstanceMarketOptions", "MarketType"), "spot"),
    "gcp": Cloud(("machineType",), re.compile(r"(a2|a3|a4|g2|g4)-.+"), ("scheduling", "provisioningModel"), "SPOT"),
    "azure": Cloud(
        ("azure_arm_parameters", "vmSize"),
        re.compile(r"Standard_N[CDGV].+"),
        ("azure_arm_parameters", "priority"),
        "Spot",
    ),
}


def machine_and_resources_agree(document: Document, versions: Versions) -> Iterator[InputError]:
    """A type that offers GPUs is a GPU machine, and a GPU machine offers its GPUs: otherwise it is billed and never used."""
    cloud = CLOUDS.get(provider_of(document))
    if cloud is None:
        return
    for name, row in _types(document).items():
        place = (*TYPES, name, "node_config", *cloud.machine)
        machine, gpus = document.at(place), _resources(row).get("GPU", 0)
        if not isinstance(machine, str) or not machine:
            yield document.violation(place, "is missing", "name the kind of machine")
        elif bool(gpus) != _has_gpu(document, name, cloud, machine):
            problem = (
                f"{machine} has no GPU but {gpus} are offered"
                if gpus
                else f"{machine} is a GPU machine whose GPUs are not offered"
            )
            yield document.violation(place, problem, "make machine and resources agree")


def machines_have_what_the_cloud_needs(document: Document, versions: Versions) -> Iterator[InputError]:
    """What a cloud asks of a machine before it starts one: an image with a driver for its GPU, a boot disk, a maintenance policy."""
    rule = {"aws": _aws_start, "gcp": _gcp_start, "azure": _azure_start}.get(provider_of(document))
    if rule is None:
        return
    for name, row in _types(document).items():
        yield from rule(document, (*TYPES, name, "node_config"), bool(_resources(row).get("GPU")))


def spot_has_a_fallback(document: Document, versions: Versions) -> Iterator[InputError]:
    """The head is never spot; workers are, with the same resources on demand at a lower priority."""
    cloud = CLOUDS.get(provider_of(document))
    if cloud is None or not worker_types(document):
        return
    head = str(document.tree.get("head_node_type"))
    if _is_spot(document, head, cloud):
        yield document.violation(
            (*TYPES, head, "node_config", *cloud.spot),
            "the head may be taken away, and the sweep with it",
            "keep the head on demand",
        )
    spot = {name: row for name, row in worker_types(document).items() if _is_spot(document, name, cloud)}
    others = {name: row for name, row in worker_types(document).items() if name not in spot}
    if not spot:
        yield document.violation(
            TYPES, "no worker type is spot", f"set {dotted(cloud.spot)}: {cloud.spot_value} in one"
        )
    for name, row in spot.items():
        twins = [other for other in others.values() if _resources(other) == _resources(row)]
        if not twins:
            yield document.violation(
                (*TYPES, name),
                "nothing steps in when spot is sold out",
                "add an on-demand type with the same resources",
            )
        elif not all(_priority(row) > _priority(twin) for twin in twins):
            yield document.violation(
                (*TYPES, name, "priority"), "spot is not preferred to on-demand", "give spot the higher priority"
            )


def machines_have_a_deadline(document: Document, versions: Versions) -> Iterator[InputError]:
    """A dead head cannot stop its workers: every machine has a deadline of its own, and its disk is deleted with it."""
    rule = {"aws": _aws_end, "gcp": _gcp_end, "azure": _azure_end}.get(provider_of(document))
    if rule is not None:
        for name in _types(document):
            yield from rule(document, (*TYPES, name, "node_config"))
    commands = " ".join(map(str, document.items(("initialization_commands",))))
    minutes = re.search(r"\bsudo\s+shutdown\s+-[hP]\s+\+(\d+)(?!\d)", commands)
    if provider_of(document) == "aws" and (minutes is None or not 0 < int(minutes[1]) * 60 <= _LONGEST_LIFE_S):
        problem = "machines have no deadline within a week"
        yield document.violation(("initialization_commands",), problem, "add: sudo shutdown -P +2880")


_AWS_IMAGE = re.compile(r"ami-[0-9a-f]{8,17}|resolve:ssm:/[\w./-]+")


def _aws_start(document: Document, place: Place, gpu: bool) -> Iterator[InputError]:
    image = document.at((*place, "ImageId"))
    if not isinstance(image, str) or not _AWS_IMAGE.fullmatch(image):
        yield document.violation(
            (*place, "ImageId"),
            f"{image!r} is no image; the one that Ray picks has a driver too old for the lock's PyTorch",
            "name an image, as in cluster/ray-cluster.aws.yaml",
        )


def _gcp_start(document: Document, place: Place, gpu: bool) -> Iterator[InputError]:
    images = [
        document.section((*disk, "initializeParams")).get("sourceImage")
        for disk, row in document.sections((*place, "disks"))
        if row.get("boot") is True
    ]
    if not any(images):
        yield document.violation(
            (*place, "disks"), "no boot disk names its image", "add boot: true and initializeParams: {sourceImage: ...}"
        )
    if gpu and document.at((*place, "scheduling", "onHostMaintenance")) != "TERMINATE":
        yield document.violation(
            (*place, "scheduling", "onHostMaintenance"),
            "a machine with a GPU cannot be moved, so the cloud refuses it",
            "write TERMINATE",
        )


def _azure_start(document: Document, place: Place, gpu: bool) -> Iterator[InputError]:
    given = document.section((*place, "azure_arm_parameters"))
    for name in ("imagePublisher", "imageOffer", "imageSku", "imageVersion"):
        if not given.get("imageId") and not given.get(name):
            yield document.violation(
                (*place, "azure_arm_parameters", name),
                "is missing",
                "name publisher, offer, sku and version of the image, or its imageId",
            )


def _aws_end(document: Document, place: Place) -> Iterator[InputError]:
    if document.at((*place, "InstanceInitiatedShutdownBehavior")) != "terminate":
        yield document.violation(
            (*place, "InstanceInitiatedShutdownBehavior"),
            "a machine that shuts down is kept and its disk paid for",
            "write terminate",
        )
    disks = document.sections((*place, "BlockDeviceMappings"))
    roots = [row for _, row in disks if str(row.get("DeviceName")) in ("/dev/sda1", "/dev/xvda")]
    if not roots or not all(document.at((*disk, "Ebs", "VolumeSize")) for disk, _ in disks):
        yield document.violation(
            (*place, "BlockDeviceMappings"),
            "no disk for the image, or one without a size",
            "write [{DeviceName: /dev/sda1, Ebs: {VolumeSize: 150, DeleteOnTermination: true}}]",
        )
    for disk, _ in disks:
        if document.at((*disk, "Ebs", "DeleteOnTermination")) is not True:
            yield document.violation(disk, "the disk stays when the machine goes", "write DeleteOnTermination: true")


def _gcp_end(document: Document, place: Place) -> Iterator[InputError]:
    seconds = str(document.section((*place, "scheduling", "maxRunDuration")).get("seconds", ""))
    if not seconds.isdigit() or not 0 < int(seconds) <= _LONGEST_LIFE_S:
        yield document.violation(
            (*place, "scheduling", "maxRunDuration"),
            "the machine has no deadline within a week",
            "write maxRunDuration: {seconds: 172800}",
        )
    if document.at((*place, "scheduling", "instanceTerminationAction")) != "DELETE":
        yield document.violation(
            (*place, "scheduling", "instanceTerminationAction"),
            "a machine that ends is kept and its disk paid for",
            "write DELETE",
        )
    for disk_place, disk in document.sections((*place, "disks")):
        if disk.get("autoDelete") is not True:
            yield document.violation(disk_place, "the disk stays when the machine goes", "write autoDelete: true")


def _azure_end(document: Document, place: Place) -> Iterator[InputError]:
    if document.at((*place, "azure_arm_parameters", "evictionPolicy")) not in (None, "Delete"):
        yield document.violation(
            (*place, "azure_arm_parameters", "evictionPolicy"),
            "an evicted machine is kept and its disk paid for",
            "leave it out, which means Delete",
        )


def _types(document: Document) -> dict[str, dict[str, Any]]:
    return {name: row for name, row in document.section(TYPES).items() if isinstance(row, dict)}


def _resources(row: dict[str, Any]) -> dict[str, Any]:
    return row["resources"] if isinstance(row.get("resources"), dict) else {}


def _priority(row: dict[str, Any]) -> float:
    return row["priority"] if isinstance(row.get("priority"), int) else 0


def _is_spot(document: Document, name: str, cloud: Cloud) -> bool:
    return document.at((*TYPES, name, "node_config", *cloud.spot)) == cloud.spot_value


def _has_gpu(document: Document, name: str, cloud: Cloud, machine: str) -> bool:
    return bool(
        cloud.gpu_machines.fullmatch(machine) or document.at((*TYPES, name, "node_config", "guestAccelerators"))
    )
