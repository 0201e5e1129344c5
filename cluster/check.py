"""cluster files -> every mistake in them, offline, before they cost anything.

python -m cluster.check cluster/*.yaml cluster/slurm.sbatch cluster/Dockerfile

Knows cluster launcher files (aws, gcp, azure, local), KubeRay's RayCluster and RayJob, Slurm scripts and Dockerfiles.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from cluster import kuberay_policy, kuberay_rules, launcher_nodes, launcher_rules, launcher_security
from cluster.cloud_parameters import cloud_parameters, machine_shape
from cluster.document import Document, read_documents
from cluster.launcher_schema import ray_schema
from cluster.script_rules import docker_rules, slurm_rules
from cluster.versions import Versions, locked_versions
from sweep.core.command_line import Command
from sweep.core.errors import EXIT_BAD_INPUT, EXIT_COMPLETE, InputError, InputErrors

Rule = Callable[[Document, Versions], Iterable[InputError]]

LAUNCHER_RULES: tuple[Rule, ...] = (
    ray_schema,
    cloud_parameters,
    launcher_rules.provider_is_known,
    launcher_rules.name_is_usable,
    launcher_rules.head_does_no_work,
    launcher_rules.workers_are_few,
    launcher_rules.idle_nodes_go_away,
    launcher_rules.images_match_the_lock,
    launcher_rules.files_are_sent,
    launcher_nodes.machine_and_resources_agree,
    launcher_nodes.machines_have_what_the_cloud_needs,
    launcher_nodes.spot_has_a_fallback,
    launcher_nodes.machines_have_a_deadline,
    launcher_security.token_is_everywhere,
    launcher_security.no_secret_is_written,
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
    kuberay_policy.nothing_is_exposed,
    kuberay_policy.results_outlive_the_pods,
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


def _check_documents(path: Path, versions: Versions) -> tuple[list[InputError], list[str]]:
    errors, notes = [], []
    for document in read_documents(path):
        if "apiVersion" in document.tree:
            rules = KUBERAY_RULES
        elif {"provider", "cluster_name"} & set(document.tree):
            rules = LAUNCHER_RULES
            notes.append(machine_shape(launcher_rules.provider_of(document))[1])
        else:
            errors.append(
                document.violation(
                    (),
                    "is neither a cluster launcher file nor a KubeRay object",
                    "start from one of the files in cluster/",
                )
            )
            continue
        errors += [error for rule in rules for error in rule(document, versions)]
    return errors, [note for note in notes if note]


def check_command(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Cluster launcher files, KubeRay files, Slurm scripts (.sbatch) or Dockerfiles.",
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

if __name__ == "__main__":
    sys.exit(main())
