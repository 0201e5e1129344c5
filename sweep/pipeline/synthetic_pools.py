"""Generator -> pool: images are sampled, filtered and written block by block; a pool is never in memory as a whole."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sweep.core.activity import doing
from sweep.core.errors import InputError
from sweep.data.datasets import FOLDS, Data
from sweep.evaluation.evaluate import predict
from sweep.pipeline.stages import GENERATOR_FILE, POOL_FILE, pool_blocks, read_model, resized
from sweep.shards.image_set import ImageSet
from sweep.shards.mixing import agreeing
from sweep.store.artifact_store import ArtifactStore, Stage
from sweep.synth.copies import Compared, Originals, nearer_to
from sweep.synth.descriptors import feature_net
from sweep.synth.quality import frechet, quality_of_features
from sweep.synth.settings import ALL_VIEWS, SHIFTED
from sweep.synth.trained import TrainedGenerator, fingerprints
from sweep.synth.watch import Collapsed

TEXTURE, RADIOMICS = "texture", "radiomics"  # need no weights
_BLOCK = 256  # images held at once
_MOST_DRAWS = 8  # times the images wanted, when some are left out
# Images of each side that quality is computed from, at most: KID's cost grows with their square, and radiomics takes 5 ms an image of 64 pixels.
_JUDGED = {TEXTURE: 1024, RADIOMICS: 256}
_FEWEST = 3  # images of each side that KID needs

Judge = Callable[[np.ndarray], np.ndarray]  # uint8 images -> positions of those that a model takes for their class


@dataclass
class Sieve:
    """Filters sampled images for a pool and counts copies and agreement on the way."""

    originals: Originals
    held_out: Compared
    drop_copies: bool
    judge: Judge | None
    drawn: int = 0
    copies: int = 0
    held_out_copies: int = 0
    agreeing: int = 0
    features: dict[str, list[np.ndarray]] = field(default_factory=lambda: {net: [] for net in _JUDGED})

    def kept(self, block: np.ndarray) -> np.ndarray:
        """The images of a block that go into the pool."""
        check = self.originals.check(block)
        stays = np.ones(len(block), bool) if self.judge is None else np.isin(np.arange(len(block)), self.judge(block))
        self.drawn += len(block)
        self.copies += int(check.copies.sum())
        self.held_out_copies += int(nearer_to(self.held_out, block, check).sum())
        self.agreeing += int(stays.sum())
        return block[stays & ~check.copies if self.drop_copies else stays]

    def look_at(self, block: np.ndarray) -> None:
        """Keep features of accepted images, up to the number that quality is computed from."""
        for net, kept in self.features.items():
            room = _JUDGED[net] - sum(map(len, kept))
            if room > 0 and len(block):
                kept.append(feature_net(net).compute(block[:room]))


def sample_pool(stage: Stage, store: ArtifactStore) -> dict[str, Any]:
    """Sample one class's pool from its generator and measure its quality; image i is the same in every pool of that generator.

    Raises InputError when the generator has seen an image outside the training fold, Collapsed when hardly an image can be kept.
    """
    generator = TrainedGenerator.from_bytes(store.read(stage.dependencies[0], GENERATOR_FILE), device=store.device)
    data = Data.load(store.run).seen_by(stage.dependencies[0].inputs)
    fold = data.read("train", generator.image_px)
    refuse_leak(generator, fold, data, store.folder(stage.dependencies[0]))
    others = [data.read(name, generator.image_px) for name in ("val", "test")]
    held_out = np.concatenate([other.images for other in others])
    views = stage.inputs.get("copy_views", SHIFTED) if stage.inputs["drop_copies"] else ALL_VIEWS
    originals = Originals(fold.images, fold.groups, views)
    sieve = Sieve(originals, Compared(held_out, views), stage.inputs["drop_copies"], _judge(stage, store, data))
    chosen = _chosen(stage, _in_blocks(_candidates(stage, store, generator), stage.inputs["images"]), sieve)
    store.write(stage, POOL_FILE, npy_blocks(stage.inputs["images"], generator.image_px, chosen))
    return _facts(stage, sieve) | _quality(stage.inputs["label"], sieve, fold, others)


def refuse_leak(generator: TrainedGenerator, fold: ImageSet, data: Data, place: str) -> None:
    """Raise InputError when the generator was trained on an image that is not in the training fold `fold`, to the last bit."""
    strangers = generator.seen - frozenset(fingerprints(fold.images))
    if not strangers:
        return
    counts = {
        name: int(generator.saw(data.read(name, generator.image_px).images).sum()) for name in FOLDS if name != "train"
    }
    found = ", ".join(f"{count} in {name}" for name, count in counts.items() if count) or "in no fold of this run"
    raise InputError(
        f"generator {generator.name} in {place}",
        f"has seen {len(strangers)} images outside the training fold ({found})",
        "its images would leak into training; delete that folder and it is trained anew, on the training fold alone",
    )


def npy_blocks(count: int, image_px: int, blocks: Iterable[np.ndarray]) -> Iterator[bytes]:
    """The bytes of an .npy file of uint8 [count, image_px, image_px], header first."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (count, image_px, image_px)}
    )
    yield header.getvalue()
    for block in blocks:
        yield np.ascontiguousarray(block).tobytes()


