"""The fields of RayCluster and RayJob (KubeRay 1.7, ray.io/v1); pod_fields.py has those of the pods in them.

The API server silently drops a field it does not know: a mistyped maxReplicas becomes 2147483647. With the environment
variable KUBERAY_CRD_DIR naming KubeRay's config/crd/bases, its own definitions are asked too.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import yaml

from cluster.pod_fields import CONTAINER_CONTEXT, ENV, ENV_FROM, METADATA, MOUNTS, RESOURCES, SERVICE, TEMPLATE
from cluster.shapes import Map, Shape, from_json_schema

KINDS = ("RayCluster", "RayJob")

START_OPTIONS = (  # of `ray start`, without the dashes
    *("num-cpus", "num-gpus", "memory", "resources", "labels", "object-store-memory"),
    *("address", "port", "node-ip-address", "dashboard-host", "dashboard-port", "dashboard-agent-listen-port"),
    *("block", "plasma-directory", "metrics-export-port", "min-worker-port", "max-worker-port", "worker-port-list"),
    *(
        "ray-client-server-port",
        "node-manager-port",
        "object-manager-port",
        "runtime-env-agent-port",
        "disable-usage-stats",
        "no-monitor",
    ),
    *("system-config", "include-dashboard", "object-spilling-directory", "temp-dir", "autoscaling-config"),
)
_GROUP = {
    "rayStartParams": dict.fromkeys(START_OPTIONS, "string"),
    "resources": dict.fromkeys(("CPU", "GPU", "memory"), "string"),
    "labels": Map("string"),
    "template": TEMPLATE,
}
_UPGRADE = {"type": ("Recreate", "None")}
_SECRET_KEY = {"name": "string", "key": "string", "optional": "boolean"}
_VALUE = {"value": "string", "valueFrom": {"secretKeyRef": _SECRET_KEY}}
_GCS = {
    **dict.fromkeys(("redisAddress", "externalStorageNamespace"), "string"),
    **dict.fromkeys(("redisUsername", "redisPassword"), _VALUE),
}

_CLUSTER = {
    "rayVersion": "string",
    **dict.fromkeys(("suspend", "enableInTreeAutoscaling"), "boolean"),
    "gcsFaultToleranceOptions": _GCS,
    "upgradeStrategy": _UPGRADE,
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
        "resources": RESOURCES,
        "securityContext": CONTAINER_CONTEXT,
        "env": ENV,
        "envFrom": ENV_FROM,
        "volumeMounts": MOUNTS,
        **dict.fromkeys(("command", "args"), ["string"]),
    },
    "headGroupSpec": {
        **_GROUP,
        "serviceType": ("ClusterIP", "NodePort", "LoadBalancer"),
        "headService": SERVICE,
        "enableIngress": "boolean",
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
_DELETION = {
    "policy": ("DeleteCluster", "DeleteWorkers", "DeleteSelf", "DeleteNone"),
    "condition": {
        "ttlSeconds": "integer",
        "jobStatus": ("SUCCEEDED", "FAILED"),
        "jobDeploymentStatus": ("Failed", "Complete"),
    },
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
    "submitterPodTemplate": TEMPLATE,
    "submitterConfig": {"backoffLimit": "integer"},
    "deletionStrategy": {"deletionRules": [_DELETION], "onSuccess": _DELETION, "onFailure": _DELETION},
    "managedBy": ("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"),
}


def object_shape(kind: str) -> Shape:
    """Shape of a whole object; `kind` is one of KINDS."""
    spec = {"RayCluster": _CLUSTER, "RayJob": _JOB}[kind]
    return {"apiVersion": ("ray.io/v1",), "kind": KINDS, "metadata": METADATA, "spec": spec}


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
