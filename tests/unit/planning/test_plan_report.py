"""What --plan says: what the cluster can never do is refused, what is left is counted, and times rest on what was measured."""

import io
import json

import pytest
from rich.console import Console

from sweep.config.sweep_config import Resources, SweepConfig
from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.data.preview import foreseen_data
from sweep.pipeline.stages import GENERATOR, needed_stages
from sweep.planning.capacity import Capacity
from sweep.planning.cost import StepCost, outlook
from sweep.planning.plan import make_plan, notes
from sweep.planning.plan_report import foreseen_capacity, print_plan
from sweep.store.artifact_store import META, ArtifactStore
from sweep.store.ledger import Ledger, Reading
from sweep.store.run_folder import ENVIRONMENT_FILE, SPACE_FILE, environment

TWO_CPUS = Capacity(2, 0, 2)
GPU_NODES = {
    "big": {"cpus": 8, "gpus": 1, "max_nodes": 4, "price_per_hour": 3},
    "small": {"cpus": 4, "max_nodes": 9, "price_per_hour": 1},
}


def sweep_config(**sections):
    base = {
        "name": "q",
        "data": {"source": "phantom-a", "target": "phantom-b", "image_px": 32, "phantom_patients": 40},
        "grid": {"colorizer": ["none", "pixelshuffle"], "synthetic_per_real": [0, 1]},
        "fixed": {
            "backbone": "small_cnn",
            "epochs": 2,
            "generator": "cgan",
            "generator_networks": "shared",
            "generator_px": 32,
            "generator_steps": 4,
        },
    }
    return SweepConfig.model_validate({**base, **sections})


def said(asked, run, address="10.0.0.5:6379"):
    console = Console(file=io.StringIO(), width=300)
    print_plan(asked, run, console, address)
    return console.file.getvalue()


def rows(text):
    """The table: kind -> needed, there, to do."""
    cells = [line.rsplit(maxsplit=3) for line in text.splitlines()]
    return {
        name: tuple(map(int, numbers))
        for name, *numbers in filter(lambda row: len(row) == 4 and all(part.isdigit() for part in row[1:]), cells)
    }


@pytest.mark.parametrize(
    ("resources", "address", "arithmetic"),
    [
        ({"gpus_per_worker": 99}, None, r"one worker of 1 CPUs \+ 99 GPUs; there are 1 x 2 CPUs"),
        ({"gpus_per_worker": 2, "node_types": GPU_NODES}, None, r"at most 4 x 8 CPUs \+ 1 GPUs, 9 x 4 CPUs can come"),
        ({"gpus_per_worker": 2, "node_types": GPU_NODES}, "10.0.0.5:6379", "can come"),
    ],
)
def test_what_can_never_run_is_refused(tmp_path, monkeypatch, resources, address, arithmetic):
    monkeypatch.setattr("sweep.planning.capacity.os.cpu_count", lambda: 2)
    monkeypatch.setattr("sweep.planning.capacity.gpus_here", lambda: 0)
    with pytest.raises(InputError, match=arithmetic):
        said(sweep_config(resources=resources), Storage(tmp_path), address)
    assert not list(tmp_path.iterdir())


def test_capacity_of_a_named_cluster_is_unknown():
    assert foreseen_capacity(Resources(gpus_per_worker=99), "10.0.0.5:6379") is None
    assert foreseen_capacity(Resources(), None).concurrent_trials >= 1


def test_before_anything_is_prepared_stages_are_counted(tmp_path):
    text = said(sweep_config(), Storage(tmp_path))
    assert "4 cells, 4 configurations, 2 seeds each" in text
    assert "no data have been prepared yet; counted for 2 classes and about 60 training images" in text
    assert rows(text) == {"generator": (1, 0, 1), "pool": (2, 0, 2), "record": (8, 0, 8)}
    assert (
        "nothing of this sweep has been timed yet (1 generator, 2 pools, 8 records to do), so there is no time or price to tell"
        in text
    )
    assert not list(tmp_path.iterdir()), "a plan writes nothing"


def test_what_the_weights_have_seen_is_said(tmp_path):
    text = said(sweep_config(fixed={"weights": "imagenet"}, grid={"backbone": ["resnet18"]}), Storage(tmp_path))
    assert "the weights resnet18.a1_in1k have not seen phantom-b: it is simulated here" in text


def test_shards_that_are_elsewhere_are_said(tmp_path):
    asked = sweep_config(
        data={"source": str(tmp_path / "busi"), "target": "phantom-b", "train_images": 100},
        grid={"train_images": [50, 100]},
        fixed={"synthetic_per_real": 2},
    )
    text = said(asked, Storage(tmp_path))
    assert "2 classes and about 100 training images; " in text and "busi cannot be read from here" in text
    assert rows(text)["generator"] == (4, 0, 4) and rows(text)["record"] == (4, 0, 4)


def test_shards_that_cannot_be_looked_at_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be looked at"):
        said(sweep_config(data={"source": "x" * 300, "target": "phantom-b"}), Storage(tmp_path))


@pytest.fixture
def begun(tmp_path):
    """A run folder in which one configuration of four has finished and the generator is there."""
    asked, run = sweep_config(), Storage(tmp_path / "run")
    foreseen_data(asked)[0].save(run, {})
    run.write(ENVIRONMENT_FILE, json.dumps(environment()).encode())
    data, _ = foreseen_data(asked)
    plan = make_plan(asked, data, Reading([]))
    first = next(trial for trial in plan.foreseen if trial.config["synthetic_per_real"])
    ledger = Ledger(run)
    ledger.append({"event": "ask", "signature": first.signature, "draw": 0, "study": dict(first.cell), "values": {}})
    for seed, seconds in ((0, 30.0), (1, 50.0)):
        ledger.append(
            {
                "event": "finish",
                "signature": first.signature,
                "seed": seed,
                "config": dict(first.config),
                "metrics": {"auroc/target": 0.7},
                "seconds": {"total": seconds},
            }
        )
    generator = next(stage for stage in needed_stages([first], data) if stage.kind == GENERATOR)
    run.write(
        f"{ArtifactStore(run).folder(generator)}/{META}", json.dumps({"kind": GENERATOR, "seconds": 100.0}).encode()
    )
    return asked, run


