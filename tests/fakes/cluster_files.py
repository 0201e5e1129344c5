"""Broken copies of the cluster files: one change each, the kind of change that people make."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "cluster"
REMOVE = object()


@dataclass(frozen=True)
class Mutation:
    """One change to one file; `says` is what the violation must hold."""

    what: str
    file: str
    place: str
    value: Any
    says: str

    def write(self, folder: Path) -> Path:
        """The broken file."""
        tree = json.loads(json.dumps(yaml.safe_load((FOLDER / self.file).read_text())))  # aliases become copies
        change(tree, self.place, self.value)
        path = folder / self.file
        path.write_text(yaml.safe_dump(tree, sort_keys=False))
        return path


def change(tree: Any, place: str, value: Any) -> None:
    """Set, remove (REMOVE) or rewrite (a function of the old value) what stands at a dotted place; / may be used instead of dots."""
    steps = place.split("/" if "/" in place else ".")
    for step in steps[:-1]:
        tree = tree[int(step)] if isinstance(tree, list) else tree.setdefault(step, {})
    last: Any = int(steps[-1]) if isinstance(tree, list) else steps[-1]
    if value is REMOVE:
        del tree[last]
    elif isinstance(value, Callable):
        tree[last] = value(tree[last])
    else:
        tree[last] = copy.deepcopy(value)


AWS, GCP, AZURE, OWN = (f"ray-cluster.{name}.yaml" for name in ("aws", "gcp", "azure", "on-prem"))
_SPOT, _HEAD = "available_node_types.gpu_spot", "available_node_types.head"
_START = "worker_start_ray_commands"

LAUNCHER = [
    Mutation("unknown top key", AWS, "max_worker", 4, "did you mean max_workers?"),
    Mutation("no cluster name", AWS, "cluster_name", REMOVE, "cluster_name: is missing"),
    Mutation("name no cloud takes", GCP, "cluster_name", "Recipe_Finder", "does not fit every cloud"),
    Mutation("no provider", AWS, "provider", REMOVE, "provider: is missing"),
    Mutation("unknown provider", AWS, "provider.type", "awz", "did you mean aws?"),
    Mutation("misspelled provider key", AWS, "provider.regoin", "us-west-2", "did you mean region?"),
    Mutation("no region", AWS, "provider.region", REMOVE, "provider.region: is missing"),
    Mutation("no project", GCP, "provider.project_id", None, "provider.project_id: is missing"),
    Mutation("no resource group", AZURE, "provider.resource_group", REMOVE, "resource_group: is missing"),
    Mutation("no addresses", OWN, "provider.worker_ips", [], "worker_ips: is missing"),
    Mutation("no head type", AWS, "head_node_type", REMOVE, "head_node_type"),
    Mutation("head type that is not there", AWS, "head_node_type", "head_node", "head_node_type"),
    Mutation("head with CPUs", AWS, f"{_HEAD}.resources.CPU", 2, "the head offers 2 CPUs"),
    Mutation("head with all its CPUs", GCP, f"{_HEAD}.resources", {}, "the head offers all its CPUs"),
    Mutation("head with a GPU", AWS, f"{_HEAD}.resources.GPU", 1, "never goes away"),
    Mutation(
        "head that is spot",
        AWS,
        f"{_HEAD}.node_config.InstanceMarketOptions",
        {"MarketType": "spot"},
        "the head may be taken away",
    ),
    Mutation(
        "own head that works",
        OWN,
        "head_start_ray_commands.1",
        lambda old: old.replace("--num-cpus=0 ", ""),
        "--num-cpus=0",
    ),
    Mutation("GPU as text", AWS, f"{_SPOT}.resources.GPU", "1", "not of type integer"),
    Mutation("no node_config", AWS, f"{_SPOT}.node_config", REMOVE, "node_config: is missing"),
    Mutation("no limit of machines", AWS, "max_workers", REMOVE, "nothing bounds the cost"),
    Mutation("a thousand machines", AWS, "max_workers", 1000, "1000 machines"),
    Mutation("no limit of a type", GCP, f"{_SPOT}.max_workers", REMOVE, "gpu_spot.max_workers: is missing"),
    Mutation("machines without work", AZURE, f"{_SPOT}.min_workers", 2, "paid for without work"),
    Mutation("min above max", AWS, f"{_SPOT}.min_workers", 5, "min_workers"),
    Mutation("negative idle timeout", AWS, "idle_timeout_minutes", -1, "idle_timeout_minutes"),
    Mutation("idle for an hour", AWS, "idle_timeout_minutes", 60, "keeps idle machines"),
    Mutation("no idle timeout", GCP, "idle_timeout_minutes", REMOVE, "idle_timeout_minutes: is missing"),
    Mutation("type idle for a day", AWS, f"{_SPOT}.idle_timeout_s", 86400, "keeps idle machines"),
    Mutation("stopped nodes kept", AWS, "provider.cache_stopped_nodes", REMOVE, "disks of idle nodes"),
    Mutation("image that moves", AWS, "docker.worker_image", "rayproject/ray:latest-gpu", "changes without notice"),
    Mutation("image without a tag", AWS, "docker.head_image", "rayproject/ray", "means latest"),
    Mutation("older Ray", GCP, "docker.worker_image", "rayproject/ray:2.55.0-py311-gpu", "is not Ray"),
    Mutation("other Python", GCP, "docker.head_image", "rayproject/ray:2.60.0-py312-cpu", "is not Python"),
    Mutation("no image", OWN, "docker", REMOVE, "docker"),
    Mutation("no container name", AWS, "docker.container_name", REMOVE, "container_name"),
    Mutation("packages of the lock left out", AWS, "setup_commands", [], "none of this project's packages"),
    Mutation(
        "hashes not compared",
        AWS,
        "setup_commands.0",
        lambda old: old.replace("--require-hashes ", ""),
        "--require-hashes",
    ),
    Mutation("newest Ray", AWS, "head_setup_commands.0", "pip install -U ray[default]", "whatever Ray is newest"),
    Mutation("pinned to another Ray", AWS, "head_setup_commands.0", "pip install ray==2.9.0", "installs Ray 2.9.0"),
    Mutation(
        "misspelled instance type", AWS, f"{_SPOT}.node_config.InstanceTyp", "g6.xlarge", "did you mean InstanceType?"
    ),
    Mutation(
        "misspelled market options",
        AWS,
        f"{_SPOT}.node_config.InstanceMarketOption",
        {"MarketType": "spot"},
        "did you mean InstanceMarketOptions?",
    ),
    Mutation(
        "unknown market", AWS, f"{_SPOT}.node_config.InstanceMarketOptions.MarketType", "sport", "did you mean spot?"
    ),
    Mutation("size as text", AWS, f"{_SPOT}.node_config.BlockDeviceMappings.0.Ebs.VolumeSize", "150", "not a integer"),
    Mutation(
        "misspelled machine type", GCP, f"{_SPOT}.node_config.machinetype", "g2-standard-4", "did you mean machineType?"
    ),
    Mutation(
        "unknown provisioning", GCP, f"{_SPOT}.node_config.scheduling.provisioningModel", "SPOTS", "did you mean SPOT?"
    ),
    Mutation(
        "unknown Azure parameter",
        AZURE,
        f"{_SPOT}.node_config.azure_arm_parameters.vmsize",
        "Standard_NC4as_T4_v3",
        "did you mean vmSize?",
    ),
    Mutation(
        "unknown Azure priority",
        AZURE,
        f"{_SPOT}.node_config.azure_arm_parameters.priority",
        "spot",
        "did you mean Spot?",
    ),
    Mutation(
        "Azure eviction that keeps disks",
        AZURE,
        f"{_SPOT}.node_config.azure_arm_parameters.evictionPolicy",
        "Deallocate",
        "disk paid for",
    ),
    Mutation("no machine", AWS, f"{_SPOT}.node_config.InstanceType", REMOVE, "InstanceType: is missing"),
    Mutation("GPUs on a CPU machine", AWS, f"{_SPOT}.node_config.InstanceType", "m6i.large", "has no GPU"),
    Mutation("GPU machine whose GPUs are hidden", GCP, f"{_SPOT}.resources", {"CPU": 4}, "whose GPUs are not offered"),
    Mutation("image left to Ray", AWS, f"{_SPOT}.node_config.ImageId", REMOVE, "driver too old"),
    Mutation(
        "no disk image",
        GCP,
        f"{_SPOT}.node_config.disks.0.initializeParams.sourceImage",
        REMOVE,
        "no boot disk names its image",
    ),
    Mutation(
        "GPU that shall be moved", GCP, f"{_SPOT}.node_config.scheduling.onHostMaintenance", REMOVE, "cannot be moved"
    ),
    Mutation(
        "no image on Azure", AZURE, f"{_SPOT}.node_config.azure_arm_parameters.imageSku", REMOVE, "imageSku: is missing"
    ),
    Mutation(
        "lock not sent",
        AWS,
        "file_mounts",
        lambda old: {k: v for k, v in old.items() if "lock" not in k},
        "requirements.lock is not sent",
    ),
    Mutation("no spot type", AZURE, _SPOT, REMOVE, "no worker type is spot"),
    Mutation("no way out of spot", AWS, "available_node_types.gpu_on_demand", REMOVE, "nothing steps in"),
    Mutation(
        "on-demand of another size", AWS, "available_node_types.gpu_on_demand.resources.CPU", 8, "nothing steps in"
    ),
    Mutation("on-demand preferred", AWS, "available_node_types.gpu_on_demand.priority", 2, "not preferred"),
    Mutation("no workers at all", GCP, "available_node_types", lambda old: {"head": old["head"]}, "holds no worker"),
    Mutation("worker without CPUs", AWS, f"{_SPOT}.resources", {"GPU": 1}, "offers no CPU"),
    Mutation(
        "shutdown that keeps the machine",
        AWS,
        f"{_SPOT}.node_config.InstanceInitiatedShutdownBehavior",
        "stop",
        "write terminate",
    ),
    Mutation("no deadline", AWS, "initialization_commands", REMOVE, "no deadline within a week"),
    Mutation(
        "no deadline on GCP", GCP, f"{_SPOT}.node_config.scheduling.maxRunDuration", REMOVE, "no deadline within a week"
    ),
    Mutation("disk that stays", GCP, f"{_SPOT}.node_config.disks.0.autoDelete", False, "the disk stays"),
    Mutation(
        "spot that stops", GCP, f"{_SPOT}.node_config.scheduling.instanceTerminationAction", "STOP", "disk paid for"
    ),
    Mutation(
        "token left off", AWS, "docker.run_options", ["--ulimit nofile=65536:65536"], "without token authentication"
    ),
    Mutation(
        "token not sent",
        AZURE,
        "file_mounts",
        {"/home/ray/requirements.lock": "requirements.lock"},
        "the token does not reach the nodes",
    ),
    Mutation(
        "path of one machine", GCP, "file_mounts", lambda old: {**old, "/home/ray/x": "/home/ada/x"}, "one machine only"
    ),
    Mutation(
        "access key", AWS, "head_setup_commands", ["export AWS_ACCESS_KEY_ID=AKIA" + "A" * 16], "an AWS access key"
    ),
    Mutation(
        "token in the file",
        AWS,
        "docker.run_options",
        ["--env RAY_AUTH_MODE=token", "--env RAY_AUTH_TOKEN=" + "ab" * 16],
        "holds a secret",
    ),
    Mutation("private key", GCP, "auth.ssh_private_key", "-----BEGIN OPENSSH PRIVATE KEY-----", "a private key"),
    Mutation(
        "dashboard open",
        AWS,
        "head_start_ray_commands.1",
        lambda old: old.replace("127.0.0.1", "0.0.0.0"),
        "listens to the whole network",
    ),
    Mutation(
        "port open to the world",
        AWS,
        "provider.security_group",
        {
            "GroupName": "x",
            "IpPermissions": [
                {"FromPort": 8265, "ToPort": 8265, "IpProtocol": "tcp", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
            ],
        },
        "more than SSH",
    ),
    Mutation("no user", AWS, "auth.ssh_user", REMOVE, "ssh_user: is missing"),
    Mutation(
        "head without autoscaler",
        AWS,
        "head_start_ray_commands.1",
        lambda old: old.replace(" --autoscaling-config=~/ray_bootstrap_config.yaml", ""),
        "lacks --autoscaling-config",
    ),
    Mutation(
        "autoscaler version 1",
        AWS,
        "head_start_ray_commands.1",
        lambda old: "RAY_enable_autoscaler_v2=0 " + old,
        "version 2 off",
    ),
    Mutation(
        "workers at another port", AWS, f"{_START}.1", "ray start --address=$RAY_HEAD_IP:6380", "workers join port 6380"
    ),
    Mutation("workers that join nothing", GCP, f"{_START}.1", "ray start", "workers do not join the head"),
    Mutation("workers that start nothing", AZURE, _START, [], "does not start Ray"),
    Mutation("notice not watched", AWS, f"{_START}.2", REMOVE, "Ray is not told when"),
    Mutation(
        "notice of another cloud", GCP, f"{_START}.2", lambda old: old.replace("gcp", "aws"), "Ray is not told when"
    ),
]

JOB, CLUSTER = "ray-job.kuberay.yaml", "ray-cluster.kuberay.yaml"
_SPEC = "spec/rayClusterSpec"
_GPU_GROUP = f"{_SPEC}/workerGroupSpecs/0"
_GPU_POD = f"{_GPU_GROUP}/template/spec"
_GPU_BOX = f"{_GPU_POD}/containers/0"
_HEAD_GROUP = f"{_SPEC}/headGroupSpec"
_HEAD_BOX = f"{_HEAD_GROUP}/template/spec/containers/0"

KUBERAY = [
    Mutation("old API", JOB, "apiVersion", "ray.io/v1alpha1", "is not offered"),
    Mutation("other kind", JOB, "kind", "RayService", "is not covered"),
    Mutation("capital letters", JOB, "metadata.name", "Sweep", "not a legal name"),
    Mutation("long name", JOB, "metadata.name", "a" * 48, "at most 47"),
    Mutation("no name", CLUSTER, "metadata.name", REMOVE, "metadata.name: is missing"),
    Mutation("unknown field", JOB, "spec.entrypont", "x", "did you mean entrypoint?"),
    Mutation(
        "misspelled maxReplicas",
        JOB,
        _GPU_GROUP,
        lambda old: {("maxReplica" if k == "maxReplicas" else k): v for k, v in old.items()},
        "2147483647",
    ),
    Mutation("thousand pods", JOB, f"{_GPU_GROUP}/maxReplicas", 1000, "1000 pods"),
    Mutation("replicas as text", JOB, f"{_GPU_GROUP}/maxReplicas", "4", "'4' is not a integer"),
    Mutation("min above max", JOB, f"{_GPU_GROUP}/minReplicas", 5, "out of order"),
    Mutation("pods without work", CLUSTER, "spec/workerGroupSpecs/0/minReplicas", 1, "paid for without work"),
    Mutation("replicas at once", JOB, f"{_GPU_GROUP}/replicas", 2, "paid for without work"),
    Mutation("unknown mode", JOB, "spec.submissionMode", "K8sJob", "did you mean K8sJobMode?"),
    Mutation("clean-up that never comes", JOB, "spec.shutdownAfterJobFinishes", False, "has no effect"),
    Mutation("negative clean-up", JOB, "spec.ttlSecondsAfterFinished", -1, "ttlSecondsAfterFinished"),
    Mutation("no deadline", JOB, "spec.activeDeadlineSeconds", REMOVE, "paid for for ever"),
    Mutation("deadline of a month", JOB, "spec.activeDeadlineSeconds", 2592000, "at most"),
    Mutation("retries", JOB, "spec.backoffLimit", 3, "second cluster"),
    Mutation(
        "retries by hand",
        JOB,
        "spec",
        lambda old: {**old, "backoffLimit": 1, "submissionMode": "InteractiveMode"},
        "InteractiveMode",
    ),
    Mutation("no autoscaler", JOB, f"{_SPEC}/enableInTreeAutoscaling", False, "neither grows nor shrinks"),
    Mutation("autoscaler version 1", JOB, f"{_SPEC}/autoscalerOptions/version", "v1", "write v2"),
    Mutation("unknown autoscaler", JOB, f"{_SPEC}/autoscalerOptions/version", "2", "is not offered"),
    Mutation("idle for an hour", CLUSTER, "spec/autoscalerOptions/idleTimeoutSeconds", 3600, "keeps idle pods"),
    Mutation("restart under version 2", JOB, f"{_HEAD_GROUP}/template/spec/restartPolicy", "Always", "write Never"),
    Mutation("worker restart under version 2", JOB, f"{_GPU_POD}/restartPolicy", "OnFailure", "write Never"),
    Mutation(
        "version chosen twice",
        JOB,
        f"{_HEAD_BOX}/env",
        [{"name": "RAY_enable_autoscaler_v2", "value": "1"}],
        "is set beside",
    ),
    Mutation("no token", JOB, f"{_SPEC}/authOptions", REMOVE, "can run code"),
    Mutation("token disabled", CLUSTER, "spec/authOptions/mode", "disabled", "can run code"),
    Mutation("token without a version", JOB, f"{_SPEC}/rayVersion", REMOVE, "no token authentication"),
    Mutation("token with an old version", JOB, f"{_SPEC}/rayVersion", "2.9.0", "no token authentication"),
    Mutation(
        "Kubernetes token for a job", JOB, f"{_SPEC}/authOptions/enableK8sTokenAuth", True, "not supported for a RayJob"
    ),
    Mutation("no container", JOB, f"{_GPU_POD}/containers", [], "holds no container"),
    Mutation("sizes twice", JOB, f"{_GPU_GROUP}/resources", {"CPU": "4"}, "sizes stand in rayStartParams too"),
    Mutation("number where text belongs", JOB, f"{_HEAD_GROUP}/rayStartParams/num-cpus", 0, "put it in quotes"),
    Mutation("head that works", JOB, f"{_HEAD_GROUP}/rayStartParams", {}, "the head offers its CPUs"),
    Mutation(
        "head with a GPU",
        JOB,
        f"{_HEAD_BOX}/resources/limits",
        {"cpu": "2", "memory": "8Gi", "nvidia.com/gpu": "1"},
        "GPU that never goes away",
    ),
    Mutation(
        "GPU group without GPU",
        JOB,
        f"{_GPU_BOX}/resources",
        {"limits": {"cpu": "4", "memory": "14Gi"}},
        "a GPU group without",
    ),
    Mutation("more GPUs promised", JOB, f"{_GPU_GROUP}/rayStartParams/num-gpus", "4", "4 are offered"),
    Mutation("no CPU limit", JOB, f"{_GPU_BOX}/resources/limits/cpu", REMOVE, "has no cpu"),
    Mutation("quantity that is none", JOB, f"{_GPU_BOX}/resources/limits/memory", "14 GB", "is not a quantity"),
    Mutation("image that moves", JOB, f"{_GPU_BOX}/image", "recipe-finder:latest", "changes without notice"),
    Mutation("image without a tag", JOB, f"{_GPU_BOX}/image", "recipe-finder", "means latest"),
    Mutation("older Ray in the image", JOB, f"{_HEAD_BOX}/image", "recipe-finder:2.55.0-py311", "is not Ray"),
    Mutation("two images", JOB, f"{_HEAD_BOX}/image", "other:2.60.0-py311", "different images"),
    Mutation("rayVersion of another lock", CLUSTER, "spec/rayVersion", "2.58.0", "is not the lock's Ray"),
    Mutation(
        "grace left at its default",
        JOB,
        f"{_GPU_POD}/terminationGracePeriodSeconds",
        REMOVE,
        "not longer than the drain",
    ),
    Mutation(
        "grace below the drain",
        JOB,
        f"{_GPU_BOX}/env",
        [{"name": "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", "value": "90"}],
        "not longer than the drain of 90 s",
    ),
    Mutation("no spot group", JOB, f"{_GPU_POD}/nodeSelector", REMOVE, "no group asks for spot"),
    Mutation("no way out of spot", CLUSTER, "spec/workerGroupSpecs/1", REMOVE, "nothing steps in"),
    Mutation("spot not preferred", JOB, f"{_GPU_GROUP}/priority", REMOVE, "not preferred"),
    Mutation(
        "storage left out",
        JOB,
        "spec.entrypoint",
        "python -m sweep.run search_spaces/quickstart.yaml",
        "results stay in a pod",
    ),
    Mutation(
        "storage in the pod",
        JOB,
        "spec.entrypoint",
        "python -m sweep.run search_spaces/quickstart.yaml --storage /tmp/results",
        "local to the pod",
    ),
    Mutation(
        "storage not on workers", JOB, f"{_GPU_POD}/volumes", [{"name": "sweeps", "emptyDir": {}}], "local to the pod"
    ),
    Mutation(
        "no such sweep config",
        JOB,
        "spec.entrypoint",
        "python -m sweep.run search_spaces/none.yaml --storage s3://b/x",
        "the image will hold no",
    ),
    Mutation("other entrypoint", JOB, "spec.entrypoint", "sleep infinity", "does not run a sweep"),
    Mutation("dashboard outside", JOB, f"{_HEAD_GROUP}/serviceType", "LoadBalancer", "open to the outside"),
    Mutation("ingress", CLUSTER, "spec/headGroupSpec/enableIngress", True, "open to the outside"),
    Mutation("privileged", JOB, f"{_GPU_BOX}/securityContext", {"privileged": True}, "rules its whole machine"),
    Mutation("host network", JOB, f"{_GPU_POD}/hostNetwork", True, "sees its whole machine"),
    Mutation(
        "host folder",
        JOB,
        f"{_GPU_POD}/volumes",
        [{"name": "sweeps", "hostPath": {"path": "/mnt"}}],
        "another folder on every machine",
    ),
    Mutation(
        "claim without a name",
        JOB,
        f"{_GPU_POD}/volumes",
        [{"name": "sweeps", "persistentVolumeClaim": {}}],
        "name the claim",
    ),
    Mutation(
        "secret written out",
        JOB,
        f"{_GPU_BOX}/env",
        [{"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}],
        "holds a secret",
    ),
    Mutation("mount without a volume", JOB, f"{_GPU_POD}/volumes", REMOVE, "is not a volume of the pod"),
    Mutation(
        "variable twice",
        JOB,
        f"{_GPU_BOX}/env",
        [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
        "A is set twice",
    ),
    Mutation("variable as number", JOB, f"{_GPU_BOX}/env", [{"name": "A", "value": 1}], "put it in quotes"),
    Mutation("group name twice", JOB, f"{_GPU_GROUP}/groupName", "gpu-on-demand", "used twice"),
    Mutation("group without a name", JOB, f"{_GPU_GROUP}/groupName", REMOVE, "groupName: is missing"),
    Mutation("suspended group", CLUSTER, "spec/workerGroupSpecs/0/suspend", True, "cannot be suspended"),
    Mutation("broken runtime environment", JOB, "spec.runtimeEnvYAML", "a: [", "is not YAML"),
    Mutation("no workers", JOB, f"{_SPEC}/workerGroupSpecs", [], "workerGroupSpecs: is missing"),
    Mutation("no cluster", JOB, _SPEC, REMOVE, "rayClusterSpec: is missing"),
]
