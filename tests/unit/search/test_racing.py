"""Racing: the best is rarely dropped, clearly worse configurations are, and every verdict states its evidence."""

import numpy as np
import pytest
from scipy import stats

from sweep.search.evidence import e_value
from sweep.search.paired_differences import leads, moderated
from sweep.search.racing import Race

CLEAR = {"good": 0.9, "fair": 0.8, "poor": 0.6}


def results(levels, seeds, noise=0.005, chance=0):
    """Every configuration with the same seeds' luck on top, and some of its own."""
    draw = np.random.default_rng(chance)
    luck = draw.normal(0, 0.05, size=100)
    return {
        name: {seed: (level + luck[seed] + draw.normal(0, noise),) for seed in range(seeds)}
        for name, level in levels.items()
    }


def played(race, means, spreads, draw, heavy=False):
    """A race to its end on simulated seeds; (standings, seeds used)."""
    shape = (race.max_seeds, len(means))
    noise = draw.standard_t(4, size=shape) / np.sqrt(2) if heavy else draw.normal(size=shape)
    values = means + draw.normal(size=(race.max_seeds, 1)) + spreads * noise
    known = {str(name): {seed: (values[seed, name],) for seed in range(race.min_seeds)} for name in range(len(means))}
    dropped = set()
    while True:
        standings = race.standings(known, ended=dropped)
        dropped |= {name for name, standing in standings.items() if standing.state == "dropped"}
        racing = [name for name, standing in standings.items() if standing.state == "race"]
        if not racing:
            return dropped, sum(len(seeds) for seeds in known.values())
        for name in racing:
            seed = len(known[name])
            known[name][seed] = (values[seed, int(name)],)


@pytest.mark.parametrize(
    ("spreads", "heavy"),
    [([1, 1, 1, 1], False), ([1, 1, 1, 1], True), ([3, 1, 1, 0.3], False)],
    ids=["alike", "heavy tails", "best is noisiest"],
)
def test_the_best_is_dropped_no_more_often_than_alpha_says(spreads, heavy):
    race, draw, races = Race(["maximize"], min_seeds=3, max_seeds=7, alpha=0.1), np.random.default_rng(0), 150
    lost = sum("0" in played(race, np.zeros(4), np.array(spreads), draw, heavy)[0] for _ in range(races))
    assert lost / races <= race.alpha


def test_a_clear_order_saves_most_of_the_seeds():
    race, draw = Race(["maximize"], min_seeds=3, max_seeds=10), np.random.default_rng(1)
    games = [played(race, -3.0 * np.arange(6), np.ones(6), draw) for _ in range(10)]
    assert np.mean([used for _, used in games]) < 0.6 * 60
    assert all("0" not in dropped for dropped, _ in games)


def test_an_ended_configuration_stays_a_rival_and_gets_no_standing():
    known = results(CLEAR, 5)
    standings = Race(["maximize"], 3, 10).standings(known, ended={"good"})
    assert set(standings) == {"fair", "poor"} and standings["fair"].state == "dropped"
    assert standings["fair"].reason.startswith("good is ahead")


def test_the_evidence_is_the_mean_over_all_rivals():
    known = results({**CLEAR, "worse": 0.5, "worst": 0.4}, 5)
    scores = {name: {seed: np.array(values) for seed, values in seeds.items()} for name, seeds in known.items()}
    table = leads(scores, least=3)
    ahead = [e_value(lead) for (_, other), found in table.items() if other == "fair" for lead in found]
    mean = sum(ahead) / len(ahead)
    assert len(ahead) == 4 and sum(ahead) > 2 * mean > 2
    states = {
        share: Race(["maximize"], 3, 10, alpha=1 / (share * mean)).standings(known)["fair"].state
        for share in (0.99, 1.01)
    }
    assert states == {0.99: "dropped", 1.01: "race"}


def test_more_seeds_to_come_change_no_verdict():
    known = results(CLEAR, 4)
    short, long = (Race(["maximize"], 3, most).standings(known) for most in (5, 500))
    assert short == long


def test_verdicts_say_why():
    standings = Race(["maximize"], 3, 10).standings(results(CLEAR, 5))
    assert {name: standing.state for name, standing in standings.items()} == {
        "good": "done",
        "fair": "dropped",
        "poor": "dropped",
    }
    assert standings["good"].reason == "no other configuration is left in the race"
    assert standings["poor"].reason.startswith("good is ahead by 0.3") and "5 common seeds" in standings["poor"].reason