def test_what_is_there_is_counted_and_timed(begun):
    asked, run = begun
    text = said(asked, run)
    assert rows(text) == {"generator": (1, 1, 0), "pool": (2, 0, 2), "record": (8, 2, 6)}
    assert (
        "about 4 min of work left over all workers: 6 records of 40 s (mean of 2), on the machines that those ran on"
        in text
    )
    assert "not counted, for none has been timed yet: 2 pools" in text


def test_each_node_type_has_its_price_or_the_reason_why_no_trial_fits(begun):
    asked, run = begun
    text = said(
        asked.model_copy(
            update={"resources": Resources.model_validate({"gpus_per_worker": 0.5, "node_types": GPU_NODES})}
        ),
        run,
    )
    assert (
        "on 2 x big: 3 trials at once, about 1 min 20 s, price 0.13" in text
    )  # 240 s / 3 = 80 s on two nodes of 3 an hour
    assert "on 9 x small: no trial fits; one asks for one worker of 1 CPUs + 0.5 GPUs, a node has 4 CPUs" in text


def test_another_sweep_config_in_the_folder_is_refused(begun):
    asked, run = begun
    run.write(SPACE_FILE, json.dumps(sweep_config(seeds=3).model_dump(mode="json")).encode())
    with pytest.raises(
        InputError, match="the folder holds another sweep config; .*differs in\n  seeds.min was 3 and is 2"
    ):
        said(asked, run)


def test_records_of_other_code_are_refused(begun):
    asked, run = begun
    run.write(ENVIRONMENT_FILE, json.dumps({"versions": {"training": 0}}).encode())
    with pytest.raises(InputError, match="version 0 of the training code"):
        said(asked, run)


def test_time_on_this_machine_and_a_longest_step():
    works = [StepCost("record", 4, (10.0, 20.0)), StepCost("generator", 1, (3600.0,)), StepCost("pool", 0, (5.0,))]
    lines = outlook(works, 4, Resources(), TWO_CPUS)
    assert lines[0].startswith(
        "about 1 h 1 min of work left over all workers: 4 records of 15 s (mean of 2), 1 generator of 1 h (mean of 1)"
    )
    assert lines[1:] == ["  on this machine: 2 trials at once, about 1 h"], "two machines do not halve one generator"
    assert outlook([StepCost("record", 0, (1.0,))], 0, Resources(), TWO_CPUS) == ["nothing is left to compute"]


def test_before_a_first_run_the_price_is_per_hour():
    resources = Resources.model_validate({"gpus_per_worker": 1, "node_types": GPU_NODES, "max_concurrent_trials": 3})
    lines = outlook([StepCost("record", 40)], 40, resources, None)
    assert lines[1] == "  on 3 x big: 3 trials at once, price 9.00 an hour"


def test_a_note_says_that_adaptive_searchers_leave_the_probabilities():
    search = {"lr": {"values": [0.1, 0.2], "probabilities": [0.9, 0.1]}}
    for algorithm, told in (
        ("tpe", ["probabilities of lr apply to the first draws only: tpe then samples by its model"]),
        ("random", []),
    ):
        asked = sweep_config(
            search=search,
            searcher={"algorithm": algorithm, "trials": 3},
            objectives=[{"metric": "auroc/source_val", "goal": "maximize"}],
        )
        assert notes(asked, make_plan(asked, foreseen_data(asked)[0], Reading([])), 0) == told


@pytest.mark.parametrize(
    ("metric", "oracle"), [("predicted_auroc_low/target", False), ("auroc/source_val", False), ("auroc/target", True)]
)
def test_a_note_says_that_the_search_reads_target_labels(metric, oracle):
    asked = sweep_config(
        search={"lr": {"distribution": "log_uniform", "min": 1e-4, "max": 1e-2}},
        searcher={"algorithm": "tpe", "trials": 3},
        objectives=[{"metric": metric, "goal": "maximize"}],
    )
    told = notes(asked, make_plan(asked, foreseen_data(asked)[0], Reading([])), 0)
    assert any("selected by oracle" in line for line in told) == oracle


@pytest.mark.parametrize("algorithm", ["tpe", "random"])
def test_networks_that_are_only_foreseen_are_no_planned_configurations(algorithm):
    asked = sweep_config(
        grid={},
        search={
            "lr": {"distribution": "log_uniform", "min": 1e-4, "max": 1e-2},
            "colorizer": {"values": ["none", "deconv"]},
        },
        searcher={"algorithm": algorithm, "trials": 3},
    )
    plan = make_plan(asked, foreseen_data(asked)[0], Reading([]))
    assert plan.configurations == 3 and plan.campaign.expected_records == 3 * asked.seeds.min


def test_one_generator_starts_while_the_cells_without_synthetic_images_run():
    asked = sweep_config(grid={"colorizer": ["none", "deconv"], "synthetic_per_real": [0.5, 0, 1]}, search={})
    campaign = make_plan(asked, foreseen_data(asked)[0], Reading([])).campaign
    order = [campaign.next_job().cell["synthetic_per_real"] for _ in range(6)]
    assert order == [0, 0.5, 0, 1, 0.5, 1]
