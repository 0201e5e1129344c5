"""Halving: ASHA's decisions with one objective, fronts with several, and every stop with its reason."""

import random

import numpy as np
import pytest

from sweep.core.pareto import nondominated_rank
from sweep.search.halving import ParetoHalving


def reports(seed, trials, epochs, *, skips):
    """Trials in flight four at a time, each with a curve of its own; (trial, epoch, value) in the order of arrival."""
    chance = random.Random(seed)
    waiting, running = list(range(trials)), {}
    level = {trial: chance.gauss(0, 1) for trial in waiting}
    while waiting or running:
        while waiting and len(running) < 4:
            running[waiting.pop(0)] = 0
        trial = chance.choice(list(running))
        running[trial] += chance.randint(1, 4) if skips else 1
        epoch = running[trial]
        if epoch >= epochs:
            del running[trial]
            continue
        stopped = yield trial, epoch, round(level[trial] * (1 - 0.7**epoch) + chance.gauss(0, 0.2), 2)
        if stopped:
            del running[trial]


class FakeTrial:
    def __init__(self, number):
        self.trial_id = str(number)


def ashas(goal, grace, eta, epochs, skips):
    """Ray Tune's own scheduler; its default judges a trial that skipped rungs once more at the lower ones, which no other ASHA does."""
    schedulers = pytest.importorskip("ray.tune.schedulers")
    mode = {"maximize": "max", "minimize": "min"}[goal]
    scheduler = schedulers.ASHAScheduler(
        time_attr="epoch",
        metric="value",
        mode=mode,
        max_t=epochs,
        grace_period=grace,
        reduction_factor=eta,
        stop_last_trials=not skips,
    )
    known = {}

    def decide(trial, epoch, value):
        if trial not in known:
            known[trial] = FakeTrial(trial)
            scheduler.on_trial_add(None, known[trial])
        return scheduler.on_trial_result(None, known[trial], {"epoch": epoch, "value": value}).lower()

    return decide


@pytest.mark.parametrize("skips", [False, True], ids=["every epoch", "skipping"])
@pytest.mark.parametrize(
    ("goal", "grace", "eta", "epochs"),
    [("maximize", 1, 3, 27), ("minimize", 2, 2, 33), ("maximize", 5, 4, 100), ("minimize", 1, 2.5, 50)],
)
def test_one_objective_decides_as_asha_does(goal, grace, eta, epochs, skips):
    decisions = []
    for seed in range(8):
        ours, theirs = ParetoHalving([goal], grace, eta, epochs), ashas(goal, grace, eta, epochs, skips)
        stream, answer = reports(seed, 40, epochs, skips=skips), None
        while True:
            try:
                trial, epoch, value = stream.send(answer)
            except StopIteration:
                break
            decision = ours.decide(trial, epoch, [value])
            assert decision == theirs(trial, epoch, value), (trial, epoch, value)
            decisions.append(decision)
            answer = decision == "stop"
    assert {"continue", "stop"} == set(decisions)


def test_rungs_are_powers_and_end_before_the_last_epoch():
    halving = ParetoHalving(["maximize"], grace=2, eta=3, epochs=18)
    assert [halving.rung_of(epoch) for epoch in (1, 2, 5, 6, 17, 18, 19)] == [None, 2, 2, 6, 6, None, None]
    assert ParetoHalving(["maximize"], grace=2, eta=3).rung_of(1000) == 486


def test_an_uncrowded_point_of_the_front_continues_and_a_dominated_one_stops():
    halving = ParetoHalving(["maximize", "minimize"], grace=1, eta=2)
    decisions = {
        name: halving.decide(name, 1, values)
        for name, values in {
            "middle": (0.5, 0.5),
            "accurate": (0.9, 0.9),
            "narrow": (0.1, 0.1),
            "beaten": (0.4, 0.6),
            "best": (0.95, 0.05),
        }.items()
    }
    assert decisions == {
        "middle": "continue",
        "accurate": "continue",
        "narrow": "continue",
        "beaten": "stop",
        "best": "continue",
    }
    assert halving.reasons == {"beaten": "epoch 1: not among the best 1/2 of the 3 trials that came there before"}


def test_a_trial_is_compared_once_per_rung():
    halving = ParetoHalving(["maximize"], grace=1, eta=3)
    assert halving.decide("good", 1, [1.0]) == "continue"
    assert halving.decide("late", 1, [2.0]) == "continue"
    assert halving.decide("late", 2, [-9.0]) == "continue"
    assert halving.decide("late", 3, [-9.0]) == "continue", "nobody has been at this rung"


@pytest.mark.parametrize("values", [[None, 1.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_a_trial_with_a_missing_value_stops_where_another_has_all_values(values):
    halving = ParetoHalving(["minimize", "maximize"], grace=1)
    assert halving.decide("first", 1, values) == "continue", "an objective that nobody has measured yet stops nobody"
    assert halving.decide("second", 1, values) == "continue"
    assert halving.decide("sound", 1, [0.5, 0.0]) == "continue"
    assert halving.decide("third", 1, values) == "stop"
    assert "no finite value" in halving.reasons["third"]


def test_replaying_the_reports_restores_every_decision():
    events = [
        (trial, epoch, np.random.default_rng(trial + 100 * epoch).normal(size=3))
        for epoch in range(1, 10)
        for trial in range(12)
    ]
    first, again = (ParetoHalving(["maximize"] * 3, 1, 3, 9) for _ in range(2))
    assert [first.decide(*event) for event in events] == [again.decide(*event) for event in events]
    assert first.reasons == again.reasons != {}


def test_the_final_front_survives_when_early_order_is_final_order():
    points = np.random.default_rng(0).normal(size=(60, 2))
    front = set(np.flatnonzero(nondominated_rank(points) == 1))
    halving = ParetoHalving(["maximize", "maximize"], grace=1, eta=3, epochs=27)
    stopped = set()
    for epoch in range(1, 27):
        stopped |= {
            trial
            for trial in range(60)
            if trial not in stopped and halving.decide(trial, epoch, points[trial]) == "stop"
        }
    assert len(stopped) > 30
    assert len(front - stopped) >= len(front) // 3


@pytest.mark.parametrize(("grace", "eta"), [(0, 3), (1, 1)])
def test_settings_without_rungs_are_refused(grace, eta):
    with pytest.raises(ValueError, match="grace"):
        ParetoHalving(["maximize"], grace, eta)
