"""Who may reach a KubeRay cluster: token, services, tunnels; and every pod of it against the restricted profile."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.document import Document
from cluster.kuberay_policy import SUBMITTER
from cluster.kuberay_rules import cluster_place, groups, kind_of
from cluster.pod_security import container_is_restricted, pods_are_restricted
from cluster.secret_shapes import no_secret_is_written as secrets_of
from cluster.shell_rules import commands_are_harmless as commands_of
from cluster.versions import Versions
from sweep.core.errors import InputError

_OUTSIDE = "the dashboard, which runs code, is open to the outside"
_PUBLIC_SERVICES = ("LoadBalancer", "NodePort", "ExternalName")


def token_is_on(document: Document, versions: Versions) -> Iterator[InputError]:
    """Token authentication, chosen in authOptions alone: the operator then sets it in every pod."""
    place = (*cluster_place(document), "authOptions", "mode")
    if document.at(place) != "token":
        yield document.violation(place, "anyone who reaches the pod can run code", "write token")
    for at, value in document.scalars():
        if at[-1] == "name" and value in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            yield document.violation(at, f"{value} is set beside authOptions", "keep authOptions alone")


def nothing_is_exposed(document: Document, versions: Versions) -> Iterator[InputError]:
    """No service, ingress or open listener that is reached from outside the Kubernetes cluster."""
    head = groups(document)[0]
    if document.at((*head, "serviceType")) not in (None, "ClusterIP"):
        yield document.violation((*head, "serviceType"), _OUTSIDE, "write ClusterIP and use kubectl port-forward")
    if document.at((*head, "enableIngress")):
        yield document.violation((*head, "enableIngress"), _OUTSIDE, "leave it out and use kubectl port-forward")
    for place, value in document.scalars():
        if place[-1] == "type" and value in _PUBLIC_SERVICES:
            yield document.violation(place, _OUTSIDE, "write ClusterIP and use kubectl port-forward")
        if place[-1] in ("nodePort", "loadBalancerIP", "externalName") or "externalIPs" in place:
            yield document.violation(place, _OUTSIDE, "leave it out and use kubectl port-forward")
        if "load-balancer" in str(place[-1]) and "annotations" in str(place).lower():
            yield document.violation(place, _OUTSIDE, "leave the annotation out")
    start = document.section((*head, "rayStartParams"))
    if str(start.get("dashboard-host", "0.0.0.0")) not in ("0.0.0.0", "127.0.0.1", "::"):  # the pod's own network
        yield document.violation(
            (*head, "rayStartParams", "dashboard-host"), "is no address of the pod", "leave it out"
        )


def pods_keep_to_the_profile(document: Document, versions: Versions) -> Iterator[InputError]:
    """The restricted profile for every pod that the file describes, and for those that the operator makes without one."""
    yield from pods_are_restricted(document)
    place = (*cluster_place(document), "autoscalerOptions")
    if document.at((*cluster_place(document), "enableInTreeAutoscaling")) is True:
        head = (
            *groups(document)[0],
            "template",
            "spec",
            "securityContext",
        )  # the autoscaler is a container of the head
        yield from container_is_restricted(document, place, document.section(place), document.section(head))
    mode = document.at(("spec", "submissionMode")) or "K8sJobMode"
    submits = kind_of(document) == "RayJob" and mode == "K8sJobMode"
    if submits and not document.section(SUBMITTER).get("image"):
        yield document.violation(
            ("spec", "submitterPodTemplate"),
            "is missing, and the operator's own submitter keeps rights of root",
            "describe it, as in cluster/ray-job.kuberay.yaml",
        )


def no_secret_is_written(document: Document, versions: Versions) -> Iterator[InputError]:
    """No credential in any value, argument or variable of the file, which is committed."""
    yield from secrets_of(document)


def commands_are_harmless(document: Document, versions: Versions) -> Iterator[InputError]:
    """No command, argument or init file of any container downloads and runs code, or turns the token off."""
    yield from commands_of(document)
