"""SkyPilot files: known keys, bounded cost, spot with a fallback, the token, no open port, storage that outlives the nodes.

The keys are those of SkyPilot 0.14's task schema that a sweep can use; a test compares them with SkyPilot where it is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.cloud_names import machine_problem, regions, zone_fits
from cluster.document import Document, Place
from cluster.launcher_rules import LONGEST_IDLE_MINUTES, MOST_WORKERS
from cluster.script_text import package_findings, sweep_script_findings, unknown_variables
from cluster.secret_shapes import no_secret_is_written as secrets_of
from cluster.shapes import Map, Shape, misfits
from cluster.shell_rules import commands_are_harmless as commands_of
from cluster.shell_rules import without_comments
from cluster.versions import ROOT, Versions, image_problem
from sweep.core.errors import InputError, suggestion

CLOUDS = ("aws", "gcp", "azure", "kubernetes", "lambda", "runpod", "nebius", "oci", "ibm", "do", "paperspace", "vast")
ACCELERATORS = (
    *(
        "T4",
        "T4g",
        "L4",
        "L40",
        "L40S",
        "A10",
        "A10G",
        "A40",
        "A100",
        "A100-80GB",
        "H100",
        "H200",
        "B200",
        "B300",
        "GH200",
    ),
    *("V100", "V100-32GB", "P100", "RTX3090", "RTX4090", "RTX5090", "RTX6000", "RTXA6000", "RTXPRO6000", "MI300X"),
)
_RECOVERY = ("EAGER_NEXT_REGION", "FAILOVER")
_CHOICE: dict[str, Shape] = {
    **dict.fromkeys(("cloud", "region", "zone", "infra", "instance_type", "disk_tier", "network_tier"), "string"),
    **dict.fromkeys(("cpus", "memory", "disk_size"), "integer or text"),
    "accelerators": "any",  # NAME:COUNT, or a mapping; _accelerators reads both
    "use_spot": "boolean",
    "image_id": "string",
    "labels": Map("string"),
    "max_hourly_cost": "number",
}
RESOURCES: dict[str, Shape] = {
    **_CHOICE,
    "job_recovery": {"strategy": _RECOVERY, "max_restarts_on_errors": "integer", "recover_on_exit_codes": ["integer"]},
    "autostop": {"idle_minutes": "integer", "down": "boolean", "wait_for": ("jobs_and_ssh", "jobs", "none")},
    "ports": "any",  # refused, with the reason
    "any_of": [_CHOICE],
    "ordered": [_CHOICE],
    "priority": "integer",
}
TASK: dict[str, Shape] = {
    **dict.fromkeys(("name", "workdir", "setup", "run"), "string"),
    "num_nodes": "integer",
    "resources": RESOURCES,
    "envs": Map("any"),
    "secrets": Map("any"),
    "file_mounts": Map("any"),
}
_AMOUNT = re.compile(r"\d+(\.\d+)?(\+|x)?")
_VARIABLES = {
    *(
        "SKYPILOT_NODE_IPS",
        "SKYPILOT_NODE_RANK",
        "SKYPILOT_NUM_NODES",
        "SKYPILOT_NUM_GPUS_PER_NODE",
        "SKYPILOT_TASK_ID",
    ),
    *("HOME", "USER", "PATH", "PWD", "TMPDIR", "HOSTNAME"),
}
_TOKEN = "~/.ray/auth_token"
_WAIT = r'timeout [1-9]\d?[smh] bash -c "until ray health-check --address \$head; do sleep [1-9]\d?; done"'
_STEPS = (  # lines of `run`, in this order: how Ray starts beside SkyPilot's own, and that it ends
    (r'head="\$\(echo "\$SKYPILOT_NODE_IPS" \| head -n 1\):6379"', "does not take the first node as the head"),
    (r'if \[ "\$SKYPILOT_NODE_RANK" != 0 \]; then', "runs the sweep on every node"),
    (_WAIT, "does not wait for the head, or waits for ever"),
    (r'ray start --address "\$head" .*--block \|\| true', "fails when the head ends"),
    (r"exit 0", "runs the sweep on every node"),
    (r"fi", "leaves its condition open"),
    (r"ray start --head .*--block &", "does not start a head beside the sweep"),
    (r'trap "kill \$!" EXIT', "leaves the head running, so that no node ends"),
    (_WAIT, "does not wait for the head, or waits for ever"),
    (r"timeout .* -m sweep\.run .*", "does not run the sweep last"),
)
_PORTS = {"--port": "6379", "--dashboard-agent-listen-port": "52366"}  # SkyPilot's own Ray has 6380 and 52365


def is_sky(document: Document) -> bool:
    """Whether a document is a SkyPilot task."""
    return "run" in document.tree or {"resources", "num_nodes", "setup"} <= set(document.tree)


def fields_are_known(document: Document, versions: Versions) -> Iterator[InputError]:
    """No unknown key, no value of another kind, nothing left out."""
    for misfit in misfits(document.tree, TASK):
        yield document.violation(misfit.place, misfit.problem, misfit.fix)
    for name in ("name", "workdir", "num_nodes", "resources", "setup", "run", "file_mounts"):
        if document.tree.get(name) in (None, "", {}):
            yield document.violation((name,), "is missing", "add it, as in cluster/sweep.sky.yaml")
    named = document.tree.get("name")
    if isinstance(named, str) and not re.fullmatch(r"[a-z]([a-z0-9-]{0,40}[a-z0-9])?", named):
        yield document.violation(
            ("name",), f"{named!r} does not fit every cloud", "small letters, digits and -, a letter first"
        )
    if document.tree.get("workdir") not in (None, "."):
        yield document.violation(
            ("workdir",), "is not the checkout, which holds sweep/", "write . and launch from its top"
        )


def cost_is_bounded(document: Document, versions: Versions) -> Iterator[InputError]:
    """Few nodes, a price limit, nodes that go away, a deadline, disks of a sensible size, retries only where a node is lost."""
    place: Place = ("resources",)
    nodes = document.tree.get("num_nodes")
    if not isinstance(nodes, int) or isinstance(nodes, bool) or not 1 <= nodes <= MOST_WORKERS:
        yield document.violation(("num_nodes",), f"{nodes!r} nodes", f"give a whole number from 1 to {MOST_WORKERS}")
    price = document.at((*place, "max_hourly_cost"))
    if not isinstance(price, (int, float)) or isinstance(price, bool) or not 0 < price <= 50:
        problem = "is missing, so nothing bounds the price" if price is None else f"{price!r} dollars an hour"
        yield document.violation(
            (*place, "max_hourly_cost"), problem, "give US dollars an hour for one node, at most 50"
        )
    idle = document.at((*place, "autostop", "idle_minutes"))
    if not isinstance(idle, int) or isinstance(idle, bool) or not 0 <= idle <= LONGEST_IDLE_MINUTES:
        yield document.violation(
            (*place, "autostop", "idle_minutes"),
            f"{idle!r} keeps idle nodes",
            f"give minutes, at most {LONGEST_IDLE_MINUTES}",
        )
    if document.at((*place, "autostop", "down")) is not True:
        yield document.violation(
            (*place, "autostop", "down"), "disks of stopped nodes are kept and paid for", "write true"
        )
    disk = document.at((*place, "disk_size"))
    if not str(disk).isdigit() or not 60 <= int(disk) <= 2000:
        yield document.violation((*place, "disk_size"), f"{disk!r} GB", "give a whole number from 60 to 2000")
    if document.at((*place, "job_recovery", "max_restarts_on_errors")) != 0:
        yield document.violation(
            (*place, "job_recovery", "max_restarts_on_errors"),
            "an error is paid for again",
            "write 0: nodes that are lost do not count",
        )
    if document.at((*place, "job_recovery", "strategy")) is None:
        yield document.violation((*place, "job_recovery", "strategy"), "is missing", f"write {_RECOVERY[0]}")
    run = without_comments(str(document.tree.get("run") or ""))
    deadline = re.search(r"\btimeout\s+(\d+)([smhd]?)\s+(\S*/)?python\d*\s+-m\s+sweep\.run", run)
    hours = (
        int(deadline[1]) * {"": 1 / 3600, "s": 1 / 3600, "m": 1 / 60, "h": 1, "d": 24}[deadline[2]] if deadline else 0
    )
    if not 0 < hours <= 168:
        yield document.violation(
            ("run",), "the sweep has no deadline within a week", "write: timeout 24h python -m sweep.run ..."
        )


def machines_exist(document: Document, versions: Versions) -> Iterator[InputError]:
    """Clouds, regions, machine types and GPUs are names that exist; amounts are numbers, with + for at least."""
    for place in _choices(document):
        yield from _where(document, place)
        for name in ("cpus", "memory"):
            amount = document.at((*place, name))
            if amount is not None and not _AMOUNT.fullmatch(str(amount)):
                yield document.violation((*place, name), f"{amount!r} is no amount", "write it like 4 or 4+")
            elif amount is not None and float(str(amount).rstrip("+x")) > {"cpus": 256, "memory": 4096}[name]:
                yield document.violation((*place, name), f"no machine has {amount}", "give less")
        yield from _accelerators(document, (*place, "accelerators"))
    if not any(document.at((*place, "accelerators")) for place in _choices(document)):
        yield document.violation(("resources", "accelerators"), "is missing", "name a GPU such as L4:1")
    if document.at(("resources", "cpus")) is None and document.at(("resources", "instance_type")) is None:
        yield document.violation(("resources", "cpus"), "is missing", "write it like 4+")


def spot_has_a_fallback(document: Document, versions: Versions) -> Iterator[InputError]:
    """Spot is among the choices, and on demand too."""
    spot = {document.at((*place, "use_spot")) for place in _choices(document)[1:]}
    if True not in spot or False not in spot or document.at(("resources", "use_spot")) is not None:
        yield document.violation(
            ("resources", "any_of"),
            "is not spot with an on-demand fallback",
            "write any_of: [{use_spot: true}, {use_spot: false}]",
        )


def image_matches_the_lock(document: Document, versions: Versions) -> Iterator[InputError]:
    """The nodes run the Ray and Python of the lock, with its packages."""
    image = document.at(("resources", "image_id"))
    found = image_problem(str(image or "").removeprefix("docker:"), versions)
    if found or not str(image).startswith("docker:"):
        problem, fix = found or (f"{image} is no container image", "begin with docker:")
        yield document.violation(("resources", "image_id"), problem, fix)
    for problem, fix in package_findings(str(document.tree.get("setup") or "")):
        yield document.violation(("setup",), problem, fix)
    if not re.match(r"set -euo pipefail\s", without_comments(str(document.tree.get("setup") or ""))):
        yield document.violation(("setup",), "goes on after an error", "begin with: set -euo pipefail")


def nothing_is_exposed(document: Document, versions: Versions) -> Iterator[InputError]:
    """No port is opened, the token is on and reaches every node, no secret and no dangerous command stands in the file."""
    for place in (("resources",), *_choices(document)):
        if document.at((*place, "ports")) is not None:
            yield document.violation(
                (*place, "ports"), "opens ports to the internet", "leave it out; sky forwards ports over SSH"
            )
    mounts = document.section(("file_mounts",))
    if mounts.get(_TOKEN) != _TOKEN:
        yield document.violation(("file_mounts",), "the token does not reach the nodes", f"add {_TOKEN}: {_TOKEN}")
    for target, source in mounts.items():
        if isinstance(source, str) and (re.match(r"/(home|root|Users)/", source) or source in ("~", "~/", "/", ".")):
            yield document.violation(
                ("file_mounts", str(target)),
                f"{source} is more than a sweep needs",
                "name a file or folder of the checkout",
            )
        elif isinstance(source, str) and re.match(r"~/\.(ssh|aws|azure|kube|config)", source):
            yield document.violation(
                ("file_mounts", str(target)),
                f"{source} holds your credentials",
                "leave it out; SkyPilot gives nodes a role",
            )
        elif (
            isinstance(source, str)
            and "://" not in source
            and not source.startswith("~")
            and not (ROOT / source).exists()
        ):
            yield document.violation(
                ("file_mounts", str(target)), f"{source} is not here", "give a path in the checkout"
            )
    for name, value in document.section(("secrets",)).items():
        if value not in (None, ""):
            yield document.violation(
                ("secrets", str(name)), "is written out", f"leave it empty and launch with --secret {name}"
            )
    yield from secrets_of(document)
    yield from commands_of(document)


def sweep_is_run(document: Document, versions: Versions) -> Iterator[InputError]:
    """Ray on every node beside SkyPilot's own, one sweep on the first, storage that outlives the nodes."""
    run, envs = str(document.tree.get("run") or ""), document.section(("envs",))
    code = without_comments(run)
    for problem, fix in sweep_script_findings(run):
        yield document.violation(("run",), problem, fix)
    for name in unknown_variables(run, {*_VARIABLES, *map(str, envs)}):
        yield document.violation(("run",), f"${name} is never set", suggestion(name, {*_VARIABLES, *map(str, envs)}))
    for name in envs:
        if f"${name}" not in code and f"${{{name}" not in code:
            yield document.violation(("envs", str(name)), "is not used", "leave it out, or correct its name")
    if re.search(r"\bray\s+stop\b|symmetric-run", code):
        yield document.violation(
            ("run",), "ends SkyPilot's own Ray too", "start with ray start --block, and kill that process"
        )
    starts = [line for line in code.splitlines() if re.search(r"\bray\s+start\b", line)]
    if len(starts) != 2 or "--head" not in "".join(starts) or not any("--address" in line for line in starts):
        yield document.violation(
            ("run",), "does not start Ray on every node", "see cluster/sweep.sky.yaml for the commands"
        )
    for line in starts:
        for option in ("--block", *(f"{name}={value}" for name, value in _PORTS.items())):
            if option not in line.split() and not (option.startswith("--port") and "--head" not in line):
                yield document.violation(
                    ("run",), f"ray start lacks {option}", "add it: SkyPilot runs a Ray of its own"
                )
        for option in re.findall(r"\s(-[\w-]+)", line):
            if option not in (
                *_PORTS,
                "--head",
                "--address",
                "--block",
                "--dashboard-host",
                "--num-cpus",
                "--num-gpus",
            ):
                yield document.violation(
                    ("run",), f"ray start has no option {option} here", "see cluster/sweep.sky.yaml"
                )
    yield from _steps(document, code)
    sweep, storage = envs.get("SWEEP"), envs.get("STORAGE")
    if "$SWEEP" in code and (not isinstance(sweep, str) or not (ROOT / sweep).is_file()):
        yield document.violation(
            ("envs", "SWEEP"), f"{sweep!r} is no file of the checkout", "name a file of search_spaces/"
        )
    if "$STORAGE" in code and not re.match(r"(s3|gs)://[a-z0-9][\w.-]+/.", str(storage)):
        yield document.violation(("envs", "STORAGE"), f"{storage!r} goes with the nodes", "give an s3:// or gs:// URL")


