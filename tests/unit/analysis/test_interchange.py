"""What other tools read back is what was recorded: csv, parquet, Optuna, TensorBoard."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import optuna
import pandas as pd
import pytest
from tensorboard import context
from tensorboard.backend.event_processing import data_ingester
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups, metadata, plugin_data_pb2
from tensorboard.util import tensor_util

from analysis import hparams, interchange
from analysis.frames import load_run
from analysis.hparams import column_values, precision_recall, write_tensorboard
from analysis.outcomes import Outcomes
from analysis.ranking import goodness, objectives
from sweep.core.errors import InputError
from sweep.core.pareto import dominated_by_any
from tests.fakes.run_folder import FakeSweep, write_fake_run


@pytest.fixture(scope="module")
def study(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("optuna") / "study.db"
    interchange.WRITERS["optuna"](run, out)
    return optuna.load_study(study_name=run.name, storage=f"sqlite:///{out}"), out


@pytest.fixture(scope="module")
def logdir(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("tb") / "configurations"
    assert write_tensorboard(run, out) == 12
    return out


class TestFiles:
    @pytest.mark.parametrize(("kind", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
    def test_numbers_come_back(self, run, run_folder, tmp_path, kind, read, capsys):
        out = tmp_path / "new" / f"records.{kind}"
        assert interchange.main([str(run_folder), "--to", kind, "--out", str(out)]) == 0
        frame = read(out)
        assert len(frame) == len(run.records) and {
            "signature",
            "seed",
            "config/backbone",
            "config/glcm_weight",
            "seconds/total",
        } <= set(frame)
        np.testing.assert_allclose(frame["auroc/target"], run.records["auroc/target"])

    def test_text_that_a_spreadsheet_would_run_is_marked(self, run, tmp_path):
        odd = dataclasses.replace(run, configs=run.configs.assign(backbone="=1+1"))
        interchange.WRITERS["csv"](odd, tmp_path / "r.csv")
        frame = pd.read_csv(tmp_path / "r.csv")
        assert set(frame["config/backbone"]) == {"'=1+1"} and "None" not in (tmp_path / "r.csv").read_text()

    def test_a_setting_of_two_kinds_is_still_one_column(self, run, tmp_path):
        mixed = dataclasses.replace(run, configs=run.configs.assign(mixed=[0.1, "auto"] * 6))
        interchange.WRITERS["parquet"](mixed, tmp_path / "r.parquet")
        assert set(pd.read_parquet(tmp_path / "r.parquet")["config/mixed"]) == {"0.1", "auto"}


class TestOptuna:
    def test_trials_and_directions(self, run, study):
        loaded, _ = study
        assert [direction.name for direction in loaded.directions] == ["MAXIMIZE", "MINIMIZE", "MAXIMIZE"]
        assert loaded.metric_names == ["auroc/target", "domain_gap", "robust_accuracy/target/worst@2/255"]
        assert len(loaded.trials) == 12
        trial = loaded.trials[0]
        assert trial.values[0] == pytest.approx(run.means.loc[trial.user_attrs["signature"], "auroc/target"])

    def test_settings_without_a_value_anywhere_are_left_out(self, run, study):
        assert run.configs["weights"].isna().all()
        assert all("weights" not in trial.params for trial in study[0].trials)
        assert all(np.isfinite(trial.values).all() and trial.params["batch_size"] == 32 for trial in study[0].trials)
        assert len(study[0].best_trials) > 0 and len(study[0].trials_dataframe()) == 12

    def test_conditional_settings_are_absent_not_invented(self, study):
        for trial in study[0].trials:
            assert ("glcm_weight" in trial.params) == (trial.params["colorizer"] != "none")

    def test_its_front_is_our_front(self, run, study, estimates):
        ours = set(run.means.index[~dominated_by_any(goodness(run, objectives(run)))])
        assert {trial.user_attrs["signature"] for trial in study[0].best_trials} == ours

    def test_an_existing_file_is_left_alone(self, run, study):
        with pytest.raises(InputError, match="exists"):
            interchange.WRITERS["optuna"](run, study[1])
        assert [path.name for path in study[1].parent.iterdir()] == [study[1].name]


class TestTensorBoard:
    def load(self, folder):
        events = EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0, "images": 0})
        return events.Reload()

    def plugin(self, events, tag):
        return plugin_data_pb2.HParamsPluginData.FromString(events.SummaryMetadata(tag).plugin_data.content)

    def test_every_setting_is_a_column_and_conditional_ones_keep_the_absent(self, run, logdir):
        experiment = self.plugin(self.load(logdir), metadata.EXPERIMENT_TAG).experiment
        infos = {info.name: info for info in experiment.hparam_infos}
        assert set(infos) == set(run.configs)
        assert "-" in [value.string_value for value in infos["glcm_weight"].domain_discrete.values]
        assert "auroc/target" in [info.name.tag for info in experiment.metric_infos]

    def test_a_session_holds_its_settings_and_metrics(self, run, logdir):
        key = run.means.index[0]
        events = self.load(logdir / key)
        start = self.plugin(events, metadata.SESSION_START_INFO_TAG).session_start_info
        assert (
            start.hparams["glcm_weight"].string_value == "-"
            and start.hparams["backbone"].string_value == run.configs.loc[key, "backbone"]
        )
        assert start.hparams["lr"].number_value == pytest.approx(run.configs.loc[key, "lr"])
        assert events.Scalars("auroc/target")[0].value == pytest.approx(run.means.loc[key, "auroc/target"])

    def test_scalars_by_epoch_images_and_curves(self, run, logdir):
        key = run.means.index[0]
        events = self.load(logdir / key)
        assert [event.step for event in events.Scalars("by epoch/seed 0/loss/train")] == [1, 2, 3, 4]
        assert any(tag.startswith("adversarial/") for tag in events.Tags()["images"])
        curve = tensor_util.make_ndarray(events.Tensors("precision recall/target")[0].tensor_proto)
        assert curve.shape == (6, 101) and curve[5, 0] == 1.0

    def test_the_hparams_tab_finds_all_sessions(self, logdir):
        flags = SimpleNamespace(
            logdir=str(logdir),
            logdir_spec="",
            generic_data="auto",
            samples_per_plugin={},
            reload_interval=0,
            path_prefix="",
            window_title="",
            purge_orphaned_data=True,
            max_reload_threads=1,
            reload_task="blocking",
            reload_multifile=False,
            reload_multifile_inactive_secs=0,
            detect_file_replacement=None,
        )
        ingester = data_ingester.LocalDataIngester(flags)
        ingester.start()
        base = base_plugin.TBContext(flags=flags, data_provider=ingester.data_provider)
        backend, request_context = backend_context.Context(base), context.RequestContext()
        request = api_pb2.ListSessionGroupsRequest(
            start_index=0,
            slice_size=50,
            allowed_statuses=[api_pb2.STATUS_SUCCESS],
            aggregation_type=api_pb2.AGGREGATION_AVG,
        )
        experiment = backend.experiment_from_metadata(
            request_context, "", True, backend.hparams_metadata(request_context, ""), []
        )
        answer = list_session_groups.Handler(request_context, backend, "", request).run()
        assert len(answer.session_groups) == 12
        assert {group.hparams["glcm_weight"].string_value for group in answer.session_groups} > {"-"}
        assert {info.name for info in experiment.hparam_infos} >= {"glcm_weight", "backbone"}

    def test_writing_again_replaces(self, run, tmp_path):
        for _ in range(2):
            write_tensorboard(run, tmp_path / "tb")
        assert len(list((tmp_path / "tb" / run.means.index[0]).iterdir())) == 1

    def test_a_folder_of_others_is_left_alone(self, run, tmp_path):
        (tmp_path / "thesis.txt").touch()
        with pytest.raises(InputError, match="not of this command"):
            write_tensorboard(run, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def test_columns_are_of_one_type(self):
        assert column_values(pd.Series([1, 2.5])) == [1.0, 2.5]
        assert column_values(pd.Series([1.0, np.nan, 0.25])) == ["1", "-", "0.25"]
        assert column_values(pd.Series(["a", None, True], dtype=object)) == ["a", "-", "True"]

    def test_precision_and_recall_by_hand(self):
        logits = np.array([[[0, 5.0], [0, 5.0], [0, -5.0], [0, -5.0]]])
        made = precision_recall(
            Outcomes(
                np.array(list("abcd")),
                np.array(list("abcd")),
                np.array([1, 0, 1, 0]),
                (0,),
                logits,
                np.ones((1, 4), dtype=bool),
            )
        )
        np.testing.assert_allclose(made[:, 50], [1, 1, 1, 1, 0.5, 0.5])

    def test_command(self, run_folder, tmp_path, capsys):
        assert hparams.main([str(run_folder), "--out", str(tmp_path / "tb")]) == 0
        assert "12 configurations" in capsys.readouterr().out
        assert hparams.main(["nowhere"]) == 2


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    mlflow = pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("mlflow")
    small = FakeSweep(backbones=("resnet18",), ratios=(0,), seeds=2, images=12, gallery=False, stopped=1)
    run = load_run(write_fake_run(folder / "small", small))
    assert interchange.main([str(folder / "small"), "--to", "mlflow", "--out", str(folder / "m.db")]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["m.db", "small"]
    return mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / 'm.db'}"), run


@pytest.mark.extended
@pytest.mark.slow  # a database of its own, and ten seconds of imports
class TestMlflow:
    def test_records_come_back_below_their_configuration(self, stored):
        client, run = stored
        (experiment,) = [one for one in client.search_experiments() if one.name == "small"]
        found = {
            (one.data.tags["signature"], one.data.tags.get("seed")): one
            for one in client.search_runs([experiment.experiment_id])
        }
        assert len(found) == 2 + 4 + 1
        for key, seed in run.records.index:
            record, above = found[key, str(seed)], found[key, None]
            assert record.data.tags["mlflow.parentRunId"] == above.info.run_id
            assert record.data.params["backbone"] == "resnet18" and record.info.status == "FINISHED"
            assert record.data.metrics["robust_accuracy/target/worst at 2/255"] == pytest.approx(
                run.records.loc[(key, seed), "robust_accuracy/target/worst@2/255"]
            )
            assert above.data.metrics["auroc/target"] == pytest.approx(run.means.loc[key, "auroc/target"])
            assert [point.step for point in client.get_metric_history(record.info.run_id, "epoch/loss/train")] == [
                1,
                2,
                3,
                4,
            ]
        assert ("glcm_weight" in above.data.params) == ("glcm_weight" in run.configs.loc[key].dropna())

    def test_what_was_stopped_is_not_finished(self, stored):
        client, run = stored
        (stopped,) = client.search_runs(
            [one.experiment_id for one in client.search_experiments() if one.name == "small"],
            "attributes.status = 'KILLED'",
        )
        assert (
            stopped.data.tags["stopped by"] == "halving" and stopped.data.tags["signature"] == run.stops[0]["signature"]
        )

    def test_a_store_is_not_written_over(self, stored, tmp_path):
        (tmp_path / "m.db").write_text("mine")
        with pytest.raises(InputError, match="exists"):
            interchange.WRITERS["mlflow"](stored[1], tmp_path / "m.db")
        assert (tmp_path / "m.db").read_text() == "mine"


def test_stopped_records_say_so_in_every_exchange(tmp_path):
    run = load_run(
        write_fake_run(
            tmp_path / "r",
            FakeSweep(backbones=("resnet18",), ratios=(0,), seeds=2, images=12, gallery=False, stopped=1),
        )
    )
    frame = interchange.records_frame(run)
    assert frame["state"].tolist() == ["finished"] * 4 + ["stopped"]
    assert frame.iloc[-1]["auroc/source_val"] == 0.52 and frame.iloc[-1]["config/lr"] == 0.01
    interchange.WRITERS["optuna"](run, tmp_path / "s.db")
    states = [
        trial.state.name
        for trial in optuna.load_study(study_name=run.name, storage=f"sqlite:///{tmp_path / 's.db'}").trials
    ]
    assert states == ["COMPLETE", "COMPLETE", "PRUNED"]
