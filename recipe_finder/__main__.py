"""The console script: every command by one name.

recipe-finder run quickstart        (or: python -m recipe_finder run quickstart)
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from recipe_finder import __version__
from sweep.core.command_line import Command, CommandGroup, Forwarded, Row, key_values
from sweep.core.errors import EXIT_COMPLETE

_PARTS = ("ray", "torch", "timm", "optuna")  # whose versions decide what a sweep computes


def configs_command(
    paths: Annotated[bool, typer.Option("--paths", help="Print where the files are, to copy and edit one.")] = False,
) -> int:
    """List the sweep configs that come with the package and the question that each answers."""
    from sweep.config.shipped import shipped_configs, summary

    found = shipped_configs()
    width = max(map(len, found))
    for name, path in found.items():
        typer.echo(str(path) if paths else f"{name:{width}}  {summary(path)}")
    return EXIT_COMPLETE


def plan_command(
    config: Annotated[
        str, typer.Argument(help="Sweep config: a file or the name of a shipped one.", show_default=False)
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one key, e.g. data.image_px=64; may be repeated."),
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Plan the file's smoke section.")] = False,
    storage: Annotated[str | None, typer.Option(help="Run folder: a path or URL.", show_default="results/NAME")] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Address of a running Ray cluster.", show_default="$RAY_ADDRESS, else a local one"),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure", help="Time a few steps on this machine, where no record of the sweep has been timed yet."
        ),
    ] = False,
) -> int:
    """Print what a sweep would compute, what is there already, how long the rest takes and costs; compute nothing."""
    from recipe_finder.api import plan

    typer.echo(
        plan(config, overrides=key_values(set_), smoke=smoke, storage=storage, address=address, measure=measure),
        nl=False,
    )
    return EXIT_COMPLETE


def _spot_watch(words: list[str], program: str) -> int:
    from cluster.spot_watch import main as spot_watch

    return spot_watch(words, program)


def versions() -> str:
    """This package's version and those of the libraries whose versions decide results, one a line."""
    lines = [f"recipe-finder {__version__}", f"python {sys.version.split()[0]}"]
    for name in _PARTS:
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            lines.append(f"{name} is not installed")
    return "\n".join(lines)


_CLUSTER = CommandGroup(
    "Run sweeps on a cluster: launcher files, their check, job submission.",
    __name__,
    {
        "Commands": {
            "files": Row("copy the launcher files to a folder of yours", "cluster.files:main"),
            "check": Row("check launcher, KubeRay, SkyPilot and Slurm files offline", "cluster.check:main"),
            "submit": Row("send the code and one command to a running cluster", "cluster.submit:main"),
            "spot-watch": Row("on a spot node: drain it when the cloud announces its end", Forwarded(_spot_watch)),
        }
    },
    examples=("{} files my-cluster", "{} check my-cluster/ray-cluster.aws.yaml"),
)
SECTIONS = {
    "Start": {
        "init": Row(
            "import and audit your images, and write a sweep config that fits them and your time", "sweep.init:main"
        ),
    },
    "Data": {
        "import": Row("read a data set as published and write shards", "sweep.importers.__main__:main"),
        "audit": Row("near-duplicates, leaks, label conflicts, shortcut features", "sweep.shards.__main__:audit_main"),
        "lesion-sizes": Row(
            "sizes of lesions by a data set's masks, for the parts of a report", "sweep.importers.lesion_sizes:main"
        ),
        "verify": Row("compare shards with their manifest", "sweep.shards.__main__:verify_main"),
    },
    "Sweeps": {
        "configs": Row(
            "list the sweep configs that come with the package", Command(configs_command, ("{}", "{} --paths"))
        ),
        "space": Row("check a sweep config, or print the JSON Schema", "sweep.space:main"),
        "doctor": Row("check what a sweep needs before it starts", "sweep.doctor.__main__:main"),
        "plan": Row(
            "what would be computed, how long and at what cost",
            Command(plan_command, ("{} ratio", "{} my.yaml --measure", "{} my.yaml --storage s3://my-bucket/ratio")),
        ),
        "run": Row("run a sweep, or resume it, and write its report", "sweep.run:main"),
    },
    "Results": {
        "rank": Row("the ranking, with intervals", "analysis.rank:main"),
        "report": Row("one offline HTML page", "analysis.report:main"),
        "serve": Row("the page of a running sweep, on 127.0.0.1", "analysis.serve:main"),
        "watch": Row("the ranking of a running sweep, in the terminal", "analysis.watch:main"),
        "unseal": Row("estimates without target labels against the truth", "analysis.unseal:main"),
        "label": Row("which target images to label, and what their labels say", "analysis.label:main"),
        "compare": Row("what differs between two trials, with a paired test", "analysis.compare:main"),
        "folds": Row("compare over several splits of the data", "analysis.folds:main"),
        "checklist": Row(
            "TRIPOD+AI and CLAIM items a run can answer, and a methods paragraph", "analysis.checklist:main"
        ),
        "tables": Row("the papers' tables beside the published numbers", "analysis.tables:main"),
        "interchange": Row("records as CSV, Parquet, Optuna study or MLflow runs", "analysis.interchange:main"),
        "hparams": Row("TensorBoard files, with the HParams tab", "analysis.hparams:main"),
    },
    "Models": {
        "export": Row("a trained model, or its seeds as one: weights, threshold, model card", "sweep.export:main"),
        "predict": Row("an exported model on new images: a row an image and a row a patient", "sweep.predict:main"),
        "soups": Row("mean weights of a recipe's seeds, judged without target labels", "sweep.soups:main"),
        "replay": Row("one record again, compared with the ledger", "sweep.replay:main"),
        "artifacts": Row("generators, pools and models that nothing needs any more", "sweep.artifacts:main"),
    },
    "Cluster": {"cluster": Row("launcher files, their check, job submission", _CLUSTER)},
}
main = CommandGroup(
    "Find the recipe that transfers a medical-image classifier from one hospital to another.\n\n"
    "NAME --help describes a command, with examples and exit codes.",
    __name__,
    SECTIONS,
    examples=("{} run quickstart", "{} import busi PATH/TO/BUSI shards/busi", "{} rank results/quickstart"),
    version=versions,
)

if __name__ == "__main__":
    sys.exit(main())
