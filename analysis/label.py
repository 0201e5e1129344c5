"""run -> which target images to label so that the top recipes can be compared, and the comparison once they are labelled.

python -m analysis.label results/blind --images 60 --out to_label.csv
python -m analysis.label results/blind --labels done.csv
"""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from analysis import metric_names
from analysis.csv_cells import cell
from analysis.few_labels import Estimated, Pool, Sample, difference, draw, drawing_probabilities, estimate
from analysis.figures.figure import counted, number
from analysis.frames import Run, load_run
from analysis.selection import best_first, rule_named, usual_rule
from sweep.core.atomic import write_text
from sweep.core.command_line import Command
from sweep.core.errors import EXIT_COMPLETE, InputError
from sweep.core.metric_table import SOURCE_VAL, TARGET
from sweep.core.seeds import rng
from sweep.shift import calibration
from sweep.shift.predicted_performance import margin

COLUMNS = ("image_id", "patient", "probability", "label")
SHOWN = ("auroc", "balanced_accuracy", "sensitivity", "specificity", "accuracy")
COMPARED = ("accuracy", "balanced_accuracy", "auroc")


@dataclass(frozen=True)
class Recipes:
    """The recipes to compare on the target's images: names [R], image ids [N] and the pool."""

    signatures: tuple[str, ...]
    names: tuple[str, ...]
    images: np.ndarray
    pool: Pool
    classes: tuple[str, ...]


def label_command(
    run: Annotated[str, typer.Argument(help="Run folder or URL, e.g. results/blind.", show_default=False)],
    images: Annotated[int, typer.Option(metavar="N", help="About how many images to label; whole patients are drawn.")] = 60,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="CSV file to write the images to.", show_default=False)] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="FILE", help="That file with its column `label` filled in: compare the recipes.", show_default=False)
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", help="How many recipes to compare, the first by the rule.")] = 3,
    rule: Annotated[str | None, typer.Option(help="The rule that says which come first.", show_default="blind without target labels")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
) -> int:  # fmt: skip
    """Say which target images to label (--out), or compare the top recipes on those that were labelled (--labels)."""
    if (out is None) == (labels is None):
        raise InputError(
            "--out, --labels", "give one of them", "--out FILE writes what to label, --labels FILE reads it back"
        )
    recipes = top_recipes(load_run(run), top, rule)
    if out is not None:
        count, patients = write_images(recipes, images, out, seed)
        sys.stdout.write(
            f"{out}: {counted(count, 'image')} of {counted(patients, 'patient')} to label; fill in the column `label`\n"
        )
    else:
        sys.stdout.write(compared(recipes, read_labels(recipes, str(labels))))
    return EXIT_COMPLETE


def top_recipes(run: Run, top: int, rule: str | None = None) -> Recipes:
    """The `top` recipes by a rule, as the target's images are answered by them: margins are means over seeds."""
    if top < 1:
        raise InputError("--top", f"{top} recipes cannot be compared", "give 2 or more; 1 estimates a single recipe")
    if run.findings or len(run.classes) > 2:
        raise InputError(run.storage.url, "has more than two classes", "labels are drawn for two classes alone")
    score = rule_named(rule or usual_rule(run)).score(run.means).dropna()
    chosen = [key for key in best_first(score) if len(run.predictions(key))][:top]
    if not chosen:
        raise InputError(run.storage.url, "kept no predictions on the target", "run the sweep again with this version")
    names = run.labels
    images, groups = _images(run, chosen[0])
    found = [_margins(run, key, images) for key in chosen]
    pool = Pool(groups, np.stack([target for target, _ in found]), np.mean([positive for _, positive in found], axis=0))
    return Recipes(tuple(chosen), tuple(names[key] for key in chosen), images, pool, run.classes or ("0", "1"))


def _images(run: Run, signature: str) -> tuple[np.ndarray, np.ndarray]:
    """Ids and patients of the target's images; an image without a known patient is a patient of its own."""
    rows = run.predictions(signature)
    rows = rows[rows["split"] == TARGET].drop_duplicates("image_id")
    ids = rows["image_id"].to_numpy(str)
    groups = rows["group"].fillna("").to_numpy(str)
    return ids, np.where(groups == "", ids, groups)


