"""Sweeps without training: a campaign played against an analytic objective, its ledger kept, killable after any event."""

from __future__ import annotations

import math
from collections import Counter

from sweep.config.sweep_config import Distribution
from sweep.core.hashing import content_hash
from sweep.core.seeds import rng
from sweep.search.campaign import Campaign
from sweep.search.candidate import Rules

LR = Distribution(distribution="log_uniform", min=1e-5, max=1e-1)
CELLS = [{"colorizer": "none"}, {"colorizer": "deconv"}]


class Killed(Exception):
    """The driver died."""


def complete(config):
    """A configuration and its name; `glcm` decides nothing without a colorizer, as in the platform."""
    config = {name: value for name, value in config.items() if name != "glcm" or config["colorizer"] != "none"}
    config = {"epochs": 9, "lr": 1e-3, **config}
    return content_hash(config, 12), config


def objective(config, seed, epoch=9):
    """Best at lr 1e-3, better with a colorizer, noisy over seeds, growing with the epochs."""
    noise = 0.01 * rng(seed, "noise", content_hash(config)).normal()
    return (1 - abs(math.log10(config["lr"]) + 3) / 4 + 0.05 * (config["colorizer"] != "none")) * (
        1 - 0.5**epoch
    ) + noise


def campaign(cells=CELLS, search=None, **rules):
    """A campaign of one objective over the learning rate."""
    settings = {
        "search": {"lr": LR} if search is None else search,
        "goals": ("maximize",),
        "metrics": ("score",),
        "draws": 4,
        **rules,
    }
    return Campaign(cells, {"lr": 1e-3}, Rules(**settings), complete)


def play(make, *, ledger=None, kill_after=None, worker_groups=3, fails=lambda config, seed: False):
    """Run a campaign to its end on `worker groups` worker groups; returns its ledger and the records that were trained, each as often as it was.

    With `kill_after` the driver dies after that many more events; the ledger so far is what a later call is given.
    """
    events = list(ledger or [])
    allowed = math.inf if kill_after is None else len(events) + kill_after
    trained = Counter()

    def log(event):
        if len(events) >= allowed:
            raise Killed
        events.append(event)

    one = make()
    one.replay(events)
    one.log = log
    running = []
    try:
        while True:
            while len(running) < worker_groups and (job := one.next_job()) is not None:
                running.append((job, iter(job.seeds)))
            if not running:
                break
            job, seeds = running.pop(0)
            seed = next(seeds, None)
            if seed is not None and _run(one, job, seed, log, trained, fails):
                running.append((job, seeds))
    except Killed:
        return events, trained
    assert one.finished
    return events, trained


def _run(one, job, seed, log, trained, fails):
    """Train one seed; False when the configuration was stopped."""
    for epoch in range(1, 9):
        metrics = {"score": objective(job.config, seed, epoch)}
        log({"event": "epoch", "signature": job.signature, "seed": seed, "epoch": epoch, "metrics": metrics})
        reason = one.report(job.signature, seed, epoch, metrics)
        if reason:
            log(
                {
                    "event": "stopped",
                    "signature": job.signature,
                    "seed": seed,
                    "reason": reason,
                    "by": "halving",
                    "metrics": metrics,
                }
            )
            one.stop(job.signature, seed, reason, one.values(metrics))
            return False
    value = math.nan if fails(job.config, seed) else objective(job.config, seed)
    metrics = {"score": value if math.isfinite(value) else None}
    trained[job.signature, seed] += 1
    log({"event": "finish", "signature": job.signature, "seed": seed, "metrics": metrics})
    one.settle(job.signature, seed, one.values(metrics))
    return True
