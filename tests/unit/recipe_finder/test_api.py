"""The public Python API: lazily imported, whole, and the same numbers as the commands."""

import subprocess
import sys

import pandas as pd
import pytest

import recipe_finder as rf
from analysis.ranking import rank as ranking_of
from recipe_finder.api import _as_file
from sweep.config.load import load_config
from sweep.core.errors import InputError
from tests.fakes.run_folder import FakeSweep, write_fake_run

CONFIG = {
    "name": "mapping",
    "data": {"source": "phantom-a", "target": "phantom-b", "image_px": 32},
    "grid": {"synthetic_per_real": [0, 0.5]},
    "fixed": {"backbone": "small_cnn", "epochs": 1, "lr": 1e-4},
    "seeds": 1,
}


def test_importing_the_package_imports_nothing_heavy():
    heavy = "{'torch', 'ray', 'pandas', 'numpy', 'pydantic', 'sweep'} & set(sys.modules)"
    code = f"import sys, recipe_finder; sys.exit(repr({heavy}) if {heavy} else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [name for name in rf.__all__ if name != "__version__"])
def test_every_name_is_there_and_documented(name):
    value = getattr(rf, name)
    assert callable(value) and value.__doc__ and value.__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    assert rf.__version__.split(".")[0].isdigit() and dir(rf) == rf.__all__
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = rf.trian


def test_a_mapping_is_read_as_its_file_would_be(tmp_path):
    with _as_file(CONFIG) as path:
        made = load_config(path)
    assert not path.exists()
    assert made.name == "mapping" and made.grid["synthetic_per_real"] == [0, 0.5] and made.fixed["lr"] == 1e-4
    with pytest.raises(InputError, match="give the keys of a sweep config"), _as_file({"data": {}}):
        pass


def test_plan_counts_and_computes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = rf.plan(CONFIG, overrides={"seeds": 3})
    assert "2 cells, 2 configurations, 3 seeds each" in text and not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_fake_run(tmp_path_factory.mktemp("api") / "tiny", FakeSweep(images=20, gallery=False))


def test_ranking_is_that_of_the_command(folder):
    from analysis.frames import load_run

    frame, rows = rf.rank(folder, top=3), ranking_of(load_run(folder), top=3).rows
    assert isinstance(frame, pd.DataFrame) and list(frame["signature"]) == [row.signature for row in rows]
    for metric, made in rows[0].numbers.items():
        assert frame.loc[0, metric] == pytest.approx(made.estimate, abs=1e-6, nan_ok=True)
        assert frame.loc[0, f"{metric}:low"] == pytest.approx(made.low, abs=1e-6, nan_ok=True)


def test_report_and_ledger(folder, tmp_path):
    assert rf.report(folder, tmp_path / "out.html") == str(tmp_path / "out.html")
    assert "<html" in (tmp_path / "out.html").read_text()
    assert len(rf.read_ledger(folder).finished()) == 36


def test_a_model_that_is_not_there_is_refused(tmp_path, folder):
    with pytest.raises(InputError, match=r"config.json or model.safetensors is absent|absent"):
        rf.load_model(tmp_path)
    with pytest.raises(InputError):
        rf.load_model(folder, "zzz")