def test_the_bound_in_the_reason_lies_above_zero():
    reason = Race(["maximize"], 3, 10).standings(results(CLEAR, 5))["fair"].reason
    assert 0 < float(reason.split("(at least ")[1].split(")")[0]) < 0.1


def test_minimizing_turns_the_order():
    standings = Race(["minimize"], 3, 10).standings(results(CLEAR, 5))
    assert standings["poor"].state == "done" and standings["good"].state == "dropped"


def test_several_objectives_drop_only_who_is_behind_in_all():
    one = results({"accurate": 0.9, "robust": 0.7, "neither": 0.6}, 5)
    two = results({"accurate": 0.3, "robust": 0.5, "neither": 0.2}, 5, chance=1)
    both = {name: {seed: (*one[name][seed], *two[name][seed]) for seed in range(5)} for name in one}
    states = {name: standing.state for name, standing in Race(["maximize", "maximize"], 3, 10).standings(both).items()}
    assert states == {"accurate": "race", "robust": "race", "neither": "dropped"}


def test_few_seeds_race_on_and_all_seeds_are_done():
    assert {standing.state for standing in Race(["maximize"], 3, 10).standings(results(CLEAR, 2)).values()} == {"race"}
    assert {standing.state for standing in Race(["maximize"], 3, 5).standings(results(CLEAR, 5)).values()} == {"done"}


def test_failed_seeds_are_counted_but_not_compared():
    known = results(CLEAR, 4)
    known["fair"] = {seed: None for seed in range(4)}
    known["poor"][0] = (float("nan"),)
    standings = Race(["maximize"], 3, 10).standings(known)
    assert standings["fair"].state == "dropped" and standings["fair"].reason == "all 4 seeds failed"
    assert standings["poor"].state == "dropped" and "3 common seeds" in standings["poor"].reason


def test_a_single_configuration_has_no_rivals():
    assert Race(["maximize"], 2, 5).standings({"only": {0: (1.0,), 1: (1.0,)}})["only"].state == "race"


def test_equal_results_without_spread_race_on():
    alike = {name: {seed: (0.5,) for seed in range(4)} for name in "ab"}
    assert {standing.state for standing in Race(["maximize"], 3, 10).standings(alike).values()} == {"race"}


def test_leads_are_paired_over_common_seeds():
    scores = {
        "a": {0: np.array([1.0]), 1: np.array([2.0]), 2: np.array([4.0])},
        "b": {1: np.array([1.5]), 2: np.array([3.0]), 5: np.array([0.0])},
    }
    (lead,) = leads(scores)["a", "b"]
    assert (lead.estimate, lead.seeds, lead.freedom) == (0.75, 2, 1)
    assert lead.p == pytest.approx(stats.ttest_rel([2.0, 4.0], [1.5, 3.0], alternative="greater").pvalue), (
        "a single pair is a plain paired t-test"
    )
    assert leads(scores)["b", "a"][0].p == pytest.approx(1 - lead.p)


def test_interval_and_p_value_agree():
    (lead,) = leads(
        {"a": {s: np.array([s + 1.0]) for s in range(4)}, "b": {s: np.array([0.3 * s * s]) for s in range(4)}}
    )["a", "b"]
    assert lead.interval(1 - 2 * lead.p)[0] == pytest.approx(0, abs=1e-9)


def test_variances_are_drawn_together_when_alike_and_left_apart_when_not():
    draw = np.random.default_rng(0)
    alike, freedom = moderated(draw.chisquare(20, size=30) / 20, np.full(30, 20), most=100)
    assert alike.min() > 0.6 and freedom.min() > 40
    own = np.exp(draw.normal(0, 6, size=30))
    apart, degrees = moderated(own, np.full(30, 40), most=10_000)
    assert (apart >= own).all() and apart == pytest.approx(own, rel=0.5, abs=0.5) and degrees.max() < 45


@pytest.mark.parametrize(("least", "most"), [(1, 5), (4, 3)])
def test_rules_without_a_race_are_refused(least, most):
    with pytest.raises(ValueError, match="min_seeds"):
        Race(["maximize"], least, most)