def _margins(run: Run, signature: str, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Margins [N] on the target, means over seeds, and the probability [N] calibrated on source validation."""
    target, positive = [], []
    for _, rows in run.predictions(signature).groupby("seed"):
        source, abroad = rows[rows["split"] == SOURCE_VAL], rows[rows["split"] == TARGET].set_index("image_id")
        logits = np.stack(abroad.loc[images, "logits"].to_list())
        fitted = calibration.fit(np.stack(source["logits"].to_list()), source["label"].to_numpy(int))
        target.append(margin(logits))
        positive.append(fitted(logits)[:, 1])
    return np.mean(target, axis=0), np.mean(positive, axis=0)


def write_images(recipes: Recipes, images: int, out: str, seed: int = 0) -> tuple[int, int]:
    """Draw the images, write them with an empty label, and return how many there are of how many patients."""
    if not images >= 2:
        raise InputError("--images", f"{images} labels compare nothing", "give 20 or more; 60 is usual")
    if Path(out).exists():
        raise InputError("--out", f"{out} exists and may hold labels", "give another name, or move it away")
    probability = drawing_probabilities(recipes.pool, images)
    chosen = draw(recipes.pool, probability, rng(seed, "images to label"))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for place in chosen:
        writer.writerow(
            [cell(recipes.images[place]), cell(recipes.pool.groups[place]), repr(float(probability[place])), ""]
        )
    write_text(Path(out), stream.getvalue())
    return len(chosen), len(set(recipes.pool.groups[chosen].tolist()))


def read_labels(recipes: Recipes, path: str) -> Sample:
    """The labelled images of a file that `write_images` wrote; InputError names the first line that does not fit."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as unreadable:
        raise InputError(
            path, f"cannot be read ({unreadable})", "give the file that --out wrote, labels filled in"
        ) from None
    missing = [name for name in ("image_id", "probability", "label") if not rows or name not in rows[0]]
    if missing:
        raise InputError(
            path,
            f"has no column {', '.join(missing)}",
            f"keep the columns {', '.join(COLUMNS)} of the file that --out wrote",
        )
    place = {name: number_ for number_, name in enumerate(recipes.images.tolist())}
    found = [_row(recipes, place, path, line, row) for line, row in enumerate(rows, start=2)]
    images = np.array([one[0] for one in found])
    if len(set(images.tolist())) < len(images):
        raise InputError(path, "names an image twice", "keep one line an image")
    _whole_patients(recipes, images, path)
    sample = Sample(images, np.array([one[1] for one in found]), np.array([one[2] for one in found]))
    if len(set(sample.labels.tolist())) < 2:
        raise InputError(path, "holds labels of one class alone", "label more images: --images with a larger number")
    return sample


def _row(recipes: Recipes, place: dict[str, int], path: str, line: int, row: dict[str, str]) -> tuple[int, int, float]:
    where = f"{path}, line {line}"
    name = row["image_id"].removeprefix("'")
    if name not in place:
        raise InputError(
            where, f"{row['image_id']!r} is no target image of this run", "give the file that --out wrote for this run"
        )
    text = (row["label"] or "").strip()
    known = {
        **{str(number_): number_ for number_ in (0, 1)},
        **{name: number_ for number_, name in enumerate(recipes.classes)},
    }
    if text not in known:
        problem = f"{text!r} is no label" if text else "has no label: without it the estimate would be biased"
        raise InputError(where, problem, f"write one of {', '.join(recipes.classes)}")
    try:
        probability = float(row["probability"])
    except (TypeError, ValueError):
        probability = float("nan")
    if not 0 < probability <= 1:
        raise InputError(
            where, f"{row['probability']!r} is no probability of being drawn", "leave that column as --out wrote it"
        )
    return place[name], known[text], probability


def _whole_patients(recipes: Recipes, images: np.ndarray, path: str) -> None:
    """A patient was drawn with all of its images, so all of them are in the file."""
    groups = recipes.pool.groups
    drawn = set(groups[images].tolist())
    left = [name for name, group in zip(recipes.images, groups, strict=True) if group in drawn]
    absent = sorted(set(left) - set(recipes.images[images].tolist()))
    if absent:
        raise InputError(
            path, f"lacks {absent[0]} of a patient that it holds", "keep every line of the file that --out wrote"
        )


def compared(recipes: Recipes, sample: Sample) -> str:
    """Each recipe's metrics on the target with 95 % intervals, and the first against each of the others on the same images."""
    stream = io.StringIO()
    console = Console(file=stream, width=160, markup=False)
    title = f"Estimated for all {counted(len(recipes.images), 'target image')} from {counted(len(sample.images), 'labelled image')}, 95 % intervals"
    table = Table(title=title, title_justify="left")
    for column in ("recipe", *(metric_names.title(name) for name in SHOWN)):
        table.add_column(column, overflow="fold", justify="left" if column == "recipe" else "right")
    for place, name in enumerate(recipes.names):
        table.add_row(name, *(_cell(estimate(recipes.pool, sample, metric, place)) for metric in SHOWN))
    console.print(table)
    for other in range(1, len(recipes.names)):
        console.print(_against(recipes, sample, other), soft_wrap=True, highlight=False)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _cell(made: Estimated) -> str:
    return f"{number(made.value)}\n{number(made.low)} to {number(made.high)}"


def _against(recipes: Recipes, sample: Sample, other: int) -> str:
    parts, better = [], []
    for metric in COMPARED:
        made = difference(recipes.pool, sample, metric, (0, other))
        parts.append(f"{metric_names.title(metric)} {number(made.value)} ({number(made.low)} to {number(made.high)})")
        better.append(_verdict(made, metric))
    said = next((words for words in better if words), "they cannot be told apart with these labels")
    return f"{recipes.names[0]} less {recipes.names[other]}: {', '.join(parts)}; {said}."


def _verdict(made: Estimated, metric: str) -> str:
    words = metric_names.title(metric)
    return (
        f"the first is better in {words}"
        if made.low > 0
        else f"the second is better in {words}"
        if made.high < 0
        else ""
    )


main = Command(
    label_command,
    examples=("{} results/blind --images 60 --out to_label.csv", "{} results/blind --labels done.csv"),
)

if __name__ == "__main__":
    sys.exit(main())
