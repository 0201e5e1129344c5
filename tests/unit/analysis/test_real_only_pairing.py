"""Every configuration with synthetic images is compared with the real-only one of its cell, whatever else the grid crosses."""

import itertools

import numpy as np
import pandas as pd
import pytest

from analysis.estimates import Estimates
from analysis.figures.ratio import ratio_curves
from analysis.frames import load_run
from analysis.ranking import rank
from analysis.selection import DEFAULT_RULE
from analysis.verdict_facts import verdict
from sweep.config.load import load_config
from sweep.core.seeds import rng
from sweep.core.storage import Storage
from sweep.data.preview import foreseen_data
from sweep.planning.plan import make_plan
from sweep.store.ledger import Ledger, Reading

RATIOS = [0, 0.5, 1]
CROSSED = {  # what is crossed with the ratio
    "generator": ["cgan", "wgan_diffaug"],
    "mixing_policy": ["add", "replace"],
    "relabel": ["none", "pseudo"],
    "generator_px": [32, 64],
    "drop_copies": [False, True],
    "generator_steps": [100, 200],
    "generator_seed": [0, 1],
    "mixing_budget": ["steps", "epochs"],
}
TEXT = """\
name: crossed
data: {{source: phantom-a, target: phantom-b, image_px: 32}}
grid: {{{grid}, synthetic_per_real: {ratios}}}
fixed: {{epochs: 1}}
seeds: 3
"""


def write_predictions(folder, signature, seed, images=12):
    """Logits of a few target images, in the columns that a finished seed keeps."""
    ids, labels = [f"target/{number}" for number in range(images)], np.arange(images) % 2
    logits = rng(seed, "logits", signature).normal(size=(images, 2)) + np.eye(2)[labels]
    columns = {"image_id": ids, "group": ids, "domain": "phantom-b", "split": "target", "label": labels, "seed": seed}
    folder.mkdir(parents=True)
    pd.DataFrame(columns).assign(logits=list(logits)).to_parquet(folder / "predictions.parquet", index=False)


def played(folder, grid):
    """A run folder with the records of a whole grid: planned by the platform, with drawn numbers in the place of training."""
    config = folder / "crossed.yaml"
    lines = ", ".join(f"{name}: {str(values).lower()}" for name, values in grid.items())
    config.write_text(TEXT.format(grid=lines, ratios=RATIOS))
    sweep_config = load_config(config)
    plan = make_plan(sweep_config, foreseen_data(sweep_config)[0], Reading([]))
    ledger = Ledger(Storage(folder / "run"))
    ledger.append({"event": "sweep", "name": "crossed", "objectives": [], "trials": len(plan.foreseen), "seeds": 3})
    plan.campaign.log = ledger.append
    while job := plan.campaign.next_job():
        for seed in job.seeds:
            numbers = rng(seed, job.signature).uniform(0.5, 1, 3)
            metrics = dict(zip(("auroc/source_val", "auroc/source", "auroc/target"), map(float, numbers), strict=True))
            identity = {"signature": job.signature, "seed": seed, "config": dict(job.config), "study": dict(job.cell)}
            ledger.append({"event": "finish", **identity, "metrics": metrics})
            write_predictions(folder / "run" / "trials" / job.signature / f"seed-{seed}", job.signature, seed)
            plan.campaign.settle(job.signature, seed, [metrics["auroc/target"]])
    return load_run(folder / "run")


def cells_of(run, names):
    """Configurations by their values of `names`, those with synthetic images alone."""
    found = {}
    for event in run.finishes:
        config = event["config"]
        if config["synthetic_per_real"]:
            found.setdefault(tuple(config.get(name) for name in names), set()).add(event["signature"])
    return found


@pytest.mark.parametrize("names", [*((name,) for name in CROSSED), ("generator", "mixing_policy", "relabel")])
def test_what_matters_only_with_synthetic_images_is_no_part_of_the_pair(tmp_path, names):
    run = played(tmp_path, {name: CROSSED[name] for name in names})
    real_only = {event["signature"] for event in run.finishes if event["config"]["synthetic_per_real"] == 0}
    assert len(real_only) == 1
    gap = run.records["domain_gap_vs_real_only"]
    control = run.records.loc[real_only.pop(), "auroc/source"]
    for (signature, seed), value in gap.items():
        assert value == pytest.approx(control[seed] - run.records.loc[(signature, seed), "auroc/target"])
    estimates = Estimates(run, draws=50)
    curves = ratio_curves(run, estimates, DEFAULT_RULE)
    assert len(curves) == len(cells_of(run, names)) == len([*itertools.product(*(CROSSED[name] for name in names))])
    for curve in curves:
        assert curve.control is not None and [point.ratio for point in curve.points] == RATIOS
        assert all(point.against is not None for point in curve.points if point.ratio)
    made = verdict(run, rank(run, DEFAULT_RULE, top=3, estimates=estimates), estimates, curves)
    assert "no real-only configuration" not in made.answer


@pytest.mark.parametrize("name", ["colorizer", "backbone", "lr", "train_images"])
def test_what_matters_without_synthetic_images_too_stays_part_of_the_pair(tmp_path, name):
    values = {
        "colorizer": ["none", "pixelshuffle"],
        "backbone": ["small_cnn", "resnet18"],
        "lr": [0.001, 0.01],
        "train_images": ["null", 16],
    }[name]
    grid = {name: f"[{', '.join(map(str, values))}]", "generator": CROSSED["generator"]}
    run = played(tmp_path, grid)
    configs = {event["signature"]: event["config"] for event in run.finishes}
    controls = {config[name]: key for key, config in configs.items() if config["synthetic_per_real"] == 0}
    assert len(controls) == 2
    for (signature, seed), value in run.records["domain_gap_vs_real_only"].items():
        control = run.records.loc[(controls[configs[signature][name]], seed), "auroc/source"]
        assert value == pytest.approx(control - run.records.loc[(signature, seed), "auroc/target"])
