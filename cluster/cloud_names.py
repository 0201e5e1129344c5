"""Names of regions, zones, machine types and node labels: misspelt ones are refused offline.

AWS regions and instance types come from botocore's own data where it is installed. The other clouds publish no such list in their
SDKs, so regions stand here, and machine types are compared with the series that exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from cluster.document import Document, Place
from cluster.launcher_rules import TYPES, provider_of
from cluster.versions import Versions
from sweep.core.errors import InputError, suggestion

AWS_REGIONS = (
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "ca-west-1", "mx-central-1", "sa-east-1"),
    *("eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3"),
    *("ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2"),
    *("ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-7"),
    *("af-south-1", "il-central-1", "me-central-1", "me-south-1", "us-gov-east-1", "us-gov-west-1"),
    *("cn-north-1", "cn-northwest-1"),
)
GCP_REGIONS = (
    *("africa-south1", "asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2", "asia-northeast3"),
    *(
        "asia-south1",
        "asia-south2",
        "asia-southeast1",
        "asia-southeast2",
        "australia-southeast1",
        "australia-southeast2",
    ),
    *("europe-central2", "europe-north1", "europe-north2", "europe-southwest1", "europe-west1", "europe-west2"),
    *("europe-west3", "europe-west4", "europe-west6", "europe-west8", "europe-west9", "europe-west10", "europe-west12"),
    *("me-central1", "me-central2", "me-west1", "northamerica-northeast1", "northamerica-northeast2"),
    *("northamerica-south1", "southamerica-east1", "southamerica-west1", "us-central1", "us-east1", "us-east4"),
    *("us-east5", "us-south1", "us-west1", "us-west2", "us-west3", "us-west4"),
)
AZURE_REGIONS = (
    *("australiacentral", "australiaeast", "australiasoutheast", "austriaeast", "belgiumcentral", "brazilsouth"),
    *("canadacentral", "canadaeast", "centralindia", "centralus", "chilecentral", "eastasia", "eastus", "eastus2"),
    *(
        "francecentral",
        "germanywestcentral",
        "indonesiacentral",
        "israelcentral",
        "italynorth",
        "japaneast",
        "japanwest",
    ),
    *(
        "koreacentral",
        "koreasouth",
        "malaysiawest",
        "mexicocentral",
        "newzealandnorth",
        "northcentralus",
        "northeurope",
    ),
    *("norwayeast", "polandcentral", "qatarcentral", "southafricanorth", "southcentralus", "southeastasia"),
    *("southindia", "spaincentral", "swedencentral", "switzerlandnorth", "switzerlandwest", "uaenorth", "uksouth"),
    *("ukwest", "westcentralus", "westeurope", "westindia", "westus", "westus2", "westus3"),
)
_AWS_SERIES = re.compile(
    r"(a1|c[4-8]\w{0,4}|m[4-8]\w{0,5}|r[4-8]\w{0,4}|t[2-4]\w?|g4dn|g4ad|g5g?|g6e?|gr6|g6f|p3(dn)?|p4de?|p5(en?)?|p6-b[23]00|inf[12]|trn[12]n?)"
    r"\.(nano|micro|small|medium|large|(\d+)?xlarge|metal(-\d+xl)?)"
)
_GCP_SIZES = "1|2|4|8|16|30|32|48|60|64|80|96|112|128|224"
_GCP_TYPES = re.compile(
    rf"(n1|n2|n2d|n4|c2|c2d|c4|c4a|c4d|e2|t2d|t2a)-(standard|highmem|highcpu)-({_GCP_SIZES})(-lssd|-metal)?|e2-(micro|small|medium)"
    r"|(c3|c3d)-(standard|highmem|highcpu)-(4|8|16|22|30|44|60|88|90|176|180|192|360)(-lssd|-metal)?"
    r"|(m1|m2|m3)-(mega|ultra)mem-\d{2,3}|h3-standard-88|custom-\d{1,2}-\d+|(n2|n2d|n4|e2|g2)-custom-\d{1,2}-\d+"
    r"|g2-standard-(4|8|12|16|24|32|48|96)|g4-standard-(48|96|192|384)|a2-(mega|ultra|high)gpu-(1|2|4|8|16)g"
    r"|a3-(high|mega|ultra|edge)gpu-(1|2|4|8)g(-nolssd)?|a4-highgpu-8g"
)
_AZURE_SIZES = re.compile(
    r"Standard_(NC|ND|NV|NG|D|E|F|B|A|L|M|HB|HC|HX)[A-Z]?[A-Za-z]*\d{1,3}(-\d+)?[a-z]{0,5}(_[A-Z]+\d+[A-Z]?)?(_v[2-7])?"
)
_REGION_KEYS = {"aws": "region", "gcp": "region", "azure": "location"}
_MACHINES: dict[str, tuple[Place, re.Pattern[str], str]] = {
    "aws": (("InstanceType",), _AWS_SERIES, "g6.xlarge"),
    "gcp": (("machineType",), _GCP_TYPES, "g2-standard-4"),
    "azure": (("azure_arm_parameters", "vmSize"), _AZURE_SIZES, "Standard_NC4as_T4_v3"),
}
NODE_LABELS: dict[str, tuple[str, ...] | None] = {  # label of nodes: its values, None for any
    "karpenter.sh/capacity-type": ("spot", "on-demand", "reserved"),
    "karpenter.sh/nodepool": None,
    "eks.amazonaws.com/capacityType": ("SPOT", "ON_DEMAND", "CAPACITY_BLOCK"),
    "eks.amazonaws.com/nodegroup": None,
    "cloud.google.com/gke-spot": ("true", "false"),
    "cloud.google.com/gke-provisioning": ("spot", "standard"),
    "cloud.google.com/gke-preemptible": ("true", "false"),
    "cloud.google.com/gke-nodepool": None,
    "cloud.google.com/gke-accelerator": None,
    "cloud.google.com/compute-class": None,
    "kubernetes.azure.com/scalesetpriority": ("spot", "regular"),
    "kubernetes.azure.com/agentpool": None,
    "kubernetes.azure.com/mode": ("system", "user"),
    "kubernetes.io/arch": ("amd64", "arm64"),
    "kubernetes.io/os": ("linux", "windows"),
    "kubernetes.io/hostname": None,
    "node.kubernetes.io/instance-type": None,
    "topology.kubernetes.io/region": None,
    "topology.kubernetes.io/zone": None,
    "nvidia.com/gpu.product": None,
    "nvidia.com/gpu.present": ("true", "false"),
    "nvidia.com/gpu.memory": None,
    "nvidia.com/gpu.count": None,
}
_SPOT_VALUES = {
    ("karpenter.sh/capacity-type", "spot"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("cloud.google.com/gke-spot", "true"),
    ("cloud.google.com/gke-provisioning", "spot"),
    ("cloud.google.com/gke-preemptible", "true"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
}


@cache
def regions(provider: str) -> tuple[str, ...]:
    """Regions of a cloud: for AWS those of botocore, where it is installed, and those listed here."""
    if provider != "aws":
        return {"gcp": GCP_REGIONS, "azure": AZURE_REGIONS}.get(provider, ())
    try:
        import botocore.session
    except ImportError:
        return AWS_REGIONS
    session = botocore.session.get_session()
    known = {
        name
        for partition in session.get_available_partitions()
        for name in session.get_available_regions("ec2", partition_name=partition)
    }
    return tuple(sorted(known | set(AWS_REGIONS)))


def machine_problem(provider: str, machine: str) -> tuple[str, str] | None:
    """What is wrong with the name of a machine type, and the fix; None where it is one of a series that exists."""
    if provider not in _MACHINES:
        return None
    _, series, example = _MACHINES[provider]
    if series.fullmatch(machine):
        return None
    return f"{machine!r} is no machine type of {provider}", f"name one such as {example}"


def names_exist(document: Document, versions: Versions) -> Iterator[InputError]:
    """Region, zone and machine types are names that the cloud has, and the zone lies in the region."""
    provider = provider_of(document)
    if provider not in _REGION_KEYS:
        return
    key = _REGION_KEYS[provider]
    region = document.at(("provider", key))
    if region and region not in regions(provider):
        problem = f"{region!r} is no region of {provider}"
        yield document.violation(("provider", key), problem, suggestion(str(region), regions(provider)))
    for zone in str(document.at(("provider", "availability_zone")) or "").split(","):
        if zone and not zone_fits(provider, str(region), zone.strip()):
            yield document.violation(
                ("provider", "availability_zone"), f"{zone!r} is no zone of {region}", _zone_fix(provider, region)
            )
    place, _, _ = _MACHINES[provider]
    for name in document.section(TYPES):
        here = (*TYPES, str(name), "node_config", *place)
        machine = document.at(here)
        found = machine_problem(provider, machine) if isinstance(machine, str) and machine else None
        if found:
            yield document.violation(here, *found)


def zone_fits(provider: str, region: str, zone: str) -> bool:
    """us-west-2a on AWS, us-central1-a on Google Cloud, 1 to 3 on Azure."""
    patterns = {"aws": rf"{re.escape(region)}[a-f]", "gcp": rf"{re.escape(region)}-[a-f]", "azure": "[1-3]"}
    return bool(re.fullmatch(patterns[provider], zone))


def labels_exist(document: Document, pod: Place) -> Iterator[InputError]:
    """The nodeSelector of a pod names labels that nodes have: a misspelt one leaves the pod waiting for ever."""
    for label, value in document.section((*pod, "nodeSelector")).items():
        place, values = (*pod, "nodeSelector", str(label)), NODE_LABELS.get(str(label))
        if label not in NODE_LABELS:
            hint = suggestion(str(label), NODE_LABELS)
            domain = str(label).partition("/")[0]
            if hint.startswith("did you mean") or any(known.startswith(domain + "/") for known in NODE_LABELS):
                yield document.violation(place, "is no label of nodes", hint)
        elif values is not None and value not in values:
            yield document.violation(place, f"{value!r} is no value of it", suggestion(str(value), values))


def asks_for_spot(document: Document, pod: Place) -> bool:
    """Whether the nodeSelector, or what node affinity requires, holds a label that marks spot nodes."""
    pairs = {(str(label), str(value)) for label, value in document.section((*pod, "nodeSelector")).items()}
    required = (*pod, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    for term, _ in document.sections((*required, "nodeSelectorTerms")):
        for place, row in document.sections((*term, "matchExpressions")):
            if row.get("operator") == "In":
                pairs |= {(str(row.get("key")), str(value)) for value in document.items((*place, "values"))}
    return bool(pairs & _SPOT_VALUES)


def _zone_fix(provider: str, region: object) -> str:
    return {"aws": f"write it like {region}a", "gcp": f"write it like {region}-a", "azure": "write 1, 2 or 3"}[provider]
