"""cluster files -> every mistake in them, offline, before they cost anything.

python -m cluster.check cluster/*.yaml cluster/slurm.sbatch cluster/Dockerfile

Knows cluster launcher files (aws, gcp, azure, local), KubeRay's RayCluster and RayJob, SkyPilot tasks, Slurm scripts and Dockerfiles.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from cluster import (
    kuberay_exposure,
    kuberay_policy,
    kuberay_rules,
    launcher_docker,
    launcher_nodes,
    launcher_rules,
    launcher_security,
    sky_rules,
)
from cluster.cloud_names import names_exist
from cluster.cloud_parameters import cloud_parameters, machine_shape
from cluster.dockerfile_rules import docker_rules
from cluster.document import Document, read_documents
from cluster.launcher_schema import ray_preparation, ray_schema
from cluster.slurm_rules import slurm_rules
from cluster.versions import Versions, locked_versions
from sweep.core.command_line import Command, run_as_program
from sweep.core.errors import EXIT_BAD_INPUT, EXIT_COMPLETE, InputError, InputErrors

Rule = Callable[[Document, Versions], Iterable[InputError]]

LAUNCHER_RULES: tuple[Rule, ...] = (
    ray_schema,
    cloud_parameters,
    names_exist,
    launcher_rules.provider_is_known,
    launcher_rules.name_is_usable,
    launcher_rules.head_does_no_work,
    launcher_rules.workers_are_few,
    launcher_rules.idle_nodes_go_away,
    launcher_rules.images_match_the_lock,
    launcher_rules.files_are_sent,
    launcher_rules.head_has_the_sdk,
    launcher_nodes.machine_and_resources_agree,
    launcher_nodes.machines_have_what_the_cloud_needs,
    launcher_nodes.spot_has_a_fallback,
    launcher_nodes.machines_have_a_deadline,
    launcher_security.token_is_everywhere,
    launcher_security.no_secret_is_written,
    launcher_security.commands_are_harmless,
    launcher_docker.docker_options_are_known,
    launcher_docker.resources_are_known,
    launcher_docker.disks_are_bounded,
    launcher_docker.own_machines_are_named,
    launcher_security.ports_are_closed,
    launcher_security.start_commands_meet,
)
KUBERAY_RULES: tuple[Rule, ...] = (
    kuberay_rules.fields_are_known,
    kuberay_rules.name_is_legal,
    kuberay_rules.replicas_are_ordered,
    kuberay_rules.autoscaler_is_consistent,
    kuberay_rules.groups_are_complete,
    kuberay_rules.token_needs_a_version,
    kuberay_rules.job_is_consistent,
    kuberay_policy.cost_is_bounded,
    kuberay_policy.head_does_no_work,
    kuberay_policy.pods_have_their_size,
    kuberay_policy.images_match_the_lock,
    kuberay_policy.pods_drain_before_they_stop,
    kuberay_policy.spot_has_a_fallback,
    kuberay_policy.nodes_have_the_labels,
    kuberay_policy.groups_share_their_mounts,
    kuberay_policy.results_outlive_the_pods,
    kuberay_exposure.token_is_on,
    kuberay_exposure.nothing_is_exposed,
    kuberay_exposure.pods_keep_to_the_profile,
    kuberay_exposure.no_secret_is_written,
    kuberay_exposure.commands_are_harmless,
)
SKY_RULES: tuple[Rule, ...] = (
    sky_rules.fields_are_known,
    sky_rules.cost_is_bounded,
    sky_rules.machines_exist,
    sky_rules.spot_has_a_fallback,
    sky_rules.image_matches_the_lock,
    sky_rules.nothing_is_exposed,
    sky_rules.sweep_is_run,
)


def check_file(path: Path, versions: Versions) -> list[str]:
    """Check one file; returns notes on what could not be checked.

    Raises InputErrors with every mistake, each with its line, and InputError when the file cannot be read at all.
    """
    path = Path(path)
    if path.suffix == ".sbatch" or path.name.startswith("Dockerfile"):
        rule = slurm_rules if path.suffix == ".sbatch" else docker_rules
        errors: list[InputError] = list(rule(path, _text(path), versions))
        notes: list[str] = []
    else:
        errors, notes = _check_documents(path, versions)
    if errors:
        raise InputErrors(path, sorted({str(error): error for error in errors}.values(), key=_line_of))
    return notes


def violations(document: Document, versions: Versions) -> list[InputError]:
    """Every mistake of one document of a YAML file, by the rules of its kind."""
    rules = _rules_of(document)
    if not rules:
        problem = "is neither a cluster launcher file nor a KubeRay object nor a SkyPilot task"
        return [document.violation((), problem, "start from one of the files in cluster/")]
    errors = [error for rule in rules for error in rule(document, versions)]
    if (
        not errors and rules is LAUNCHER_RULES
    ):  # Ray stops at its first error, which the rules above name with line and fix
        errors = list(ray_preparation(document, versions))
    return errors


def _rules_of(document: Document) -> tuple[Rule, ...]:
    if "apiVersion" in document.tree:
        return KUBERAY_RULES
    if {"provider", "cluster_name"} & set(document.tree):
        return LAUNCHER_RULES
    return SKY_RULES if sky_rules.is_sky(document) else ()


def _check_documents(path: Path, versions: Versions) -> tuple[list[InputError], list[str]]:
    errors, notes = [], []
    for document in read_documents(path):
        errors += violations(document, versions)
        if _rules_of(document) is LAUNCHER_RULES:
            notes.append(machine_shape(launcher_rules.provider_of(document))[1])
    return errors, [note for note in notes if note]


def check_command(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Cluster launcher files, KubeRay files, SkyPilot tasks, Slurm scripts (.sbatch) or Dockerfiles.",
            show_default=False,
        ),
    ],
) -> int:
    """Check cluster files offline and name every mistake of every file, with its line, value and fix."""
    versions, worst = locked_versions(), EXIT_COMPLETE
    for file in files:
        try:
            notes = check_file(file, versions)
            print(f"{file}: no mistakes" + "".join(f" ({note})" for note in notes))
        except InputError as mistake:
            print(f"error: {mistake}", file=sys.stderr)
            worst = EXIT_BAD_INPUT
    return worst


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"cannot be read ({error})", "give the path of a UTF-8 text file") from None


def _line_of(error: InputError) -> int:
    return int(error.where.split(",")[0].removeprefix("line "))


main = Command(
    check_command,
    examples=("{} cluster/ray-cluster.aws.yaml", "{} cluster/*.yaml cluster/slurm.sbatch cluster/Dockerfile"),
    exits={EXIT_COMPLETE: "every file is right", EXIT_BAD_INPUT: "at least one file has a mistake"},
)

run_as_program(main, __name__)
