"""Campaigns played to their end, killed after every event and taken up again: nothing lost, nothing twice."""

from collections import Counter

import pytest

from sweep.config.sweep_config import Distribution
from sweep.search.halving import ParetoHalving
from sweep.search.racing import Race
from tests.fakes.campaigns import CELLS, campaign, complete, objective, play

HALVING = {"halving": lambda: ParetoHalving(["maximize"], 1, 3), "draws": 9}
NEAR = Distribution(
    distribution="log_uniform", min=6e-4, max=1.6e-3
)  # differences of the order of the noise over seeds
RACE = {"race": Race(("maximize",), 2, 6), "draws": 5, "search": {"lr": NEAR}}
KINDS = {
    "random": {},
    "tpe": {"algorithm": "tpe", "draws": 12},
    "halving": HALVING,
    "race": RACE,
    "all": {"algorithm": "tpe", **HALVING, **RACE, "draws": 9},
}


def finishes(events):
    return {
        (event["signature"], event["seed"]): event["metrics"]["score"] for event in events if event["event"] == "finish"
    }


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_each_record_is_trained_once_and_the_count_is_as_expected(self, kind):
        one = campaign(**KINDS[kind])
        events, trained = play(lambda: one)
        assert set(trained.values()) == {1}
        stopped = sum(event["event"] == "stopped" for event in events)
        assert one.expected_records == len(trained) + stopped

    @pytest.mark.extended
    def test_killed_after_any_event_and_resumed_nothing_is_lost_or_doubled(self, kind):
        def make():
            return campaign(**KINDS[kind])

        whole, _ = play(make, worker_groups=1)
        for kill_after in range(0, len(whole), 7 if len(whole) < 200 else 29):  # prime: every kind of event is met
            before, _first = play(make, worker_groups=1, kill_after=kill_after)
            after, _second = play(make, worker_groups=1, ledger=before)
            counts = Counter(event["signature"] + str(event["seed"]) for event in after if event["event"] == "finish")
            assert set(counts.values()) == {1}, "a record finished twice"
            assert finishes(after) == finishes(whole), f"killed after {kill_after}: other results"
            again, third = play(make, worker_groups=1, ledger=after)
            assert not third and again == after, "a finished sweep has work left"

    def test_the_cells_get_equally_many_draws(self, kind):
        events, _ = play(lambda: campaign(**KINDS[kind]))
        draws = Counter(str(event["study"]) for event in events if event["event"] == "ask")
        assert set(draws.values()) == {KINDS[kind].get("draws", 4)} and len(draws) == len(CELLS)


def test_cells_take_turns():
    one = campaign()
    assert [one.next_job().cell["colorizer"] for _ in range(4)] == ["none", "deconv", "none", "deconv"]


def test_cells_that_lead_to_the_same_configuration_share_it():
    cells = [{"colorizer": "none", "glcm": weight} for weight in (0, 0.5, 0.9)]
    one = campaign(cells, search={})
    assert one.expected_records == 2, "known before the first record"
    events, trained = play(lambda: one)
    assert len(trained) == 2 and one.expected_records == 2
    assert sum(event["event"] == "ask" for event in events) == 3


def test_a_failure_is_reported_to_the_searcher_and_settles_the_trial():
    one = campaign(algorithm="tpe", draws=12)
    play(lambda: one, fails=lambda config, seed: config["lr"] > 1e-3)
    for study in one._studies:
        assert not study.searcher._numbers, "an asked configuration was never told"


def test_halving_saves_epochs_and_keeps_the_best():
    whole, _ = play(lambda: campaign(draws=27))
    halved, _ = play(lambda: campaign(draws=27, halving=HALVING["halving"]))
    epochs = [sum(event["event"] == "epoch" for event in events) for events in (whole, halved)]
    assert epochs[1] < 0.6 * epochs[0]
    best = [max(finishes(events).values()) for events in (whole, halved)]
    assert best[1] > best[0] - 0.02


def test_a_stopped_configuration_gets_no_other_seed():
    events, trained = play(lambda: campaign(**HALVING))
    stopped = {event["signature"] for event in events if event["event"] == "stopped"}
    assert stopped and not stopped & {signature for signature, _ in trained}