def _candidates(stage: Stage, store: ArtifactStore, generator: TrainedGenerator) -> Iterator[np.ndarray]:
    """Images to choose from: first those of an existing pool where the stage depends on one, then new samples, up to a limit."""
    trained, start = stage.dependencies[0], 0
    if len(stage.dependencies) > 1:
        yield from pool_blocks(store, stage.dependencies[1])
        start = store.compute(stage.dependencies[1], sample_pool)["drawn"]  # finished: its note
    label = None if trained.inputs["label"] is not None else stage.inputs["label"]
    most = max(0, _MOST_DRAWS * stage.inputs["images"] - start)
    yield from generator.stream(most, seed=trained.inputs["seed"], label=label, start=start)


def _in_blocks(parts: Iterable[np.ndarray], wanted: int) -> Iterator[np.ndarray]:
    """The same images in larger blocks: a comparison costs hardly more for many images than for a few."""
    size, held = min(_BLOCK, wanted), []
    for part in parts:
        held.append(part)
        if sum(map(len, held)) >= size:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def _chosen(stage: Stage, blocks: Iterable[np.ndarray], sieve: Sieve) -> Iterator[np.ndarray]:
    missing = stage.inputs["images"]
    for block in blocks:
        kept = sieve.kept(block)[:missing]
        missing -= len(kept)
        doing("sampling images", stage.inputs["images"] - missing, stage.inputs["images"])
        sieve.look_at(kept)
        yield kept
        if not missing:
            return
    name = stage.inputs["class"]
    problem = f"of {sieve.drawn} images drawn, {sieve.copies} copy a training image"
    problem += f" and the real-only model takes {sieve.agreeing} for {name}" if sieve.judge else ""
    raise Collapsed(f"pool of {name}", problem, "choose another generator, or set relabel: none and drop_copies: false")


def _judge(stage: Stage, store: ArtifactStore, data: Data) -> Judge | None:
    if "relabel" not in stage.inputs:
        return None
    from sweep.pipeline.training_job import rebuilt

    needed, label, confidence = stage.dependencies[2], stage.inputs["label"], stage.inputs["confidence"]
    model = rebuilt(needed.non_hashed["config"], data, needed.inputs["seed"], read_model(store, needed)).to(
        store.device
    )
    return lambda block: agreeing(
        predict(model, resized(block, data.image_px), _BLOCK, store.device), label, confidence
    )


def _facts(stage: Stage, sieve: Sieve) -> dict[str, Any]:
    facts = {
        "generator": stage.dependencies[0].inputs["generator"],
        "class": stage.inputs["class"],
        "images": stage.inputs["images"],
        "drawn": sieve.drawn,
        "copy_rate": sieve.copies / sieve.drawn,
        "real_copy_rate": float((sieve.originals.real_distance < sieve.originals.threshold).mean()),
        "held_out_copies": sieve.held_out_copies,
    }
    return facts | ({"agreement": sieve.agreeing / sieve.drawn} if sieve.judge else {})


def _quality(label: int, sieve: Sieve, fold: ImageSet, others: list[ImageSet]) -> dict[str, Any]:
    """Quality of the pool against the class's training images, and of held-out real images against them, which bounds it.

    All figures of the texture features; of the radiomic ones their Frechet distance, whose logarithm is FRD.
    """
    real = fold.images[fold.labels == label]
    found: dict[str, dict[str, float]] = {"quality": {}, "quality_of_real": {}}
    if len(real) < _FEWEST:
        return found
    held_out = np.concatenate([other.images[other.labels == label] for other in others])
    for net, kept in sieve.features.items():
        compute = feature_net(net).compute
        reference = compute(_some(real, net))
        found["quality"] |= _figures(net, reference, np.concatenate(kept))
        if len(held_out) >= _FEWEST:
            found["quality_of_real"] |= _figures(net, reference, compute(_some(held_out, net)))
    return found


def _figures(net: str, real: np.ndarray, others: np.ndarray) -> dict[str, float]:
    """What is recorded of features on one net, rounded."""
    a, b = feature_net(net).on_one_scale(real, others)
    figures = quality_of_features(a, b, net) if net == TEXTURE else {f"frechet/{net}": frechet(a, b)}
    return {name: round(float(value), 5) for name, value in figures.items()}


def _some(images: np.ndarray, net: str) -> np.ndarray:
    """An evenly spaced subset of at most as many images as quality is computed from on this net."""
    return images[:: -(-len(images) // _JUDGED[net]) or 1]