def _steps(document: Document, code: str) -> Iterator[InputError]:
    lines = iter(" ".join(line.split()) for line in code.splitlines())
    for pattern, problem in _STEPS:
        if not any(re.fullmatch(pattern, line) for line in lines):  # goes on behind the line that was found
            yield document.violation(("run",), problem, "write it as in cluster/sweep.sky.yaml")
            return


def _choices(document: Document) -> list[Place]:
    """Where a machine is described: resources itself, then each alternative in it."""
    inner = [place for name in ("any_of", "ordered") for place, _ in document.sections(("resources", name))]
    return [("resources",), *inner]


def _where(document: Document, place: Place) -> Iterator[InputError]:
    cloud, region, zone = (document.at((*place, name)) for name in ("cloud", "region", "zone"))
    infra = document.at((*place, "infra"))
    if isinstance(infra, str):
        cloud, region, zone = [*infra.split("/"), None, None][:3]
    here = (*place, "infra" if infra else "cloud")
    if cloud is not None and str(cloud).lower() not in CLOUDS:
        yield document.violation(here, f"{cloud!r} is no cloud of SkyPilot", suggestion(str(cloud), CLOUDS))
    known = regions(str(cloud).lower())
    if region not in (None, "*") and known and region not in known:
        yield document.violation(
            here if infra else (*place, "region"), f"{region!r} is no region of {cloud}", suggestion(str(region), known)
        )
    if zone is not None and known and not zone_fits(str(cloud).lower(), str(region), str(zone)):
        yield document.violation(
            here if infra else (*place, "zone"), f"{zone!r} is no zone of {region}", "leave it out"
        )
    machine = document.at((*place, "instance_type"))
    found = machine_problem(str(cloud).lower(), machine) if isinstance(machine, str) else None
    if found:
        yield document.violation((*place, "instance_type"), *found)


def _accelerators(document: Document, place: Place) -> Iterator[InputError]:
    given = document.at(place)
    named = given if isinstance(given, dict) else dict.fromkeys(given if isinstance(given, list) else [given])
    for text in filter(None, named):
        name, _, count = str(text).partition(":")
        count = str(named[text]) if named[text] is not None else count
        if name not in ACCELERATORS:
            yield document.violation(place, f"{name!r} is no GPU of SkyPilot", suggestion(name, ACCELERATORS))
        if not re.fullmatch(r"[1-8]", count or "1"):
            yield document.violation(place, f"{count!r} GPUs a node", "give 1 to 8")
