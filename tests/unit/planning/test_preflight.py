"""What cannot work on a run's data is refused before anything is trained."""

from dataclasses import replace

import pandas as pd
import pytest

from sweep.config.sweep_config import DataSection, SweepConfig
from sweep.core.errors import InputErrors
from sweep.data.datasets import Data
from sweep.data.domains import LABELS
from sweep.data.preview import foreseen_data
from sweep.planning.preflight import check_models

TWO_CLASSES = "needs 4 classes or more, these data have 2"
FINDINGS = "takes single labels only, these data have several findings an image"


@pytest.fixture(scope="module")
def data():
    """Two classes of a simulated scanner, without images."""
    section = DataSection(source="phantom-a", target="phantom-b", image_px=32, phantom_patients=12)
    return foreseen_data(SweepConfig(name="q", data=section))[0]


@pytest.fixture(autouse=True)
def named(monkeypatch):
    """No shards are written: only the names of the data sets would be read from them."""
    monkeypatch.setattr(Data, "datasets", ("phantom", "phantom"))


@pytest.fixture(scope="module")
def findings(data):
    """The same images with two findings each."""
    labels = pd.Series([[1.0, 0.0]] * len(data.split), index=data.split.index)
    return replace(data, split=data.split.drop(columns="label").assign(**{LABELS: labels}))


@pytest.mark.parametrize(
    ("kind", "attack", "problem"),
    [
        ("data", "torchattacks:APGDT", TWO_CLASSES),
        ("data", "torchattacks:TIFGSM", "takes images of 3 channels, these have 1"),
        ("findings", "torchattacks:PGD", FINDINGS),
    ],
)
def test_attacks_without_a_meaning_for_the_data_are_refused(request, kind, attack, problem):
    with pytest.raises(InputErrors) as refused:
        check_models("space.yaml", [], request.getfixturevalue(kind), ["apgd", attack])
    (error,) = refused.value.errors
    assert error.where == f"threats.attacks, {attack}" and problem in error.problem and "of the table" in error.fix


@pytest.mark.parametrize("kind", ["data", "findings"])
def test_attacks_of_the_table_pass(request, kind):
    assert check_models("space.yaml", [], request.getfixturevalue(kind), ["apgd", "fmn", "square50"]) == []
