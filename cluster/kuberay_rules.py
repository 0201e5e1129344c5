"""What KubeRay's operator refuses only after the file is applied: the rules of its validation code, before.

https://github.com/ray-project/kuberay/blob/master/ray-operator/controllers/ray/utils/validation.go
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeGuard

import yaml

from cluster.document import Document, Place
from cluster.kuberay_fields import KINDS, crd_shape, object_shape
from cluster.pod_security import containers, pods
from cluster.shapes import misfits
from cluster.versions import Versions
from sweep.core.errors import InputError, suggestion

_LONGEST_NAME = {"RayCluster": 53, "RayJob": 47}  # names of services are made from it, and those end at 63
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_FIRST_WITH_TOKEN = (2, 52)
_RUNTIME_KEYS = ("working_dir", "env_vars", "config", "excludes")  # packages belong into the image, compared by hash
_SIZES = ("num-cpus", "num-gpus", "memory", "resources")


def kind_of(document: Document) -> str:
    """RayCluster or RayJob, empty for anything else."""
    kind = document.tree.get("kind")
    return kind if kind in KINDS else ""


def cluster_place(document: Document) -> Place:
    """Where the cluster is described."""
    return ("spec", "rayClusterSpec") if kind_of(document) == "RayJob" else ("spec",)


def groups(document: Document) -> list[Place]:
    """Places of the head and every worker group, head first."""
    cluster = cluster_place(document)
    workers = document.items((*cluster, "workerGroupSpecs"))
    return [(*cluster, "headGroupSpec"), *((*cluster, "workerGroupSpecs", index) for index in range(len(workers)))]


def pod(document: Document, group: Place) -> dict[str, Any]:
    """The pod of a group."""
    return document.section((*group, "template", "spec"))


def ray_place(group: Place) -> Place:
    """Where the container that runs Ray is described: the first of the group's."""
    return (*group, "template", "spec", "containers", 0)


def ray_container(document: Document, group: Place) -> dict[str, Any]:
    """The container that runs Ray."""
    return document.section(ray_place(group))


def autoscales(document: Document) -> bool:
    """Whether the autoscaler is asked for."""
    return document.at((*cluster_place(document), "enableInTreeAutoscaling")) is True


def fields_are_known(document: Document, versions: Versions) -> Iterator[InputError]:
    """No field that would be dropped, no value of another kind, nothing required left out."""
    kind = kind_of(document)
    if not kind:
        yield document.violation(("kind",), f"{document.tree.get('kind')!r} is not covered", "use RayCluster or RayJob")
        return
    for misfit in misfits(document.tree, object_shape(kind)):
        yield document.violation(misfit.place, misfit.problem, misfit.fix)
    crd = crd_shape(kind)
    for misfit in misfits(document.tree.get("spec", {}), crd, ("spec",)) if crd else ():
        yield document.violation(misfit.place, misfit.problem, misfit.fix)
    cluster = cluster_place(document)
    selected = kind == "RayJob" and bool(document.at(("spec", "clusterSelector")))
    required: list[Place] = [("apiVersion",), ("metadata", "name"), ("spec",)]
    if not selected:
        required += [cluster, (*cluster, "headGroupSpec"), (*cluster, "workerGroupSpecs")]
    required += [(*group, "groupName") for group in groups(document)[1:]]
    for place in required:
        if document.at(place) in (None, "", [], {}):
            yield document.violation(place, "is missing", "add it, as in the files of cluster/")


def name_is_legal(document: Document, versions: Versions) -> Iterator[InputError]:
    """DNS-1035, and short enough for what is made from it."""
    name, most = document.at(("metadata", "name")), _LONGEST_NAME.get(kind_of(document), 63)
    if isinstance(name, str) and name and not (_DNS_1035.fullmatch(name) and len(name) <= most):
        yield document.violation(
            ("metadata", "name"),
            f"{name!r} is not a legal name",
            f"small letters, digits and -, a letter first, at most {most}",
        )
    seen: set[str] = set()
    for group in groups(document)[1:]:
        group_name = str(document.at((*group, "groupName")))
        if group_name in seen:
            yield document.violation(
                (*group, "groupName"), f"{group_name!r} is used twice", "give every group a name of its own"
            )
        seen.add(group_name)


