"""The fields of RayCluster and RayJob (KubeRay 1.7, ray.io/v1) and of the pods in them.

The API server drops a field it does not know without a word: a mistyped maxReplicas becomes 2147483647. With the environment
variable KUBERAY_CRD_DIR naming KubeRay's config/crd/bases, its own definitions are asked too.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import yaml

from cluster.shapes import Map, Shape, from_json_schema

KINDS = ("RayCluster", "RayJob")

_RESOURCES = {"requests": Map("quantity"), "limits": Map("quantity"), "claims": "any"}
_ENV = [{"name": "string", "value": "string", "valueFrom": "any"}]
_MOUNTS = [
    {
        **dict.fromkeys(
            ("name", "mountPath", "subPath", "subPathExpr", "mountPropagation", "recursiveReadOnly"), "string"
        ),
        "readOnly": "boolean",
    }
]

_CONTAINER = {
    **dict.fromkeys(
        ("name", "image", "workingDir", "restartPolicy", "terminationMessagePath", "terminationMessagePolicy"), "string"
    ),
    **dict.fromkeys(("command", "args"), ["string"]),
    **dict.fromkeys(("stdin", "stdinOnce", "tty"), "boolean"),
    **dict.fromkeys(
        (
            "envFrom",
            "lifecycle",
            "livenessProbe",
            "readinessProbe",
            "startupProbe",
            "ports",
            "resizePolicy",
            "securityContext",
            "volumeDevices",
        ),
        "any",
    ),
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "env": _ENV,
    "resources": _RESOURCES,
    "volumeMounts": _MOUNTS,
}

_POD = {
    **dict.fromkeys(("terminationGracePeriodSeconds", "activeDeadlineSeconds", "priority"), "integer"),
    **dict.fromkeys(
        (
            "hostNetwork",
            "hostPID",
            "hostIPC",
            "hostUsers",
            "automountServiceAccountToken",
            "enableServiceLinks",
            "shareProcessNamespace",
            "setHostnameAsFQDN",
        ),
        "boolean",
    ),
    **dict.fromkeys(
        (
            "dnsPolicy",
            "hostname",
            "nodeName",
            "preemptionPolicy",
            "priorityClassName",
            "runtimeClassName",
            "schedulerName",
            "serviceAccount",
            "serviceAccountName",
            "subdomain",
        ),
        "string",
    ),
    **dict.fromkeys(
        (
            "affinity",
            "dnsConfig",
            "ephemeralContainers",
            "hostAliases",
            "imagePullSecrets",
            "os",
            "overhead",
            "readinessGates",
            "resourceClaims",
            "resources",
            "schedulingGates",
            "securityContext",
            "tolerations",
            "topologySpreadConstraints",
        ),
        "any",
    ),
    "restartPolicy": ("Always", "OnFailure", "Never"),
    "nodeSelector": Map("string"),
    "containers": [_CONTAINER],
    "initContainers": [_CONTAINER],
    "volumes": "any",
}
_METADATA = {
    **dict.fromkeys(("name", "namespace", "generateName"), "string"),
    **dict.fromkeys(("labels", "annotations"), Map("string")),
    "finalizers": ["string"],
}
_TEMPLATE = {"metadata": _METADATA, "spec": _POD}
_GROUP = {"rayStartParams": Map("string"), "resources": Map("string"), "labels": Map("string"), "template": _TEMPLATE}

_CLUSTER = {
    "rayVersion": "string",
    **dict.fromkeys(("suspend", "enableInTreeAutoscaling"), "boolean"),
    **dict.fromkeys(("gcsFaultToleranceOptions", "historyServerOptions", "networkPolicy", "upgradeStrategy"), "any"),
    "managedBy": ("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"),
    "headServiceAnnotations": Map("string"),
    "tlsOptions": {"enabled": "boolean"},
    "authOptions": {"mode": ("disabled", "token"), "secretName": "string", "enableK8sTokenAuth": "boolean"},
    "autoscalerOptions": {
        "version": ("v1", "v2"),
        "upscalingMode": ("Default", "Aggressive", "Conservative"),
        "idleTimeoutSeconds": "integer",
        "image": "string",
        "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
        "resources": _RESOURCES,
        "securityContext": "any",
        "env": _ENV,
        "envFrom": "any",
        "volumeMounts": _MOUNTS,
        **dict.fromkeys(("command", "args"), ["string"]),
    },
    "headGroupSpec": {
        **_GROUP,
        "serviceType": ("ClusterIP", "NodePort", "LoadBalancer"),
        "headService": "any",
        "enableIngress": "boolean",
        "ingressOptions": "any",
    },
    "workerGroupSpecs": [
        {
            **_GROUP,
            "groupName": "string",
            "suspend": "boolean",
            "scaleStrategy": {"workersToDelete": ["string"]},
            **dict.fromkeys(
                ("replicas", "minReplicas", "maxReplicas", "idleTimeoutSeconds", "priority", "numOfHosts"), "integer"
            ),
        }
    ],
}
_JOB = {
    "rayClusterSpec": _CLUSTER,
    "submissionMode": ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    **dict.fromkeys(("entrypoint", "runtimeEnvYAML", "jobId", "entrypointResources"), "string"),
    **dict.fromkeys(("entrypointNumCpus", "entrypointNumGpus"), "number"),
    **dict.fromkeys(
        ("activeDeadlineSeconds", "preRunningDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"), "integer"
    ),
    **dict.fromkeys(("shutdownAfterJobFinishes", "suspend"), "boolean"),
    **dict.fromkeys(("metadata", "clusterSelector"), Map("string")),
    "submitterPodTemplate": _TEMPLATE,
    "submitterConfig": {"backoffLimit": "integer"},
    "deletionStrategy": "any",
    "managedBy": ("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"),
}


def object_shape(kind: str) -> Shape:
    """Shape of a whole object; `kind` is one of KINDS."""
    spec = {"RayCluster": _CLUSTER, "RayJob": _JOB}[kind]
    return {"apiVersion": ("ray.io/v1",), "kind": KINDS, "metadata": _METADATA, "spec": spec}


@cache
def crd_shape(kind: str) -> Shape | None:
    """Shape of the spec in KubeRay's own definition, None without KUBERAY_CRD_DIR."""
    folder = os.environ.get("KUBERAY_CRD_DIR")
    path = Path(folder or "") / f"ray.io_{kind.lower()}s.yaml"
    if not folder or not path.is_file():
        return None
    versions = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]["versions"]
    schema = next(row["schema"]["openAPIV3Schema"] for row in versions if row["name"] == "v1")
    return from_json_schema(schema["properties"]["spec"], {})
