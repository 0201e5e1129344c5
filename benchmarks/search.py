"""How much sooner the searchers reach what random search has after 100 trials: in trials, and in epochs with early stopping. No training.

python -m benchmarks.search --repeats 40 [--off-centre]
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sweep.config.sweep_config import Distribution
from sweep.core.pareto import hypervolume
from sweep.core.seeds import rng
from sweep.search.halving import ParetoHalving
from sweep.search.pareto import oriented
from sweep.search.projection import END, projected
from sweep.search.sampling import drawn
from sweep.search.searchers import build_searcher

RANDOM_TRIALS = 100
EPOCHS = 27
GOALS = ("maximize", "minimize", "maximize")  # target AUROC, domain gap, robust accuracy
REFERENCE = (0.5, -0.3, 0.0)
SPACE = {
    "backbone": Distribution(values=["resnet50", "vit_small", "cnn_transformer"]),
    "colorizer": Distribution(values=["none", "deconv", "pixelshuffle", "unet"]),
    "glcm_weight": Distribution(distribution="uniform", min=0, max=0.9, when={"colorizer": {"not": "none"}}),
    "colorizer_lr": Distribution(distribution="log_uniform", min=1e-5, max=1e-2, when={"colorizer": {"not": "none"}}),
    "synthetic_per_real": Distribution(values=[0, 0.25, 0.5, 0.75, 1]),
    "lr": Distribution(distribution="log_uniform", min=1e-5, max=1e-1),
    "weight_decay": Distribution(distribution="log_uniform", min=1e-6, max=1e-1),
    "train_eps": Distribution(distribution="uniform", min=0, max=8),  # in 1/255
}
# A searcher that learns begins in the middle of the ranges, where this surrogate is good; with these ranges it is bad there.
OFF_CENTRE = {
    "lr": Distribution(distribution="log_uniform", min=1e-7, max=1e-2),
    "weight_decay": Distribution(distribution="log_uniform", min=1e-8, max=1e-2),
}
# per backbone: best log10 lr, ceiling of the source AUROC, robustness gained per train_eps
_BACKBONES = {"resnet50": (-2.8, 0.90, 0.9), "vit_small": (-4.0, 0.92, 0.8), "cnn_transformer": (-3.3, 0.93, 1.0)}
# per colorizer: best log10 lr, best texture weight, gap closed at best
_COLORIZERS = {"deconv": (-3.0, 0.3, 0.035), "pixelshuffle": (-3.5, 0.45, 0.05), "unet": (-4.0, 0.6, 0.06)}


def surrogate(config: Mapping[str, object], epoch: int = EPOCHS) -> list[float]:
    """Target AUROC, domain gap and robust accuracy of a made-up recipe after `epoch` epochs; no noise.

    The shape follows what the published tables show: an optimum of the learning rate per backbone, a colorizer that helps only when
    trained well, texture and synthetic images that help up to a point, and robustness paid for in clean accuracy.
    """
    best_lr, ceiling, hardening = _BACKBONES[config["backbone"]]
    lr = math.log10(config["lr"])
    trained = math.exp(-(((lr - best_lr) / 0.8) ** 2)) * math.exp(
        -(((math.log10(config["weight_decay"]) + 3.5) / 2.5) ** 2)
    )
    colour_gain = 0.0
    if config["colorizer"] != "none":
        colour_lr, texture, closes = _COLORIZERS[config["colorizer"]]
        well = math.exp(-(((math.log10(config["colorizer_lr"]) - colour_lr) / 0.7) ** 2)) * (
            1 - ((config["glcm_weight"] - texture) / 0.6) ** 2
        )
        colour_gain = closes * (1.5 * well - 0.5)  # a badly trained colorizer harms
    ratio, eps = config["synthetic_per_real"], config["train_eps"]
    mixing = 0.03 * (1 - ((ratio - 0.5) / 0.5) ** 2)
    source = 0.55 + (ceiling - 0.55) * trained - 0.012 * eps - 0.01 * ratio
    gap = 0.15 - colour_gain - mixing - 0.004 * eps + 0.05 * (1 - trained)
    robust = (source - 0.45) * 1.6 * hardening * (1 - math.exp(-(eps + 0.3) / 2.5)) - 0.15 * max(
        colour_gain, 0.0
    ) / 0.06
    # Slow learning rates and adversarial training take longer; the gap opens as the network fits its source.
    done = 1 - math.exp(-epoch / (3.0 + 1.2 * max(0.0, best_lr - lr) + 0.3 * eps))
    return [0.5 + (source - gap - 0.5) * done, gap * (0.4 + 0.6 * done) + 0.1 * (1 - done), max(0.0, robust) * done]


@dataclass(frozen=True)
class Game:
    """One search that is played until it reaches a target: trials and epochs it took, and whether it got there."""

    trials: int
    epochs: int
    reached: bool
    seconds: float


def random_volume(repeat: int) -> float:
    """Hypervolume of random search after 100 whole trials."""
    searcher = build_searcher("random", SPACE, GOALS, seed=repeat)
    return _volume([surrogate(searcher.ask()[1]) for _ in range(RANDOM_TRIALS)])


def play(name: str, repeat: int, target: float, most: int, eta: int | None = None) -> Game:
    """One trial after another until the hypervolume is reached; with `eta`, halving from epoch 1 on may stop a trial, as in a sweep."""
    begin = time.process_time()
    searcher = build_searcher(name, SPACE, GOALS, seed=repeat)
    halving = ParetoHalving(GOALS, 1, eta, EPOCHS) if eta else None
    points: list[list[float]] = []
    curves: dict[int, dict[float, list[float]]] = {}
    epochs = 0
    while len(points) < most:
        token, config = searcher.ask()
        curve = curves[token] = {}
        for epoch in range(1, EPOCHS + 1):
            values = surrogate(config, epoch)
            epochs += 1
            if halving and (rung := halving.rung_of(epoch)):
                curve.setdefault(rung, values)
            if halving and halving.decide(token, epoch, values) == "stop":
                told = projected(values, max(curve), [other for key, other in curves.items() if key != token])
                break
        else:
            curve[END] = told = values
        searcher.tell(token, told)
        points.append(values)
        if _volume(points) >= target:
            return Game(len(points), epochs, True, time.process_time() - begin)
    return Game(most, epochs, False, time.process_time() - begin)


def play_moasha(repeat: int, target: float, most: int) -> Game:
    """The same random draws under syne-tune's MOASHA (Schmucker et al. 2021), where that package is installed."""
    from datetime import datetime
    from importlib import import_module

    scheduler = import_module("syne_tune.optimizer.schedulers.multiobjective.moasha").MOASHA(
        {},
        metrics=["0", "1", "2"],
        time_attr="epoch",
        max_t=EPOCHS,
        grace_period=1,
        reduction_factor=3,
        random_seed=repeat,
    )
    make_trial = import_module("syne_tune.backend.trial_status").Trial
    searcher = build_searcher("random", SPACE, GOALS, seed=repeat)
    begin, epochs, points = time.process_time(), 0, []
    while len(points) < most:
        token, config = searcher.ask()
        trial = make_trial(trial_id=token, config=config, creation_time=datetime(2000, 1, 1))
        scheduler.on_trial_add(trial)
        for epoch in range(1, EPOCHS + 1):
            values = surrogate(config, epoch)
            epochs += 1
            costs = -oriented(np.array([values]), GOALS)[0]
            if (
                scheduler.on_trial_result(
                    trial, {"epoch": epoch, **{str(number): cost for number, cost in enumerate(costs)}}
                )
                == "STOP"
            ):
                break
        points.append(values)
        if _volume(points) >= target:
            return Game(len(points), epochs, True, time.process_time() - begin)
    return Game(most, epochs, False, time.process_time() - begin)


