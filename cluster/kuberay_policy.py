"""Policies for KubeRay files beyond the operator's own rules: bounded cost, results that outlive pods, nothing exposed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from cluster.document import Document, Place
from cluster.kuberay_rules import autoscales, cluster_place, groups, kind_of, pod, ray_container, ray_place
from cluster.launcher_rules import LONGEST_IDLE_MINUTES, MOST_WORKERS
from cluster.versions import ROOT, Versions, image_problem
from sweep.core.errors import InputError

_GPU = "nvidia.com/gpu"
_DEFAULT_GRACE_S = 30  # Kubernetes
_DEFAULT_DRAIN_S = 30.0  # Ray, RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S
_LONGEST_JOB_S = 7 * 86400
_SHARED_VOLUMES = ("persistentVolumeClaim", "nfs", "csi")
_SECRET_NAME = re.compile(r"(?i)(token|secret|password|passwd|api_?key|access_?key)")


def cost_is_bounded(document: Document, versions: Versions) -> Iterator[InputError]:
    """Worker groups start at zero replicas, are bounded and scale down when idle; a RayJob has a deadline and deletes its cluster."""
    cluster = cluster_place(document)
    for group in groups(document)[1:]:
        most, least = document.at((*group, "maxReplicas")), document.at((*group, "minReplicas"))
        if not isinstance(most, int) or not 1 <= most <= MOST_WORKERS:
            problem = "is missing, which means 2147483647 pods" if most is None else f"{most!r} pods"
            yield document.violation((*group, "maxReplicas"), problem, f"give a whole number from 1 to {MOST_WORKERS}")
        if least != 0 or document.at((*group, "replicas")) not in (None, 0):
            yield document.violation(
                (*group, "minReplicas"), "pods are paid for without work", "write minReplicas: 0 and replicas: 0"
            )
        yield from _idle(document, (*group, "idleTimeoutSeconds"), required=False)
    if not autoscales(document):
        yield document.violation(
            (*cluster, "enableInTreeAutoscaling"), "the cluster neither grows nor shrinks", "write true"
        )
    if document.at((*cluster, "autoscalerOptions", "version")) != "v2":
        yield document.violation(
            (*cluster, "autoscalerOptions", "version"), "autoscaler version 1 leaves nodes behind", "write v2"
        )
    yield from _idle(document, (*cluster, "autoscalerOptions", "idleTimeoutSeconds"), required=True)
    if kind_of(document) == "RayJob":
        yield from _job_ends(document)


def head_does_no_work(document: Document, versions: Versions) -> Iterator[InputError]:
    """The head offers neither CPU nor GPU to trials."""
    head = groups(document)[0]
    start, sizes = document.section((*head, "rayStartParams")), document.section((*head, "resources"))
    if str(start.get("num-cpus", sizes.get("CPU"))) != "0":
        yield document.violation((*head, "rayStartParams"), "the head offers its CPUs", 'write num-cpus: "0"')
    if str(start.get("num-gpus", sizes.get("GPU", "0"))) != "0" or _limits(document, head).get(_GPU):
        yield document.violation(
            head, "the head holds a GPU that never goes away", 'write num-gpus: "0" and no GPU limit'
        )


def pods_have_their_size(document: Document, versions: Versions) -> Iterator[InputError]:
    """Ray reads CPUs and memory from the limits; a GPU group without a GPU limit waits for ever."""
    for group in groups(document):
        if not ray_container(document, group):
            continue
        limits, place = _limits(document, group), (*ray_place(group), "resources")
        requests = document.section((*place, "requests"))
        for name in ("cpu", "memory"):
            if name not in limits:
                yield document.violation(
                    (*place, "limits"),
                    f"has no {name}",
                    f"give limits of cpu and memory: Ray reads its {name} from there",
                )
        promised = str(document.at((*group, "rayStartParams", "num-gpus")) or "0")
        name = str(document.at((*group, "groupName")) or "")
        if (promised != "0" or "gpu" in name.lower()) and group != groups(document)[0] and not limits.get(_GPU):
            yield document.violation((*place, "limits"), f"a GPU group without {_GPU}", f'add {_GPU}: "1"')
        elif limits.get(_GPU) and promised not in ("0", str(limits[_GPU])):
            yield document.violation(
                (*group, "rayStartParams", "num-gpus"),
                f"{promised} are offered, the pod gets {limits[_GPU]}",
                "write the same number",
            )
        if _GPU in requests and str(requests[_GPU]) != str(limits.get(_GPU)):
            yield document.violation(
                (*place, "requests", _GPU),
                "differs from the limit",
                "Kubernetes wants requests and limits of GPUs equal",
            )


def images_match_the_lock(document: Document, versions: Versions) -> Iterator[InputError]:
    """One image everywhere, with the Ray and Python of the lock; Ray refuses to join nodes of two versions."""
    cluster = cluster_place(document)
    named = document.at((*cluster, "rayVersion"))
    if named != versions.ray:
        yield document.violation((*cluster, "rayVersion"), f"{named} is not the lock's Ray", f"write {versions.ray}")
    images: dict[str, Place] = {}
    for group in groups(document):
        image = ray_container(document, group).get("image")
        place = (*ray_place(group), "image")
        found = image_problem(image, versions) if ray_container(document, group) else None
        if found:
            yield document.violation(place, *found)
        images.setdefault(str(image), place)
    if len(images) > 1:
        yield document.violation(
            list(images.values())[1], f"head and workers run different images: {', '.join(sorted(images))}", "use one"
        )


def pods_drain_before_they_stop(document: Document, versions: Versions) -> Iterator[InputError]:
    """A stopped pod drains its node, so that trials save and move; its grace period must cover the drain."""
    for group in groups(document):
        if not ray_container(document, group):
            continue
        env = document.sections((*ray_place(group), "env"))
        given = next(
            (item.get("value") for _, item in env if item.get("name") == "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"), None
        )
        drain = _float(given, _DEFAULT_DRAIN_S)
        grace = pod(document, group).get("terminationGracePeriodSeconds", _DEFAULT_GRACE_S)
        if not isinstance(grace, int) or grace <= drain:
            place = (*group, "template", "spec", "terminationGracePeriodSeconds")
            yield document.violation(
                place, f"{grace} s is not longer than the drain of {drain:g} s", f"give {2 * drain:g}"
            )


def spot_has_a_fallback(document: Document, versions: Versions) -> Iterator[InputError]:
    """A preferred GPU group on spot nodes, and one on demand as its fallback."""
    workers = groups(document)[1:]
    spot = [group for group in workers if _is_spot(document, group)]
    others = [group for group in workers if group not in spot]
    place = (*cluster_place(document), "workerGroupSpecs")
    if workers and not spot:
        yield document.violation(
            place, "no group asks for spot nodes", "give one a nodeSelector such as karpenter.sh/capacity-type: spot"
        )
    if spot and not others:
        yield document.violation(
            place, "nothing steps in when there are no spot nodes", "add a group without the spot nodeSelector"
        )
    for group in spot:
        twins = [other for other in others if _limits(document, other) == _limits(document, group)]
        if others and not twins:
            yield document.violation(
                group, "no on-demand group has pods of the same size", "give both groups the same limits"
            )
        if any(_priority(document, group) <= _priority(document, twin) for twin in twins):
            yield document.violation(
                (*group, "priority"), "spot is not preferred to on-demand", "give spot the higher priority"
            )


def nothing_is_exposed(document: Document, versions: Versions) -> Iterator[InputError]:
    """Token authentication on; no service exposed outside the cluster, no privileged container, no secret in the file."""
    cluster, head = cluster_place(document), groups(document)[0]
    if document.at((*cluster, "authOptions", "mode")) != "token":
        yield document.violation(
            (*cluster, "authOptions", "mode"), "anyone who reaches the pod can run code", "write token"
        )
    if document.at((*head, "serviceType")) not in (None, "ClusterIP"):
        yield document.violation(
            (*head, "serviceType"),
            "the dashboard, which runs code, is open to the outside",
            "write ClusterIP and use kubectl port-forward",
        )
    if document.at((*head, "enableIngress")):
        yield document.violation(
            (*head, "enableIngress"),
            "the dashboard, which runs code, is open to the outside",
            "leave it out and use kubectl port-forward",
        )
    for group in groups(document):
        yield from _privileges(document, group)
        for place, item in document.sections((*ray_place(group), "env")):
            if _SECRET_NAME.search(str(item.get("name"))) and item.get("value"):
                yield document.violation(place, f"{item['name']} is written out", "use valueFrom.secretKeyRef")


def results_outlive_the_pods(document: Document, versions: Versions) -> Iterator[InputError]:
    """The job runs a sweep whose config exists and whose storage is shared by all pods and outlives them."""
    if kind_of(document) != "RayJob":
        return
    place, text = ("spec", "entrypoint"), document.at(("spec", "entrypoint"))
    try:
        words = shlex.split(text) if isinstance(text, str) else []
    except ValueError:
        words = []
    if "sweep.run" not in words:
        yield document.violation(
            place,
            f"{text!r} does not run a sweep",
            "write: python -m sweep.run search_spaces/quickstart.yaml --storage URL",
        )
        return
    sweep_config = next((word for word in words[words.index("sweep.run") + 1 :] if not word.startswith("-")), "")
    if not sweep_config.startswith("/") and not (ROOT / sweep_config).is_file():
        yield document.violation(
            place, f"the image will hold no {sweep_config or 'question file'}", "name a file of search_spaces/"
        )
    storage = _option(words, "--storage")
    if not storage:
        yield document.violation(
            place,
            "results stay in a pod and go with it",
            "add --storage with an s3:// or gs:// URL, or a mounted volume",
        )
    elif "://" not in storage or storage.startswith("file://"):
        path = storage.removeprefix("file://")
        for group in groups(document):
            if not any(
                path == mount or path.startswith(mount.rstrip("/") + "/") for mount in _shared_mounts(document, group)
            ):
                yield document.violation(
                    (*ray_place(group), "volumeMounts"),
                    f"{storage} is local to the pod",
                    "mount a persistentVolumeClaim there, in every group",
                )


def _job_ends(document: Document) -> Iterator[InputError]:
    deadline = document.at(("spec", "activeDeadlineSeconds"))
    if not isinstance(deadline, int) or deadline > _LONGEST_JOB_S:
        problem = "is missing, so a hung job is paid for for ever" if deadline is None else f"{deadline!r} s"
        yield document.violation(("spec", "activeDeadlineSeconds"), problem, f"give seconds, at most {_LONGEST_JOB_S}")
    if document.at(("spec", "shutdownAfterJobFinishes")) is not True:
        yield document.violation(
            ("spec", "shutdownAfterJobFinishes"), "the cluster stays when the job is over", "write true"
        )
    if (document.at(("spec", "backoffLimit")) or 0) != 0:
        yield document.violation(
            ("spec", "backoffLimit"),
            "a retry builds a second cluster, which may overlap the first",
            "write 0: applied again, the sweep resumes",
        )


def _idle(document: Document, place: Place, required: bool) -> Iterator[InputError]:
    seconds = document.at(place)
    if seconds is None and not required:
        return
    if not isinstance(seconds, int) or not 1 <= seconds <= 60 * LONGEST_IDLE_MINUTES:
        yield document.violation(
            place, f"{seconds!r} keeps idle pods", f"give seconds from 1 to {60 * LONGEST_IDLE_MINUTES}"
        )


def _privileges(document: Document, group: Place) -> Iterator[InputError]:
    place, spec = (*group, "template", "spec"), pod(document, group)
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield document.violation((*place, name), "the pod sees its whole machine", "leave it out")
    if document.at((*place, "containers", 0, "securityContext", "privileged")):
        yield document.violation(
            (*place, "containers", 0, "securityContext", "privileged"),
            "the pod rules its whole machine",
            "leave it out",
        )
    for volume_place, volume in document.sections((*place, "volumes")):
        if "persistentVolumeClaim" in volume and not document.at((*volume_place, "persistentVolumeClaim", "claimName")):
            yield document.violation(
                (*volume_place, "persistentVolumeClaim", "claimName"), "is missing", "name the claim"
            )
        if "hostPath" in volume:
            yield document.violation(
                volume_place, "hostPath is another folder on every machine", "use a persistentVolumeClaim"
            )


def _shared_mounts(document: Document, group: Place) -> list[str]:
    volumes = document.sections((*group, "template", "spec", "volumes"))
    shared = [volume.get("name") for _, volume in volumes if any(kind in volume for kind in _SHARED_VOLUMES)]
    mounts = document.sections((*ray_place(group), "volumeMounts"))
    return [
        str(mount.get("mountPath")) for _, mount in mounts if mount.get("name") in shared and not mount.get("readOnly")
    ]


def _is_spot(document: Document, group: Place) -> bool:
    placement = {name: pod(document, group).get(name) for name in ("nodeSelector", "affinity")}
    pairs = re.findall(r"'([^']*spot[^']*)': '?(\w+)|: '(spot)'|\['(spot)'\]", str(placement), re.IGNORECASE)
    return any(value.lower() != "false" for _, value, *_ in pairs)


def _limits(document: Document, group: Place) -> dict[str, Any]:
    return document.section((*ray_place(group), "resources", "limits"))


def _priority(document: Document, group: Place) -> int:
    value = document.at((*group, "priority"))
    return value if isinstance(value, int) else 0


def _option(words: list[str], name: str) -> str:
    for index, word in enumerate(words):
        if word == name:
            return words[index + 1] if index + 1 < len(words) else ""
        if word.startswith(name + "="):
            return word.partition("=")[2]
    return ""


def _float(text: Any, default: float) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return default
