"""Generators on the real BUSI images: sample grids, distance to the real images, copies, and what a classifier learns.

    python -m sweep.importers busi <folder of BUSI> shards/busi
    OMP_NUM_THREADS=1 python benchmarks/generators_on_busi.py shards/busi --out docs/generators_on_busi

Each generator sees the training fold alone (near-duplicates closed, normal scans left out). One JSON and one grid of
synthetic images are written for each generator as soon as it is done; a table of all JSON files is printed at the end.
`--weights FILE` adds the distance on ImageNet features (timm's mobilenetv2_100); `--steps` replaces the budget below.
Sizes other than 64 px go into files of their own: their figures are not comparable.
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
from sweep.synth.quality import kid, quality, ridge, train_on_synthetic_test_on_real
from sweep.synth.train import GENERATORS, TrainedGenerator, train_generator
from sweep.synth.watch import sample_grid

BUDGETS = {  # four to seven CPU minutes each at 64 px
    "wgan": {"steps": 800},
    "ddpm": {"steps": 3000, "width": 24, "ema": 0.998},
    "wgan_diffaug": {"steps": 1600, "ema": 0.998},
    "cgan": {"steps": 4000, "ema": 0.998},
    "fastgan": {"steps": 2400, "ema": 0.998},
}
USUAL_PX = 64
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
    """Generators by class and the CPU seconds they took."""
    before = time.process_time()
    if GENERATORS[name].per_class:
        made = {k: train_generator(name, real.images[real.labels == k], settings=settings, seed=SEED) for k in CLASSES}
    else:
        shared = train_generator(
            name, real.images, real.labels, num_classes=len(CLASSES), settings=BUDGETS[name], seed=SEED
        )
        made = dict.fromkeys(CLASSES, shared)
    return made, time.process_time() - before


def judge(pools: dict[int, np.ndarray], real: ImageSet, held_out: ImageSet, nets: list[FeatureNet]) -> dict[str, Any]:
    """Figures of the pools, each class against its own real images, averaged over classes where not said otherwise."""
    by_class = [quality(real.images[real.labels == k], pool, net) for k, pool in pools.items() for net in nets]
    names = {name for figures in by_class for name in figures}
    facts = {name: float(np.mean([figures[name] for figures in by_class if name in figures])) for name in sorted(names)}
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
    """KID of held-out real images against the training fold: what a perfect generator would reach."""
    pairs = [
        (net, real.images[real.labels == k], held_out.images[held_out.labels == k]) for net in nets for k in CLASSES
    ]
    values = [(f"kid/{net.name}", kid(*net.embed(a, b)).value) for net, a, b in pairs]
    return {name: float(np.mean([value for key, value in values if key == name])) for name, _ in values}


def table(out: Path) -> str:
    """The Markdown table of all results in `out`."""
    results = {path.stem: json.loads(path.read_text()) for path in sorted(out.glob("*.json"))}
    columns = sorted({key for facts in results.values() for key in facts if key.startswith("kid/")})
    head = ["generator", "training", *columns, "precision", "coverage", "copies", "AUROC on synthetic"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, facts in results.items():
        row = [name, facts.get("training", "-")]
        for column in columns:
            low, high = (facts.get(column.replace("kid/", f"kid_{end}/")) for end in ("low", "high"))
            row.append(f"{facts[column]:.3g}" + (f" ({low:.3g} to {high:.3g})" if low is not None else ""))
        row += [_share(facts, "precision/layout"), _share(facts, "coverage/layout"), _share(facts, "copy_rate")]
        lines.append("| " + " | ".join([*row, _share(facts, "auroc_trained_on_synthetic")]) + " |")
    return "\n".join(lines)


def _share(facts: dict[str, Any], name: str) -> str:
    return f"{facts[name]:.2f}" if name in facts else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--px", type=int, default=USUAL_PX)
    parser.add_argument("--generators", nargs="+", choices=list(BUDGETS), default=list(BUDGETS))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--steps", type=int, help="generator steps instead of the usual budget")
    parser.add_argument("--out", type=Path, default=Path("docs/generators_on_busi"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    real, held_out = folds(options.shards, options.px)
    nets = [feature_net("texture"), feature_net("layout")]
    if options.weights:
        nets.append(network_features("mobilenetv2-imagenet", ImageNetFeatures(options.weights)))
    size = "" if options.px == USUAL_PX else f"_{options.px}px"
    write(
        options.out / f"real_held_out{size}.json",
        {"training": f"{len(held_out)} real images", **real_reference(real, held_out, nets)},
    )
    for name in options.generators:
        settings = BUDGETS[name] | ({"steps": options.steps} if options.steps else {})
        made, seconds = train(name, real, settings)
        pools = {
            label: generator.sample(SAMPLES, seed=SEED, label=0 if generator.num_classes == 1 else label)
            for label, generator in made.items()
        }
        steps = "2 x " * GENERATORS[name].per_class + str(settings["steps"])
        budget = {"training": f"{steps} steps, {seconds / 60:.1f} CPU min, {len(real)} images", "seconds": seconds}
        Image.fromarray(sample_grid(pools, columns=12, rows=2)).save(options.out / f"{name}{size}.png", optimize=True)
        write(options.out / f"{name}{size}.json", {**budget, **judge(pools, real, held_out, nets)})
    print(table(options.out))


def write(path: Path, facts: dict[str, Any]) -> None:
    path.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
