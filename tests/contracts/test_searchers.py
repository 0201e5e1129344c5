"""Every searcher, the same sweep configs: support, conditions, seeds, failures, warm starts, what it takes to go on after a crash."""

import math

import optuna
import pytest

from sweep.config.sweep_config import Distribution
from sweep.core.errors import InputError
from sweep.search.optuna_searcher import SAMPLERS
from sweep.search.sampling import drawn
from sweep.search.searchers import LEARNING, SEARCHERS, build_searcher

SPACE = {
    "width": Distribution(
        distribution="int_uniform", min=2, max=5, when={"colorizer": ["unet", "deconv"], "backbone": {"not": "frozen"}}
    ),
    "deep": Distribution(distribution="uniform", min=0, max=1, when={"width": {"not": 2}}),
    "colorizer": Distribution(values=["none", "deconv", "unet"]),
    "lr": Distribution(distribution="log_uniform", min=1e-5, max=1e-2),
    "ratio": Distribution(distribution="q_uniform", min=0, max=1, q=0.25),
    "shift": Distribution(distribution="normal", mean=2, sd=0.5),
    "mixed": Distribution(values=[True, 1, None, "1"]),
    "never": Distribution(distribution="uniform", min=0, max=1, when={"backbone": "frozen"}),
}
KNOWN = {"backbone": "resnet18"}
GOALS = ["maximize", "minimize"]
MODELS = LEARNING
ASKS = {
    name: 4 + (SAMPLERS[name].startup if name in SAMPLERS else 10) for name in SEARCHERS
}  # a Gaussian process takes its time


def make(name, goals=GOALS, **options):
    return build_searcher(name, SPACE, goals, **{"known": KNOWN, **options})


def result(config):
    return [-abs(math.log10(config["lr"]) + 3) + config.get("deep", 0), config["ratio"] + abs(config["shift"] - 2)]


def play(searcher, asks, results=result):
    """Ask and tell in turn; the configurations in order."""
    configs = []
    for _ in range(asks):
        token, config = searcher.ask()
        searcher.tell(token, results(config))
        configs.append(config)
    return configs


def played(name, asks=None, results=result, **options):
    return play(make(name, **options), asks or ASKS[name], results)


@pytest.fixture(scope="module")
def games():
    return {name: played(name) for name in SEARCHERS}


@pytest.mark.parametrize("name", SEARCHERS)
class TestEverySearcher:
    def test_values_lie_in_their_support(self, name, games):
        for config in games[name]:
            assert 1e-5 <= config["lr"] <= 1e-2 and isinstance(config["lr"], float)
            assert config["ratio"] in (0, 0.25, 0.5, 0.75, 1)
            assert config["colorizer"] in ("none", "deconv", "unet")
            assert any(config["mixed"] is choice for choice in (True, None)) or config["mixed"] in (1, "1")
            assert type(config.get("width", 2)) is int and 2 <= config.get("width", 2) <= 5
            assert -1 < config["shift"] < 5

    def test_conditions_hold_nested_and_several(self, name, games):
        for config in games[name]:
            assert ("width" in config) == (config["colorizer"] != "none")
            assert ("deep" in config) == (config.get("width", 2) != 2), "what hangs on an absent name is absent"
            assert "never" not in config and "backbone" not in config

    def test_the_grid_decides_conditions_too(self, name):
        config = make(name, known={"backbone": "frozen"}).ask()[1]
        assert "never" in config and "width" not in config and "deep" not in config

    def test_the_same_seed_plays_the_same_game_and_prints_nothing(self, name, games, capfd, recwarn):
        assert played(name) == games[name]
        assert capfd.readouterr() == ("", "")
        assert [str(one.message) for one in recwarn.list] == []
        assert played(name, asks=3, seed=1) != games[name][:3]

    def test_tokens_count_up_and_many_may_be_open(self, name):
        searcher = make(name, first=7)
        asked = [searcher.ask() for _ in range(12)]
        assert [token for token, _ in asked] == list(range(7, 19))
        for token, config in reversed(asked):
            searcher.tell(token, result(config))
        assert searcher.ask()[0] == 19

    def test_a_token_is_told_once(self, name):
        searcher = make(name)
        token, _ = searcher.ask()
        searcher.tell(token, None)
        with pytest.raises(KeyError):
            searcher.tell(token, [1.0, 1.0])

    def test_the_first_draws_are_those_of_random_search(self, name, games):
        assert games[name][1:6] == [drawn(SPACE, KNOWN, number, 0) for number in range(1, 6)]

    def test_who_learns_begins_in_the_middle_of_every_range(self, name, games):
        middle = {"colorizer": "none", "lr": pytest.approx(10**-3.5), "ratio": 0.5, "shift": 2.0, "mixed": True}
        assert games[name][0] == (drawn(SPACE, KNOWN, 0, 0) if name == "random" else middle)

    @pytest.mark.parametrize("bad", [None, [], [1.0], [1.0, None], [1.0, float("nan")], [float("inf"), 0.0]], ids=str)
    def test_failures_are_taken_and_the_search_goes_on(self, name, bad):
        configs = played(name, asks=12, results=lambda config: bad)
        assert len({config["lr"] for config in configs}) == 12

    def test_one_objective_is_searched_as_well(self, name):
        assert len(played(name, goals=["minimize"], results=lambda config: result(config)[1:])) == ASKS[name]

    def test_nothing_to_search_is_an_empty_configuration(self, name):
        assert build_searcher(name, {}, ["maximize"]).ask() == (0, {})


@pytest.mark.parametrize("name", MODELS)
class TestEveryModel:
    def test_no_trial_is_left_open_in_optuna(self, name):
        searcher, asks = make(name), SAMPLERS[name].startup + 2
        play(searcher, 3, lambda config: None)
        play(searcher, asks)
        states = [trial.state for trial in searcher._study.trials]
        assert optuna.trial.TrialState.RUNNING not in states
        assert states.count(optuna.trial.TrialState.COMPLETE) == asks

    def test_a_warm_start_replaces_the_first_draws(self, name, games):
        searcher = make(name)
        earlier = [(config, result(config)) for config in games[name]]
        assert searcher.warm_start(earlier) == len(earlier)
        assert searcher.ask()[1] != games[name][0], "enough is known to propose from the first ask on"

    def test_results_that_do_not_fit_are_left_out(self, name):
        config = drawn(SPACE, KNOWN, 0)
        misfits = [
            ({**config, "lr": 1.0}, [0, 0]),
            ({**config, "mixed": "other"}, [0, 0]),
            ({"lr": 1e-3}, [0, 0]),
            (config, None),
            (config, [0]),
        ]
        assert make(name).warm_start(misfits) == 0
        assert make(name).warm_start([({**config, "epochs": 3}, [0, 0])]) == 1, "foreign names are not looked at"


@pytest.mark.parametrize("name", ["random", "tpe", "gp"])
def test_a_searcher_built_anew_goes_on_as_before(name, games):
    done = ASKS[name] - 2
    again = make(name, first=done)
    again.warm_start([(config, result(config)) for config in games[name][:done]])
    token, config = again.ask()
    assert token == done
    assert config == {
        key: pytest.approx(value) if isinstance(value, float) else value for key, value in games[name][done].items()
    }


def test_a_model_beats_chance():
    def best(name):
        configs = played(name, asks=60, goals=["maximize"], results=lambda config: result(config)[:1])
        return max(result(config)[0] for config in configs)

    assert best("tpe") > best("random")


def test_an_unknown_name_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match="did you mean nsga2"):
        make("nsga")
