"""node_config against the cloud's own parameters: the SDK's model where it is installed, else the keys of cloud_keys.py.

Ray does not look into node_config: a misspelled key there is dropped, or refused only when the machine is launched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from cluster.cloud_keys import AWS, GCP
from cluster.document import Document
from cluster.launcher_rules import TYPES, provider_of
from cluster.shapes import Shape, from_botocore, from_json_schema, misfits
from cluster.versions import Versions
from sweep.core.errors import InputError
from sweep.core.ray_internals import azure_template


def cloud_parameters(document: Document, versions: Versions) -> Iterator[InputError]:
    """Every unknown key, wrong kind and unknown choice in every node_config."""
    shape, _ = machine_shape(provider_of(document))
    for name, row in document.section(TYPES).items() if shape is not None else ():
        place = (*TYPES, str(name), "node_config")
        for misfit in misfits(row.get("node_config", {}) if isinstance(row, dict) else {}, shape):
            yield document.violation((*place, *misfit.place), misfit.problem, misfit.fix)


@cache
def machine_shape(provider: str) -> tuple[Shape, str]:
    """Shape of a provider's machine, None when it has none; and a note when the SDK that knows it whole is absent."""
    makers = {"aws": _aws, "gcp": _gcp, "azure": _azure}
    return makers[provider]() if provider in makers else (None, "")


def _aws() -> tuple[Shape, str]:
    try:
        import botocore.session
    except ImportError:
        return AWS, "AWS parameters checked by name only: botocore is not installed"
    service = botocore.session.get_session().get_service_model("ec2")
    return from_botocore(service.operation_model("RunInstances").input_shape), ""


def _gcp() -> tuple[Shape, str]:
    try:
        import googleapiclient
    except ImportError:
        return GCP, "Google Cloud parameters checked by name only: google-api-python-client is not installed"
    path = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents" / "compute.v1.json"
    schemas = json.loads(path.read_text(encoding="utf-8"))["schemas"]
    return from_json_schema(schemas["Instance"], schemas), ""


def _azure() -> tuple[Shape, str]:
    """The parameters of the template that Ray's wheel brings along, and the zone that Ray takes out before it is used."""
    parameters = json.loads(azure_template().read_text(encoding="utf-8"))["parameters"]
    kinds = {"string": "string", "securestring": "string", "int": "integer", "bool": "boolean", "array": ["string"]}
    shape = {name: kinds.get(row["type"], "any") for name, row in parameters.items()}
    shape |= {
        "priority": ("Regular", "Low", "Spot"),
        "evictionPolicy": ("Delete", "Deallocate"),
        "availability_zone": "string",
    }
    return {"azure_arm_parameters": shape | {"billingProfile": {"maxPrice": "number"}}}, ""
