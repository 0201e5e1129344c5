"""Trained generators -> a data set of synthetic images in shards, written block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from sweep.shards.schema import Header, Manifest, ShardRow
from sweep.shards.writer import write_dataset
from sweep.synth.trained import TrainedGenerator


def pool_rows(
    generators: Mapping[int, TrainedGenerator], counts: Mapping[int, int], classes: tuple[str, ...], *, seed: int
) -> Iterator[ShardRow]:
    """`counts[label]` rows of each class from `generators[label]`, which may be one generator under several labels.

    At most one block of 32 images exists at a time. Ids are synthetic/<class>/<index>, as mixing gives them.
    """
    for label, count in sorted(counts.items()):
        generator = generators[label]
        known = label if generator.num_classes > 1 else None
        index = 0
        for block in generator.stream(count, seed=seed, label=known):
            for image in block:
                name = f"synthetic/{classes[label]}/{index:06d}"
                yield ShardRow(
                    image_id=name, image=image, label=classes[label], source_path=f"{generator.name}/{index:06d}"
                )
                index += 1


def write_pool(
    dst: Path,
    generators: Mapping[int, TrainedGenerator],
    counts: Mapping[int, int],
    classes: tuple[str, ...],
    *,
    seed: int,
    domain: str,
) -> Manifest:
    """Write a pool as a data set of its own; its manifest names generator, settings and seed.

    Raises InputError when `dst` already holds something.
    """
    first = generators[min(counts)]
    header = Header(
        name=f"synthetic-{first.name}",
        domain=domain,
        classes=classes,
        source=f"sampled from {first.name}",
        import_px=first.image_px,
        settings={"generator": first.name, "seed": seed, **first.settings},
    )
    return write_dataset(dst, header, pool_rows(generators, counts, classes, seed=seed))
