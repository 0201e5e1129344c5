"""Every container of every pod against Kubernetes' "restricted" profile: user, capabilities, host, ports, privilege, volumes.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ . The whole document is searched for pods, so an init
container, a side-car, an ephemeral container or the pod that submits a job is held to the same rules as the one that runs Ray.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cluster.document import Document, Place
from sweep.core.errors import InputError

CONTAINER_LISTS = ("containers", "initContainers", "ephemeralContainers")
_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"),
    "nfs",  # the restricted profile wants a claim in front of it; the shared folder of many laboratories
}
_SECCOMP = ("RuntimeDefault", "Localhost")
_SAFE_SYSCTLS = {
    *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"),
    *("net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports"),
    *("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl"),
    *("net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
}
_SELINUX_TYPES = (None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def pods(document: Document) -> Iterator[Place]:
    """Places of all pod descriptions of a document: mappings that list containers."""
    yield from _pods(document.tree, ())


def containers(document: Document, pod: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
    """All containers of a pod, each with its place."""
    for name in CONTAINER_LISTS:
        yield from document.sections((*pod, name))


def pods_are_restricted(document: Document) -> Iterator[InputError]:
    """Every violation of the restricted profile, of every pod and of every container in it."""
    for pod in pods(document):
        yield from _host(document, pod)
        yield from _volumes(document, pod)
        yield from _shared_settings(document, (*pod, "securityContext"))
        for place, container in containers(document, pod):
            yield from container_is_restricted(document, place, container, document.section((*pod, "securityContext")))


def container_is_restricted(
    document: Document, place: Place, container: Mapping[str, Any], pod_context: Mapping[str, Any]
) -> Iterator[InputError]:
    """Violations of one container; what it leaves out is what its pod says."""
    here = (*place, "securityContext")
    own = document.section(here)
    yield from _shared_settings(document, here)
    yield from _privilege(document, here)
    user = own.get("runAsUser", pod_context.get("runAsUser"))
    if own.get("runAsNonRoot", pod_context.get("runAsNonRoot")) is not True:
        yield document.violation((*here, "runAsNonRoot"), "the container may run as root", "write runAsNonRoot: true")
    if not isinstance(user, int) or isinstance(user, bool) or user < 1:
        problem = (
            "is missing, and Kubernetes cannot tell whether the image's named user is root" if user is None else None
        )
        yield document.violation(
            (*here, "runAsUser"),
            problem or f"{user!r} is root or no user",
            "write runAsUser: 1000, the user of Ray's image",
        )
    profile = own.get("seccompProfile", pod_context.get("seccompProfile"))
    if not isinstance(profile, dict) or profile.get("type") not in _SECCOMP:
        yield document.violation(
            (*here, "seccompProfile"), "system calls are not filtered", "write seccompProfile: {type: RuntimeDefault}"
        )
    for port_place, port in document.sections((*place, "ports")):
        if port.get("hostPort"):
            yield document.violation(port_place, "opens a port of the machine", "leave hostPort out")
    for handler in (*_PROBES, "lifecycle"):
        for probe_place, host in _hosts(container.get(handler), (*place, handler)):
            yield document.violation(probe_place, f"asks another machine ({host})", "leave host out")


def _privilege(document: Document, here: Place) -> Iterator[InputError]:
    context = document.section(here)
    if context.get("privileged") not in (None, False):
        yield document.violation((*here, "privileged"), "the container rules its whole machine", "leave it out")
    if context.get("allowPrivilegeEscalation") is not False:
        yield document.violation(
            (*here, "allowPrivilegeEscalation"), "a program may gain rights that the container has not", "write false"
        )
    capabilities = context.get("capabilities")
    capabilities = capabilities if isinstance(capabilities, dict) else {}
    dropped, added = capabilities.get("drop"), capabilities.get("add")
    if not isinstance(dropped, list) or "ALL" not in dropped:
        yield document.violation((*here, "capabilities"), "keeps rights of root", "write capabilities: {drop: [ALL]}")
    if added not in (None, [], ["NET_BIND_SERVICE"]):
        yield document.violation((*here, "capabilities", "add"), f"adds rights of root ({added})", "leave add out")
    if context.get("procMount") not in (None, "Default"):
        yield document.violation((*here, "procMount"), "shows the machine's /proc", "leave it out, which means Default")


def _shared_settings(document: Document, here: Place) -> Iterator[InputError]:
    """What may stand in the security context of a pod and of a container alike, and must not be loosened in either."""
    context = document.section(here)
    if context.get("runAsNonRoot") not in (None, True):
        yield document.violation((*here, "runAsNonRoot"), "the container may run as root", "write true")
    user = context.get("runAsUser")
    if user is not None and (not isinstance(user, int) or isinstance(user, bool) or user < 1):
        yield document.violation(
            (*here, "runAsUser"), f"{user!r} is root or no user", "write 1000, the user of Ray's image"
        )
    for name in ("runAsGroup", "fsGroup"):
        group = context.get(name)
        if isinstance(group, (int, float)) and group < 1:
            yield document.violation(
                (*here, name), f"{group} is root's group or none", "write 100, the group of Ray's image"
            )
    if 0 in document.items((*here, "supplementalGroups")):
        yield document.violation((*here, "supplementalGroups"), "holds root's group", "leave 0 out")
    profile = context.get("seccompProfile")
    if profile is not None and (not isinstance(profile, dict) or profile.get("type") not in _SECCOMP):
        yield document.violation(
            (*here, "seccompProfile"), "system calls are not filtered", "write {type: RuntimeDefault}"
        )
    armor = context.get("appArmorProfile")
    if armor is not None and (not isinstance(armor, dict) or armor.get("type") not in _SECCOMP):
        yield document.violation((*here, "appArmorProfile"), "AppArmor is off", "write {type: RuntimeDefault}")
    selinux = context.get("seLinuxOptions")
    if isinstance(selinux, dict) and (
        selinux.get("type") not in _SELINUX_TYPES or selinux.get("user") or selinux.get("role")
    ):
        yield document.violation((*here, "seLinuxOptions"), "loosens SELinux", "leave it out")
    if document.at((*here, "windowsOptions", "hostProcess")):
        yield document.violation((*here, "windowsOptions"), "the container rules its whole machine", "leave it out")
    for index, item in enumerate(document.items((*here, "sysctls"))):
        sysctl = item.get("name") if isinstance(item, dict) else item
        if sysctl not in _SAFE_SYSCTLS:
            yield document.violation(
                (*here, "sysctls", index), f"{sysctl} changes the machine's kernel", "leave it out"
            )


def _host(document: Document, pod: Place) -> Iterator[InputError]:
    spec = document.section(pod)
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name) not in (None, False):
            yield document.violation((*pod, name), "the pod sees its whole machine", "leave it out")
    if spec.get("shareProcessNamespace") not in (None, False):
        yield document.violation(
            (*pod, "shareProcessNamespace"), "containers see each other's processes", "leave it out"
        )
    if spec.get("nodeName"):
        yield document.violation((*pod, "nodeName"), "goes past the scheduler", "use nodeSelector")
    if spec.get("hostAliases"):
        yield document.violation((*pod, "hostAliases"), "redirects names such as the storage's", "leave it out")


def _volumes(document: Document, pod: Place) -> Iterator[InputError]:
    for place, volume in document.sections((*pod, "volumes")):
        kinds = [name for name in volume if name != "name"]
        if "persistentVolumeClaim" in volume and not document.at((*place, "persistentVolumeClaim", "claimName")):
            yield document.violation((*place, "persistentVolumeClaim", "claimName"), "is missing", "name the claim")
        if "hostPath" in volume:
            yield document.violation(
                place,
                "hostPath is another folder on every machine, and the machine's own",
                "use a persistentVolumeClaim",
            )
        elif len(kinds) != 1 or kinds[0] not in _VOLUMES:
            problem = f"{', '.join(kinds) or 'nothing'} is not one kind of volume that pods may mount"
            yield document.violation(place, problem, "use a persistentVolumeClaim, or emptyDir for what may go")


def _hosts(node: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "host" and value:
                yield (*place, key), value
            else:
                yield from _hosts(value, (*place, str(key)))


def _pods(node: Any, place: Place) -> Iterator[Place]:
    if isinstance(node, dict):
        if any(isinstance(node.get(name), list) for name in CONTAINER_LISTS):
            yield place
        for key, value in node.items():
            yield from _pods(value, (*place, str(key)))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _pods(value, (*place, index))
