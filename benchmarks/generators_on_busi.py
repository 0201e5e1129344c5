"""Generators on the real BUSI images at equal budgets: sample grids, distance to the real images, copies, and what a classifier learns.

    python -m sweep.importers busi <folder of BUSI> shards/busi
    OMP_NUM_THREADS=1 python benchmarks/generators_on_busi.py shards/busi --out docs/generators_on_busi

Each generator sees the training fold alone (near-duplicates closed, normal scans left out) and trains for as many steps as
fit into `--cpu-minutes`, both classes together; `--steps` gives a number of steps instead. One JSON and one grid of synthetic
images are written for each generator as soon as it is done, and a table of all JSON files is printed at the end.
`--weights FILE` adds the distance on ImageNet features (timm's mobilenetv2_100). Sizes other than 64 px go into files of
their own: their figures are not comparable.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sweep.audit.near_duplicates import near_duplicate_groups
from sweep.shards.image_set import ImageSet
from sweep.shards.labels import apply_normals
from sweep.shards.reader import read_images, read_metadata
from sweep.shards.splits import make_split
from sweep.synth.copies import copy_check, leaked
from sweep.synth.descriptors import FeatureNet, feature_net, network_features
from sweep.synth.quality import quality, ridge, train_on_synthetic_test_on_real
from sweep.synth.train import Collapsed, TrainedGenerator, train_generator
from sweep.synth.watch import sample_grid

SETTINGS: dict[str, dict[str, Any]] = {  # what differs from the quick settings of a row
    "wgan": {},
    "wgan_diffaug": {"ema": 0.998},
    "cgan": {"ema": 0.998},
    "fastgan": {"ema": 0.998},
    "r3gan": {"ema": 0.998},
    "aae": {"ema": 0.998},
    "ddpm": {"width": 24, "ema": 0.998},
    "flow": {"width": 24, "ema": 0.998},
}
ONE_NETWORK = ("aae", "ddpm", "flow")  # for both classes; the other rows train one for each, as a sweep does by default
USUAL_PX = 64
CPU_MINUTES = 3.0
PROBE_STEPS = (
    5,
    25,
)  # two short runs, whose difference is the cost of a step without that of the start and of the samples
SEED = 0
SAMPLES = 256  # of each class
CLASSES = (0, 1)  # benign and malignant; normal scans are left out


class ImageNetFeatures(nn.Module):
    """Grey images [N, 1, H, W] in [0, 1] -> 1280 pooled features of a mobilenetv2_100 with local weights."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        import timm

        self.trunk = timm.create_model("mobilenetv2_100", num_classes=0).eval()
        found = torch.load(weights, weights_only=True)
        missing = self.trunk.load_state_dict(found, strict=False).missing_keys
        if missing:
            raise SystemExit(f"error: {weights}: no {missing[0]}; give the features of timm's mobilenetv2_100")
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("spread", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        larger = nn.functional.interpolate(images, size=(128, 128), mode="bilinear", antialias=True)
        return self.trunk((larger.expand(-1, 3, -1, -1) - self.mean) / self.spread)


def folds(folder: Path, px: int) -> tuple[ImageSet, ImageSet]:
    """The training fold and all other images of two classes, split without near-duplicates across."""
    frame = apply_normals(read_metadata(folder), "drop")
    everything = read_images(folder, px, frame["image_id"].tolist())
    split = make_split(frame, seed=SEED, near_duplicates=near_duplicate_groups(everything))
    held_out = np.concatenate([split.ids("val"), split.ids("test")])
    return read_images(folder, px, split.ids("train")), read_images(folder, px, held_out)


def train(name: str, real: ImageSet, settings: dict[str, Any]) -> tuple[dict[int, TrainedGenerator], float]:
    """Generators by class and the CPU seconds they took. Raises Collapsed where the samples hardly vary."""
    before = time.process_time()
    if name in ONE_NETWORK:
        shared = train_generator(name, real.images, real.labels, num_classes=len(CLASSES), settings=settings, seed=SEED)
        made = dict.fromkeys(CLASSES, shared)
    else:
        made = {k: train_generator(name, real.images[real.labels == k], settings=settings, seed=SEED) for k in CLASSES}
    return made, time.process_time() - before


def steps_within(seconds: float, name: str, real: ImageSet) -> int:
    """Steps of each network of `name` that together take about `seconds` of CPU time."""
    few, more = (train(name, real, SETTINGS[name] | {"steps": steps})[1] for steps in PROBE_STEPS)
    return max(1, round(seconds * (PROBE_STEPS[1] - PROBE_STEPS[0]) / max(more - few, 1e-3)))


def judge(pools: dict[int, np.ndarray], real: ImageSet, held_out: ImageSet, nets: list[FeatureNet]) -> dict[str, Any]:
    """Figures of the pools, each class against its own real images, averaged over classes where not said otherwise."""
    by_class = [quality(real.images[real.labels == k], pool, net) for k, pool in pools.items() for net in nets]
    facts = class_means(by_class)
    synthetic, labels = np.concatenate(list(pools.values())), np.repeat(list(pools), SAMPLES)
    copies = copy_check(synthetic, real.images)
    facts |= {"copy_rate": copies.rate, "copy_rate_of_real": copies.real_rate}
    facts["leaked"] = int(leaked(synthetic, real.images, held_out.images).sum())
    own = feature_net("texture+layout")
    of_real, of_synthetic, of_test = own.embed(real.images, synthetic, held_out.images)
    facts |= train_on_synthetic_test_on_real(
        (of_synthetic, labels), (of_real, real.labels), (of_test, held_out.labels), ridge
    )
    return facts


def real_reference(real: ImageSet, held_out: ImageSet, nets: list[FeatureNet]) -> dict[str, float]:
    """Figures of held-out real images against the training fold: what a perfect generator would reach."""
    return class_means(
        [
            quality(real.images[real.labels == k], held_out.images[held_out.labels == k], net)
            for net in nets
            for k in CLASSES
        ]
    )


def class_means(figures: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over the classes, and FRD: the mean logarithm of the Frechet distance on radiomic features."""
    names = sorted({name for one in figures for name in one})
    found = {name: [one[name] for one in figures if name in one] for name in names}
    means = {name: float(np.mean(values)) for name, values in found.items()}
    return means | {"frd": float(np.mean(np.log(found["frechet/radiomics"])))}


SHARES = {
    "precision/layout": "precision", "recall/layout": "recall", "coverage/layout": "coverage", "copy_rate": "copies",
}  # fmt: skip


def table(out: Path) -> str:
    """The Markdown table of all results in `out`."""
    results = {path.stem: json.loads(path.read_text()) for path in sorted(out.glob("*.json"))}
    columns = sorted({key for facts in results.values() for key in facts if key.startswith("kid/")} - {"kid/radiomics"})
    head = ["generator", "training", *columns, "FRD", *SHARES.values(), "AUROC on synthetic"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, facts in results.items():
        row = [name, facts["training"] + (f"; failed: {facts['failed']}" if "failed" in facts else "")]
        for column in columns:
            low, high = (facts.get(column.replace("kid/", f"kid_{end}/")) for end in ("low", "high"))
            row.append(_figure(facts, column, ".3g") + (f" ({low:.3g} to {high:.3g})" if low is not None else ""))
        row += [_figure(facts, "frd"), *(_figure(facts, share) for share in SHARES)]
        lines.append("| " + " | ".join([*row, _figure(facts, "auroc_trained_on_synthetic")]) + " |")
    return "\n".join(lines)


def _figure(facts: dict[str, Any], name: str, shape: str = ".2f") -> str:
    return f"{facts[name]:{shape}}" if name in facts else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--px", type=int, default=USUAL_PX)
    parser.add_argument("--generators", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--cpu-minutes", type=float, default=CPU_MINUTES, help="of training, both classes together")
    parser.add_argument("--steps", type=int, help="generator steps instead of a budget in CPU minutes")
    parser.add_argument("--out", type=Path, default=Path("docs/generators_on_busi"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    real, held_out = folds(options.shards, options.px)
    nets = [feature_net(name) for name in ("texture", "layout", "radiomics")]
    if options.weights:
        nets.append(network_features("mobilenetv2-imagenet", ImageNetFeatures(options.weights)))
    size = "" if options.px == USUAL_PX else f"_{options.px}px"
    write(
        options.out / f"real_held_out{size}.json",
        {"training": f"{len(held_out)} real images", **real_reference(real, held_out, nets)},
    )
    for name in options.generators:
        steps = options.steps or steps_within(60 * options.cpu_minutes, name, real)
        budget = f"{'' if name in ONE_NETWORK else '2 x '}{steps} steps"
        try:
            made, seconds = train(name, real, SETTINGS[name] | {"steps": steps})
        except Collapsed as collapsed:
            write(options.out / f"{name}{size}.json", {"training": budget, "failed": str(collapsed)})
            continue
        pools = {
            label: generator.sample(SAMPLES, seed=SEED, label=0 if generator.num_classes == 1 else label)
            for label, generator in made.items()
        }
        budget = f"{budget}, {seconds / 60:.1f} CPU min, {len(real)} images"
        Image.fromarray(sample_grid(pools, columns=12, rows=2)).save(options.out / f"{name}{size}.png", optimize=True)
        write(
            options.out / f"{name}{size}.json",
            {"training": budget, "seconds": seconds, **judge(pools, real, held_out, nets)},
        )
    print(table(options.out))


def write(path: Path, facts: dict[str, Any]) -> None:
    path.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