def _volume(points: Sequence[Sequence[float]]) -> float:
    return hypervolume(oriented(np.array(points), GOALS), REFERENCE)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    label: str
    games: Callable[[int, float], Game]
    unit: str = "trials"
    dependencies: str | None = None  # a package that the project does not depend on


ROWS = (
    Row("random", lambda repeat, target: play("random", repeat, target, 400)),
    Row("nsga2", lambda repeat, target: play("nsga2", repeat, target, 200)),
    Row("tpe", lambda repeat, target: play("tpe", repeat, target, 200)),
    Row("gp", lambda repeat, target: play("gp", repeat, target, 45)),
    Row("random + eta 3", lambda repeat, target: play("random", repeat, target, 500, eta=3), "epochs"),
    Row("random + eta 9", lambda repeat, target: play("random", repeat, target, 500, eta=9), "epochs"),
    Row("random + MOASHA", lambda repeat, target: play_moasha(repeat, target, 500), "epochs", dependencies="syne_tune"),
    Row("tpe + eta 3", lambda repeat, target: play("tpe", repeat, target, 250, eta=3), "epochs"),
    Row("tpe + eta 9", lambda repeat, target: play("tpe", repeat, target, 250, eta=9), "epochs"),
    Row("gp + eta 3", lambda repeat, target: play("gp", repeat, target, 60, eta=3), "epochs"),
    Row("gp + eta 9", lambda repeat, target: play("gp", repeat, target, 60, eta=9), "epochs"),
)


def speed_up(games: Sequence[Game], unit: str) -> tuple[float, float, float]:
    """Random search's 100 trials over the median of `games`, with a 95 % bootstrap interval; a game that fell short counts as what it spent."""
    spent = np.array([getattr(game, unit) for game in games], dtype=float)
    whole = RANDOM_TRIALS * (EPOCHS if unit == "epochs" else 1)
    draws = rng(0, "bootstrap").choice(spent, size=(4000, len(spent)))
    low, high = np.quantile(whole / np.median(draws, axis=1), [0.025, 0.975])
    return whole / float(np.median(spent)), float(low), float(high)


