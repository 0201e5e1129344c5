"""Shapes from SDK models and JSON Schemas; the built-in key tables against the SDKs where they are installed."""

import pytest

from cluster.cloud_keys import AWS, GCP
from cluster.cloud_parameters import machine_shape
from cluster.kuberay_fields import crd_shape
from cluster.shapes import Map, from_json_schema, misfits


def problems(value, shape):
    return [(".".join(map(str, misfit.place)), misfit.problem) for misfit in misfits(value, shape)]


@pytest.mark.parametrize(
    ("value", "shape", "expected"),
    [
        ({"a": 1}, {"a": "integer"}, []),
        ({"b": 1}, {"a": "integer"}, [("b", "unknown key")]),
        ({"a": True}, {"a": "integer"}, [("a", "True is not a integer")]),
        ({"a": [{"b": "x"}]}, {"a": [{"b": ("y",)}]}, [("a.0.b", "'x' is not offered")]),
        ({"k": 1}, Map("string"), [("k", "1 is not a string")]),
        ("500m", "quantity", []),
        (4, "quantity", []),
        ("4 Gi", "quantity", [("", "'4 Gi' is not a quantity")]),
        ([1], {"a": "any"}, [("", "[1] is not a section")]),
        ("172800", "integer or its text", []),
    ],
)
def test_misfits(value, shape, expected):
    assert problems(value, shape) == expected


def test_json_schema_becomes_a_shape():
    definitions = {"Disk": {"properties": {"gb": {"type": "string", "format": "int64"}}}}
    schema = {
        "properties": {
            "disks": {"type": "array", "items": {"$ref": "#/Disk"}},
            "mode": {"type": "string", "enum": ["A", "B"]},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "port": {"x-kubernetes-int-or-string": True},
            "free": {"type": "object"},
        }
    }
    expected = {
        "disks": [{"gb": "integer or its text"}],
        "mode": ("A", "B"),
        "labels": Map("string"),
        "port": "any",
        "free": "any",
    }
    assert from_json_schema(schema, definitions) == expected


def test_azure_parameters_come_from_ray():
    shape, note = machine_shape("azure")
    assert {"vmSize", "osDiskSize", "billingProfile"} <= set(shape["azure_arm_parameters"]) and not note
    assert machine_shape("local") == (None, "")


@pytest.mark.parametrize(
    ("module", "provider", "built_in"), [("botocore", "aws", AWS), ("googleapiclient", "gcp", GCP)]
)
def test_built_in_keys_are_the_sdk_s(module, provider, built_in):
    pytest.importorskip(module, reason="the cloud's SDK is not installed")
    machine_shape.cache_clear()
    sdk, note = machine_shape(provider)
    assert not note
    assert agree(built_in, sdk) == []


def agree(mine, theirs, place=""):
    """Places where a built-in shape names a key or a choice that the SDK does not, or the other way round."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        strangers = [f"{place}.{key}" for key in set(mine) - set(theirs)]
        return strangers + [
            found for key in set(mine) & set(theirs) for found in agree(mine[key], theirs[key], f"{place}.{key}")
        ]
    if isinstance(mine, list) and isinstance(theirs, list):
        return agree(mine[0], theirs[0], place + "[]")
    if isinstance(mine, tuple) and isinstance(theirs, tuple):
        return [] if set(mine) == set(theirs) else [f"{place}: {sorted(set(mine) ^ set(theirs))}"]
    return []


def test_operator_s_own_definitions_are_asked_where_they_are(tmp_path, monkeypatch):
    schema = "{properties: {spec: {properties: {rayVersion: {type: string}}}}}"
    (tmp_path / "ray.io_rayclusters.yaml").write_text(
        f"spec: {{versions: [{{name: v1, schema: {{openAPIV3Schema: {schema}}}}}]}}\n"
    )
    monkeypatch.setenv("KUBERAY_CRD_DIR", str(tmp_path))
    crd_shape.cache_clear()
    assert crd_shape("RayCluster") == {"rayVersion": "string"} and crd_shape("RayJob") is None
    crd_shape.cache_clear()
