"""A run that goes wrong is stopped with its reason, one that stalls keeps its best network, and all can look on."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from sweep.core.errors import Diverged
from sweep.core.seeds import rng
from sweep.synth.train import train_generator
from sweep.synth.watch import Collapsed, Watch, relative_variation, sample_grid

REAL = rng(0, "watch").integers(0, 256, (20, 32, 32), dtype=np.uint8)
SETTINGS = {"steps": 1000, "check_every": 100, "patience": 0, "feature_net": "layout"}


def watch(samples: np.ndarray = REAL, seen: list | None = None, **changes: object) -> Watch:
    def draw(network: nn.Module, label: int, count: int) -> np.ndarray:
        return samples

    report = (lambda step, facts: seen.append((step, facts))) if seen is not None else None
    return Watch("generator", {0: REAL}, draw, {**SETTINGS, **changes}, report)


def run(changes: dict, seen: list | None = None, name: str = "cgan") -> object:
    settings = {"steps": 4, "batch_size": 4, "width": 4, "feature_net": "layout", **changes}
    report = (lambda step, facts: seen.append((step, facts))) if seen is not None else None
    return train_generator(name, REAL, settings=settings, seed=0, on_step=report)


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    following = watch()
    for step in range(1, 10):
        following.losses(step, {"loss/critic": torch.tensor(float("nan") if step == 4 else 0.0)})
    with pytest.raises(Diverged, match="generator: loss is nan at step 10"):
        following.losses(10, {"loss/critic": torch.tensor(0.0)})


def test_samples_that_look_alike_stop_the_run() -> None:
    alike = np.repeat(REAL[:1], 64, 0)
    with pytest.raises(Collapsed, match=r"step 500 the samples vary 0\.0 %"):
        watch(alike).check(500, nn.Identity())


def test_noise_on_one_picture_is_still_a_collapse() -> None:
    alike = np.repeat(REAL[:1], 64, 0)
    noisy = np.clip(alike + rng(1, "grain").normal(0, 2, alike.shape), 0, 255).astype(np.uint8)
    assert relative_variation(noisy, REAL) < 0.05
    assert relative_variation(REAL[::-1], REAL) == pytest.approx(1)


def test_the_first_half_and_very_short_runs_are_not_judged() -> None:
    alike = np.repeat(REAL[:1], 64, 0)
    assert not watch(alike).check(400, nn.Identity())
    assert not watch(alike, steps=20, check_every=0).check(20, nn.Identity())


def test_reasons_cross_process_borders() -> None:
    again = pickle.loads(pickle.dumps(Collapsed("generator", "no variation", "train longer")))
    assert (again.stage, str(again)) == ("generator", "generator: no variation; train longer")


def test_stops_when_kid_no_longer_falls_and_keeps_the_best_network() -> None:
    following = watch(patience=2)
    distances = iter([5.0, 3.0, 4.0, 3.5, 1.0])
    following._distance = lambda samples: {"kid/layout": next(distances)}
    networks = [nn.Linear(1, 1) for _ in range(4)]
    answers = [following.check(100 * (i + 1), network) for i, network in enumerate(networks)]
    assert answers == [False, False, False, True]
    assert torch.equal(following.chosen(nn.Identity()).weight, networks[1].weight)


def test_without_patience_the_last_network_is_kept() -> None:
    following = watch()
    following.check(100, nn.Linear(1, 1))
    last = nn.Linear(1, 1)
    assert following.chosen(last) is last


def test_everything_worth_seeing_is_reported() -> None:
    seen: list = []
    generator = run({"check_every": 2}, seen)
    checks = [facts for _, facts in seen if "grid" in facts]
    assert [step for step, facts in seen if "grid" in facts] == [2, 4]
    assert checks[0]["grid"].shape == (32, 8 * 32)
    assert checks[0]["grid"].dtype == np.uint8
    assert {"kid/layout", "kid_low/layout", "kid_high/layout", "variation", "seconds"} <= set(checks[0])
    losses = [facts for _, facts in seen if "loss/critic" in facts]
    assert {"loss/critic", "loss/generator", "critic_gap"} <= set(losses[-1])
    assert [check["step"] for check in generator.facts["checks"]] == [2, 4]


def test_watching_does_not_change_the_result() -> None:
    quiet, watched = run({}), run({"check_every": 1})
    assert np.array_equal(quiet.sample(4, seed=0), watched.sample(4, seed=0))


def test_a_grid_holds_the_classes_from_top_to_bottom() -> None:
    grid = sample_grid({0: np.zeros((9, 4, 4), np.uint8), 1: np.ones((9, 4, 4), np.uint8)}, columns=3, rows=2)
    assert grid.shape == (16, 12)
    assert grid[:8].max() == 0
    assert grid[8:].min() == 1


@pytest.mark.parametrize("lipschitz", ["sn", "clip", "sn+clip", "gp", "none"])
def test_every_constraint_on_the_critic_trains(lipschitz: str) -> None:
    assert run({"lipschitz": lipschitz, "critic_steps": 2}, name="wgan").sample(1, seed=0).shape == (1, 32, 32)


def test_both_precisions_train_and_agree_within_their_rounding() -> None:
    losses, samples = {}, {}
    for precision in ("fp32", "bf16"):
        seen: list = []
        generator = run({"precision": precision, "flip": True, "check_every": 1}, seen)
        losses[precision] = [facts["loss/critic"] for _, facts in seen if "loss/critic" in facts]
        samples[precision] = generator.sample(8, seed=0).astype(float)
        untrained = run({"precision": precision, "flip": True, "steps": 1, "lr": 1e-7, "critic_lr": 1e-7})
        assert (generator.sample(8, seed=0) != untrained.sample(8, seed=0)).any()  # the steps move the weights
    assert losses["fp32"] == pytest.approx(losses["bf16"], abs=0.05)
    assert losses["fp32"] != losses["bf16"]  # bf16 is what it is asked to be
    assert np.abs(samples["fp32"] - samples["bf16"]).mean() < 4  # grey levels


def test_an_absurd_learning_rate_ends_with_a_reason() -> None:
    with pytest.raises((Collapsed, Diverged), match="lower the learning rate"):
        run({"lr": 1.0, "critic_lr": 1.0, "lipschitz": "none", "steps": 110, "precision": "fp32"})