def one_objective(repeats: int) -> list[str]:
    """Epochs to what random search's target AUROC is after 100 whole trials: ours against Ray's scheduler and Ray's Optuna search."""
    target = float(
        np.median(
            [max(surrogate(drawn(SPACE, {}, n, repeat))[0] for n in range(RANDOM_TRIALS)) for repeat in range(40)]
        )
    )
    lines = [f"one objective, target AUROC {target:.4f} (random search after 100 trials)"]
    for label, parts in {"ours: tpe + halving": _our_parts, "Ray: OptunaSearch + ASHA": _ray_parts}.items():
        spent = np.array([_play_one(*parts(repeat), target) for repeat in range(repeats)], dtype=float)
        low, high = np.quantile(spent, [0.25, 0.75])
        lines.append(
            f"  {label:26} median {np.median(spent):5.0f} epochs (quartiles {low:.0f}-{high:.0f}), {RANDOM_TRIALS * EPOCHS / np.median(spent):.1f}x"
        )
    return lines


def _play_one(ask: Callable, tell: Callable, decide: Callable, target: float) -> int:
    epochs = 0
    for number in range(200):
        config = ask(number)
        for epoch in range(1, EPOCHS + 1):
            value = surrogate(config, epoch)[0]
            epochs += 1
            if value >= target:
                return epochs
            if decide(number, epoch, value) == "stop":
                break
        tell(number, value)
    return epochs


def _our_parts(repeat: int) -> tuple[Callable, Callable, Callable]:
    searcher, halving = (
        build_searcher("tpe", SPACE, ["maximize"], seed=repeat),
        ParetoHalving(["maximize"], 1, 3, EPOCHS),
    )
    return (
        lambda number: searcher.ask()[1],
        lambda number, value: searcher.tell(number, [value]),
        lambda number, epoch, value: halving.decide(number, epoch, [value]),
    )


def _ray_parts(repeat: int) -> tuple[Callable, Callable, Callable]:
    from types import SimpleNamespace

    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    def space(trial) -> None:
        """The same space as Ray's user would write it."""
        trial.suggest_categorical("backbone", SPACE["backbone"].values)
        if trial.suggest_categorical("colorizer", SPACE["colorizer"].values) != "none":
            trial.suggest_float("glcm_weight", 0, 0.9)
            trial.suggest_float("colorizer_lr", 1e-5, 1e-2, log=True)
        trial.suggest_categorical("synthetic_per_real", SPACE["synthetic_per_real"].values)
        trial.suggest_float("lr", 1e-5, 1e-1, log=True)
        trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True)
        trial.suggest_float("train_eps", 0, 8)

    search = OptunaSearch(space=space, metric="value", mode="max", seed=repeat)
    scheduler = ASHAScheduler(
        time_attr="epoch",
        metric="value",
        mode="max",
        max_t=EPOCHS,
        grace_period=1,
        reduction_factor=3,
        stop_last_trials=False,
    )
    trials: dict[int, SimpleNamespace] = {}

    def decide(number: int, epoch: int, value: float) -> str:
        if number not in trials:
            trials[number] = SimpleNamespace(trial_id=str(number))
            scheduler.on_trial_add(None, trials[number])
        return scheduler.on_trial_result(None, trials[number], {"epoch": epoch, "value": value}).lower()

    return (
        lambda number: search.suggest(str(number)),
        lambda number, value: search.on_trial_complete(str(number), {"value": value}),
        decide,
    )


def main() -> None:
    """Play every row `--repeats` times and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument(
        "--only", nargs="*", help="labels of the rows to play; 'one' for the comparison on one objective"
    )
    parser.add_argument(
        "--off-centre",
        action="store_true",
        help="learning rate and weight decay over ranges whose middle is a bad first guess",
    )
    options = parser.parse_args()
    if options.off_centre:
        SPACE.update(OFF_CENTRE)
    target = float(np.median([random_volume(repeat) for repeat in range(40)]))
    sys.stdout.write(
        f"hypervolume {target:.5f}: the median of 40 random searches of {RANDOM_TRIALS} trials of {EPOCHS} epochs\n"
    )
    sys.stdout.write(
        f"| {'searcher':18} | unit   | median | speed-up [95 %]      | reached | CPU s per trial |\n|---|---|---|---|---|---|\n"
    )
    for row in ROWS:
        if options.only is None or row.label in options.only:
            if row.dependencies and not importlib.util.find_spec(row.dependencies):
                sys.stdout.write(f"| {row.label:18} | not played: {row.dependencies} is not installed |\n")
                continue
            games = [row.games(repeat, target) for repeat in range(options.repeats)]
            ratio, low, high = speed_up(games, row.unit)
            median = np.median([getattr(game, row.unit) for game in games])
            cost = sum(game.seconds for game in games) / sum(game.trials for game in games)
            reached = f"{sum(game.reached for game in games)}/{len(games)}"
            sys.stdout.write(
                f"| {row.label:18} | {row.unit} | {median:6.1f} | {ratio:5.1f}x [{low:4.1f}, {high:4.1f}] | {reached:7} | {cost:.3f} |\n"
            )
            sys.stdout.flush()
    if options.only is None or "one" in options.only:
        sys.stdout.write("\n".join(one_objective(10 * options.repeats)) + "\n")


if __name__ == "__main__":
    main()
