"""Policies for KubeRay files beyond the operator's own rules: bounded cost, spot with a fallback, results that outlive pods."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from cluster.cloud_names import asks_for_spot, labels_exist
from cluster.document import Document, Place
from cluster.kuberay_rules import autoscales, cluster_place, groups, kind_of, pod, ray_container, ray_place
from cluster.launcher_rules import LONGEST_IDLE_MINUTES, MOST_WORKERS
from cluster.pod_security import containers, pods
from cluster.shapes import amount
from cluster.shell_rules import sweep_findings
from cluster.versions import MOVING_TAGS, ROOT, Versions, image_problem
from sweep.core.errors import InputError

_GPU = "nvidia.com/gpu"
_DEFAULT_GRACE_S = 30  # Kubernetes
_LONGEST_GRACE_S = 600
_DEFAULT_DRAIN_S = 30.0  # Ray, RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S
_LONGEST_JOB_S = 7 * 86400
SUBMITTER: Place = ("spec", "submitterPodTemplate", "spec", "containers", 0)
_SHARED_VOLUMES = ("persistentVolumeClaim", "nfs", "csi")


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
    for pod_place in pods(document):
        for container, _ in containers(document, pod_place):
            yield from _size(document, (*container, "resources"))
    if autoscales(document):
        yield from _size(document, (*cluster_place(document), "autoscalerOptions", "resources"))
    for group in groups(document):
        if not ray_container(document, group):
            continue
        limits, place = _limits(document, group), (*ray_place(group), "resources")
        requests = document.section((*place, "requests"))
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
    for place, container in (found for pod_place in pods(document) for found in containers(document, pod_place)):
        name, _, tag = str(container.get("image", "")).rpartition(":")
        if place not in {place[:-1] for place in images.values()} and (not name or "/" in tag or tag in MOVING_TAGS):
            problem = f"{container.get('image')} changes without notice"
            yield document.violation((*place, "image"), problem, "name a version, or a digest")
    submitter = (*SUBMITTER, "image")
    if document.section(SUBMITTER) and str(document.at(submitter)) not in images:
        problem = f"{document.at(submitter)} is not the image of the head"
        yield document.violation(submitter, problem, "use one: Ray refuses to talk to another version of itself")
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
        place = (*group, "template", "spec", "terminationGracePeriodSeconds")
        if isinstance(grace, int) and grace > _LONGEST_GRACE_S:
            problem = f"{grace} s keep a pod that is told to stop"
            yield document.violation(place, problem, f"give at most {_LONGEST_GRACE_S}")
        if not isinstance(grace, int) or grace <= drain:
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


def nodes_have_the_labels(document: Document, versions: Versions) -> Iterator[InputError]:
    """Every nodeSelector names labels and values that nodes can have."""
    for place in pods(document):
        yield from labels_exist(document, place)


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
    for problem, fix in sweep_findings(text):
        yield document.violation(place, problem, fix)
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


def _size(document: Document, place: Place) -> Iterator[InputError]:
    """Limits of one container: there, of a size that machines have, and not below what it asks for."""
    limits, requests = document.section((*place, "limits")), document.section((*place, "requests"))
    for name, most in (("cpu", 256.0), ("memory", 4 * 2.0**40)):
        if name not in limits:
            fix = f"give limits of cpu and memory: Ray reads its {name} from there"
            yield document.violation((*place, "limits"), f"has no {name}", fix)
            continue
        limit = amount(limits[name])
        if limit is not None and not 0 < limit <= most:
            yield document.violation((*place, "limits", name), f"no machine has {limits[name]}", "give less")
        least = 0.05 if name == "cpu" else 2.0**26
        if limit is not None and limit < least:
            yield document.violation(
                (*place, "limits", name), f"{limits[name]} runs nothing", "mind the unit: 500m, 8Gi"
            )
        asked = amount(requests.get(name, limits[name]))
        if limit is not None and asked is not None and not least <= asked <= limit:
            problem = f"{requests[name]} is not between nothing and the limit {limits[name]}"
            yield document.violation((*place, "requests", name), problem, "ask for the limit, or for less")


def groups_share_their_mounts(document: Document, versions: Versions) -> Iterator[InputError]:
    """Every group mounts the same shared volumes at the same paths: --storage names one path for all of them."""
    if not all(ray_container(document, group) for group in groups(document)):
        return
    mounts = {group: sorted(_shared_mounts(document, group)) for group in groups(document)}
    most = max(mounts.values(), key=len)
    for group, found in mounts.items():
        place = (*ray_place(group), "volumeMounts")
        if found != most:
            yield document.violation(
                place, f"mounts {found or 'nothing'}, another group {most}", "mount the same in every group"
            )
        if not all(path.startswith("/") for path in found):
            yield document.violation(place, f"{found} is no path", "begin with /")
    if not most and kind_of(document) == "RayCluster":
        place = (*ray_place(groups(document)[0]), "volumeMounts")
        problem = "no shared volume is mounted, so results go with the pods"
        yield document.violation(place, problem, "mount a persistentVolumeClaim in every group")


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


def _shared_mounts(document: Document, group: Place) -> list[str]:
    volumes = document.sections((*group, "template", "spec", "volumes"))
    shared = [volume.get("name") for _, volume in volumes if any(kind in volume for kind in _SHARED_VOLUMES)]
    mounts = document.sections((*ray_place(group), "volumeMounts"))
    return [
        str(mount.get("mountPath")) for _, mount in mounts if mount.get("name") in shared and not mount.get("readOnly")
    ]


def _is_spot(document: Document, group: Place) -> bool:
    return asks_for_spot(document, (*group, "template", "spec"))


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
