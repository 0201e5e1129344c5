"""Models of one source and their logits on source images, on pseudo-hospitals and on targets: what the blind benchmark is made of.

Everything is kept in a folder, one file a model and one file a (source, target): a benchmark that was stopped goes on where it was. The
labels of a target lie in a file of their own, which `sealed` alone reads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file

from sweep.core.seeds import rng
from sweep.evaluation.evaluate import predict
from sweep.importers import import_dataset, phantom
from sweep.models.classifier import Classifier, ClassifierSpec, build_classifier
from sweep.pipeline.blind_evaluation import stratified
from sweep.shards.batches import ResidentBatches
from sweep.shards.image_set import ImageSet
from sweep.shards.labels import apply_normals
from sweep.shards.reader import read_images, read_metadata
from sweep.shards.splits import make_split
from sweep.shift.properties import properties
from sweep.shift.pseudo_hospitals import pseudo_hospitals
from sweep.training.fit import fit
from sweep.training.recipe import Recipe

PHANTOM = "phantom:"
NORMALS = "drop"
_MOST_HELD_OUT = 200  # validation images, and test images
_MEASURED = 100  # images of a set whose properties are measured


@dataclass(frozen=True)
class Recipes:
    """One way to train, as the benchmark names it."""

    name: str
    backbone: str
    settings: dict[str, Any]
    colorizer: str = "none"


RECIPES = (
    Recipes("small_cnn", "small_cnn", {"augment": "none"}),
    Recipes("small_cnn, ultrasound augmentation", "small_cnn", {"augment": "ultrasound"}),
    Recipes("small_cnn, flips, balanced", "small_cnn", {"augment": "flip", "balanced_sampling": True}),
    Recipes("small_cnn, mixup", "small_cnn", {"augment": "ultrasound", "mixup": 0.4}),
    Recipes("test_resnet", "test_resnet", {"augment": "none"}),
    Recipes("test_resnet, ultrasound augmentation", "test_resnet", {"augment": "ultrasound"}),
    Recipes("test_resnet, flips, balanced", "test_resnet", {"augment": "flip", "balanced_sampling": True}),
)


@dataclass(frozen=True)
class Size:
    """How much is computed: side of the images, patients of a phantom, epochs, seeds, pseudo-hospitals, and the most images of each part.

    Models are trained on at most `train_images`; pseudo-hospitals show at most `shown` validation images, as those of a sweep do. `draw` is
    the seed of the simulated patients.
    """

    px: int = 64
    patients: int = 300
    epochs: int = 10
    seeds: int = 2
    hospitals: int = 40
    target_images: int = 300
    train_images: int = 300
    shown: int = 64
    draw: int = 0


@dataclass(frozen=True)
class Cells:
    """One source and target: logits of R recipes, S seeds; the hidden labels are read by `sealed` alone.

    val [R, S, N, 2] with labels int [N]; test [R, S, T, 2] likewise; shown [N'] are the places of the validation images that hospitals
    show; logits [R, S, M, 2] are of the target; hospitals: one [R, S, Nk, 2] and labels [Nk] each, with `families`. The property tables are
    of source, target and hospitals.
    """

    source: str
    target: str
    recipes: tuple[str, ...]
    val: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    shown: np.ndarray
    logits: np.ndarray
    hospitals: tuple[np.ndarray, ...]
    hospital_labels: tuple[np.ndarray, ...]
    families: tuple[str, ...]
    source_properties: np.ndarray
    target_properties: np.ndarray
    hospital_properties: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Bench:
    """The folder of a benchmark: data sets, models, cells."""

    folder: Path
    size: Size

    def cells(self, source: str, target: str, recipes: Sequence[Recipes] = RECIPES) -> Cells:
        """The logits of a pair, computed now or read from the folder."""
        path = self.folder / f"cells-{_file_name(source)}-{_file_name(target)}.npz"
        if not path.exists():
            self._compute(path, source, target, recipes)
        with np.load(path, allow_pickle=False) as held:
            count = int(held["count"])
            return Cells(
                source,
                target,
                tuple(one.name for one in recipes),
                held["val"],
                held["labels"],
                held["test"],
                held["test_labels"],
                held["shown"],
                held["target"],
                tuple(held[f"hospital-{k}"] for k in range(count)),
                tuple(held[f"hospital-labels-{k}"] for k in range(count)),
                tuple(str(name) for name in held["families"]),
                held["source-properties"],
                held["target-properties"],
                tuple(held[f"hospital-properties-{k}"] for k in range(count)),
            )

    def sealed(self, source: str, target: str) -> np.ndarray:
        """The target's labels int [M]: for scoring alone, after every estimate has been made."""
        with np.load(self.folder / f"labels-{_file_name(source)}-{_file_name(target)}.npz", allow_pickle=False) as held:
            return held["labels"]

    def _compute(self, path: Path, source: str, target: str, recipes: Sequence[Recipes]) -> None:
        size = self.size
        train, val, test = self.folds(source)
        abroad = self._target(target)
        models = [[self.model(source, one, seed, train, val) for seed in range(size.seeds)] for one in recipes]
        faces = {"val": val.images, "test": test.images, "target": abroad.images}
        held: dict[str, np.ndarray] = {name: _logits(models, np.asarray(images)) for name, images in faces.items()}
        shown = stratified(val.labels, size.shown)
        images, labels = np.asarray(val.images)[shown], val.labels[shown]
        families, count = [], 0
        for hospital in pseudo_hospitals(images, labels, np.asarray(abroad.images), count=size.hospitals):
            held[f"hospital-{count}"] = _logits(models, hospital.images)
            held[f"hospital-labels-{count}"] = hospital.labels
            held[f"hospital-properties-{count}"] = _some_properties(hospital.images)
            families.append(hospital.family)
            count += 1
        held |= {"labels": val.labels, "test_labels": test.labels, "shown": shown}
        held |= {"families": np.array(families), "count": np.array(count)}
        held["source-properties"] = _some_properties(np.asarray(val.images))
        held["target-properties"] = _some_properties(np.asarray(abroad.images))
        save_arrays(self.folder / path.name.replace("cells-", "labels-", 1), labels=abroad.labels)
        save_arrays(path, **held)

    def folds(self, source: str) -> tuple[ImageSet, ImageSet, ImageSet]:
        """Training, validation and test images, split as a sweep splits them."""
        folder = self.shards(source)
        split = make_split(apply_normals(read_metadata(folder), NORMALS), seed=0)
        most = {"train": self.size.train_images, "val": _MOST_HELD_OUT, "test": _MOST_HELD_OUT}
        train, val, test = (
            read_images(folder, self.size.px, _some(name, split.ids(name), at_most), normals=NORMALS)
            for name, at_most in most.items()
        )
        return train, val, test

    def _target(self, target: str) -> ImageSet:
        images = read_images(self.shards(target), self.size.px, normals=NORMALS)
        order = rng(0, "blind benchmark", target).permutation(len(images))
        return images.subset(np.sort(order[: self.size.target_images]))

    def shards(self, name: str) -> Path:
        """The shard folder of a data set, written on first use: `phantom:SCANNER` or `IMPORTER:PATH`."""
        kind, _, place = name.partition(":")
        folder = self.folder / "shards" / _file_name(name)
        if not folder.exists():
            if f"{kind}:" == PHANTOM:
                phantom.write(folder, scanner=place, patients=self.size.patients, seed=self.size.draw)
            else:
                import_dataset(kind, Path(place), folder)
        return folder

    def model(self, source: str, recipe: Recipes, seed: int, train: ImageSet, val: ImageSet) -> Classifier:
        """A trained model, from the folder or trained now."""
        path = self.folder / "models" / f"{_file_name(source)}-{_file_name(recipe.name)}-{seed}.safetensors"
        spec = ClassifierSpec(recipe.backbone, 2, self.size.px, colorizer=recipe.colorizer)
        model = build_classifier(spec, seed=seed)
        if path.exists():
            model.load_state_dict(load_file(path))
            return model
        settings = Recipe(epochs=self.size.epochs, lr=1e-3, batch_size=16, **recipe.settings)
        batches = ResidentBatches(train, settings.batch_size, seed=seed)
        fit(model, batches, (np.asarray(val.images), val.labels), settings, seed=seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = path.with_suffix(f".{os.getpid()}")
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, kept)
        kept.replace(path)
        return model


def _some(name: str, ids: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the ids, drawn at random and in their order."""
    return ids[np.sort(rng(0, "blind benchmark", name).permutation(len(ids))[:most])]


def _some_properties(images: np.ndarray) -> np.ndarray:
    return properties(images[np.sort(rng(0, "properties", len(images)).permutation(len(images))[:_MEASURED])])


def _logits(models: list[list[Classifier]], images: np.ndarray) -> np.ndarray:
    """float32 [R, S, N, 2]."""
    return np.stack([[predict(model, images, 128) for model in row] for row in models])


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays to an npz file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(kept, **arrays)  # type: ignore[arg-type]
    kept.replace(path)


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def models_of(cells: Cells) -> Iterator[tuple[int, int]]:
    """(recipe, seed) of every record."""
    yield from ((r, s) for r in range(cells.val.shape[0]) for s in range(cells.val.shape[1]))