def replicas_are_ordered(document: Document, versions: Versions) -> Iterator[InputError]:
    """0 <= min <= replicas <= max."""
    for group in groups(document)[1:]:
        low, now, high = (document.at((*group, name)) for name in ("minReplicas", "replicas", "maxReplicas"))
        numbers = [value for value in (low, now, high) if _whole(value)]
        if numbers != sorted(numbers) or any(value < 0 for value in numbers):
            yield document.violation(
                (*group, "minReplicas"),
                f"min {low}, replicas {now}, max {high} are out of order",
                "0 <= minReplicas <= replicas <= maxReplicas",
            )
        hosts = document.at((*group, "numOfHosts"))
        if _whole(hosts) and hosts < 1:
            yield document.violation((*group, "numOfHosts"), f"{hosts} hosts", "leave it out, which means 1")


def autoscaler_is_consistent(document: Document, versions: Versions) -> Iterator[InputError]:
    """Version 2 replaces pods instead of restarting them, and is chosen in one place."""
    cluster = cluster_place(document)
    for place, item in document.sections((*ray_place(groups(document)[0]), "env")):
        if item.get("name") != "RAY_enable_autoscaler_v2":
            continue
        yield document.violation(
            place,
            "RAY_enable_autoscaler_v2 is set beside autoscalerOptions.version",
            "keep autoscalerOptions.version alone",
        )
    for group in groups(document):
        policy = pod(document, group).get("restartPolicy")
        if autoscales(document) and policy not in (None, "", "Never"):
            yield document.violation(
                (*group, "template", "spec", "restartPolicy"),
                f"{policy} does not go with autoscaler version 2",
                "write Never",
            )
        if autoscales(document) and document.at((*group, "suspend")) is True:
            yield document.violation(
                (*group, "suspend"), "a group cannot be suspended under the autoscaler", "leave suspend out"
            )
    idle = document.at((*cluster, "autoscalerOptions", "idleTimeoutSeconds"))
    if _whole(idle) and idle < 0:
        yield document.violation((*cluster, "autoscalerOptions", "idleTimeoutSeconds"), f"{idle} s", "give 0 or more")


def groups_are_complete(document: Document, versions: Versions) -> Iterator[InputError]:
    """Containers, sizes in one place, volumes that exist, names of variables once."""
    for group in groups(document):
        if document.at(group) is None:
            continue
        if not document.at((*group, "template", "spec", "containers")):
            yield document.violation(
                (*group, "template", "spec", "containers"), "holds no container", "add the one that runs Ray"
            )
        start = document.section((*group, "rayStartParams"))
        if document.at((*group, "resources")) and any(start.get(name) for name in _SIZES):
            yield document.violation(
                (*group, "resources"), "sizes stand in rayStartParams too", "keep them in one of the two"
            )
        if "labels" in start:
            yield document.violation(
                (*group, "rayStartParams", "labels"), "is not read there", "use the group's labels"
            )
    for place in pods(document):
        yield from _container_mistakes(document, place)


def token_needs_a_version(document: Document, versions: Versions) -> Iterator[InputError]:
    """Token authentication exists from Ray 2.52 on; the Kubernetes variant not for jobs."""
    cluster = cluster_place(document)
    auth = document.section((*cluster, "authOptions"))
    version = str(document.at((*cluster, "rayVersion")) or "")
    parts = re.match(r"(\d+)\.(\d+)", version)
    if auth and (parts is None or (int(parts[1]), int(parts[2])) < _FIRST_WITH_TOKEN):
        yield document.violation(
            (*cluster, "rayVersion"), f"{version or 'nothing'} has no token authentication", "write 2.52.0 or newer"
        )
    if auth.get("enableK8sTokenAuth") and kind_of(document) == "RayJob":
        yield document.violation(
            (*cluster, "authOptions", "enableK8sTokenAuth"), "is not supported for a RayJob", "write mode: token alone"
        )