def test_a_stop_that_was_decided_but_not_written_is_written_on_resume():
    whole, _ = play(lambda: campaign(**HALVING), worker_groups=1)
    place = next(number for number, event in enumerate(whole) if event["event"] == "stopped")
    one = campaign(**HALVING)
    written = []
    one.log = written.append
    one.replay(whole[:place])
    assert [event["event"] for event in written] == ["stopped"] and written[0]["signature"] == whole[place]["signature"]
    assert one.next_job().signature != whole[place]["signature"]


def test_the_race_gives_seeds_to_those_ahead_and_says_why_others_stop():
    events, trained = play(lambda: campaign(**RACE))
    seeds = Counter(signature for signature, _ in trained)
    assert 2 <= min(seeds.values()) < max(seeds.values()) <= 6
    verdicts = {event["signature"]: event for event in events if event["event"] == "race"}
    assert set(verdicts) == set(seeds)
    for signature, event in verdicts.items():
        assert event["seeds"] == seeds[signature] and event["reason"]
        assert event["state"] == "dropped" or seeds[signature] == max(seeds.values())


def test_every_cell_races_by_itself_when_it_has_several_configurations():
    events, _ = play(lambda: campaign(**RACE))
    asks = {event["signature"]: event["study"]["colorizer"] for event in events if event["event"] == "ask"}
    kept = {asks[event["signature"]] for event in events if event["event"] == "race" and event["state"] == "done"}
    assert kept == {"none", "deconv"}


def test_warm_start_takes_what_agrees_with_the_cell():
    results = [({"colorizer": "deconv", "lr": 10**-exponent}, [0.5]) for exponent in (2.0, 3.0, 4.0)]
    assert campaign(algorithm="tpe").warm_start([*results, ({"colorizer": "unet", "lr": 1e-3}, [0.9])]) == 3


def test_seeds_that_were_handed_out_and_lost_are_handed_out_again():
    one = campaign()
    job = one.next_job()
    one.give_back(job.signature, job.seeds)
    assert one.next_job() == job


def test_results_of_an_older_ledger_without_asks_count():
    ask = complete({"colorizer": "none", "lr": 1e-3})
    events = [
        {"event": "finish", "signature": ask[0], "seed": seed, "metrics": {"score": objective(ask[1], seed)}}
        for seed in (0, 1)
    ]
    one = campaign([CELLS[0]], search={"lr": Distribution(values=[1e-3])}, draws=1)
    one.replay(events)
    assert not one.has_work() and one.finished


def older_verdicts(events):
    """The same ledger as a version with another racing rule would have left it: the runner-up dropped where this version raced on."""
    dropped = {event["signature"] for event in events if event["event"] == "race" and event["state"] == "dropped"}
    longest = max(
        (event for event in events if event["event"] == "race" and event["state"] == "done"), key=lambda e: e["seeds"]
    )
    assert longest["signature"] not in dropped
    return [
        {**event, "state": "dropped", "seeds": 2, "reason": "another rule"} if event is longest else event
        for event in events
        if not (event["event"] == "finish" and event["signature"] == longest["signature"] and event["seed"] >= 2)
    ]


def test_verdicts_of_an_older_racing_rule_stand():
    whole, _ = play(lambda: campaign(**RACE), worker_groups=1)
    ledger = older_verdicts(whole)
    verdicts = {event["signature"]: event for event in ledger if event["event"] == "race"}
    gone = next(signature for signature, event in verdicts.items() if event["reason"] == "another rule")
    one = campaign(**RACE)
    one.replay(ledger)
    assert one.candidates[gone].ended == "another rule" and not one.candidates[gone].is_open
    _, trained = play(lambda: campaign(**RACE), worker_groups=1, ledger=ledger)
    assert gone not in {signature for signature, _ in trained}


def test_seeds_that_an_older_racing_rule_gave_are_used():
    whole, _ = play(lambda: campaign(**{**RACE, "race": Race(("maximize",), 2, 6, alpha=1e-9)}), worker_groups=1)
    ledger = [event for event in whole if event["event"] != "race"]
    one = campaign(**RACE)
    one.replay(ledger)
    assert {len(candidate.outcomes) for candidate in one.candidates.values()} == {6}
    assert one.finished and not one.has_work()
