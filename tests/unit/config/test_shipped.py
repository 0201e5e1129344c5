"""Shipped sweep configs by name."""

import pytest

from sweep.config.load import load_config
from sweep.config.shipped import find_config, shipped_configs, summary
from sweep.core.errors import InputError


def test_a_name_finds_the_shipped_file_unless_there_is_one_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config("busi-brest", {"fixed.weights": "null"}).name == "busi-brest"
    assert find_config("ratio") == find_config("ratio.yaml") == shipped_configs()["ratio"]
    (tmp_path / "ratio.yaml").write_text("name: mine\n")
    assert str(find_config("ratio.yaml")) == "ratio.yaml" and find_config("ratio") == shipped_configs()["ratio"]


def test_other_paths_are_left_alone(tmp_path):
    assert find_config(tmp_path / "ratio") == tmp_path / "ratio"
    assert str(find_config("other.yaml")) == "other.yaml"


def test_an_unknown_name_is_refused_with_a_suggestion(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"no shipped sweep config; did you mean ratio\?"):
        find_config("ratoi")


@pytest.mark.parametrize("name", sorted(shipped_configs()))
def test_each_shipped_config_begins_with_its_question(name):
    assert "?" in summary(shipped_configs()[name])