def job_is_consistent(document: Document, versions: Versions) -> Iterator[InputError]:
    """Clean-up, retries, selectors and modes that exclude each other."""
    if kind_of(document) != "RayJob":
        return
    spec = document.section(("spec",))
    ttl, retries, mode = spec.get("ttlSecondsAfterFinished"), spec.get("backoffLimit"), spec.get("submissionMode")
    if _whole(ttl) and (ttl < 0 or (ttl and not spec.get("shutdownAfterJobFinishes"))):
        yield document.violation(
            ("spec", "ttlSecondsAfterFinished"),
            f"{ttl} has no effect",
            "set shutdownAfterJobFinishes: true and 0 or more seconds",
        )
    if _whole(retries) and retries < 0:
        yield document.violation(("spec", "backoffLimit"), f"{retries} retries", "give 0")
    if _whole(retries) and retries > 0 and (mode == "InteractiveMode" or spec.get("clusterSelector")):
        yield document.violation(
            ("spec", "backoffLimit"), "retries do not go with InteractiveMode or clusterSelector", "give 0"
        )
    for name in ("activeDeadlineSeconds", "preRunningDeadlineSeconds"):
        if _whole(spec.get(name)) and spec[name] <= 0:
            yield document.violation(("spec", name), f"{spec[name]} s", "give a positive number of seconds")
    if mode == "SidecarMode":
        for name in ("submitterPodTemplate", "submitterConfig", "clusterSelector"):
            if spec.get(name):
                yield document.violation(
                    ("spec", name), "does not go with SidecarMode", "write submissionMode: K8sJobMode"
                )
    strategy = spec.get("deletionStrategy")
    if isinstance(strategy, dict) and strategy.get("deletionRules") and spec.get("shutdownAfterJobFinishes"):
        yield document.violation(
            ("spec", "deletionStrategy"),
            "deletionRules exclude shutdownAfterJobFinishes",
            "keep shutdownAfterJobFinishes",
        )
    if spec.get("suspend") and (not spec.get("shutdownAfterJobFinishes") or spec.get("clusterSelector")):
        yield document.violation(
            ("spec", "suspend"),
            "only a job that owns and deletes its cluster can wait",
            "set shutdownAfterJobFinishes: true",
        )
    yield from _runtime_environment(document)


def _container_mistakes(document: Document, pod_place: Place) -> Iterator[InputError]:
    volumes = [volume.get("name") for _, volume in document.sections((*pod_place, "volumes"))]
    for place, container in containers(document, pod_place):
        if not container.get("name"):
            yield document.violation((*place, "name"), "is missing", "name the container")
        for mount_place, mount in document.sections((*place, "volumeMounts")):
            if mount.get("name") not in volumes:
                yield document.violation(
                    mount_place, f"{mount.get('name')!r} is not a volume of the pod", "add it under volumes"
                )
        names = [str(item.get("name")) for _, item in document.sections((*place, "env"))]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield document.violation((*place, "env"), f"{name} is set twice", "keep one of the two")


def _runtime_environment(document: Document) -> Iterator[InputError]:
    place, text = ("spec", "runtimeEnvYAML"), document.at(("spec", "runtimeEnvYAML"))
    try:
        value = yaml.safe_load(text) if isinstance(text, str) else {}
    except yaml.YAMLError:
        value = None
    if not isinstance(value, dict):
        yield document.violation(place, "is not YAML with keys", "correct it, or leave it out")
        return
    for name in value:
        if name not in _RUNTIME_KEYS:
            yield document.violation(place, f"{name}: unknown key", suggestion(str(name), _RUNTIME_KEYS))


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
