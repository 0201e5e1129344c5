"""One small fake run, written once and read by all tests here."""

import pytest

from analysis.estimates import Estimates
from analysis.frames import load_run
from tests.fakes.run_folder import FakeSweep, write_fake_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    return write_fake_run(tmp_path_factory.mktemp("results") / "tiny", FakeSweep())


@pytest.fixture(scope="session")
def run(run_folder):
    return load_run(run_folder)


@pytest.fixture(scope="session")
def estimates(run):
    return Estimates(run, draws=300)
