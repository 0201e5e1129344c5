"""The fields of a pod and of its containers (Kubernetes core/v1), as far as a Ray cluster can use them; others are refused by name."""

from __future__ import annotations

from typing import Any

from cluster.shapes import Map, Shape


def _texts(*names: str) -> dict[str, Shape]:
    return dict.fromkeys(names, "string")


def _whole(*names: str) -> dict[str, Shape]:
    return dict.fromkeys(names, "integer")


def _flags(*names: str) -> dict[str, Shape]:
    return dict.fromkeys(names, "boolean")


RESOURCE_NAMES = ("cpu", "memory", "ephemeral-storage", "nvidia.com/gpu", "amd.com/gpu")
_AMOUNTS = dict.fromkeys(RESOURCE_NAMES, "quantity")
RESOURCES: dict[str, Shape] = {
    "requests": _AMOUNTS,
    "limits": _AMOUNTS,
    "claims": [_texts("name", "request")],
}
_KEY = {**_texts("name", "key"), **_flags("optional")}
_FIELD = _texts("apiVersion", "fieldPath")
_RESOURCE_FIELD = {**_texts("containerName", "resource"), "divisor": "quantity"}
ENV: Shape = [
    {
        **_texts("name", "value"),
        "valueFrom": {
            "secretKeyRef": _KEY,
            "configMapKeyRef": _KEY,
            "fieldRef": _FIELD,
            "resourceFieldRef": _RESOURCE_FIELD,
        },
    }
]
_SOURCE = {**_texts("name"), **_flags("optional")}
ENV_FROM: Shape = [{"prefix": "string", "secretRef": _SOURCE, "configMapRef": _SOURCE}]
MOUNTS: Shape = [
    {
        **_texts("name", "mountPath", "subPath", "subPathExpr"),
        "mountPropagation": ("None", "HostToContainer"),
        "recursiveReadOnly": ("Disabled", "IfPossible", "Enabled"),
        **_flags("readOnly"),
    }
]
_PROFILE = {"type": ("RuntimeDefault", "Localhost", "Unconfined"), "localhostProfile": "string"}
_SELINUX = _texts("level", "role", "type", "user")
_WINDOWS = {**_texts("gmsaCredentialSpec", "gmsaCredentialSpecName", "runAsUserName"), **_flags("hostProcess")}
_CONTEXT: dict[str, Shape] = {
    **_whole("runAsUser", "runAsGroup"),
    **_flags("runAsNonRoot"),
    "seccompProfile": _PROFILE,
    "appArmorProfile": _PROFILE,
    "seLinuxOptions": _SELINUX,
    "windowsOptions": _WINDOWS,
}
CONTAINER_CONTEXT: Shape = {
    **_CONTEXT,
    **_flags("privileged", "allowPrivilegeEscalation", "readOnlyRootFilesystem"),
    "capabilities": {"add": ["string"], "drop": ["string"]},
    "procMount": ("Default", "Unmasked"),
}
POD_CONTEXT: Shape = {
    **_CONTEXT,
    **_whole("fsGroup"),
    "fsGroupChangePolicy": ("Always", "OnRootMismatch"),
    "supplementalGroups": ["integer"],
    "supplementalGroupsPolicy": ("Merge", "Strict"),
    "seLinuxChangePolicy": ("MountOption", "Recursive"),
    "sysctls": [_texts("name", "value")],
}
_HTTP = {
    **_texts("path", "host"),
    "scheme": ("HTTP", "HTTPS"),
    "port": "integer or text",
    "httpHeaders": [_texts("name", "value")],
}
_TCP = {"host": "string", "port": "integer or text"}
_EXEC = {"command": ["string"]}
_PROBE: Shape = {
    **_whole("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"),
    **_whole("terminationGracePeriodSeconds"),
    "exec": _EXEC,
    "httpGet": _HTTP,
    "tcpSocket": _TCP,
    "grpc": {"port": "integer", "service": "string"},
}
_HOOK: Shape = {"exec": _EXEC, "httpGet": _HTTP, "tcpSocket": _TCP, "sleep": _whole("seconds")}
_PULL = ("Always", "IfNotPresent", "Never")
CONTAINER: dict[str, Shape] = {
    **_texts("name", "image", "workingDir", "terminationMessagePath"),
    "terminationMessagePolicy": ("File", "FallbackToLogsOnError"),
    "restartPolicy": ("Always", "OnFailure", "Never"),
    **dict.fromkeys(("command", "args"), ["string"]),
    **_flags("stdin", "stdinOnce", "tty"),
    **dict.fromkeys(("livenessProbe", "readinessProbe", "startupProbe"), _PROBE),
    "lifecycle": {"postStart": _HOOK, "preStop": _HOOK, "stopSignal": "string"},
    "ports": [{**_texts("name", "hostIP"), **_whole("containerPort", "hostPort"), "protocol": ("TCP", "UDP", "SCTP")}],
    "resizePolicy": [_texts("resourceName", "restartPolicy")],
    "securityContext": CONTAINER_CONTEXT,
    "volumeDevices": [_texts("name", "devicePath")],
    "imagePullPolicy": _PULL,
    "env": ENV,
    "envFrom": ENV_FROM,
    "resources": RESOURCES,
    "volumeMounts": MOUNTS,
}
_ITEMS: Shape = [{**_texts("key", "path"), "mode": "integer"}]
_DOWNWARD: Shape = [{"path": "string", "mode": "integer", "fieldRef": _FIELD, "resourceFieldRef": _RESOURCE_FIELD}]
_CONFIG_MAP = {**_texts("name"), "defaultMode": "integer", **_flags("optional"), "items": _ITEMS}
_PROJECTED: Shape = [
    {
        "configMap": _CONFIG_MAP,
        "secret": _CONFIG_MAP,
        "downwardAPI": {"items": _DOWNWARD},
        "serviceAccountToken": {**_texts("audience", "path"), "expirationSeconds": "integer"},
    }
]
_CLAIM = {
    "metadata": {"labels": Map("string"), "annotations": Map("string")},
    "spec": {
        "accessModes": [("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")],
        **_texts("storageClassName", "volumeName"),
        "volumeMode": ("Filesystem", "Block"),
        "resources": {"requests": {"storage": "quantity"}, "limits": {"storage": "quantity"}},
    },
}
VOLUMES: Shape = [
    {
        "name": "string",
        "persistentVolumeClaim": {"claimName": "string", **_flags("readOnly")},
        "emptyDir": {"medium": ("", "Memory"), "sizeLimit": "quantity"},
        "configMap": _CONFIG_MAP,
        "secret": {"secretName": "string", "defaultMode": "integer", **_flags("optional"), "items": _ITEMS},
        "downwardAPI": {"defaultMode": "integer", "items": _DOWNWARD},
        "projected": {"defaultMode": "integer", "sources": _PROJECTED},
        "csi": {
            **_texts("driver", "fsType"),
            **_flags("readOnly"),
            "volumeAttributes": Map("string"),
            "nodePublishSecretRef": _texts("name"),
        },
        "ephemeral": {"volumeClaimTemplate": _CLAIM},
        "nfs": {**_texts("server", "path"), **_flags("readOnly")},
        "hostPath": _texts("path", "type"),  # refused, with the reason, by pod_security
    }
]
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_EXPRESSIONS: Shape = [{"key": "string", "operator": _OPERATORS, "values": ["string"]}]
_TERM = {"matchExpressions": _EXPRESSIONS, "matchFields": _EXPRESSIONS}
_SELECTOR = {"matchLabels": Map("string"), "matchExpressions": _EXPRESSIONS}
_POD_TERM = {
    "labelSelector": _SELECTOR,
    "namespaceSelector": _SELECTOR,
    "topologyKey": "string",
    **dict.fromkeys(("namespaces", "matchLabelKeys", "mismatchLabelKeys"), ["string"]),
}
_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
_POD_AFFINITY = {_REQUIRED: [_POD_TERM], _PREFERRED: [{"weight": "integer", "podAffinityTerm": _POD_TERM}]}
_AFFINITY = {
    "nodeAffinity": {
        _REQUIRED: {"nodeSelectorTerms": [_TERM]},
        _PREFERRED: [{"weight": "integer", "preference": _TERM}],
    },
    "podAffinity": _POD_AFFINITY,
    "podAntiAffinity": _POD_AFFINITY,
}
POD: dict[str, Shape] = {
    **_whole("terminationGracePeriodSeconds", "activeDeadlineSeconds", "priority"),
    **_flags("hostNetwork", "hostPID", "hostIPC", "hostUsers", "automountServiceAccountToken"),
    **_flags("enableServiceLinks", "shareProcessNamespace", "setHostnameAsFQDN"),
    **_texts("hostname", "nodeName", "priorityClassName", "runtimeClassName", "schedulerName"),
    **_texts("serviceAccount", "serviceAccountName", "subdomain"),
    "dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    "preemptionPolicy": ("Never", "PreemptLowerPriority"),
    "affinity": _AFFINITY,
    "dnsConfig": {"nameservers": ["string"], "searches": ["string"], "options": [_texts("name", "value")]},
    "hostAliases": [{"ip": "string", "hostnames": ["string"]}],
    "imagePullSecrets": [_texts("name")],
    "os": {"name": ("linux", "windows")},
    "overhead": _AMOUNTS,
    "readinessGates": [_texts("conditionType")],
    "resourceClaims": [_texts("name", "resourceClaimName", "resourceClaimTemplateName")],
    "resources": RESOURCES,
    "schedulingGates": [_texts("name")],
    "securityContext": POD_CONTEXT,
    "tolerations": [
        {
            **_texts("key", "value"),
            "operator": ("Exists", "Equal"),
            "effect": ("NoSchedule", "PreferNoSchedule", "NoExecute"),
            "tolerationSeconds": "integer",
        }
    ],
    "topologySpreadConstraints": [
        {
            **_whole("maxSkew", "minDomains"),
            "topologyKey": "string",
            "whenUnsatisfiable": ("DoNotSchedule", "ScheduleAnyway"),
            "labelSelector": _SELECTOR,
            "matchLabelKeys": ["string"],
            **dict.fromkeys(("nodeAffinityPolicy", "nodeTaintsPolicy"), ("Honor", "Ignore")),
        }
    ],
    "restartPolicy": ("Always", "OnFailure", "Never"),
    "nodeSelector": Map("string"),
    "containers": [CONTAINER],
    "initContainers": [CONTAINER],
    "ephemeralContainers": [{**CONTAINER, "targetContainerName": "string"}],
    "volumes": VOLUMES,
}
METADATA: dict[str, Any] = {
    **_texts("name", "namespace", "generateName"),
    **dict.fromkeys(("labels", "annotations"), Map("string")),
    "finalizers": ["string"],
}
TEMPLATE: Shape = {"metadata": METADATA, "spec": POD}
SERVICE: Shape = {
    "metadata": METADATA,
    "spec": {
        "type": ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
        **_texts("clusterIP", "externalName", "loadBalancerIP", "loadBalancerClass"),
        **dict.fromkeys(("externalIPs", "loadBalancerSourceRanges", "clusterIPs", "ipFamilies"), ["string"]),
        "selector": Map("string"),
        "sessionAffinity": ("None", "ClientIP"),
        "ipFamilyPolicy": ("SingleStack", "PreferDualStack", "RequireDualStack"),
        **_flags("publishNotReadyAddresses", "allocateLoadBalancerNodePorts"),
        **dict.fromkeys(("externalTrafficPolicy", "internalTrafficPolicy"), ("Cluster", "Local")),
        "ports": [
            {
                **_texts("name", "protocol", "appProtocol"),
                **_whole("port", "nodePort"),
                "targetPort": "integer or text",
            }
        ],
    },
}
